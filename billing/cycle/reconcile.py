"""Step 2: what became of creates whose outcome is unknown, as the API's list tells it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from billing.core.event_text import EventAction
from billing.core.outcomes import RemotePayment
from billing.core.reconciling import Coverage, Finding, Verdict, judge, prove_coverage
from billing.core.states import PaymentState
from billing.cycle.context import Context
from billing.cycle.sweep import sweep
from billing.errors import GatewayError
from billing.lifecycle import payments as lifecycle
from billing.lifecycle.payments import Found
from billing.lifecycle.restore import require_lookup
from billing.store import payments, remote_checks
from billing.store.events import event, record
from billing.store.rows import LostPayment
from billing.store.tx import Tx

_PAGE = 500
_EVER = datetime.min.replace(tzinfo=UTC)
_NOT_NEW = "this database is new, and Mileston has payments of it already: a lost one may have sent this"


async def reconcile(ctx: Context) -> None:
    """Look every unknown payment up by its marker in one list: adopt, wait, prove absent, or park.

    The list is also read before anything is sent for a second time, so that a create that turned up
    late is adopted instead. If it can't be read, the unknowns stay what they are.
    """
    with ctx.db.read() as connection:
        due = remote_checks.look_is_due(connection, ctx.clock())
        earliest = remote_checks.earliest_lost(connection)
    if due:
        try:
            listing = await read_list(ctx, earliest)
        except GatewayError as error:
            ctx.report.problems.append(f"reconcile: {error}")
        else:
            ctx.checkpoint("reconcile.listed")
            await sweep(ctx, listing.remotes)
            before = ctx.report.adopted
            _judge_all(ctx, listing)
            if ctx.report.adopted > before:
                # What was adopted may have doubles in this list, and no later one need show them.
                await sweep(ctx, listing.remotes)
    with ctx.db.read() as connection:
        left = remote_checks.count_unknown(connection)
    ctx.report.due += left
    ctx.report.unknown += left


async def look_first_if_new(ctx: Context) -> None:
    """Before a database's first attempt: is it new, or does it stand in for one that was lost?

    If the list shows a payment that it believes unsent, it looks before it sends, as after a
    restore. A list that can't be read stops nothing, but the event log tells it: most new databases
    are just that.
    """
    with ctx.db.read() as connection:
        if remote_checks.has_ever_sent(connection) or not payments.count_planned(connection, ctx.as_of):
            return
    try:
        listing = await read_list(ctx, _EVER)
    except GatewayError as error:
        with ctx.db.transaction() as tx:
            record(tx, [event(ctx.clock(), ctx.actor, EventAction.FIRST_LOOK_FAILED, str(error))])
        return
    markers = [remote.marker for remote in listing.remotes if remote.marker is not None]
    with ctx.db.transaction() as tx:
        if not remote_checks.is_any_unsent(tx, markers):
            return
        now = ctx.clock()
        unsure = require_lookup(tx, ctx.as_of, now, _NOT_NEW)
        record(
            tx, [event(now, ctx.actor, EventAction.DATABASE_LOST, f"payments to look for first: {unsure}")]
        )
    ctx.report.due += unsure
    ctx.report.unknown += unsure


@dataclass(frozen=True, slots=True)
class Listing:
    """One reading of the API's list; `asked_at` is before it was asked for."""

    remotes: list[RemotePayment]
    coverage: Coverage
    asked_at: datetime


async def read_list(ctx: Context, since: datetime | None) -> Listing:
    """Read the list with a growing limit until it covers `since` or can't grow. Raises GatewayError."""
    limit = ctx.settings.reconcile.page_size
    largest = limit * ctx.settings.reconcile.page_cap
    while True:
        asked_at = ctx.clock()
        remotes = await ctx.gateway.list(limit)
        with ctx.db.read() as connection:
            known = remote_checks.known_remotes(connection, [remote.remote_id for remote in remotes])
            live = remote_checks.count_live(connection)
            coverage = prove_coverage(remotes, limit, known, live)
            if coverage.back_to is not None:
                made_since = remote_checks.count_live(connection, coverage.back_to)
                coverage = coverage.confirmed_by(known, made_since)
        enough = since is None or coverage.covers(since)
        if enough or len(remotes) < limit or limit >= largest:
            return Listing(remotes, coverage, asked_at)
        limit = min(limit * 2, largest)


