"""Step 2: what became of creates whose outcome is unknown, as the API's list tells it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from billing.core.outcomes import RemotePayment
from billing.core.reconciling import Coverage, Finding, Verdict, judge, prove_coverage
from billing.core.states import PaymentState
from billing.cycle.context import Context
from billing.cycle.sweep import sweep
from billing.errors import GatewayError
from billing.store import payments, remote_checks
from billing.store.database import require_lookup
from billing.store.events import event, record
from billing.store.sending import open_payments

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
            record(tx, [event(ctx.clock(), ctx.actor, "first_look_failed", str(error))])
        return
    markers = [remote.marker for remote in listing.remotes if remote.marker is not None]
    with ctx.db.transaction() as tx:
        if not remote_checks.is_any_unsent(tx, markers):
            return
        now = ctx.clock()
        doubted = require_lookup(tx, ctx.as_of, now, _NOT_NEW)
        record(tx, [event(now, ctx.actor, "database_lost", f"{doubted} payments are looked for first")])
    ctx.report.due += doubted
    ctx.report.unknown += doubted


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


def _apply(tx: Connection, ctx: Context, judged: Sequence[tuple[Any, Verdict]]) -> None:
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


def _adopt(tx: Connection, ctx: Context, adopted: Sequence[tuple[Any, Verdict]], now: datetime) -> None:
    for state in (PaymentState.UNKNOWN, PaymentState.PARKED):
        chosen = [(row, v.remote.remote_id, now) for row, v in adopted if v.remote and row.state == state]
        open_payments(tx, state, chosen, ctx.actor, "adopted", now, ctx.as_of)
        ctx.report.due += len(chosen)
        ctx.report.adopted += len(chosen)
        ctx.report.notices_queued += len(chosen)


def _absent(tx: Connection, ctx: Context, row: Any, verdict: Verdict, now: datetime) -> None:
    proof = {"absent_looks": verdict.absent_looks, "absent_at": verdict.absent_at}
    if ctx.settings.reconcile.when_absent == "park":
        cause = "proved absent from the list; reconcile.when_absent = 'park' leaves it to a person"
        _park(tx, ctx, row, cause, now, **proof)
        return
    payments.move(tx, [row.id], PaymentState.UNKNOWN, PaymentState.PLANNED, now, cause="", **proof)
    _log(tx, ctx, row, "proved_absent", "two looks at the list, it is not there", now)


def _park(tx: Connection, ctx: Context, row: Any, cause: str, now: datetime, **proof: Any) -> None:
    payments.move(tx, [row.id], PaymentState.UNKNOWN, PaymentState.PARKED, now, cause=cause, **proof)
    _log(tx, ctx, row, PaymentState.PARKED, cause, now)
    ctx.report.due += 1
    ctx.report.unknown += 1


def _log(tx: Connection, ctx: Context, row: Any, action: str, detail: str, now: datetime) -> None:
    line = event(now, ctx.actor, action, detail, subscription_id=row.subscription_id, payment_id=row.id)
    record(tx, [line])
