"""What people decide about subscriptions and payments; every act goes into the event log."""

from __future__ import annotations

import difflib
import getpass
import json
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from billing.config import Settings
from billing.core.reconciling import PROOF, mismatch
from billing.core.states import NoticeKind, NoticeState, PaymentState, SubscriptionStatus
from billing.cycle.context import Gateway
from billing.cycle.plan import first_reminder_on
from billing.errors import UsageError
from billing.store import notices, payments, subscriptions
from billing.store.database import Database, restored_on
from billing.store.events import event, record
from billing.store.paging import paged
from billing.store.sending import open_payments

_LISTED = 500
"""How much of the API's list a person's word is checked against."""
_UNSENT = (PaymentState.PLANNED, PaymentState.HELD, PaymentState.REJECTED)


def actor() -> str:
    """Who acts, for the event log."""
    try:
        return f"person:{getpass.getuser()}"
    except (OSError, KeyError):
        return "person:unknown"


def find_subscription(tx: Connection, reference: str) -> Any:
    """The subscription with this reference. Raises `UsageError` with the nearest ones if there is none."""
    row = subscriptions.find(tx, reference)
    if row is None:
        close = difflib.get_close_matches(reference, subscriptions.references(tx), 3, 0.5)
        hint = f"; the nearest are: {', '.join(close)}" if close else "; there are none like it"
        raise UsageError(f"there is no subscription with the reference {reference!r}{hint}")
    return row


def find_payment(tx: Connection, payment_id: int) -> Any:
    """Raises `UsageError` if there is none."""
    row = payments.find(tx, payment_id)
    if row is None:
        raise UsageError(f"there is no payment {payment_id}; `billing payments list` shows them")
    return row


def pause(db: Database, reference: str, now: datetime, reason: str) -> None:
    """Nothing more is planned; payments that are not yet at Mileston are held."""
    with db.transaction() as tx:
        row = find_subscription(tx, reference)
        _require(row, SubscriptionStatus.ACTIVE)
        subscriptions.change(tx, row.id, now, status=SubscriptionStatus.PAUSED.value)
        _log(tx, now, "subscription_paused", reason, row.id)
        # The key names the instant: a subscription may be paused many times.
        _notify(tx, NoticeKind.SUBSCRIPTION_PAUSED, row, now, f"{now:%Y%m%dT%H%M%S}")


def resume(db: Database, reference: str, now: datetime, today: date, settings: Settings, reason: str) -> date:
    """Billing goes on along the anchor from the next due date; the pause is not billed."""
    with db.transaction() as tx:
        row = find_subscription(tx, reference)
        _require(row, SubscriptionStatus.PAUSED)
        terms = subscriptions.terms_of(row)
        period = max(row.next_period, terms.first_period(today))
        due = terms.next_due_on(period)
        if due is None:
            raise UsageError(f"{reference} can't be resumed: no period is left before it ends")
        subscriptions.change(
            tx,
            row.id,
            now,
            status=SubscriptionStatus.ACTIVE.value,
            next_period=period,
            next_due_on=due,
            next_remind_on=first_reminder_on(terms.interval, due, settings),
        )
        _log(tx, now, "subscription_resumed", f"{reason}; next due {due}".lstrip("; "), row.id)
        return due


def cancel(
    db: Database, reference: str, now: datetime, today: date, reason: str, at_period_end: bool
) -> date:
    """End a subscription now or at the end of the period that is paid for; answers its last day.

    What is not yet at Mileston is voided when it ends now; open payments stay owed.
    """
    with db.transaction() as tx:
        row = find_subscription(tx, reference)
        _require(row, SubscriptionStatus.ACTIVE, SubscriptionStatus.PAUSED)
        if at_period_end and row.status == SubscriptionStatus.ACTIVE and row.next_due_on is not None:
            if row.cancel_on is not None:
                raise UsageError(f"{reference} is cancelled already, from {row.cancel_on} on")
            ends = _end_of_the_running_period(row, today)
            subscriptions.change(tx, row.id, now, cancel_on=ends, next_remind_on=None)
        else:
            ends = today + timedelta(days=1)
            subscriptions.change(
                tx,
                row.id,
                now,
                status=SubscriptionStatus.CANCELLED.value,
                cancel_on=row.cancel_on or today,
                next_due_on=None,
                next_remind_on=None,
            )
            _void_unsent(tx, row, now, "its subscription was cancelled")
        last_day = ends - timedelta(days=1)
        _log(tx, now, "subscription_cancelled", f"{reason}; last day {last_day}".lstrip("; "), row.id)
        facts = json.dumps({"last_day": last_day.isoformat()})
        _notify(tx, NoticeKind.SUBSCRIPTION_CANCELLED, row, now, "", facts)
        return last_day


