"""Everything of one kind by id, as it is exported and, of the log, listed."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from sqlalchemy import select

from billing.store.models import events, payments, subscriptions
from billing.store.paging import Listing
from billing.store.rows import Event, Payment, Subscription


class ExportedPayment(Payment, Protocol):
    reference: str


class ExportedEvent(Event, Protocol):
    """`reference` is None for what concerns no subscription."""

    reference: str | None


def all_subscriptions() -> Listing[Subscription]:
    return Listing(select(subscriptions), (subscriptions.c.id,))


def all_payments() -> Listing[ExportedPayment]:
    query = select(payments, subscriptions.c.reference).join(
        subscriptions, subscriptions.c.id == payments.c.subscription_id
    )
    return Listing(query, (payments.c.id,))


def all_events(reference: str | None = None, since: datetime | None = None) -> Listing[ExportedEvent]:
    """The log: of one subscription and its payments, and from an instant on, if those are given."""
    query = select(events, subscriptions.c.reference).outerjoin(
        subscriptions, subscriptions.c.id == events.c.subscription_id
    )
    if reference is not None:
        query = query.where(subscriptions.c.reference == reference)
    if since is not None:
        query = query.where(events.c.at >= since)
    return Listing(query, (events.c.id,))
