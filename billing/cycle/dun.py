"""Step 6: payments that were read as unpaid in this very cycle take their next dunning step.

All steps of a subscription on one day make one mail, a statement of everything that is open, and at most
one final action.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from billing.config import Settings
from billing.core import reasons
from billing.core.dunning import (
    DunningDecision,
    DunningPolicy,
    FinalAction,
    Told,
    decide_dunning,
    freeze_policy,
    stage_of,
)
from billing.core.event_text import EventAction
from billing.core.states import NoticeKind, NoticeState, SubscriptionStatus
from billing.cycle.context import Context
from billing.cycle.settle import apply_looks, unclear
from billing.cycle.submit import submit
from billing.errors import GatewayError
from billing.lifecycle import dunning, notices, pauses
from billing.lifecycle import subscriptions as lifecycle
from billing.store import overdue, remote_checks, subscriptions
from billing.store.events import about_payment, record
from billing.store.rows import OverduePayment
from billing.store.tx import Tx

_PAGE = 200
_WHY = "the final action of dunning"
_NOT_NEEDED = "no final action came"


async def dun(ctx: Context) -> None:
    """Queue overdue notices and take final actions. What was not read today waits: never dun blindly.

    A list may be behind: before a notice or a final action that payment's own record is read once more.
    """
    after_id, seen = 0, set[int]()
    while not ctx.stopping():
        with ctx.db.transaction() as tx:
            page = overdue.overdue_page(tx, ctx.as_of, ctx.run_id, after_id, _PAGE)
            new = {row.subscription_id for row in page} - seen
            steps = [_step(ctx, row) for row in overdue.overdue_of(tx, ctx.as_of, ctx.run_id, new)]
            for step in steps:
                if not step.acts:
                    _note(tx, step, "")
        seen |= new
        acting = [step for step in steps if step.acts]
        for lot in _lots(_by_subscription(acting), ctx.settings.cycle.concurrency):
            await _look_and_take(ctx, lot)
        ctx.checkpoint("dun.committed")
        if len(page) < _PAGE:
            break
        after_id = page[-1].id
    await _let_go_on(ctx)


@dataclass(frozen=True, slots=True)
class _Step:
    """What dunning would do to one payment today."""

    row: OverduePayment
    policy: DunningPolicy
    decision: DunningDecision

    @property
    def acts(self) -> bool:
        return self.decision.final or self.decision.notice is not None


def _step(ctx: Context, row: OverduePayment) -> _Step:
    policy = policy_for(row.dunning_policy, row.due_on, row.period_end_on, ctx.settings)
    decision = decide_dunning(policy, row.payable_on, row.dunning_step, ctx.as_of, told(row))
    return _Step(row, policy, decision)


def told(row: OverduePayment) -> Told:
    """What became of the latest mail that tells of this payment's being overdue."""
    if row.told_state == NoticeState.SENT:
        return Told.YES
    if row.told_state == NoticeState.FAILED and row.told_message_id:  # rendered, and refused
        return Told.YES
    waits = row.told_state in (NoticeState.QUEUED, NoticeState.SENDING)
    return Told.WAITING if waits else Told.NO


def _by_subscription(steps: Iterable[_Step]) -> list[list[_Step]]:
    groups: dict[int, list[_Step]] = {}
    for step in steps:
        groups.setdefault(step.row.subscription_id, []).append(step)
    return list(groups.values())


def _lots(groups: list[list[_Step]], size: int) -> Iterator[list[list[_Step]]]:
    return (groups[i : i + size] for i in range(0, len(groups), size))


async def _look_and_take(ctx: Context, groups: Sequence[list[_Step]]) -> None:
    """Read each payment's own record; those that are surely unpaid take their step.

    If one of a subscription's can't be read, all of them wait: their mail tells of all.
    """
    steps = [step for group in groups for step in group]
    answers = await asyncio.gather(
        *(ctx.gateway.get(step.row.remote_id or "") for step in steps), return_exceptions=True
    )
    read = {step.row.id: answer for step, answer in zip(steps, answers, strict=True)}
    with ctx.db.transaction() as tx:
        for group in groups:
            unpaid: list[_Step] = []
            failed = False
            for step in group:
                remote = read[step.row.id]
                if isinstance(remote, GatewayError):
                    failed = True
                    problem = f"dun: {reasons.NOT_READ_AGAIN.format(id=step.row.id)}: {remote}"
                    ctx.report.problems.append(problem)
                elif isinstance(remote, BaseException):
                    raise remote
                elif remote is not None:
                    apply_looks(tx, ctx, [(step.row, remote)])
                    still = remote_checks.lock_unpaid(tx, [step.row.id]).get(step.row.id)
                    as_read = still == (step.row.state, step.row.remote_id)
                    if as_read and not remote.paid and not unclear(step.row, remote):
                        unpaid.append(step)
            if unpaid and not failed:
                _take(tx, ctx, unpaid)


