"""Step 3: due subscriptions become payments, and their schedules move on."""

from __future__ import annotations

import asyncio
from collections.abc import Container
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta

from billing.config import Settings
from billing.core import reasons
from billing.core.markers import marker_for
from billing.core.reminders import first_reminder_on
from billing.core.schedule import PeriodPlan, PlannedPeriod, plan_periods
from billing.core.states import PaymentState, SubscriptionStatus
from billing.cycle.context import Context
from billing.cycle.dun import final_today
from billing.cycle.reconcile import count_unknown, judge_all, look_for_forgotten
from billing.cycle.sweep import forgotten, note_lookalikes
from billing.lifecycle import payments
from billing.lifecycle import subscriptions as lifecycle
from billing.lifecycle.pauses import end_pauses
from billing.lifecycle.payments import NewPayment
from billing.lifecycle.terms import Rules
from billing.lifecycle.waiting import come_to_hold
from billing.store import subscriptions
from billing.store.identity import restored_on
from billing.store.rows import DueSubscription, Subscription
from billing.store.tx import Tx

_PAGE = 500
_SHARED_PAGE = 100
_PATIENCE = 50
_WAIT_SECONDS = 0.02
_RESTORED = f"{reasons.FROM_BACKUP}: {reasons.MAY_EXIST}"


async def plan(ctx: Context) -> None:
    """Page by page: insert the payments of due periods and advance the schedule, in one transaction."""
    _end_pauses(ctx)
    _let_terms_hold(ctx)
    planned = 0
    page = _PAGE if ctx.exclusive else _SHARED_PAGE
    patience = _PATIENCE
    with ctx.db.read() as reading:
        stopping = final_today(ctx, reading) if subscriptions.is_any_due(reading, ctx.as_of) else set()
    while not ctx.stopping():
        ctx.checkpoint("plan.before-commit")
        with ctx.db.transaction() as tx:
            rows = subscriptions.due_page(tx, ctx.as_of, page)
            planned += _plan_page(tx, ctx, rows, stopping)
        ctx.checkpoint("plan.committed")
        ctx.progress("plan", planned, planned)
        if len(rows) == page or _let_terms_hold(ctx):
            continue
        # What is due and locked is being planned by another worker: submit shares that, so wait for
        # its commit, but not for long: it may have been suspended in the middle of it.
        if ctx.exclusive or not patience or not _is_any_due(ctx):
            break
        patience -= 1
        await asyncio.sleep(_WAIT_SECONDS)
    if ctx.observation is not None:
        alike = note_lookalikes(ctx, ctx.observation)
        if planned or alike:
            # What the list shows already is adopted, never sent.
            look_for_forgotten(ctx, forgotten(ctx, ctx.observation))
            judge_all(ctx, ctx.observation)
    count_unknown(ctx)


def _end_pauses(ctx: Context) -> None:
    """Pauses that were to last until today are over before anything is planned."""
    while True:
        with ctx.db.transaction() as tx:
            over = end_pauses(tx, ctx.actor, ctx.clock(), ctx.as_of, ctx.settings.reminders)
        ctx.report.notices_queued += sum(each.notices_queued for each in over)
        if not over:
            return


def _let_terms_hold(ctx: Context) -> bool:
    """Terms that waited hold as soon as what is due next is theirs: whether any do so only now."""
    settings = ctx.settings
    rules = Rules(ctx.as_of, settings.reminders, settings.cycle.catch_up_limit)
    with ctx.db.transaction() as tx:
        return come_to_hold(tx, ctx.actor, ctx.clock(), rules) > 0


def _is_any_due(ctx: Context) -> bool:
    with ctx.db.read() as connection:
        return subscriptions.is_any_due(connection, ctx.as_of)


@dataclass(frozen=True, slots=True)
class Decision:
    """What planning does to one subscription."""

    subscription: Subscription
    plan: PeriodPlan
    next_remind_on: date | None
    status: str


