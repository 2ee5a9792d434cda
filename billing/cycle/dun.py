"""Step 6: payments that were read as unpaid in this very cycle take their next dunning step."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date

from billing.config import Settings
from billing.core.dunning import DunningDecision, DunningPolicy, FinalAction, decide_dunning, freeze_policy
from billing.core.event_text import EventAction
from billing.core.states import NoticeKind, SubscriptionStatus
from billing.cycle.context import Context
from billing.cycle.settle import apply_looks, unclear
from billing.errors import GatewayError
from billing.lifecycle import notices, payments
from billing.lifecycle import subscriptions as lifecycle
from billing.store import remote_checks, subscriptions
from billing.store.events import about_payment, record
from billing.store.rows import OverduePayment
from billing.store.tx import Tx

_PAGE = 200
_WHY = "the final action of dunning"


async def dun(ctx: Context) -> None:
    """Queue overdue notices and take final actions. What was not read today waits: never dun blindly.

    A list may be behind: before a notice or a final action that payment's own record is read once more.
    """
    after_id = 0
    while not ctx.stopping():
        with ctx.db.transaction() as tx:
            rows = remote_checks.overdue_page(tx, ctx.as_of, ctx.run_id, after_id, _PAGE)
            steps = [_step(ctx, row) for row in rows]
            for step in steps:
                if not step.acts:
                    _take(tx, ctx, step)
        for lot in _lots([step for step in steps if step.acts], ctx.settings.cycle.concurrency):
            await _look_and_take(ctx, lot)
        ctx.checkpoint("dun.committed")
        if len(rows) < _PAGE:
            return
        after_id = rows[-1].id


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
    policy = policy_for(row.dunning_policy, row.payable_on, row.period_end_on, ctx.settings)
    return _Step(row, policy, decide_dunning(policy, row.payable_on, row.dunning_step, ctx.as_of))


def _lots(steps: list[_Step], size: int) -> Iterator[list[_Step]]:
    return (steps[i : i + size] for i in range(0, len(steps), size))


async def _look_and_take(ctx: Context, steps: Sequence[_Step]) -> None:
    """Read each payment's own record; those that are surely unpaid take their step."""
    read = await asyncio.gather(
        *(ctx.gateway.get(step.row.remote_id or "") for step in steps), return_exceptions=True
    )
    with ctx.db.transaction() as tx:
        for step, remote in zip(steps, read, strict=True):
            if isinstance(remote, GatewayError):
                ctx.report.problems.append(f"dun: payment {step.row.id} could not be read again: {remote}")
            elif isinstance(remote, BaseException):
                raise remote
            elif remote is not None:
                apply_looks(tx, ctx, [(step.row, remote)])
                still_open = remote_checks.lock_unpaid(tx, [step.row.id]) == {step.row.id: step.row.state}
                if still_open and not remote.paid and not unclear(step.row, remote):
                    _take(tx, ctx, step)


def policy_for(
    frozen: str | None, payable_on: date, period_end_on: date, settings: Settings
) -> DunningPolicy:
    """The policy that was frozen for a payment, or, when it has just become overdue, today's."""
    if frozen:
        return DunningPolicy.from_json(frozen)
    dunning = settings.dunning
    room = (period_end_on - payable_on).days + 1
    action = FinalAction(dunning.final_action)
    return freeze_policy(dunning.days_after, dunning.final_after_days, action, room)


def _take(tx: Tx, ctx: Context, step: _Step) -> None:
    row, policy, decision = step.row, step.policy, step.decision
    now = ctx.clock()
    remote_checks.note_dunning(
        tx, row.id, policy.to_json(), decision.notice or row.dunning_step, decision.next_on
    )
    if decision.notice is not None:
        notice = notices.about_payment(NoticeKind.PAYMENT_OVERDUE, row, now, decision.notice)
        ctx.report.notices_queued += notices.queue(tx, [notice])
        detail = f"the step of day {decision.notice}"
        record(tx, [about_payment(now, ctx.actor, EventAction.OVERDUE, row, detail)])
    if decision.final:
        _final(tx, ctx, row, policy)


def _final(tx: Tx, ctx: Context, row: OverduePayment, policy: DunningPolicy) -> None:
    now = ctx.clock()
    if not payments.mark_uncollectible(tx, ctx.actor, now, row, policy.final_after):
        return
    # Read now: a person may have paused it since the payment was read.
    subscription = subscriptions.get(tx, row.subscription_id)
    if subscription.status != SubscriptionStatus.ACTIVE:
        return
    if policy.final_action is FinalAction.PAUSE:
        ctx.report.notices_queued += lifecycle.pause(tx, ctx.actor, now, subscription, _WHY, row) or 0
    elif policy.final_action is FinalAction.CANCEL:
        done = lifecycle.cancel(tx, ctx.actor, now, ctx.as_of, subscription, _WHY, row)
        ctx.report.notices_queued += done.notices_queued if done else 0