def policy_for(frozen: str | None, due_on: date, period_end_on: date, settings: Settings) -> DunningPolicy:
    """The policy that was frozen for a payment, or, when it has just become overdue, today's."""
    if frozen:
        return DunningPolicy.from_json(frozen)
    configured = settings.dunning
    length = (period_end_on - due_on).days + 1
    action = FinalAction(configured.final_action)
    return freeze_policy(configured.days_after, configured.final_after_days, action, length)


def _take(tx: Tx, ctx: Context, steps: list[_Step]) -> None:
    """The steps of one subscription."""
    ended = _final(tx, ctx, [step for step in steps if step.decision.final])
    steps = [step for step in steps if not step.decision.final]
    noticed = [step for step in steps if step.decision.notice is not None]
    # The mail of a final action lists what else is open: one mail a day. It is no overdue notice, which
    # the other payments are owed before their own final action.
    told_by = _tell(tx, ctx, noticed) if noticed and not ended else ""
    for step in steps:
        _note(tx, step, told_by if step.decision.notice is not None else "")
    now = ctx.clock()
    days = [(step.row, f"the step of day {step.decision.notice}") for step in noticed]
    record(tx, [about_payment(now, ctx.actor, EventAction.OVERDUE, row, detail) for row, detail in days])


def _note(tx: Tx, step: _Step, told_by: str) -> None:
    day = step.decision.notice or step.row.dunning_step
    overdue.note_dunning(tx, step.row.id, step.policy.to_json(), day, step.decision.next_on, told_by)


def _tell(tx: Tx, ctx: Context, steps: list[_Step]) -> str:
    """Queue the one mail about these payments, in the name of the one that is farthest along."""
    lead = max(steps, key=lambda step: (step.decision.notice or 0, -step.row.due_on.toordinal()))
    day, row = lead.decision.notice or 0, lead.row
    stage = stage_of(lead.policy, day)
    last = row.payable_on + timedelta(days=row.dunning_step) if row.dunning_step else None
    facts = {
        "step": stage.step,
        "steps": stage.steps,
        "asked_on": row.payable_on.isoformat(),
        "last_on": last.isoformat() if last else None,
    }
    notice = notices.about_payment(NoticeKind.PAYMENT_OVERDUE, row, ctx.clock(), day, json.dumps(facts))
    ctx.report.notices_queued += notices.queue(tx, [notice])
    return notice["dedupe_key"]


def _final(tx: Tx, ctx: Context, steps: list[_Step]) -> bool:
    """Give payments up, and take the final action once for all; returns whether there is a mail about it."""
    now = ctx.clock()
    done = [
        step
        for step in steps
        if dunning.mark_uncollectible(tx, ctx.actor, now, step.row, (ctx.as_of - step.row.payable_on).days)
    ]
    if not done:
        return False
    # Read now: a person may have paused it since the payment was read.
    lead = done[0]
    subscription = subscriptions.get(tx, lead.row.subscription_id)
    action = lead.policy.final_action
    if subscription.status == SubscriptionStatus.PAUSED and subscription.paused_by == dunning.BY_DUNNING:
        dunning.note_pause(tx, [step.row.id for step in done])
    # A person's pause, and a cancellation that is under way, are left alone.
    if subscription.status != SubscriptionStatus.ACTIVE or subscription.cancel_on is not None:
        return False
    if action is FinalAction.PAUSE:
        queued = pauses.pause(tx, ctx.actor, now, subscription, _WHY, lead.row) or 0
        dunning.note_pause(tx, [step.row.id for step in done])
    elif action is FinalAction.CANCEL:
        cancelled = lifecycle.cancel(tx, ctx.actor, now, ctx.as_of, subscription, _WHY, lead.row)
        queued = cancelled.notices_queued if cancelled else 0
    else:
        return False
    ctx.report.notices_queued += queued
    return True


def final_today(ctx: Context, tx: Tx) -> set[int]:
    """Subscriptions that a final action may end or pause today: what falls due is held back for it.

    Not those whose payment the list shows as paid.
    """
    shown = ctx.observation.by_id if ctx.observation is not None else {}
    found: set[int] = set()
    for row in overdue.told_and_due(tx, ctx.as_of):
        step = _step(ctx, row)
        remote = shown.get(row.remote_id)
        stops = step.decision.final and step.policy.final_action is not FinalAction.KEEP
        if stops and not (remote is not None and remote.paid):
            found.add(row.subscription_id)
    return found


async def _let_go_on(ctx: Context) -> None:
    """What was held back, and need not be, is sent at once: by a pause that is over, or that never came."""
    with ctx.db.transaction() as tx:
        rows = dunning.held_for_nothing(tx, ctx.as_of)
        released = dunning.go_on(tx, ctx.actor, ctx.clock(), rows, _NOT_NEEDED)
    counted = sum(row.created_at >= ctx.began for row in released)
    ctx.report.due -= counted
    ctx.report.held -= counted
    ctx.released += len(released)
    if not ctx.released:
        return
    if ctx.brakes.stopped or ctx.brakes.hold_cause or ctx.stopping():
        ctx.report.due += ctx.released
        ctx.report.not_sent += ctx.released
        return
    await submit(ctx)
