"""Step 6: payments that were read as unpaid in this very cycle take their next dunning step."""

from __future__ import annotations

from datetime import date

from billing.config import Settings
from billing.core.dunning import DunningPolicy, FinalAction, decide_dunning, freeze_policy
from billing.core.event_text import EventAction
from billing.core.states import NoticeKind, SubscriptionStatus
from billing.cycle.context import Context
from billing.lifecycle import notices, payments
from billing.lifecycle import subscriptions as lifecycle
from billing.store import remote_checks, subscriptions
from billing.store.events import about_payment, record
from billing.store.rows import OverduePayment
from billing.store.tx import Tx

_PAGE = 200
_WHY = "the final action of dunning"


async def dun(ctx: Context) -> None:
    """Queue overdue notices and take final actions. What was not read today waits: never dun blindly."""
    after_id = 0
    while not ctx.stopping():
        with ctx.db.transaction() as tx:
            rows = remote_checks.overdue_page(tx, ctx.as_of, ctx.run_id, after_id, _PAGE)
            for row in rows:
                _dun_one(tx, ctx, row)
        ctx.checkpoint("dun.committed")
        if len(rows) < _PAGE:
            return
        after_id = rows[-1].id


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


def _dun_one(tx: Tx, ctx: Context, row: OverduePayment) -> None:
    policy = policy_for(row.dunning_policy, row.payable_on, row.period_end_on, ctx.settings)
    decision = decide_dunning(policy, row.payable_on, row.dunning_step, ctx.as_of)
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
    if row.subscription_status != SubscriptionStatus.ACTIVE:
        return
    subscription = subscriptions.get(tx, row.subscription_id)
    if policy.final_action is FinalAction.PAUSE:
        ctx.report.notices_queued += lifecycle.pause(tx, ctx.actor, now, subscription, _WHY, row) or 0
    elif policy.final_action is FinalAction.CANCEL:
        done = lifecycle.cancel(tx, ctx.actor, now, ctx.as_of, subscription, _WHY, row)
        ctx.report.notices_queued += done.notices_queued if done else 0
