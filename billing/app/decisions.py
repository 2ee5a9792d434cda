"""What people decide about subscriptions and payments: checked here, done by the verbs of `lifecycle`."""

from __future__ import annotations

import difflib
import getpass
from datetime import date, datetime, timedelta

from billing.config import Settings
from billing.core.outcomes import RemotePayment, RemoteStatus
from billing.core.reconciling import mismatch
from billing.core.remote_status import is_same_id, same_address
from billing.core.states import UNSENT, NoticeState, PaymentState, SubscriptionStatus
from billing.cycle.context import Gateway
from billing.cycle.sweep import is_ours
from billing.errors import UsageError
from billing.lifecycle import notices as notice_verbs
from billing.lifecycle import pauses
from billing.lifecycle import payments as verbs
from billing.lifecycle import subscriptions as subscription_verbs
from billing.lifecycle.payments import Found
from billing.store import notices, payments, remote_checks, subscriptions
from billing.store.connection import Database
from billing.store.identity import restored_on
from billing.store.paging import paged
from billing.store.rows import PaymentOfSubscription, Subscription
from billing.store.tx import Tx

_LISTED = 500
"""How much of the API's list a person's word is checked against."""
_MEANWHILE = "payment {} changed meanwhile; look at it again"


def actor() -> str:
    """Who acts, for the event log."""
    try:
        return f"person:{getpass.getuser()}"
    except (OSError, KeyError):
        return "person:unknown"


def find_subscription(tx: Tx, reference: str) -> Subscription:
    """The subscription with this reference. Raises `UsageError` with the nearest ones if there is none."""
    row = subscriptions.find(tx, reference)
    if row is None:
        close = difflib.get_close_matches(reference, subscriptions.references(tx), 3, 0.5)
        hint = f"; the nearest are: {', '.join(close)}" if close else "; there are none like it"
        raise UsageError(f"there is no subscription with the reference {reference!r}{hint}")
    return row


def find_payment(tx: Tx, payment_id: int) -> PaymentOfSubscription:
    """Raises `UsageError` if there is none."""
    row = payments.find(tx, payment_id)
    if row is None:
        raise UsageError(f"there is no payment {payment_id}; `billing payments list` shows them")
    return row


def pause(db: Database, reference: str, now: datetime, reason: str, until: date | None = None) -> None:
    """Nothing more is planned; payments that are not yet at Mileston are held."""
    with db.transaction() as tx:
        row = find_subscription(tx, reference)
        _require(row, SubscriptionStatus.ACTIVE)
        _done(pauses.pause(tx, actor(), now, row, reason, until=until) is not None, row)


def resume(db: Database, reference: str, now: datetime, today: date, settings: Settings, reason: str) -> date:
    """Billing goes on along the anchor from the next due date; the pause is not billed."""
    with db.transaction() as tx:
        row = find_subscription(tx, reference)
        _require(row, SubscriptionStatus.PAUSED)
        done = pauses.resume(tx, actor(), now, today, row, settings.reminders, reason)
        assert done.next_due_on is not None  # it says so if no period is left
        return done.next_due_on


def cancel(
    db: Database, reference: str, now: datetime, today: date, reason: str, at_period_end: bool
) -> date:
    """End a subscription now or at the end of the period that is paid for; returns its last day.

    What is not yet at Mileston is voided when it ends now; open payments stay owed.
    """
    with db.transaction() as tx:
        row = find_subscription(tx, reference)
        _require(row, SubscriptionStatus.ACTIVE, SubscriptionStatus.PAUSED)
        if at_period_end and row.status == SubscriptionStatus.ACTIVE and row.next_due_on is not None:
            if row.cancel_on is not None:
                raise UsageError(f"{reference} is cancelled already, from {row.cancel_on} on")
            done = subscription_verbs.cancel_at_period_end(tx, actor(), now, today, row, reason)
        else:
            done = subscription_verbs.cancel(tx, actor(), now, today, row, reason)
        if done is None:
            raise UsageError(f"{reference} changed meanwhile; look at it again")
        return done.last_day


def undo_cancellation(
    db: Database, reference: str, now: datetime, settings: Settings, reason: str
) -> date | None:
    """Take back a cancellation that has not happened yet; returns the next due date.

    Raises UsageError if it was not going to end, or has ended.
    """
    with db.transaction() as tx:
        row = find_subscription(tx, reference)
        if row.status in (SubscriptionStatus.CANCELLED, SubscriptionStatus.ENDED):
            anew = f"`billing subscriptions reactivate {reference}` lets it begin anew"
            raise UsageError(f"{reference} is {row.status}; {anew}")
        if row.cancel_on is None:
            raise UsageError(f"{reference} is {row.status} and not cancelled; there is nothing to take back")
        return subscription_verbs.undo_cancellation(tx, actor(), now, row, settings.reminders, reason)


