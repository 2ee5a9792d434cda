"""Importing is an upsert by reference, and never bills a period twice."""

from datetime import timedelta
from typing import Any

import pytest

from billing.app import decisions
from billing.app.importing import Permissions
from billing.core.states import SubscriptionStatus
from billing.cycle.plan import decide
from billing.errors import ImportRejected
from billing.store import payments, subscriptions
from billing.store.connection import Database
from tests.support.databases import NOW, a_payment
from tests.support.imports import (
    LATER,
    SETTINGS,
    D,
    billed,
    change,
    counts,
    load,
    log,
    only_sqlite,
    row_of,
    size,
)


def test_the_same_file_again_changes_nothing(db: Database) -> None:
    rows = [
        {},
        {"reference": "other", "ends_on": "2027-01-31"},
        {"reference": "third", "bill_from": "2026-04-01"},
    ]
    load(db, *rows)
    before = log(db)
    assert counts(load(db, *rows, now=LATER)) == (0, 0, 3)
    assert row_of(db).updated_at == NOW
    assert log(db) == before


@only_sqlite
@pytest.mark.parametrize(
    "during",
    [
        {"status": "paused"},
        {"status": "active", "next_period": 7, "next_due_on": D("2026-08-31")},
        {"next_remind_on": D("2026-01-28")},
        {"next_remind_on": None},
    ],
)
def test_what_a_cycle_or_a_person_changed_is_no_change_of_the_file(
    db: Database, during: dict[str, Any]
) -> None:
    load(db)
    change(db, **during)
    before = row_of(db)
    assert counts(load(db, {}, now=LATER)) == (0, 0, 1)
    assert row_of(db) == before


def test_a_new_amount_holds_from_the_next_payment_on(db: Database) -> None:
    load(db)
    billed(db, "2026-01-31", 0)
    assert counts(load(db, {"amount": "25.00"}, now=LATER)) == (0, 1, 0)
    row = row_of(db)
    assert (row.amount_micros, row.next_period, row.next_due_on) == (25_000_000, 1, D("2026-02-28"))
    assert (row.created_at, row.updated_at) == (NOW, LATER)
    assert log(db)[-1] == ("person:zoe", "changed", row.id)


@only_sqlite
@pytest.mark.parametrize(
    ("terms", "due_on"),
    [
        ({"starts_on": "2025-01-15"}, "2026-03-15"),  # 31 January to 27 February is charged already
        ({"starts_on": "2026-01-31", "interval": "1 week"}, "2026-02-28"),
        ({"starts_on": "2026-01-30"}, "2026-02-28"),
        ({"starts_on": "2026-02-01"}, "2026-03-01"),
        ({"starts_on": "2020-01-31", "interval": "1 day"}, "2026-02-28"),
        ({"starts_on": "2026-06-10"}, "2026-06-10"),
        ({"bill_from": "2026-03-05"}, "2026-03-31"),
    ],
)
def test_new_terms_never_bill_backwards(db: Database, terms: dict[str, str], due_on: str) -> None:
    load(db)
    billed(db, "2026-01-31", 0)
    load(db, terms)
    assert row_of(db).next_due_on == D(due_on)


@only_sqlite
def test_a_day_is_charged_twice_by_permission_alone(db: Database) -> None:
    load(db)
    billed(db, "2026-01-31", 0)
    with pytest.raises(ImportRejected, match="charged already") as refused:
        load(db, {"bill_from": "2020-01-01"})
    assert "--allow-overlap" in str(refused.value)
    load(db, {"bill_from": "2026-02-10", "starts_on": "2026-02-10"}, allow=Permissions(overlap=True))
    assert row_of(db).next_due_on == D("2026-02-10")


@only_sqlite
def test_what_is_not_at_mileston_yet_takes_the_new_price(db: Database) -> None:
    load(db)
    row = row_of(db)
    states = ("planned", "held", "rejected", "open", "unknown")
    for n, state in enumerate(states):
        a_payment(db, row.id, D("2026-01-31") - n * timedelta(days=31), state=state)
    load(db, {"amount": "12.00"})
    with db.read() as tx:
        prices = {p.state: p.amount_micros for p in payments.listing(tx)}
    assert prices == {
        "planned": 12_000_000,
        "held": 12_000_000,
        "rejected": 12_000_000,
        "open": 19_900_000,
        "unknown": 19_900_000,
    }


