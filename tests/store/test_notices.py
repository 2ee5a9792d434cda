"""Notices as they are read: pages of what is to be sent, lists for people, and what was ever queued."""

from typing import Any

import pytest

from billing.core.states import NoticeState as S
from billing.lifecycle import notices as outbox
from billing.store import notices
from billing.store.connection import Database
from tests.support.databases import NOW, TODAY, a_payment, a_subscription
from tests.support.outbox import (
    BEGINNING,
    DAY,
    MINUTE,
    claim,
    finish,
    finished,
    found,
    found_in,
    page,
    queue,
)


def test_what_is_queued_comes_oldest_first_in_pages_and_not_before_its_time(db: Database) -> None:
    late, first, second = queue(db, "late", "first", "second")
    (soon,) = queue(db, "soon", next_try_at=NOW + MINUTE)
    (earlier,) = queue(db, "earlier", next_try_at=NOW - MINUTE)
    claim(db, late)
    two = page(db, 2)
    assert [row.id for row in two] == [earlier, first]
    assert [row.id for row in page(db, 2, after=(two[-1].next_try_at, two[-1].id))] == [second]
    assert [row.id for row in page(db, now=NOW + MINUTE)] == [earlier, first, second, soon]


def test_a_notice_comes_with_the_rows_that_it_speaks_of(db: Database) -> None:
    subscription = a_subscription(db, amount_micros=5_000_000)
    payment = a_payment(db, subscription, state="open", payable_on=TODAY)
    (about,) = queue(db, "about", subscription_id=subscription, payment_id=payment, due_on=TODAY)
    (alone,) = queue(db, "alone")
    first, second = page(db)
    assert (first.id, first.reference, first.status, first.current_amount_micros) == (
        about,
        "acme",
        "active",
        5_000_000,
    )
    assert (first.payment_state, first.amount_micros, first.payable_on) == ("open", 19_900_000, TODAY)
    assert (second.id, second.reference, second.payment_state) == (alone, None, None)
    with db.read() as connection:
        with_rows = notices.with_rows(connection, about)
        assert with_rows is not None
        assert with_rows.email == "zoe.quillfeather@example.org"
        assert notices.with_rows(connection, 4711) is None


@pytest.mark.parametrize("dialect", ["postgresql"], indirect=True)
def test_a_worker_skips_what_another_sends_without_waiting(db: Database) -> None:
    ids = queue(db, "a", "b", "c")
    with db.transaction() as one, db.transaction() as other:
        other.exec_driver_sql("SET LOCAL lock_timeout = '5s'")
        taken = [row.id for row in notices.queued_page(one, NOW, BEGINNING, 2)]
        left = [row.id for row in notices.queued_page(other, NOW, BEGINNING, 2)]
    assert (taken, left) == (ids[:2], ids[2:])


def test_the_reminders_of_one_due_date(db: Database) -> None:
    subscription, other = a_subscription(db), a_subscription(db, "other")
    queue(db, "d7", subscription_id=subscription, due_on=TODAY, days=7)
    queue(db, "d3", subscription_id=subscription, due_on=TODAY, days=3)
    queue(db, "next", subscription_id=subscription, due_on=TODAY + DAY, days=1)
    queue(db, "theirs", subscription_id=other, due_on=TODAY, days=2)
    queue(db, "overdue", subscription_id=subscription, due_on=TODAY, days=4, kind="payment_overdue")
    with db.read() as connection:
        assert sorted(notices.sent_reminders(connection, subscription, TODAY)) == [3, 7]


def test_the_list_is_oldest_first_and_can_be_narrowed(db: Database) -> None:
    subscription = a_subscription(db)
    first, second = queue(db, "b", "a")
    (third,) = queue(db, "c", subscription_id=subscription)
    claim(db, second)
    with db.read() as connection:

        def ids(*args: Any, **kwargs: Any) -> list[int]:
            return [row.id for row in notices.listing(connection, *args, **kwargs)]

        assert ids() == [first, second, third]
        assert ids(["sending"]) == [second]
        assert ids([S.QUEUED]) == [first, third]
        assert ids(subscription_id=subscription) == [third]


def test_one_notice_is_found_and_none_that_is_not_there(db: Database) -> None:
    first, second = queue(db, "first", "second")
    assert (found(db, second).id, found(db, second).dedupe_key) == (second, "second")
    assert found(db, first + second + 1) is None


def test_notices_are_counted_by_state(db: Database) -> None:
    first, second, _ = queue(db, "first", "second", "third")
    claim(db, first, second)
    finish(db, finished(first, S.FAILED))
    with db.read() as tx:
        assert notices.count_by_state(tx) == {"failed": 1, "sending": 1, "queued": 1}


def test_a_key_was_queued_whatever_became_of_its_notice(db: Database) -> None:
    (row_id,) = queue(db, "key")
    with db.transaction() as tx:
        outbox.supersede(tx, "run:1", NOW, found_in(tx, row_id), "it was paid")
    with db.read() as tx:
        assert notices.was_queued(tx, "key")
        assert not notices.was_queued(tx, "ke")


def test_the_digests_of_a_day_come_oldest_first_and_are_no_subscribers_mail(db: Database) -> None:
    subscription = a_subscription(db)
    digest: dict[str, Any] = {"kind": "run_digest", "due_on": TODAY}
    queue(db, "one", facts="1", **digest)
    queue(db, "two", facts="2", **digest)
    queue(db, "tomorrow's", facts="3", **digest | {"due_on": TODAY + DAY})
    queue(db, "letter", facts="4", due_on=TODAY)
    queue(db, "a subscriber's", facts="5", subscription_id=subscription, **digest)
    with db.read() as tx:
        assert notices.digests_of(tx, TODAY) == ["1", "2"]
        assert notices.digests_of(tx, TODAY + DAY) == ["3"]
        assert notices.digests_of(tx, TODAY - DAY) == []


def test_only_digests_that_are_still_queued_can_be_replaced(db: Database) -> None:
    gone, waiting = queue(db, "gone", "waiting", kind="run_digest", due_on=TODAY)
    queue(db, "letter")
    claim(db, gone)
    with db.read() as tx:
        assert notices.digests_queued(tx) == [waiting]
