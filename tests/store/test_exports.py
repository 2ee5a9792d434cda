"""Exports: everything of one kind by id, each with its subscription's reference, and nothing left out."""

from datetime import timedelta
from typing import Any

from billing.core.event_text import EventAction
from billing.store.connection import Database
from billing.store.events import event, record
from billing.store.exports import all_events, all_payments, all_subscriptions
from billing.store.models import events, payments, subscriptions
from billing.store.paging import PAGE, Listing, paged
from tests.support.databases import NOW, TODAY, a_payment, a_subscription

DAY = timedelta(days=1)


def exported(db: Database, listing: Listing[Any]) -> list[Any]:
    """What is exported page by page; it must be what one transaction streams."""
    pages = list(paged(db, listing))
    with db.read() as tx:
        assert list(listing.rows(tx)) == pages
    return pages


def columns_of(row: Any) -> set[str]:
    return set(row._mapping)


def test_subscriptions_come_by_id_whatever_their_status_and_with_every_column(db: Database) -> None:
    statuses = ("paused", "active", "cancelled", "ended")
    ids = [a_subscription(db, f"{9 - n}-{status}", status=status) for n, status in enumerate(statuses)]
    rows = exported(db, all_subscriptions())
    assert [row.id for row in rows] == ids
    assert [row.status for row in rows] == list(statuses)
    assert columns_of(rows[0]) == set(subscriptions.c.keys())


def test_payments_come_by_id_with_the_reference_of_each(db: Database) -> None:
    one, other = a_subscription(db, "one"), a_subscription(db, "other")
    ids = [
        a_payment(db, other, TODAY + DAY, reference="other", state="void"),
        a_payment(db, one, TODAY, reference="one", state="paid"),
        a_payment(db, other, TODAY, reference="other"),
    ]
    rows = exported(db, all_payments())
    assert [(row.id, row.reference) for row in rows] == list(zip(ids, ("other", "one", "other"), strict=True))
    assert columns_of(rows[0]) == {*payments.c.keys(), "reference"}


def test_events_come_by_id_also_those_of_no_subscription(db: Database) -> None:
    subscription = a_subscription(db)
    with db.transaction() as tx:
        record(
            tx,
            [
                event(NOW, "run:1", EventAction.DATABASE_DOUBTED, "another file"),
                event(NOW, "run:1", EventAction.ADDED, subscription_id=subscription),
                event(NOW - DAY, "run:1", EventAction.NOTICE_FAILED, "550 no", notice_id=7),
            ],
        )
    rows = exported(db, all_events())
    assert [(row.action, row.reference) for row in rows] == [
        ("database_doubted", None),
        ("added", "acme"),
        ("notice_failed", None),
    ]
    assert columns_of(rows[0]) == {*events.c.keys(), "reference"}


def test_an_empty_database_exports_nothing(db: Database) -> None:
    assert [exported(db, listing()) for listing in (all_subscriptions, all_payments, all_events)] == [[]] * 3


def test_more_than_a_page_comes_whole_and_in_order(db: Database) -> None:
    with db.transaction() as tx:
        record(tx, [event(NOW, "run:1", EventAction.CHANGED, str(n)) for n in range(PAGE * 2 + 1)])
    assert [row.detail for row in exported(db, all_events())] == [str(n) for n in range(PAGE * 2 + 1)]