@only_sqlite
def test_a_new_row_that_looks_like_a_known_subscription_is_asked_about(db: Database) -> None:
    load(db, {"reference": "00417"})
    new = {"reference": "417", "email": "else@example.org", "plan": "Other"}
    with pytest.raises(ImportRejected, match="looks like the known '00417'"):
        load(db, new)
    load(db, new, allow=Permissions(similar=True))
    assert size(db) == 2


@only_sqlite
def test_a_change_is_told_field_by_field_with_the_next_charge(db: Database) -> None:
    load(db)
    billed(db, "2026-01-31", 0)
    told = load(db, {"amount": "25.00"}, dry_run=True).changes
    assert told == [
        "acme: amount: 19.90 USDC -> 25.00 USDC; next charge: 25.00 USDC on 2026-02-28, "
        "for 2026-02-28 to 2026-03-30"
    ]


@pytest.mark.parametrize(
    ("terms", "due_on"),
    [
        ({"amount": "25.00"}, "2026-07-31"),
        ({"interval": "1 week"}, "2026-07-04"),
        ({"ends_on": "2027-01-01"}, "2026-07-31"),
    ],
)
def test_new_terms_never_bill_a_pause(db: Database, terms: dict[str, str], due_on: str) -> None:
    load(db)
    billed(db, "2026-01-31", 0)
    decisions.pause(db, "acme", NOW, "on leave")
    assert decisions.resume(db, "acme", NOW, D("2026-07-01"), SETTINGS, "back") == D("2026-07-31")
    load(db, terms)
    assert row_of(db).next_due_on == D(due_on)


def test_terms_can_be_corrected_before_anything_was_billed(db: Database) -> None:
    load(db, {"starts_on": "2027-01-31"})
    load(db, {"starts_on": "2026-01-31"})
    assert (row_of(db).next_period, row_of(db).next_due_on) == (0, D("2026-01-31"))
    assert row_of(db).next_remind_on == D("2026-01-24")


@pytest.mark.parametrize("status", ["cancelled", "paused"])
def test_a_status_that_a_person_gave_stays(db: Database, status: str) -> None:
    load(db)
    change(db, status=status)
    load(db, {"amount": "25.00", "starts_on": "2026-02-15"})
    assert row_of(db).status == status


def test_an_ended_subscription_stays_so_unless_its_end_is_moved(db: Database) -> None:
    ends = {"ends_on": "2026-02-27"}
    load(db, ends)
    billed(db, "2026-01-31", 0)
    change(db, status=SubscriptionStatus.ENDED.value)
    load(db, ends | {"amount": "25.00"})
    assert (row_of(db).status, row_of(db).next_due_on) == ("ended", None)
    load(db, {"ends_on": "2026-03-31"})
    assert (row_of(db).status, row_of(db).next_due_on) == ("active", D("2026-02-28"))


def test_a_subscription_whose_end_comes_nearer_ends(db: Database) -> None:
    load(db)
    billed(db, "2026-01-31", 0)
    load(db, {"ends_on": "2026-02-15"})
    assert (row_of(db).status, row_of(db).next_due_on, row_of(db).next_remind_on) == ("ended", None, None)


# What `decisions.cancel` stores for the end of the period.
CANCELLED = {"cancel_on": D("2026-02-28"), "next_remind_on": None}


def test_a_cancellation_at_the_periods_end_outlives_the_same_file(db: Database) -> None:
    load(db)
    billed(db, "2026-01-31", 0)
    change(db, **CANCELLED)
    assert counts(load(db, {}, now=LATER)) == (0, 0, 1)


@pytest.mark.parametrize(
    "terms", [{}, {"amount": "25.00"}, {"starts_on": "2026-01-15"}, {"ends_on": "2026-03-01"}]
)
def test_a_subscription_that_was_cancelled_at_the_periods_end_is_cancelled_then(
    db: Database, terms: dict[str, str]
) -> None:
    load(db)
    billed(db, "2026-01-31", 0)
    change(db, **CANCELLED)
    load(db, terms, now=LATER)
    with db.transaction() as tx:
        due = subscriptions.due_page(tx, D("2026-02-28"), 9)
    assert [row.reference for row in due] == ["acme"]
    decision = decide(due[0], SETTINGS, D("2026-02-28"))
    assert decision.status == "cancelled"
    assert all(period.due_on < D("2026-02-28") for period in decision.plan.periods)