def release(
    db: Database, payment_ids: list[int], now: datetime, reason: str, dry_run: bool = False
) -> list[PaymentOfSubscription]:
    """Held, rejected and parked payments may be sent again; returns those that moved, or would move.

    Raises `UsageError` for a payment in another state, before any is changed.
    """
    with db.transaction() as tx:
        rows = [find_payment(tx, payment_id) for payment_id in payment_ids]
        for row in rows:
            if row.state not in (PaymentState.HELD, PaymentState.REJECTED, PaymentState.PARKED):
                raise UsageError(
                    f"payment {row.id} is {row.state}; only held, rejected and parked ones can be released"
                )
            _refuse_charged_days(tx, row)
        if dry_run:
            return rows
        uncertain_through = restored_on(tx)
        for row in rows:
            if not verbs.release(tx, actor(), now, row, reason, uncertain_through):
                raise UsageError(_MEANWHILE.format(row.id))
    return rows


def _refuse_charged_days(tx: Tx, row: PaymentOfSubscription) -> None:
    """A rejected payment does not count as charged: terms that were changed since may have taken its days."""
    if row.state != PaymentState.REJECTED:
        return  # what charges those days was decided on with this one in view
    other = payments.charging(tx, row.subscription_id, row.due_on, row.period_end_on, row.id)
    if other is not None:
        raise UsageError(
            f"payment {row.id} is for {row.due_on} to {row.period_end_on}, and payment {other.id} charges "
            f"{other.due_on} to {other.period_end_on} already: void payment {row.id}"
        )


def dismiss(db: Database, payment_id: int, now: datetime, reason: str) -> None:
    """A person has seen to what a payment was flagged for. Raises UsageError if it is not flagged."""
    with db.transaction() as tx:
        row = find_payment(tx, payment_id)
        if not row.attention:
            raise UsageError(f"payment {payment_id} is not flagged; `billing payments show {payment_id}`")
        verbs.dismiss(tx, actor(), now, row, reason)


async def void(
    db: Database, gateway: Gateway | None, payment_id: int, now: datetime, quiet_seconds: float, reason: str
) -> None:
    """A payment will never be charged; what is open at Mileston is deleted there first, doubles as well.

    A record that is younger than `quiet_seconds` may not be shown yet: then a person has to wait.

    Raises `UsageError` if it is paid, being sent, or not known to exist or not; GatewayError if the
    API can't delete it.
    """
    with db.read() as connection:
        row = find_payment(connection, payment_id)
    old = PaymentState(row.state)
    if old not in (*UNSENT, PaymentState.PARKED, PaymentState.OPEN):
        raise UsageError(f"payment {payment_id} is {old}; it can't be voided")
    quiet = timedelta(seconds=quiet_seconds)
    if old is PaymentState.OPEN and gateway is not None:
        await _delete_remote(gateway, row, now - quiet)
    # A double of a young one may not be shown yet.
    settled = row.remote_by_at + quiet if row.remote_by_at is not None else now
    with db.transaction() as tx:
        if not verbs.void(tx, actor(), now, [row], reason, settled if settled > now else None):
            raise UsageError(_MEANWHILE.format(payment_id))


async def _delete_remote(gateway: Gateway, row: PaymentOfSubscription, settled: datetime) -> None:
    """Delete a payment's own record and its doubles, each only if it is ours and exactly unpaid.

    Each is looked at right before, and looked for right after: it may be paid at any moment. Raises
    UsageError if one is not what may be deleted, or is still there afterwards.
    """
    own_id = row.remote_id or ""
    listed = await gateway.list(_LISTED)
    shown = next((each for each in listed if each.remote_id == own_id), None)
    own = await gateway.get(own_id)
    if own is None and shown is not None:
        raise UsageError(
            f"Mileston lists the record {own_id} of payment {row.id}, and says that there is none: try again "
            "later, or delete it there"
        )
    if own is None and row.remote_by_at is not None and row.remote_by_at > settled:
        raise UsageError(
            f"payment {row.id} was made so lately that Mileston may not show its record {own_id} yet, and it "
            "would live on: try again in a few minutes"
        )
    # Of our e-mail, whatever its amount is: who paid one of these in part or too much has paid.
    doubles = [
        each
        for each in listed
        if each.marker == row.marker
        and same_address(row.email, each.email)
        and not is_same_id(each.remote_id, own_id)
    ]
    there = [each for each in (own, shown, *doubles) if each is not None]
    for each in there:
        _refuse_what_is_not_unpaid(row, each)
    for remote_id in dict.fromkeys(each.remote_id for each in (*doubles, *([own] if own else []))):
        fresh = await gateway.get(remote_id)
        if fresh is None:
            continue
        _refuse_what_is_not_unpaid(row, fresh)
        await gateway.delete(remote_id)
        if await gateway.get(remote_id) is not None:
            raise UsageError(
                f"Mileston accepted the deletion of {remote_id} and still shows it; payment {row.id} is "
                "not voided: try again later, or delete it there"
            )


