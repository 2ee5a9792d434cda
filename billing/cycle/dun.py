"""Step 6: payments that were read as unpaid in this very cycle take their next dunning step."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from billing.config import Settings
from billing.core.dunning import DunningPolicy, FinalAction, decide_dunning, freeze_policy
from billing.core.states import NoticeKind, PaymentState, SubscriptionStatus
from billing.cycle.context import Context
from billing.store import payments, remote_checks, subscriptions
from billing.store.events import event, record
from billing.store.notices import dedupe_key, insert_notices, new_notice

_PAGE = 200


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


def policy_for(row: Any, settings: Settings) -> DunningPolicy:
    """The policy that was frozen for a payment, or, when it has just become overdue, today's."""
    if row.dunning_policy:
        return DunningPolicy.from_json(row.dunning_policy)
    dunning = settings.dunning
    room = (row.period_end_on - row.payable_on).days + 1
    action = FinalAction(dunning.final_action)
    return freeze_policy(dunning.days_after, dunning.final_after_days, action, room)


def _dun_one(tx: Connection, ctx: Context, row: Any) -> None:
    policy = policy_for(row, ctx.settings)
    decision = decide_dunning(policy, row.payable_on, row.dunning_step, ctx.as_of)
    now = ctx.clock()
    remote_checks.note_dunning(
        tx, row.id, policy.to_json(), decision.notice or row.dunning_step, decision.next_on
    )
    if decision.notice is not None:
        key = dedupe_key(NoticeKind.PAYMENT_OVERDUE, row.reference, row.due_on, f"d{decision.notice}")
        _notify(tx, ctx, row, NoticeKind.PAYMENT_OVERDUE, key, now, decision.notice)
        _log(tx, ctx, row, "overdue", f"the step of day {decision.notice}", now)
    if decision.final:
        _final(tx, ctx, row, policy, now)


def _final(tx: Connection, ctx: Context, row: Any, policy: DunningPolicy, now: datetime) -> None:
    payments.move(tx, [row.id], PaymentState.OPEN, PaymentState.UNCOLLECTIBLE, now, next_dun_on=None)
    _log(tx, ctx, row, "uncollectible", f"unpaid for {policy.final_after} days", now)
    if row.subscription_status != SubscriptionStatus.ACTIVE:
        return
    if policy.final_action is FinalAction.PAUSE:
        _end(tx, ctx, row, SubscriptionStatus.PAUSED, NoticeKind.SUBSCRIPTION_PAUSED, now)
    elif policy.final_action is FinalAction.CANCEL:
        _end(tx, ctx, row, SubscriptionStatus.CANCELLED, NoticeKind.SUBSCRIPTION_CANCELLED, now)


def _end(
    tx: Connection, ctx: Context, row: Any, status: SubscriptionStatus, kind: NoticeKind, now: datetime
) -> None:
    subscriptions.change(tx, row.subscription_id, now, status=status.value)
    _notify(tx, ctx, row, kind, dedupe_key(kind, row.reference, row.due_on), now, None)
    _log(tx, ctx, row, f"subscription_{status}", "the final action of dunning", now)


def _notify(
    tx: Connection, ctx: Context, row: Any, kind: NoticeKind, key: str, now: datetime, days: int | None
) -> None:
    notice = new_notice(
        kind,
        key,
        now,
        subscription_id=row.subscription_id,
        payment_id=row.id,
        due_on=row.due_on,
        days=days,
    )
    ctx.report.notices_queued += insert_notices(tx, [notice])


def _log(tx: Connection, ctx: Context, row: Any, action: str, detail: str, now: datetime) -> None:
    line = event(now, ctx.actor, action, detail, subscription_id=row.subscription_id, payment_id=row.id)
    record(tx, [line])
