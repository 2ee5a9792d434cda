"""Records as the JSON documents of the public contract, one by one and as long lists."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime
from typing import Any

from billing.app.decisions import find_payment, find_subscription
from billing.config import Config
from billing.core.causes import HeldCause, held_cause
from billing.core.fields import written_address
from billing.core.money import format_amount
from billing.core.states import PaymentState
from billing.store import events, exports, notices, payments, subscriptions
from billing.store.connection import Database
from billing.store.exports import ExportedEvent
from billing.store.paging import paged
from billing.store.rows import Attempt, ListedNotice, PaymentOfSubscription, Subscription
from billing.store.subscriptions import terms_of

Document = dict[str, Any]


def payment_document(row: PaymentOfSubscription) -> Document:
    """A payment as the contract shows it, and a few fields more."""
    return {
        "id": row.id,
        "subscription": row.reference,
        "due_on": row.due_on.isoformat(),
        "amount": format_amount(row.amount_micros),
        "state": row.state,
        "remote_id": row.remote_id or row.former_remote_id,
        "marker": row.marker,
        "attempts": row.attempts,
        "cause": row.cause,
        "attention": row.attention,
        "paid_at": _text(row.paid_at),
    }


def notice_document(row: ListedNotice) -> Document:
    """A notice as the contract shows it, and the mail server's reply."""
    return {
        "id": row.id,
        "kind": row.kind,
        "subscription": row.reference,
        "due_on": _text(row.due_on),
        "to": row.to_address or row.email,
        "subject": row.subject,
        "state": row.state,
        "dedupe_key": row.dedupe_key,
        "message_id": row.message_id,
        "tries": row.tries,
        "server_reply": row.server_reply,
        "sent_at": _text(row.sent_at),
    }


def event_document(row: ExportedEvent) -> Document:
    """A line of the log, under the names of its export."""
    return {
        "id": row.id,
        "at": row.at.isoformat(),
        "actor": row.actor,
        "action": row.action,
        "detail": row.detail,
        "subscription": row.reference,
        "payment_id": row.payment_id,
        "notice_id": row.notice_id,
    }


def subscription_document(row: Subscription) -> Document:
    """A subscription under the names of the CSV's columns, its status and its next due date."""
    coming = row.next_due_on
    if row.cancel_on is not None and coming is not None and coming >= row.cancel_on:
        coming = None  # it comes up once more then, to be cancelled, and pays nothing
    return {
        "reference": row.reference,
        "plan": row.plan,
        "name": row.name,
        "email": row.email,
        "amount": format_amount(row.amount_micros),
        "interval": str(terms_of(row).interval),
        "starts_on": _text(row.anchor_on),
        "bill_from": _text(row.bill_from),
        "ends_on": _text(row.ends_on),
        "wallet_address": row.wallet_address,
        "locale": row.locale,
        "company": row.company or None,
        "tax_id": row.tax_id or None,
        "address": written_address(row.address) or None,
        "status": row.status,
        "cancel_on": _text(row.cancel_on),
        "paused_until": _text(row.paused_until),
        "next_due_on": _text(coming),
    }


def payments_listed(
    db: Database,
    state: str | None = None,
    attention: bool = False,
    *,
    cause: HeldCause | None = None,
    reference: str | None = None,
    since: date | None = None,
) -> Iterator[Document]:
    """Payments by due date (from `since` on): of one state, flagged, or held for one kind of cause."""
    if reference is not None:
        with db.read() as tx:
            find_subscription(tx, reference)
    states = [PaymentState.HELD] if cause is not None else [state] if state else []
    listing = payments.listed(states, attention=attention, reference=reference, since=since)
    rows = paged(db, listing)
    return (payment_document(row) for row in rows if cause in (None, held_cause(row.cause)))


def notices_listed(
    db: Database,
    state: str | None = None,
    *,
    reference: str | None = None,
    since: datetime | None = None,
) -> Iterator[Document]:
    """Notices, oldest first; `since` is when they were queued."""
    if reference is not None:
        with db.read() as tx:
            find_subscription(tx, reference)
    listing = notices.listed([state] if state else [], reference=reference, since=since)
    return map(notice_document, paged(db, listing))


def events_listed(
    db: Database, *, reference: str | None = None, since: datetime | None = None
) -> Iterator[Document]:
    """The log, oldest first: of one subscription, and from `since` on."""
    if reference is not None:
        with db.read() as tx:
            find_subscription(tx, reference)
    return map(event_document, paged(db, exports.all_events(reference, since)))


def subscriptions_listed(
    db: Database, status: str | None = None, *, since: date | None = None
) -> Iterator[Document]:
    """Subscriptions by reference; of one status, and with a next due date from `since` on."""
    return map(subscription_document, paged(db, subscriptions.listed(status, since)))


def payment_shown(db: Database, payment_id: int) -> Document:
    """One payment with its attempts and its history. Raises UsageError if there is none."""
    with db.read() as tx:
        whole = payment_document(find_payment(tx, payment_id))
        whole["attempt_log"] = [_attempt(attempt) for attempt in payments.attempts_of(tx, payment_id)]
        whole["events"] = [
            {"at": e.at.isoformat(), "actor": e.actor, "action": e.action, "detail": e.detail}
            for e in events.about(tx, -1, [payment_id])
        ]
    return whole


def subscription_shown(db: Database, reference: str) -> Document:
    """One subscription with its payments and notices. Raises UsageError if there is none."""
    with db.read() as tx:
        row = find_subscription(tx, reference)
        whole = subscription_document(row)
        whole["payments"] = [payment_document(p) for p in payments.listing(tx, subscription_id=row.id)]
        whole["notices"] = [notice_document(n) for n in notices.listing(tx, subscription_id=row.id)]
    return whole


def held_payments(db: Database, cause: HeldCause | None = None, reference: str | None = None) -> list[int]:
    """The ids of all payments that are held: for one kind of cause, or of one subscription."""
    return [doc["id"] for doc in payments_listed(db, PaymentState.HELD, cause=cause, reference=reference)]


def references_like(config: Config, beginning: str, limit: int) -> list[str]:
    """References for the shell's completion; none where there is no database yet."""
    from billing.app.runtime import open_store

    path = config.sqlite_path
    if path is not None and not path.exists():
        return []
    with open_store(config) as db, db.read() as tx:
        return subscriptions.references_from(tx, beginning, limit)


def _attempt(row: Attempt) -> Document:
    return {
        "number": row.number,
        "run_id": row.run_id,
        "started_at": row.started_at.isoformat(),
        "outcome": row.outcome,
        "status": row.status,
        "detail": row.detail,
        "finished_at": _text(row.finished_at),
    }


def _text(value: date | datetime | None) -> str | None:
    return value.isoformat() if value is not None else None
