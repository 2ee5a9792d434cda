"""Records at Mileston that may renew themselves: looked for before a run sends, and stopped once paid.

`look_back`       before submit: did the records of the periods before come back?
`stop_renewals`   after settle: what is paid gets an interval that never comes (`mileston.renewal = "stop"`)

With `"keep"` a few are read: the canary. Two that came back stop the run. See decision 17.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable, Sequence
from typing import TypeVar

from billing.core import reasons
from billing.core.event_text import EventAction
from billing.core.outcomes import CreateOutcome, OutcomeKind, PaymentRequest, RecordChange, RemotePayment
from billing.core.renewal import (
    CANARIES,
    IT_IS_SYSTEM,
    NEVER_DAYS,
    CameBack,
    Step,
    has_renewed,
    judge,
    may_take,
    renewed_text,
)
from billing.core.states import PaymentState, SubscriptionStatus
from billing.cycle.context import Context
from billing.errors import GatewayError
from billing.lifecycle import payments as lifecycle
from billing.store import payments, renewals
from billing.store.events import about_payment, record
from billing.store.rows import BeforeNext, MayRenew

_LOOKED_THROUGH = 200
"""Among so many the canary looks for one that the list shows as having come back."""
_NEVER = RecordChange(interval_days=NEVER_DAYS)
_REFUSED = frozenset({400, 403, 404, 422})
_TO_COME = frozenset({PaymentState.PLANNED, PaymentState.HELD})
_AT_MILESTON = frozenset(PaymentState) - _TO_COME - {PaymentState.VOID}
_Answer = TypeVar("_Answer")


async def look_back(ctx: Context) -> None:
    """See whether records came back, before anything is sent beside them."""
    with ctx.db.read() as tx:
        if not payments.count_planned(tx, ctx.as_of):
            return
    stops = ctx.settings.mileston.renewal == "stop"
    canaries, unread = await _canaries(ctx, stopped=stops)
    if stops:
        _wait_for_unknown(ctx)
        await _deal_with_all(ctx, even_stopped=bool(canaries or unread))
    elif len(canaries) >= IT_IS_SYSTEM:
        ctx.brakes.stopped = f"{reasons.RECORDS_RENEW}; {reasons.SET_STOP}"
        for row, remote in canaries:
            _flag(ctx, row, renewed_text(remote))
    else:
        for row, remote in canaries:
            _flag(ctx, row, renewed_text(remote))
            if row.let_go:
                continue
            before = reasons.BEFORE_RENEWED.format(remote_id=remote.remote_id)
            _hold(ctx, row, f"{before}; {reasons.SET_STOP}")


def _wait_for_unknown(ctx: Context) -> None:
    """What is not known to exist can't be stopped, and may have come back: the next one waits for it."""
    with ctx.db.read() as tx:
        waiting = renewals.after_unknown(tx, ctx.as_of)
    for next_id, earlier in waiting.items():
        _withhold(ctx, next_id, reasons.EXISTENCE_UNKNOWN.format(id=earlier))


async def _canaries(ctx: Context, *, stopped: bool) -> tuple[list[tuple[BeforeNext, RemotePayment]], int]:
    """Of a few periods before those about to be sent, the records that came back; first the list's.

    With `stopped` those that should not be able to, else paid ones that may. The second answer is how many
    could not be read.
    """
    with ctx.db.read() as tx:
        rows = renewals.before_next(tx, ctx.as_of, 0, _LOOKED_THROUGH, paid=not stopped, stopped=stopped)
    shown = ctx.observation.by_id if ctx.observation is not None else {}

    def inconspicuous(row: BeforeNext) -> bool:
        remote = shown.get(row.remote_id)
        return remote is None or not has_renewed(remote, row.due_on)

    chosen = sorted(rows, key=inconspicuous)[:CANARIES]
    read = await ask_all(ctx.gateway.get(row.remote_id) for row in chosen)
    found = [
        (row, remote)
        for row, remote in zip(chosen, read, strict=True)
        if isinstance(remote, RemotePayment) and has_renewed(remote, row.due_on)
    ]
    return found, sum(isinstance(remote, GatewayError) for remote in read)


async def _deal_with_all(ctx: Context, *, even_stopped: bool) -> None:
    """Every record of a period before is stopped, taken for the next one, or the next one waits."""
    after_id, lanes = 0, ctx.settings.cycle.concurrency
    while not ctx.stopping():
        with ctx.db.read() as tx:
            rows = renewals.before_next(
                tx, ctx.as_of, after_id, lanes, stopped=None if even_stopped else False
            )
        if not rows:
            return
        after_id = rows[-1].next_id
        read = await ask_all(ctx.gateway.get(row.remote_id) for row in rows)
        to_stop = []
        for row, remote in zip(rows, read, strict=True):
            if isinstance(remote, GatewayError):
                _withhold(ctx, row.next_id, str(remote))
                continue
            verdict = judge(row, remote, paid=row.state == PaymentState.PAID)
            if verdict.step is Step.STOP:
                to_stop.append(row)
            elif verdict.step is Step.TAKE:
                ctx.renewed[row.next_id] = CameBack(row.remote_id, row.marker)
            elif verdict.step is Step.HOLD:
                _flag(ctx, row, reasons.RENEWED_TO.format(due_on=remote.due_on if remote else None))
                _hold(ctx, row, verdict.cause)
        for stopped, error in await _stop(ctx, to_stop):
            if error is not None:
                _withhold(ctx, stopped.next_id, str(error))


