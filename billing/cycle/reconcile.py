"""Step 3: what became of creates whose outcome is unknown, as the list of this cycle tells it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta

from billing.core import reasons
from billing.core.event_text import EventAction
from billing.core.reconciling import Finding, Verdict, judge, judge_named
from billing.core.states import PaymentState
from billing.cycle.context import Context
from billing.cycle.observation import Observation
from billing.cycle.sweep import forgotten, sweep
from billing.errors import GatewayError
from billing.lifecycle import payments as lifecycle
from billing.lifecycle import remote_ids
from billing.lifecycle.payments import Found
from billing.lifecycle.restore import require_lookup
from billing.store import remote_checks
from billing.store.events import event, record
from billing.store.identity import restored_on
from billing.store.rows import Holder, LostPayment
from billing.store.tx import Tx

_PAGE = 500


async def reconcile(ctx: Context) -> None:
    """Look every unknown payment up by its marker: adopt, wait, prove absent, or park.

    Without a list the unknowns stay what they are.
    """
    await read_named(ctx)
    if ctx.observation is not None:
        await sweep(ctx, ctx.observation)
        look_for_forgotten(ctx, forgotten(ctx, ctx.observation))
        before = ctx.report.adopted
        judge_all(ctx, ctx.observation)
        if ctx.report.adopted > before:
            # What was adopted may have doubles in this list, and no later one need show them.
            await sweep(ctx, ctx.observation)
    count_unknown(ctx)


def count_unknown(ctx: Context) -> None:
    """What is unknown before anything is sent counts as due and unknown, once."""
    with ctx.db.read() as tx:
        left = remote_checks.count_unknown(tx)
    more = left - ctx.report.unknown_before_sending
    ctx.report.due += more
    ctx.report.unknown += more
    ctx.report.unknown_before_sending = left


def look_for_forgotten(ctx: Context, markers: Sequence[str]) -> None:
    """Payments of ours at Mileston that this database believes unsent: it has forgotten what it sent.

    A restored copy leaves no other trace where all that stood beside it was put back as well. So
    everything that it believes unsent is looked for before it is sent.
    """
    if not markers:
        return
    with ctx.db.transaction() as tx:
        known = restored_on(tx)
        if known is not None and known >= ctx.as_of:
            return
        now = ctx.clock()
        unsure = require_lookup(tx, ctx.as_of, now, reasons.FORGOTTEN)
        detail = f"{len(markers)} found that it did not send; {unsure} more to look for first"
        record(tx, [event(now, ctx.actor, EventAction.DATABASE_LOST, detail)])


async def read_named(ctx: Context) -> int:
    """Creates that were answered with an id whose echo was not ours: that very record tells what it is.

    Returns how many were adopted or parked.
    """
    after_id = settled = 0
    lanes = ctx.settings.cycle.concurrency
    while True:
        with ctx.db.read() as tx:
            rows = remote_checks.named_page(tx, after_id, lanes)
        if not rows:
            return settled
        after_id = rows[-1].id
        read = await asyncio.gather(
            *(ctx.gateway.get(row.remote_id or "") for row in rows), return_exceptions=True
        )
        judged = []
        for row, remote in zip(rows, read, strict=True):
            if isinstance(remote, GatewayError):
                ctx.report.problems.append(f"reconcile: {reasons.NOT_READ.format(id=row.id)}: {remote}")
            elif isinstance(remote, BaseException):
                raise remote
            else:
                verdict = judge_named(
                    remote_checks.lost_create(row), row.remote_id or "", remote, ctx.clock()
                )
                judged.append((row, verdict))
        with ctx.db.transaction() as tx:
            # While the records were read, another worker or a person may have dealt with some.
            waiting = remote_checks.lock_named(tx, [row.id for row, _ in judged])
            judged = [(row, v) for row, v in judged if waiting.get(row.id) == row.remote_id]
            _apply(tx, ctx, judged)
        settled += sum(v.finding in (Finding.ADOPT, Finding.PARK) for _, v in judged)


def judge_all(ctx: Context, seen: Observation) -> None:
    """Judge every unknown and parked payment by the list."""
    quiet = timedelta(seconds=ctx.settings.reconcile.quiet_seconds)
    with ctx.db.read() as tx:
        claimed = remote_checks.claimed_ids(tx, seen.unmarked_ids)
    after_id = 0
    while True:
        with ctx.db.transaction() as tx:
            rows = remote_checks.lost_page(tx, after_id, _PAGE)
            judged = [
                (
                    row,
                    judge(
                        remote_checks.lost_create(row),
                        seen.by_marker.get(row.marker, ()),
                        seen.proof,
                        seen.asked_at,
                        quiet,
                        seen.unclaimed(row.amount_micros, claimed),
                    ),
                )
                for row in rows
                # One that Mileston named is judged by that record alone.
                if row.remote_id is None or row.state == PaymentState.PARKED
            ]
            _apply(tx, ctx, judged)
        ctx.checkpoint("reconcile.committed")
        if len(rows) < _PAGE:
            return
        after_id = rows[-1].id


def _apply(tx: Tx, ctx: Context, judged: Sequence[tuple[LostPayment, Verdict]]) -> None:
    """Store the verdicts of one page. A parked payment is only ever adopted: a person may do the rest."""
    now = ctx.clock()
    judged, taken = _with_ids_of_their_own(tx, judged)
    _adopt(tx, ctx, [(row, v) for row, v in judged if v.finding is Finding.ADOPT], taken, now)
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
            _park(tx, ctx, row, _cause(tx, row, verdict), now)


def _with_ids_of_their_own(
    tx: Tx, judged: Sequence[tuple[LostPayment, Verdict]]
) -> tuple[list[tuple[LostPayment, Verdict]], set[str]]:
    """An API may use an id again. What a void payment had is free; another's record is left to a person.

    The second answer are the records that stood for the period before, renewed themselves, and were taken
    for this one by a run that could not write it down.
    """
    rows = {v.remote.remote_id: row for row, v in judged if v.finding is Finding.ADOPT and v.remote}
    held = remote_checks.holders(tx, list(rows)) if rows else {}
    remote_ids.free_ids(tx, [key for key, holder in held.items() if holder.state == PaymentState.VOID])
    taken = {key for key, holder in held.items() if _stood_before(holder, rows[key])}
    others = {
        key: holder.id
        for key, holder in held.items()
        if holder.state != PaymentState.VOID and holder.id != rows[key].id and key not in taken
    }
    return [
        (row, _of_another(v, others[v.remote.remote_id]))
        if v.finding is Finding.ADOPT and v.remote and v.remote.remote_id in others
        else (row, v)
        for row, v in judged
    ], taken


def _stood_before(holder: Holder, row: LostPayment) -> bool:
    same = holder.subscription_id == row.subscription_id
    return same and holder.state == PaymentState.PAID and holder.due_on < row.due_on


def _of_another(verdict: Verdict, holder: int) -> Verdict:
    return Verdict(Finding.PARK, cause=reasons.ID_IS_TAKEN.format(id=holder))


def _cause(tx: Tx, row: LostPayment, verdict: Verdict) -> str:
    """Why it is parked; a stranger under its number most likely comes from a second database."""
    if row.remote_id is not None or verdict.remote is None or verdict.remote.marker != row.marker:
        return verdict.cause
    advice = reasons.TWO_DATABASES if remote_checks.has_ever_sent(tx) else reasons.SET_A_NAMESPACE
    return f"{verdict.cause}; {advice}"


def _adopt(
    tx: Tx, ctx: Context, adopted: Sequence[tuple[LostPayment, Verdict]], taken: set[str], now: datetime
) -> None:
    for state in (PaymentState.UNKNOWN, PaymentState.PARKED):
        found = [
            Found(row, v.remote.remote_id, now, _was_made_elsewhere(row), taken=v.remote.remote_id in taken)
            for row, v in adopted
            if v.remote and row.state == state
        ]
        queued = lifecycle.open_payments(
            tx, ctx.actor, now, ctx.payable_from, state, found, EventAction.ADOPTED
        )
        ctx.report.due += len(found)
        ctx.report.adopted += len(found)
        ctx.report.notices_queued += queued


def _was_made_elsewhere(row: LostPayment) -> bool:
    """This database never sent it, or it forgot what it sent last."""
    return row.attempts == 0 or row.cause in (reasons.FROM_BACKUP, reasons.FORGOTTEN)


def _absent(tx: Tx, ctx: Context, row: LostPayment, verdict: Verdict, now: datetime) -> None:
    if ctx.settings.reconcile.when_absent == "park" and row.cause != reasons.OLD_PROOF:
        _park(tx, ctx, row, reasons.ABSENT, now, (verdict.absent_looks, verdict.absent_at))
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
