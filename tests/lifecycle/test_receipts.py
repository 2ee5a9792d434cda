"""Receipt numbers: consecutive, without gaps, one row of them for each year."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from typing import Any

import pytest

from billing.lifecycle import payments as verbs
from billing.lifecycle.receipts import number_receipts
from billing.store.connection import Database
from billing.store.models import payments as table
from tests.support.databases import NOW, TODAY, a_payment, a_subscription
from tests.support.written import payment_of, rows_of

DAY = timedelta(days=1)


def open_payments(db: Database, count: int) -> list[Any]:
    subscription = a_subscription(db)
    ids = [
        a_payment(db, subscription, TODAY + n * DAY, state="open", remote_id=f"r{n}") for n in range(count)
    ]
    return [payment_of(db, payment_id) for payment_id in ids]


def numbers(db: Database) -> list[str | None]:
    return [row.receipt_number for row in rows_of(db, table)]


def test_numbers_go_on_from_one_transaction_to_the_next_and_begin_anew_each_year(db: Database) -> None:
    rows = open_payments(db, 5)
    days = (date(2026, 12, 30), date(2026, 12, 31), date(2027, 1, 1))
    for day, some in zip(days, (rows[:2], rows[2:3], rows[3:]), strict=True):
        with db.transaction() as tx:
            verbs.book_paid(tx, "run:1", NOW, day, "run-1", some)
    assert numbers(db) == ["2026-000001", "2026-000002", "2026-000003", "2027-000001", "2027-000002"]


def test_a_number_whose_booking_is_rolled_back_is_given_again(db: Database) -> None:
    rows = open_payments(db, 2)

    def lost_in_the_middle() -> None:
        with db.transaction() as tx:
            verbs.book_paid(tx, "run:1", NOW, TODAY, "run-1", rows[:1])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        lost_in_the_middle()
    with db.transaction() as tx:
        verbs.book_paid(tx, "run:1", NOW, TODAY, "run-1", rows)
    assert numbers(db) == [f"{TODAY.year}-000001", f"{TODAY.year}-000002"]


def test_only_what_is_really_booked_gets_a_number(db: Database) -> None:
    rows = open_payments(db, 2)
    with db.transaction() as tx:
        tx.execute(table.update().where(table.c.id == rows[0].id).values(state="void"))
        verbs.book_paid(tx, "run:1", NOW, TODAY, "run-1", rows)
        number_receipts(tx, TODAY, [])
    assert numbers(db) == [None, f"{TODAY.year}-000001"]


def test_workers_that_book_at_once_leave_no_gap_and_give_no_number_twice(db: Database) -> None:
    rows = open_payments(db, 12)

    def book(row: Any) -> None:
        with db.transaction() as tx:
            verbs.book_paid(tx, "run:1", NOW, TODAY, "run-1", [row])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(book, rows))
    assert sorted(filter(None, numbers(db))) == [f"{TODAY.year}-{n:06}" for n in range(1, 13)]