async def take(ctx: Context, request: PaymentRequest, came_back: CameBack) -> CreateOutcome:
    """Let the record that came back stand for this payment: its name, amount and interval are changed.

    Never its status. It may be repeated, and creates nothing.
    """
    remote_id, markers = came_back.remote_id, (came_back.marker, request.marker)
    try:
        fresh = await ctx.gateway.get(remote_id)
    except GatewayError as error:
        unchanged = reasons.RECORD_NOT_CHANGED.format(remote_id=remote_id)
        return CreateOutcome(OutcomeKind.NOT_SENT, detail=f"{unchanged}: {error}")
    if not may_take(fresh, request.due_on, markers, request.email):
        return CreateOutcome(
            OutcomeKind.NOT_SENT, detail=reasons.RECORD_CHANGED_MEANWHILE.format(remote_id=remote_id)
        )
    change = RecordChange(request.interval_days, request.marker, request.plan, request.amount_micros)
    ctx.checkpoint("renewals.before-take")
    try:
        await ctx.gateway.update(remote_id, change)
        taken = await ctx.gateway.get(remote_id)
    except GatewayError as error:
        kind = OutcomeKind.REFUSED if error.status in _REFUSED else OutcomeKind.UNKNOWN
        return CreateOutcome(kind, status=error.status, detail=str(error))
    if taken is None or (taken.marker, taken.amount_micros) != (request.marker, request.amount_micros):
        detail = reasons.CHANGE_NOT_SHOWN.format(remote_id=remote_id)
        return CreateOutcome(OutcomeKind.UNKNOWN, detail=detail)
    return CreateOutcome(OutcomeKind.CREATED, remote_id=remote_id, taken=True)


async def stop_renewals(ctx: Context) -> None:
    """What is booked paid, and whatever is left of subscriptions that ended, shall never come back."""
    if ctx.settings.mileston.renewal != "stop":
        return
    after_id, lanes = 0, ctx.settings.cycle.concurrency
    while not ctx.stopping():
        with ctx.db.read() as tx:
            rows = renewals.to_stop(tx, ctx.today, after_id, lanes)
        if not rows:
            return
        after_id = rows[-1].id
        failed = [error for _, error in await _stop(ctx, rows) if error is not None]
        if failed:
            what = reasons.NOT_STOPPED.format(count=len(failed))
            ctx.report.problems.append(f"renewals: {what}: {failed[0]}")
            return


_Stopped = TypeVar("_Stopped", bound=MayRenew)


async def _stop(ctx: Context, rows: Sequence[_Stopped]) -> list[tuple[_Stopped, GatewayError | None]]:
    """Change their intervals, and nothing else; each with what went wrong, or None."""
    changed = await ask_all(ctx.gateway.update(row.remote_id, _NEVER) for row in rows)
    done: list[_Stopped] = []
    answers: list[tuple[_Stopped, GatewayError | None]] = []
    for row, remote in zip(rows, changed, strict=True):
        error = remote if isinstance(remote, GatewayError) else None
        if not isinstance(remote, GatewayError):
            if remote is not None and has_renewed(remote, row.due_on):
                _note_surplus(ctx, row, remote)
            elif remote is not None and remote.interval_days not in (None, NEVER_DAYS):
                stays = reasons.INTERVAL_STAYS
                error = GatewayError(stays.format(count=remote.interval_days, remote_id=remote.remote_id))
            else:
                done.append(row)
        answers.append((row, error))
    with ctx.db.transaction() as tx:
        now = ctx.clock()
        renewals.mark_off(tx, [row.id for row in done], now)
        stopped = EventAction.RENEWAL_STOPPED
        record(tx, [about_payment(now, ctx.actor, stopped, row, row.remote_id) for row in done])
    return answers


def _note_surplus(ctx: Context, row: MayRenew, remote: RemotePayment) -> None:
    """It came back before it could be stopped: the next period takes it, if it can still do so."""
    with ctx.db.read() as tx:
        state = renewals.state_of_period(tx, row.subscription_id, remote.due_on or row.due_on)
    if state in _TO_COME or (state is None and remote.due_on == row.next_charge_on):
        return
    if state in _AT_MILESTON:
        why = reasons.ASKS_BESIDE
    elif row.subscription_status in (SubscriptionStatus.CANCELLED, SubscriptionStatus.ENDED):
        why = reasons.ASKS_AFTER_END
    else:
        why = reasons.ASKS_FOR_NOTHING
    renewed = reasons.RENEWED_TO.format(due_on=remote.due_on)
    _flag(ctx, row, f"{renewed}; {why.format(remote_id=remote.remote_id)}")


def _withhold(ctx: Context, next_id: int, why: str) -> None:
    if not ctx.withheld:
        waits = reasons.WAITS_FOR_RECORD.format(id=next_id)
        ctx.report.problems.append(f"renewals: {waits}: {why}")
    ctx.withheld.add(next_id)


def _hold(ctx: Context, row: BeforeNext, cause: str) -> None:
    with ctx.db.transaction() as tx:
        following = payments.find(tx, row.next_id)
        if following is None:
            return
        held = lifecycle.hold(tx, ctx.actor, ctx.clock(), [following], {following.id: cause})
    ctx.report.due += len(held)
    ctx.report.held += len(held)


def _flag(ctx: Context, row: MayRenew, attention: str) -> None:
    with ctx.db.transaction() as tx:
        lifecycle.flag(tx, ctx.actor, ctx.clock(), row, attention)


async def ask_all(calls: Iterable[Awaitable[_Answer]]) -> list[_Answer | GatewayError]:
    """Wait for calls to the API at once; what the API could not answer stands in the list as its error."""
    answers: list[_Answer | GatewayError] = []
    for answer in await asyncio.gather(*calls, return_exceptions=True):
        if isinstance(answer, BaseException) and not isinstance(answer, GatewayError):
            raise answer
        answers.append(answer)
    return answers