def _judge_all(ctx: Context, listing: Listing) -> None:
    by_marker: dict[str, list[RemotePayment]] = defaultdict(list)
    for remote in listing.remotes:
        if remote.marker is not None:
            by_marker[remote.marker].append(remote)
    quiet = timedelta(seconds=ctx.settings.reconcile.quiet_seconds)
    after_id = 0
    while True:
        with ctx.db.transaction() as tx:
            rows = remote_checks.lost_page(tx, after_id, _PAGE)
            judged = [
                (
                    row,
                    judge(
                        remote_checks.lost_create(row),
                        by_marker[row.marker],
                        listing.coverage,
                        listing.asked_at,
                        quiet,
                    ),
                )
                for row in rows
            ]
            _apply(tx, ctx, judged)
        ctx.checkpoint("reconcile.committed")
        if len(rows) < _PAGE:
            return
        after_id = rows[-1].id


def _apply(tx: Tx, ctx: Context, judged: Sequence[tuple[LostPayment, Verdict]]) -> None:
    """Store the verdicts of one page. A parked payment is only ever adopted: a person may do the rest."""
    now = ctx.clock()
    _adopt(tx, ctx, [(row, v) for row, v in judged if v.finding is Finding.ADOPT], now)
    unknown = [(row, v) for row, v in judged if row.state == PaymentState.UNKNOWN]
    waiting = (Finding.LOOK_AGAIN, Finding.UNPROVED)
    remote_checks.note_looks(
        tx,
        [
            {
                "id": row.id,
                "absent_looks": v.absent_looks,
                "absent_at": v.absent_at,
                "look_step": v.look_step,
                "next_look_at": v.next_look_at,
            }
            for row, v in unknown
            if v.finding in waiting
        ],
    )
    for row, verdict in unknown:
        if verdict.finding is Finding.ABSENT:
            _absent(tx, ctx, row, verdict, now)
        elif verdict.finding is Finding.PARK:
            _park(tx, ctx, row, verdict.cause, now)


def _adopt(tx: Tx, ctx: Context, adopted: Sequence[tuple[LostPayment, Verdict]], now: datetime) -> None:
    for state in (PaymentState.UNKNOWN, PaymentState.PARKED):
        found = [Found(row, v.remote.remote_id, now) for row, v in adopted if v.remote and row.state == state]
        queued = lifecycle.open_payments(tx, ctx.actor, now, ctx.as_of, state, found, EventAction.ADOPTED)
        ctx.report.due += len(found)
        ctx.report.adopted += len(found)
        ctx.report.notices_queued += queued


def _absent(tx: Tx, ctx: Context, row: LostPayment, verdict: Verdict, now: datetime) -> None:
    if ctx.settings.reconcile.when_absent == "park":
        cause = "proved not to exist at Mileston; reconcile.when_absent = 'park' leaves it to a person"
        _park(tx, ctx, row, cause, now, (verdict.absent_looks, verdict.absent_at))
        return
    lifecycle.mark_absent(tx, ctx.actor, now, row, verdict.absent_looks, verdict.absent_at)


def _park(
    tx: Tx,
    ctx: Context,
    row: LostPayment,
    cause: str,
    now: datetime,
    proof: tuple[int, datetime | None] | None = None,
) -> None:
    if lifecycle.park(tx, ctx.actor, now, row, cause, proof):
        ctx.report.due += 1
        ctx.report.unknown += 1
