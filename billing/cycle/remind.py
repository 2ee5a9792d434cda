"""Step 7: subscribers are told of the next payment, at the offsets that the config names."""

from __future__ import annotations

import json
from datetime import date

from billing.config import Settings
from billing.core.periods import Interval
from billing.core.reminders import decide_reminder, first_reminder_on, offsets_for
from billing.core.states import NoticeKind
from billing.cycle.context import Context
from billing.lifecycle import notices
from billing.store import identity, subscriptions
from billing.store.notices import sent_reminders
from billing.store.rows import DueSubscription, Subscription
from billing.store.subscriptions import NextReminder
from billing.store.tx import Tx

_PAGE = 500


async def remind(ctx: Context) -> None:
    """Queue the reminder whose day has come; of several that were missed, the nearest alone."""
    _follow_config(ctx)
    while not ctx.stopping():
        with ctx.db.transaction() as tx:
            rows = subscriptions.remind_page(tx, ctx.as_of, _PAGE)
            _remind_page(tx, ctx, rows)
        if len(rows) < _PAGE:
            return


def decide(row: Subscription, settings: Settings, today: date) -> tuple[int | None, date | None]:
    """The offset whose reminder goes out today, or None, and the day of the next one; pure."""
    if row.next_due_on is None:
        return None, None
    return decide_for(subscriptions.terms_of(row).interval, row.next_due_on, settings, today)


def decide_for(
    interval: Interval, due_on: date, settings: Settings, today: date
) -> tuple[int | None, date | None]:
    """`decide` for one due date."""
    reminders = settings.reminders
    offsets = offsets_for(interval, reminders.days_before, reminders.yearly_days_before)
    decision = decide_reminder(due_on, offsets, today)
    return decision.send, decision.next_on


def _remind_page(tx: Tx, ctx: Context, rows: list[DueSubscription]) -> None:
    now = ctx.clock()
    queued: list[notices.NewNotice] = []
    looked: list[NextReminder] = []
    for row in rows:
        send, next_on = decide(row, ctx.settings, ctx.as_of)
        looked.append({"id": row.id, "next_remind_on": next_on})
        # A reminder as near or nearer went out already if the offsets were changed since.
        if send is None or any(d <= send for d in sent_reminders(tx, row.id, row.next_due_on)):
            continue
        queued.append(
            notices.new_notice(
                NoticeKind.NEXT_PAYMENT_DUE,
                notices.dedupe_key(NoticeKind.NEXT_PAYMENT_DUE, row.reference, row.next_due_on, f"d{send}"),
                now,
                subscription_id=row.id,
                due_on=row.next_due_on,
                days=send,
            )
        )
    subscriptions.set_next_remind(tx, looked)
    ctx.report.notices_queued += notices.queue(tx, queued)


def offsets_key(settings: Settings) -> str:
    """What the stored reminder days were computed with."""
    reminders = settings.reminders
    return json.dumps([reminders.days_before, reminders.yearly_days_before])


def _follow_config(ctx: Context) -> None:
    """When the offsets were changed, every subscription's next look is computed anew."""
    key = offsets_key(ctx.settings)
    with ctx.db.read() as connection:
        if identity.reminder_offsets(connection) == key:
            return
    after_id = 0
    while True:
        with ctx.db.transaction() as tx:
            rows = subscriptions.active_page(tx, after_id, _PAGE)
            subscriptions.set_next_remind(
                tx,
                [
                    {
                        "id": row.id,
                        "next_remind_on": first_reminder_on(
                            subscriptions.terms_of(row).interval, row.next_due_on, ctx.settings.reminders
                        ),
                    }
                    for row in rows
                ],
            )
            if len(rows) < _PAGE:
                identity.set_reminder_offsets(tx, key)
                return
        after_id = rows[-1].id