def _end_of_the_running_period(row: Any, today: date) -> date:
    """The first due date after today: a period that is due but not planned yet still counts."""
    if row.next_due_on > today:
        coming: date = row.next_due_on
        return coming
    terms = subscriptions.terms_of(row)
    return terms.due_on(terms.first_period(today + timedelta(days=1)))


def release(db: Database, payment_ids: list[int], now: datetime, reason: str) -> list[int]:
    """Held, rejected and parked payments may be sent again; answers those that moved.

    Raises `UsageError` for a payment in another state, before any is changed.
    """
    with db.transaction() as tx:
        rows = [find_payment(tx, payment_id) for payment_id in payment_ids]
        for row in rows:
            if row.state not in (PaymentState.HELD, PaymentState.REJECTED, PaymentState.PARKED):
                raise UsageError(
                    f"payment {row.id} is {row.state}; only held, rejected and parked ones can be released"
                )
        doubtful_through = restored_on(tx) or date.min
        for row in rows:
            old = PaymentState(row.state)
            payments.move(tx, [row.id], old, PaymentState.PLANNED, now, cause="", attention="")
            if row.due_on <= doubtful_through and row.absent_looks < PROOF:
                # It may have been released and sent before, in the time that the restore lost. (A proof
                # is of after the restore and of after the last attempt: both take an earlier one back.)
                payments.move(tx, [row.id], PaymentState.PLANNED, PaymentState.UNKNOWN, now)
            _log(tx, now, "released", reason, row.subscription_id, row.id)
    return [row.id for row in rows]


async def void(db: Database, gateway: Gateway | None, payment_id: int, now: datetime, reason: str) -> None:
    """A payment will never be charged; what is open at Mileston is deleted there first, doubles as well.

    Raises `UsageError` if it is paid, being sent, or not known to exist or not; GatewayError if the
    API can't delete it.
    """
    with db.read() as connection:
        row = find_payment(connection, payment_id)
    old = PaymentState(row.state)
    if old not in (*_UNSENT, PaymentState.PARKED, PaymentState.OPEN):
        raise UsageError(f"payment {payment_id} is {old}; it can't be voided")
    if old is PaymentState.OPEN and gateway is not None:
        remote = await gateway.get(row.remote_id)
        doubles = [each for each in await gateway.list(_LISTED) if each.marker == row.marker]
        if any(each is not None and each.paid for each in (remote, *doubles)):
            raise UsageError(f"payment {payment_id} was paid meanwhile; the next cycle books it")
        for remote_id in {row.remote_id, *(each.remote_id for each in doubles)}:
            await gateway.delete(remote_id)
    with db.transaction() as tx:
        if not payments.move(
            tx, [payment_id], old, PaymentState.VOID, now, cause=reason, attention="", next_dun_on=None
        ):
            raise UsageError(f"payment {payment_id} changed meanwhile; look at it again")
        _log(tx, now, "voided", reason, row.subscription_id, payment_id)


