"""Terms are put: what is new is added, what is known is changed, and no day is charged twice by it."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import date, timedelta
from time import sleep
from typing import Any

import pytest
from sqlalchemy import text

from billing.config import Settings
from billing.core.periods import Interval, Unit
from billing.core.reminders import first_reminder_on
from billing.lifecycle.subscriptions import cancel
from billing.lifecycle.terms import Put, Rules, place_of, put
from billing.store.connection import Database
from billing.store.models import payments
from billing.store.models import subscriptions as table
from billing.store.subscriptions import terms_of
from tests.support.databases import NOW, TODAY, a_payment, set_subscription
from tests.support.written import Logged, log_of, nothing_changes, outbox_of, rows_of, subscription_of

DAY = timedelta(days=1)
LATER = NOW + timedelta(hours=1)
ACTOR = "person:zoe"
MONTHLY = Interval(1, Unit.MONTH)
REMINDERS = Settings().reminders
RULES = Rules(TODAY, REMINDERS, catch_up_limit=3)


@dataclass(frozen=True)
class Agreed:
    """What a subscriber agreed on."""

    line: int = 2
    reference: str = "acme"
    plan: str = "Gold plan"
    name: str = "Zoë Quillfeather"
    email: str = "zoe@example.org"
    amount: int = 19_900_000
    interval: Interval = MONTHLY
    starts_on: date = TODAY
    bill_from: date | None = None
    ends_on: date | None = None
    wallet_address: str | None = None
    locale: str | None = None
    company: str = ""
    tax_id: str = ""
    address: str = ""


GOOD = Agreed()


def put_all(db: Database, *batch: Agreed, rules: Rules = RULES, now: Any = LATER) -> Put:
    with db.transaction() as tx:
        return put(tx, ACTOR, now, batch, rules)


def known(db: Database, row: Agreed = GOOD, **changes: Any) -> Any:
    """A subscription that was put yesterday, and what a cycle or a person changed since."""
    put_all(db, row, now=NOW)
    row_id = subscription_of(db, row.reference).id
    if changes:
        with db.transaction() as tx:
            set_subscription(tx, row_id, NOW, **changes)
    return subscription_of(db, row.reference)


def lines_of(db: Database) -> list[Logged]:
    """The log after the first lines, that tell of what was added yesterday."""
    return [line for line in log_of(db) if line.action != "added"]


# -- what is new ---------------------------------------------------------------------------------------


def test_what_is_new_is_stored_with_its_schedule_and_one_event_each(db: Database) -> None:
    other = replace(GOOD, reference="other", interval=Interval(2, Unit.WEEK), locale="de", line=3)
    done = put_all(db, GOOD, other)
    assert (done.added, done.changed, done.unchanged) == (["acme", "other"], [], 0)
    assert (done.told, done.faults) == ([], [])
    row = subscription_of(db)
    assert (row.status, row.next_period, row.next_due_on) == ("active", 0, TODAY)
    assert row.next_remind_on == first_reminder_on(MONTHLY, TODAY, REMINDERS)
    assert (row.amount_micros, row.created_at, row.updated_at) == (19_900_000, LATER, LATER)
    assert (subscription_of(db, "other").interval_count, subscription_of(db, "other").locale) == (2, "de")
    ids = [subscription_of(db, reference).id for reference in ("acme", "other")]
    assert sorted(log_of(db)) == sorted(Logged(ACTOR, "added", "imported", row_id) for row_id in ids)
    assert outbox_of(db) == []


@pytest.mark.parametrize(
    ("terms", "period", "due_on", "status"),
    [
        ({"bill_from": TODAY + DAY}, 1, date(2026, 3, 1), "active"),
        ({"bill_from": TODAY - 9 * DAY}, 0, TODAY, "active"),
        ({"ends_on": TODAY}, 0, TODAY, "active"),
        ({"bill_from": TODAY + DAY, "ends_on": date(2026, 2, 28)}, 1, None, "ended"),
    ],
)
def test_a_schedule_begins_with_the_first_period_that_is_to_be_billed(
    db: Database, terms: dict[str, Any], period: int, due_on: date | None, status: str
) -> None:
    put_all(db, replace(GOOD, **terms))
    row = subscription_of(db)
    assert (row.next_period, row.next_due_on, row.status) == (period, due_on, status)
    assert (row.next_remind_on is None) == (due_on is None)


def test_periods_that_are_past_are_said_before_they_are_billed(db: Database) -> None:
    recent, old = replace(GOOD, starts_on=date(2025, 12, 1)), replace(GOOD, reference="new")
    done = put_all(db, recent, old)
    assert [said.partition(":")[0] for said in done.past] == ["acme"]
    assert subscription_of(db).next_due_on == date(2025, 12, 1)


def test_an_empty_batch_changes_nothing(db: Database) -> None:
    with nothing_changes(db):
        assert put_all(db) == Put()


# -- what is known -------------------------------------------------------------------------------------


def test_the_same_terms_again_change_nothing_whatever_a_cycle_did_meanwhile(db: Database) -> None:
    known(db, next_period=1, next_due_on=date(2026, 3, 1), next_remind_on=date(2026, 2, 27))
    with nothing_changes(db):
        done = put_all(db, GOOD)
    assert (done.added, done.changed, done.unchanged) == ([], [], 1)


def test_a_change_keeps_the_row_and_is_told_field_by_field(db: Database) -> None:
    before = known(db, next_period=1, next_due_on=date(2026, 3, 1))
    done = put_all(db, replace(GOOD, amount=25_000_000, plan="Silver"))
    assert (done.changed, done.unchanged) == (["acme"], 0)
    assert done.told == [
        "acme: plan: Gold plan -> Silver; amount: 19.90 USDC -> 25.00 USDC; next charge: 25.00 USDC on "
        "2026-03-01, for 2026-03-01 to 2026-03-31"
    ]
    after = subscription_of(db)
    assert (after.id, after.created_at, after.updated_at) == (before.id, NOW, LATER)
    assert (after.plan, after.amount_micros, after.next_due_on) == ("Silver", 25_000_000, date(2026, 3, 1))
    assert lines_of(db) == [
        Logged(ACTOR, "changed", "plan: Gold plan -> Silver; amount: 19.90 USDC -> 25.00 USDC", before.id)
    ]


@pytest.mark.parametrize(
    ("changes", "detail"),
    [
        ({"name": "Ada Lovelace"}, "name changed"),
        ({"email": "ada@example.org"}, "email changed"),
        ({"wallet_address": "w" * 20}, "wallet_address changed"),
        ({"company": "Quill Ltd", "tax_id": "GB123456789"}, "company changed; tax_id changed"),
        ({"address": "12 Harbour Road\nBristol"}, "address changed"),
        ({"email": "ada@example.org", "locale": "de"}, "email changed; locale: none -> de"),
    ],
)
def test_the_log_names_the_field_of_a_person_and_not_what_it_says(
    db: Database, changes: dict[str, Any], detail: str
) -> None:
    row = known(db)
    put_all(db, replace(GOOD, **changes))
    assert lines_of(db) == [Logged(ACTOR, "changed", detail, row.id)]


def test_what_a_receipt_says_of_the_buyer_is_put_shown_and_erased(db: Database) -> None:
    buyer = replace(GOOD, company="Quill Ltd", tax_id="GB123456789", address="12 Harbour Road\nBristol")
    known(db)
    (put_in,) = put_all(db, buyer).told
    row = subscription_of(db)
    assert (row.company, row.tax_id, row.address) == (buyer.company, buyer.tax_id, buyer.address)
    assert put_all(db, buyer).unchanged == 1
    (erased,) = put_all(db, GOOD).told
    row = subscription_of(db)
    assert (row.company, row.tax_id, row.address) == ("", "", "")

    assert "company: none -> Quill Ltd; tax_id: none -> GB123456789; " in put_in
    assert "address: none -> 12 Harbour Road | Bristol; " in put_in
    assert "address: 12 Harbour Road | Bristol -> none; " in erased


@pytest.mark.parametrize("name", ["Zoë; Ünal", "Zoë; plan: Ünal"])
def test_of_a_name_with_a_semicolon_nothing_stands_in_the_log(db: Database, name: str) -> None:
    row = known(db, replace(GOOD, name=name))
    put_all(db, GOOD)
    assert lines_of(db) == [Logged(ACTOR, "changed", "name changed", row.id)]


def test_what_is_not_at_mileston_yet_takes_the_new_price_with_an_event_of_its_own(db: Database) -> None:
    row = known(db, next_period=2, next_due_on=date(2026, 4, 1))
    planned = a_payment(db, row.id, TODAY)
    a_payment(db, row.id, TODAY + DAY, state="open")
    done = put_all(db, replace(GOOD, amount=25_000_000))
    assert f"the planned payment due {TODAY}: 19.90 USDC -> 25.00 USDC" in done.told[0]
    assert [payment.amount_micros for payment in rows_of(db, payments)] == [25_000_000, 19_900_000]
    assert {line.payment_id for line in lines_of(db)} == {planned, None}
    assert len(lines_of(db)) == 2


@pytest.mark.parametrize(
    ("state", "due_on", "said"),
    [
        ("void", date(2026, 3, 1), True),
        ("uncollectible", date(2026, 5, 1), True),
        ("void", date(2026, 3, 2), False),  # no period of the new terms begins there
        ("void", TODAY, False),  # it is past
        ("open", date(2026, 3, 1), False),
    ],
)
def test_a_coming_due_date_that_is_taken_by_what_is_never_charged_is_said(
    db: Database, state: str, due_on: date, said: bool
) -> None:
    row = known(db, next_period=1, next_due_on=date(2026, 3, 1))
    a_payment(db, row.id, due_on, state=state, period_end_on=due_on)
    done = put_all(db, replace(GOOD, plan="Silver"))
    assert (f"{due_on} will not be charged: its payment is {state}" in done.told[0]) == said


@pytest.mark.parametrize("interval", [Interval(1, Unit.DAY), MONTHLY])
def test_an_interval_that_becomes_a_year_is_reminded_of_as_a_year_is(
    db: Database, interval: Interval
) -> None:
    coming = replace(GOOD, starts_on=date(2026, 6, 1), interval=interval)
    known(db, coming)
    yearly = Interval(1, Unit.YEAR)
    put_all(db, replace(coming, interval=yearly))
    row = subscription_of(db)
    assert row.next_due_on == date(2026, 6, 1)
    assert row.next_remind_on == first_reminder_on(yearly, date(2026, 6, 1), REMINDERS)


# -- days that are charged -----------------------------------------------------------------------------


def billed(db: Database) -> Any:
    """February is charged; the next period is due on 1 March."""
    row = known(db, next_period=1, next_due_on=date(2026, 3, 1))
    a_payment(db, row.id, TODAY, state="open", period_end_on=date(2026, 2, 28))
    return row


def test_new_terms_begin_behind_what_is_charged(db: Database) -> None:
    billed(db)
    put_all(db, replace(GOOD, interval=Interval(1, Unit.WEEK)))
    row = subscription_of(db)
    assert row.next_due_on == date(2026, 3, 1)
    assert terms_of(row).due_on(row.next_period) == row.next_due_on


def test_a_period_inside_charged_days_is_refused_and_the_others_of_the_batch_are_put(db: Database) -> None:
    before = billed(db)
    again = replace(GOOD, bill_from=TODAY + 9 * DAY, interval=Interval(1, Unit.DAY), line=7)
    done = put_all(db, again, replace(GOOD, reference="new"))
    assert done.added == ["new"]
    (fault,) = done.faults
    assert fault.startswith("line 7, column bill_from: ")
    assert place_of(again) == "line 7, column bill_from"
    assert subscription_of(db) == before
    assert lines_of(db) == []


def test_a_day_is_charged_twice_by_permission_alone_and_it_is_said(db: Database) -> None:
    billed(db)
    again = replace(GOOD, bill_from=TODAY + 9 * DAY, interval=Interval(1, Unit.DAY))
    done = put_all(db, again, rules=replace(RULES, allow_overlap=True))
    assert done.faults == []
    assert "already charged will be charged again, as you allowed" in done.told[0]
    assert subscription_of(db).next_due_on == TODAY + 9 * DAY


def test_what_a_pause_passed_over_is_not_billed_by_new_terms(db: Database) -> None:
    known(db, next_period=6, next_due_on=date(2026, 8, 1))
    put_all(db, replace(GOOD, interval=Interval(1, Unit.WEEK)))
    due = subscription_of(db).next_due_on
    assert due is not None
    assert due > date(2026, 7, 1)


# -- the status that somebody gave it ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "status", "next_due_on"),
    [
        ({"status": "paused"}, "paused", TODAY),
        ({"status": "cancelled", "next_due_on": None, "cancel_on": TODAY}, "cancelled", None),
        ({"cancel_on": date(2026, 3, 1), "next_remind_on": None}, "active", TODAY),
    ],
)
def test_a_change_keeps_the_status_and_an_agreed_end(
    db: Database, changes: dict[str, Any], status: str, next_due_on: date | None
) -> None:
    before = known(db, **changes)
    put_all(db, replace(GOOD, amount=25_000_000))
    row = subscription_of(db)
    assert (row.status, row.next_due_on, row.amount_micros) == (status, next_due_on, 25_000_000)
    assert row.cancel_on == before.cancel_on


def test_what_ended_goes_on_once_its_end_is_moved(db: Database) -> None:
    short = replace(GOOD, ends_on=date(2026, 2, 27))
    known(db, short, status="ended", next_period=1, next_due_on=None, next_remind_on=None)
    put_all(db, short, replace(GOOD, reference="new"))
    assert subscription_of(db).status == "ended"
    put_all(db, replace(GOOD, ends_on=date(2026, 12, 31)))
    row = subscription_of(db)
    assert (row.status, row.next_period, row.next_due_on) == ("active", 1, date(2026, 3, 1))
    assert row.next_remind_on == first_reminder_on(MONTHLY, date(2026, 3, 1), REMINDERS)
    assert len(rows_of(db, table)) == 2


def test_after_a_resumption_no_interval_bills_the_pause(db: Database) -> None:
    """A yearly subscription was paused for months, and becomes a monthly one afterwards."""
    yearly = replace(GOOD, interval=Interval(1, Unit.YEAR), starts_on=date(2025, 1, 20))
    resumed_on = date(2025, 12, 10)
    known(db, yearly, next_period=1, next_due_on=date(2026, 1, 20), resumed_on=resumed_on)
    put_all(db, replace(yearly, interval=MONTHLY), rules=replace(RULES, today=date(2025, 12, 11)))
    assert subscription_of(db).next_due_on == date(2025, 12, 20)


@pytest.mark.parametrize(
    ("interval", "amount"), [(MONTHLY, 25_000_000), (Interval(1, Unit.YEAR), 19_900_000)]
)
def test_a_price_is_that_of_a_period_and_those_of_another_length_keep_theirs(
    db: Database, interval: Interval, amount: int
) -> None:
    row = known(db, next_period=1, next_due_on=TODAY + timedelta(days=28))
    payment = a_payment(db, row.id, state="held", amount_micros=19_900_000, cause="over the limit")
    done = put_all(db, replace(GOOD, amount=25_000_000, interval=interval))
    (stored,) = rows_of(db, payments)
    assert (stored.id, stored.amount_micros) == (payment, amount)
    keeps = f"the held payment due {TODAY} keeps 19.90 USDC: its period is of the interval before"
    assert (keeps in done.told[0]) == (interval != MONTHLY)


def test_a_rejected_payment_ends_before_the_first_period_of_a_new_calendar(db: Database) -> None:
    """If it is sent after all, no day is charged twice."""
    row = known(db, next_period=1, next_due_on=TODAY + timedelta(days=31))
    end = TODAY + timedelta(days=30)
    a_payment(db, row.id, state="rejected", cause="HTTP 403", period_end_on=end)
    done = put_all(db, replace(GOOD, interval=Interval(30, Unit.DAY)))
    next_on = subscription_of(db).next_due_on
    assert next_on is not None
    assert next_on <= end
    (stored,) = rows_of(db, payments)
    last_on = next_on - timedelta(days=1)
    assert stored.period_end_on == last_on
    told = f"the rejected payment due {TODAY} covers the days until {last_on}, no longer until {end}"
    assert told in done.told[0]


@pytest.mark.parametrize("dialect", ["postgresql"], indirect=True)
def test_an_import_waits_for_whoever_changes_the_subscription_and_then_sees_it(db: Database) -> None:
    """A cancellation that is committed while an import waits is not taken back by it."""
    row = known(db)
    with ThreadPoolExecutor(1) as pool:
        with db.transaction() as tx:
            cancelled = cancel(tx, ACTOR, LATER, TODAY, row, "")
            assert cancelled is not None
            importing = pool.submit(put_all, db, replace(GOOD, amount=25_000_000))
            waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
            while not tx.execute(waiting).scalar_one():
                assert not importing.done()
                sleep(0.01)
        importing.result()
    after = subscription_of(db)
    assert (after.status, after.next_due_on, after.amount_micros) == ("cancelled", None, 25_000_000)