def _refuse_what_is_not_unpaid(row: PaymentOfSubscription, remote: RemotePayment) -> None:
    if remote.paid and is_ours(row, remote):
        raise UsageError(f"payment {row.id} was paid meanwhile; the next cycle books it")
    if remote.paid:
        raise UsageError(
            f"the record {remote.remote_id} at Mileston bears the number of payment {row.id} and is paid, "
            "though with another amount, e-mail or date, so the payment is not voided; give that money back "
            "or book it elsewhere, delete the record there, then void the payment again"
        )
    if remote.status is not RemoteStatus.UNPAID or not is_ours(row, remote):
        raise UsageError(
            f"the record {remote.remote_id} at Mileston is not an unpaid record of exactly payment "
            f"{row.id} (its amount, e-mail, date or status differs), so it is not deleted; delete it "
            "there, then void the payment again"
        )


async def resolve(
    db: Database,
    gateway: Gateway,
    payment_id: int,
    remote_id: str | None,
    now: datetime,
    today: date,
    reason: str,
    despite_mismatch: bool = False,
) -> None:
    """A person says what became of an unknown or parked payment.

    With `remote_id` it exists: the API is asked for it, and it must be this payment's. Without, the
    person vouches that it does not exist, and it is planned again. With `despite_mismatch` the person
    vouches for a record that differs: its amount becomes this payment's. A record or a payment number of
    another payment of ours is refused even so.
    """
    with db.read() as connection:
        row = find_payment(connection, payment_id)
    old = PaymentState(row.state)
    if old not in (PaymentState.UNKNOWN, PaymentState.PARKED):
        raise UsageError(f"payment {payment_id} is {old}; only unknown and parked ones are resolved")
    amount: int | None = None
    if remote_id is not None:
        remote = await gateway.get(remote_id)
        if remote is None:
            raise UsageError(f"Mileston has no recurring payment {remote_id}")
        # The subscriber's address may have been changed since; the person vouches for that.
        field = "subscriptionName" if remote.marker != row.marker else ""
        field = field or mismatch(remote, row.amount_micros, remote.email)
        if field and not despite_mismatch:
            raise UsageError(
                f"the recurring payment {remote_id} may be another's: its {field} differs; if you are sure "
                "that it is this payment's, say --despite-mismatch with a --reason"
            )
        if despite_mismatch:
            _refuse_another_of_ours(db, row, remote)
            amount = remote.amount_micros
    with db.transaction() as tx:
        fresh = find_payment(tx, payment_id)
        if fresh.state != old:
            raise UsageError(_MEANWHILE.format(payment_id))
        if remote_id is not None:
            verbs.resolve(tx, actor(), now, today, old, Found(fresh, remote_id, now), reason, amount)
        else:
            verbs.plan_again(tx, actor(), now, fresh, reason)


def _refuse_another_of_ours(db: Database, row: PaymentOfSubscription, remote: RemotePayment) -> None:
    with db.read() as tx:
        owners = remote_checks.owners_of(tx, remote.remote_id, remote.marker or "")
    other = next((payment_id for payment_id in owners if payment_id != row.id), None)
    if other is not None:
        raise UsageError(f"the recurring payment {remote.remote_id} is that of payment {other}")


def resend_notice(db: Database, notice_id: int, now: datetime) -> None:
    """Put a notice that was sent, failed or is unknown back into the queue, Message-ID unchanged."""
    with db.transaction() as tx:
        row = notices.find(tx, notice_id)
        if row is None:
            raise UsageError(f"there is no notice {notice_id}; `billing notices list` shows them")
        state = NoticeState(row.state)
        if state not in (NoticeState.SENT, NoticeState.FAILED, NoticeState.UNKNOWN):
            raise UsageError(f"notice {notice_id} is {state}; only sent, failed and unknown ones are resent")
        notice_verbs.requeue(tx, actor(), now, row)


def resend_notices(db: Database, state: NoticeState, now: datetime) -> int:
    """Put all failed or all unknown notices back into the queue; returns how many."""
    if state not in (NoticeState.FAILED, NoticeState.UNKNOWN):
        raise UsageError(f"all {state} notices can't be resent at once, only all failed or all unknown ones")
    queued = 0
    for listed in paged(db, notices.listed([state])):
        with db.transaction() as tx:
            row = notices.find(tx, listed.id)
            if row is not None and row.state == state:
                queued += notice_verbs.requeue(tx, actor(), now, row)
    return queued


def _require(row: Subscription, *allowed: SubscriptionStatus) -> None:
    if row.status not in allowed:
        states = " or ".join(allowed)
        raise UsageError(f"{row.reference} is {row.status}; it would have to be {states}")


def _done(done: bool, row: Subscription) -> None:
    if not done:
        raise UsageError(f"{row.reference} changed meanwhile; look at it again")
