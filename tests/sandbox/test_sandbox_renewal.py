"""Records that renew themselves, if the sandbox is told so."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from billing.sandbox.errors import FaultError
from billing.sandbox.renewal import Renewals
from billing.sandbox.store import Record, Store

AT = "2026-01-01T00:00:00.000Z"


def record(status: str = "paid", interval: object = 31, day: str = "2026-01-01") -> Record:
    fields = {"recurringDate": f"{day}T00:00:00.000Z", "recurringInterval": interval, "amount": "5.00"}
    return Record("recurring-payment", "r1", "b", "B", fields, status, AT, AT)


def after(order: str, today: date, *versions: Record) -> tuple[str, str]:
    """Status and date of a record when whatever was to come due has done so."""
    store = Store()
    for version in versions:
        store.put(version)
    renewals = Renewals(store, order)
    renewals.today = today
    renewals.come_due()
    found = store.find("recurring-payment", "r1")
    assert found is not None
    return found.status, str(found.fields["recurringDate"])[:10]


@pytest.mark.parametrize(
    ("order", "status", "today", "expected"),
    [
        ("", "paid", date(2026, 2, 1), ("paid", "2026-01-01")),
        ("paid", "paid", date(2026, 1, 31), ("paid", "2026-01-01")),
        ("paid", "paid", date(2026, 2, 1), ("unpaid", "2026-02-01")),
        ("paid", "paid", date(2026, 5, 1), ("unpaid", "2026-02-01")),
        ("paid", "unpaid", date(2026, 2, 1), ("unpaid", "2026-01-01")),
        ("all", "unpaid", date(2026, 3, 10), ("unpaid", "2026-03-04")),
        ("paid,late=2", "paid", date(2026, 2, 2), ("paid", "2026-01-01")),
        ("paid,late=2", "paid", date(2026, 2, 3), ("unpaid", "2026-02-01")),
    ],
)
def test_when_a_record_comes_back(order: str, status: str, today: date, expected: tuple[str, str]) -> None:
    assert after(order, today, record(status)) == expected


def test_a_changed_interval_is_heard_unless_it_is_deaf() -> None:
    versions = (record(), record(interval=36_500))
    assert after("paid", date(2026, 2, 1), *versions) == ("paid", "2026-01-01")
    assert after("paid,deaf", date(2026, 2, 1), *versions) == ("unpaid", "2026-02-01")


@pytest.mark.parametrize("interval", [0, -1, "31", None, 10**9])
def test_an_interval_that_is_none_renews_nothing(interval: Any) -> None:
    assert after("all", date(2026, 2, 1), record(interval=interval)) == ("paid", "2026-01-01")


@pytest.mark.parametrize("order", ["often", "paid,late", "late=3", "deaf", "paid,late=-1", "paid,"])
def test_an_order_that_nobody_understands_is_refused(order: str) -> None:
    with pytest.raises(FaultError, match="renews"):
        Renewals(Store(), order)