async def resolve(
    db: Database,
    gateway: Gateway,
    payment_id: int,
    remote_id: str | None,
    now: datetime,
    today: date,
    reason: str,
) -> None:
    """A person says what became of an unknown or parked payment.

    With `remote_id` it exists: the API is asked for it, and it must be this payment's. Without, the
    person vouches that it does not exist, and it is planned again.
    """
    with db.read() as connection:
        row = find_payment(connection, payment_id)
    old = PaymentState(row.state)
    if old not in (PaymentState.UNKNOWN, PaymentState.PARKED):
        raise UsageError(f"payment {payment_id} is {old}; only unknown and parked ones are resolved")
    if remote_id is not None:
        remote = await gateway.get(remote_id)
        if remote is None:
            raise UsageError(f"Mileston has no recurring payment {remote_id}")
        # The subscriber's address may have been changed since; the person vouches for that.
        field = "subscriptionName" if remote.marker != row.marker else ""
        field = field or mismatch(remote, row.amount_micros, remote.email)
        if field:
            raise UsageError(f"the recurring payment {remote_id} is another's: its {field} differs")
    with db.transaction() as tx:
        fresh = find_payment(tx, payment_id)
        if fresh.state != old:
            raise UsageError(f"payment {payment_id} changed meanwhile; look at it again")
        if remote_id is not None:
            open_payments(tx, old, [(fresh, remote_id, now)], actor(), "resolved", now, today)
            payments.flag(tx, payment_id, "", now)
        else:
            payments.move(tx, [payment_id], old, PaymentState.PLANNED, now, cause="", attention="")
        _log(tx, now, "resolved", reason, row.subscription_id, payment_id)


def resend_notice(db: Database, notice_id: int, now: datetime) -> None:
    """Put a notice that was sent, failed or is unknown back into the queue, Message-ID unchanged."""
    with db.transaction() as tx:
        row = notices.find(tx, notice_id)
        if row is None:
            raise UsageError(f"there is no notice {notice_id}; `billing notices list` shows them")
        state = NoticeState(row.state)
        if state not in (NoticeState.SENT, NoticeState.FAILED, NoticeState.UNKNOWN):
            raise UsageError(f"notice {notice_id} is {state}; only sent, failed and unknown ones are resent")
        _requeue(tx, row, now)


def resend_notices(db: Database, state: NoticeState, now: datetime) -> int:
    """Put all failed or all unknown notices back into the queue; returns how many."""
    if state not in (NoticeState.FAILED, NoticeState.UNKNOWN):
        raise UsageError(f"all {state} notices can't be resent at once, only all failed or all unknown ones")
    queued = 0
    for listed in paged(db, notices.listed([state]), notices.ORDER):
        with db.transaction() as tx:
            row = notices.find(tx, listed.id)
            if row is not None and row.state == state:
                _requeue(tx, row, now)
                queued += 1
    return queued


def _requeue(tx: Connection, row: Any, now: datetime) -> None:
    notices.requeue(tx, NoticeState(row.state), now, row.id)
    line = event(
        now,
        actor(),
        "notice_resent",
        f"it was {row.state}",
        subscription_id=row.subscription_id,
        payment_id=row.payment_id,
        notice_id=row.id,
    )
    record(tx, [line])


def _require(row: Any, *allowed: SubscriptionStatus) -> None:
    if row.status not in allowed:
        states = " or ".join(allowed)
        raise UsageError(f"{row.reference} is {row.status}; it would have to be {states}")


def _void_unsent(tx: Connection, row: Any, now: datetime, cause: str) -> None:
    for payment in list(payments.listing(tx, _UNSENT, row.id)):
        payments.move(tx, [payment.id], PaymentState(payment.state), PaymentState.VOID, now, cause=cause)
        _log(tx, now, "voided", cause, row.id, payment.id)


def _notify(tx: Connection, kind: NoticeKind, row: Any, now: datetime, suffix: str, facts: str = "") -> None:
    key = notices.dedupe_key(kind, row.reference, None, suffix)
    notices.insert_notices(tx, [notices.new_notice(kind, key, now, subscription_id=row.id, facts=facts)])


def _log(
    tx: Connection,
    now: datetime,
    action: str,
    detail: str,
    subscription_id: int,
    payment_id: int | None = None,
) -> None:
    line = event(now, actor(), action, detail, subscription_id=subscription_id, payment_id=payment_id)
    record(tx, [line])