def decide(row: Subscription, settings: Settings, today: date) -> Decision:
    """Which periods of a due subscription are charged, and when it comes up next; pure."""
    terms = subscriptions.terms_of(row)
    through = today
    if row.change_on is not None and row.next_due_on is not None and row.next_due_on < row.change_on:
        through = min(today, row.change_on - timedelta(days=1))  # the others are of the terms that wait
    found = plan_periods(terms, row.next_period, through, settings.cycle.catch_up_limit)
    status = row.status
    if row.cancel_on is not None:
        if found.next_due_on is None and today < row.cancel_on:
            # Nothing more is billed, but it comes up once more then, to be cancelled.
            found = replace(found, next_due_on=row.cancel_on)
        elif found.next_due_on is None:
            status = SubscriptionStatus.CANCELLED.value
        return Decision(row, found, None, status)
    if found.next_due_on is None:
        status = SubscriptionStatus.ENDED.value
    return Decision(
        row, found, first_reminder_on(terms.interval, found.next_due_on, settings.reminders), status
    )


def _plan_page(tx: Tx, ctx: Context, rows: list[DueSubscription], stopping: set[int]) -> int:
    """Store the decisions about one page; returns how many payments were planned.

    What falls due for one of `stopping` is held back: dunning may pause or cancel it today.
    """
    if not rows:
        return 0
    now = ctx.clock()
    uncertain_through = restored_on(tx) or date.min
    decisions = [decide(row, ctx.settings, ctx.as_of) for row in rows]
    shown = ctx.observation.by_marker if ctx.observation is not None else {}
    wanted = [
        new_payment(
            decision.subscription,
            period,
            now,
            uncertain_through,
            ctx.settings.mileston.namespace,
            shown,
            decision.subscription.id in stopping,
        )
        for decision in decisions
        for period in decision.plan.periods
    ]
    new = payments.plan(tx, ctx.actor, now, wanted)
    lifecycle.advance(
        tx,
        ctx.actor,
        now,
        [
            {
                "id": decision.subscription.id,
                "was_next_period": decision.subscription.next_period,
                "next_period": decision.plan.next_period,
                "next_due_on": decision.plan.next_due_on,
                "next_remind_on": decision.next_remind_on,
                "status": decision.status,
            }
            for decision in decisions
        ],
    )
    _count(ctx, new)
    return len(new)


def _count(ctx: Context, new: list[NewPayment]) -> None:
    """Held ones end here; planned ones are counted when submit claims them."""
    held = sum(row["state"] == PaymentState.HELD for row in new)
    ctx.report.due += held
    ctx.report.held += held


def new_payment(
    row: Subscription,
    period: PlannedPeriod,
    now: datetime,
    uncertain_through: date,
    namespace: str = "",
    shown: Container[str] = (),
    stopping: bool = False,
) -> NewPayment:
    """The payment of one period.

    After a restore it is looked up before it is sent, and so is one whose marker Mileston's list shows.
    """
    marker = marker_for(row.reference, period.due_on, namespace)
    state, cause = PaymentState.PLANNED, ""
    if marker in shown:
        state, cause = PaymentState.UNKNOWN, reasons.TURNED_UP
    elif period.held:
        state, cause = PaymentState.HELD, reasons.CATCH_UP
    elif stopping:
        state, cause = PaymentState.HELD, reasons.HELD_BACK
    elif period.due_on <= uncertain_through:
        state, cause = PaymentState.UNKNOWN, _RESTORED
    return {
        "subscription_id": row.id,
        "period": period.n,
        "due_on": period.due_on,
        "period_end_on": period.period_end_on,
        "amount_micros": row.amount_micros,
        "marker": marker,
        "state": state.value,
        "cause": cause,
        "attention": "",
        "attempts": 0,
        "absent_looks": 0,
        "look_step": 0,
        "dunning_step": 0,
        # Nothing can have been made at Mileston before the eve of the due date, in any time zone.
        "remote_from_at": datetime.combine(period.due_on - timedelta(days=1), time.min, UTC),
        "deadline_at": now,
        "created_at": now,
        "updated_at": now,
    }
