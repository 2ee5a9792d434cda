"""Lists are streamed, and reading one leaves the transaction as it was."""

from collections.abc import Callable
from datetime import date
from typing import Any

import pytest
from sqlalchemy import Connection

from billing.core.event_text import EventAction
from billing.core.states import NoticeKind
from billing.lifecycle import notices as outbox
from billing.store import events, notices, paging, payments, subscriptions
from billing.store.connection import Database
from billing.store.paging import paged
from tests.support.databases import NOW, a_payment, a_subscription, set_subscription


@pytest.mark.parametrize(
    "listing",
    [payments.listing, notices.listing, subscriptions.references, events.every],
    ids=lambda of: f"{of.__module__.rpartition('.')[2]}.{of.__name__}",
)
def test_a_transaction_writes_on_after_it_read_a_list(
    db: Database, listing: Callable[[Connection], Any]
) -> None:
    subscription = a_subscription(db)
    a_payment(db, subscription)
    with db.transaction() as tx:
        outbox.queue(tx, [outbox.new_notice(NoticeKind.RUN_DIGEST, "first", NOW)])
        events.record(tx, [events.event(NOW, "run:1", EventAction.ADDED)])
        assert len(list(listing(tx))) == 1
        events.record(tx, [events.event(NOW, "run:1", EventAction.CHANGED)])
        assert outbox.queue(tx, [outbox.new_notice(NoticeKind.RUN_DIGEST, "second", NOW)]) == 1
        set_subscription(tx, subscription, NOW, status="paused")
        assert [line.action for line in events.every(tx)] == ["added", "changed"]


def test_a_long_list_comes_whole(db: Database) -> None:
    with db.transaction() as tx:
        events.record(tx, [events.event(NOW, "run:1", EventAction.CHANGED, str(i)) for i in range(1203)])
    with db.read() as connection:
        assert [line.detail for line in events.every(connection)] == [str(i) for i in range(1203)]


def payment_ids(db: Database) -> list[int]:
    return [row.id for row in paged(db, payments.listed())]


def test_pages_follow_one_another_through_equal_dates(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paging, "PAGE", 3)
    for n in range(4):
        subscription = a_subscription(db, reference=f"s{n}")
        for day in (date(2026, 3, 2), date(2026, 3, 1)):
            a_payment(db, subscription, day, reference=f"s{n}", period=day.day)
    with db.read() as tx:
        whole = [row.id for row in payments.listing(tx)]
    assert payment_ids(db) == whole
    assert len(whole) == 8
    by_reference = paged(db, subscriptions.listed())
    assert [row.reference for row in by_reference] == ["s0", "s1", "s2", "s3"]


def test_who_reads_a_long_list_slowly_keeps_nobody_from_writing(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paging, "PAGE", 2)
    for n in range(5):
        a_subscription(db, reference=f"s{n}")
    names = []
    for row in paged(db, subscriptions.listed()):
        with db.transaction() as tx:  # would wait for the reader, if one were there
            set_subscription(tx, row.id, NOW, status="paused")
        names.append(row.reference)
    assert names == ["s0", "s1", "s2", "s3", "s4"]
