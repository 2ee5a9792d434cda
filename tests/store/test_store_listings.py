"""Lists are streamed, and reading one leaves the transaction as it was."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Connection

from billing.core.states import NoticeKind
from billing.store import events, notices, payments, subscriptions
from billing.store.database import Database
from tests.databases import NOW, a_payment, a_subscription


@pytest.mark.parametrize(
    "listing",
    [payments.listing, notices.listing, subscriptions.references, subscriptions.every, events.every],
    ids=lambda of: f"{of.__module__.rpartition('.')[2]}.{of.__name__}",
)
def test_a_transaction_writes_on_after_it_read_a_list(
    db: Database, listing: Callable[[Connection], Any]
) -> None:
    subscription = a_subscription(db)
    a_payment(db, subscription)
    with db.transaction() as tx:
        notices.insert_notices(tx, [notices.new_notice(NoticeKind.RUN_DIGEST, "first", NOW)])
        events.record(tx, [events.event(NOW, "run:1", "written")])
        assert len(list(listing(tx))) == 1
        events.record(tx, [events.event(NOW, "run:1", "written again")])
        assert notices.insert_notices(tx, [notices.new_notice(NoticeKind.RUN_DIGEST, "second", NOW)]) == 1
        subscriptions.change(tx, subscription, NOW, status="paused")
        assert [line.action for line in events.every(tx)] == ["written", "written again"]


def test_a_long_list_comes_whole(db: Database) -> None:
    with db.transaction() as tx:
        events.record(tx, [events.event(NOW, "run:1", str(i)) for i in range(1203)])
    with db.read() as connection:
        assert [line.action for line in events.every(connection)] == [str(i) for i in range(1203)]
