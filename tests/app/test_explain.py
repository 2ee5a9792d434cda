"""`billing explain REF [DATE]`: every reason in a plain sentence, with its time."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import date, timedelta

import pytest

from billing.app import decisions
from billing.app.explain import Explanation, explain
from billing.app.runtime import utc_now
from billing.core.event_text import sentence_of
from billing.errors import UsageError
from tests.support.business import HEADER, Business
from tests.support.nursery import Finished

FULL = f"{HEADER},bill_from,ends_on"
START = date(2026, 3, 1)


@pytest.fixture
def monthly(business: Business) -> Business:
    business.subscribe(f"ada,Gold,Ada,ada@example.com,19.90,1 month,{START}")
    return business


def why(
    business: Business, day: date | str, reference: str = "ada", today: date | None = None
) -> Explanation:
    at = day if isinstance(day, date) else date.fromisoformat(day)
    with business.store() as db, db.read() as tx:
        return explain(tx, business.config, reference, at, today or utc_now().date())


def test_a_payment_that_was_made_with_every_step_and_its_time(monthly: Business) -> None:
    monthly.run(START)
    (record,) = monthly.remote()
    told = why(monthly, START).billing

    assert (
        told[0] == "A payment of 19.90 USDC was due for the period from 2026-03-01 to 2026-03-31 (payment 1)."
    )
    assert any("payment 1 was planned, due 2026-03-01" in sentence for sentence in told)
    assert any("attempt 1 to create it was made: created, HTTP 201." in sentence for sentence in told)
    assert any(record["id"] in sentence for sentence in told)
    assert told[-1] == "It exists at Mileston and is not paid yet."
    assert all(re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d: ", sentence) for sentence in told[1:-1])


def test_a_payment_that_was_paid_late_after_dunning(monthly: Business) -> None:
    monthly.run(START)
    monthly.run(START + timedelta(days=3))
    monthly.sandbox.pay(monthly.remote()[0]["id"])
    monthly.run(START + timedelta(days=4))

    assert any("found to be paid" in sentence for sentence in why(monthly, START).billing)
    (overdue,) = why(monthly, START + timedelta(days=3)).dunning
    assert overdue.startswith("The payment due on 2026-03-01 had been unpaid for 3 days")
    assert "the overdue notice of day 3 was queued" in overdue
    assert "and sent at" in overdue
    (paid,) = why(monthly, START + timedelta(days=4)).dunning
    assert "it was paid at" in paid
    assert why(monthly, START + timedelta(days=5)).dunning == ("Nothing was overdue.",)


def test_a_day_between_the_steps_of_dunning_and_its_end(monthly: Business) -> None:
    monthly.run(START)
    monthly.run(START + timedelta(days=1))
    monthly.run(START + timedelta(days=21))
    (between,) = why(monthly, START + timedelta(days=2)).dunning
    (end,) = why(monthly, START + timedelta(days=21)).dunning
    (missed,) = why(monthly, START + timedelta(days=14)).dunning
    (after,) = why(monthly, START + timedelta(days=25)).dunning

    assert "no step falls on that day; the steps are the days 1, 3, 7, 14, then 'pause' on day 21." in between
    assert "dunning ended at" in end
    assert end.endswith("with its last step: pause.")
    assert "no cycle could read its status that day" in missed
    assert "dunning had ended" in after


@pytest.mark.parametrize(
    ("bill_from", "ends_on", "day", "words"),
    [
        ("", "", "2026-02-01", "its first period begins on 2026-03-01"),
        ("", "", "2026-03-17", "every month; the nearest are 2026-03-01 and 2026-04-01"),
        ("2026-05-01", "", "2026-04-01", "nothing before 2026-05-01 is billed"),
        ("", "2026-04-15", "2026-05-01", "the subscription ended on 2026-04-15"),
        ("", "", "2999-03-01", "It is not due yet"),
        ("", "", "2026-03-01", "no cycle has planned it yet: none has run yet"),
    ],
)
def test_why_nothing_was_billed(
    business: Business, bill_from: str, ends_on: str, day: str, words: str
) -> None:
    business.subscribe(f"ada,P,N,a@example.com,5,1 month,{START},{bill_from},{ends_on}", header=FULL)
    (told,) = why(business, day).billing
    assert words in told


def test_days_are_counted_over_month_ends_and_the_change_of_clocks(business: Business) -> None:
    business.subscribe("ada,P,N,a@example.com,5,1 month,2026-01-31")
    business.run("2026-01-31")
    (told,) = why(business, "2026-03-01").billing
    assert "the nearest are 2026-02-28 and 2026-03-31" in told
    (unpaid,) = why(business, "2026-03-30").dunning
    assert unpaid.startswith("The payment due on 2026-01-31 had been unpaid for 58 days: dunning had ended")
    (next_day,) = why(business, "2026-02-01", today=date(2026, 1, 31)).dunning
    assert "will have been unpaid, if nothing arrives, for 1 day: a step falls on that day" in next_day
    (later,) = why(business, "2026-03-30", today=date(2026, 1, 31)).dunning
    assert "for 58 days: dunning will have ended; the steps are the days 1, 3, 7, 14" in later


def test_a_cycle_that_did_not_run_that_far(monthly: Business) -> None:
    monthly.run(START)
    (told,) = why(monthly, "2026-04-01").billing
    assert "the last one was for 2026-03-01. Start one with `billing run-once`." in told


def test_a_pause_and_who_asked_for_it(monthly: Business) -> None:
    with monthly.store() as db:
        decisions.pause(db, "ada", utc_now(), "on holiday")
    paused_on = utc_now().date()
    due = date(paused_on.year + 1, 3, 1)
    (told,) = why(monthly, due).billing
    found = why(monthly, paused_on)

    assert "the subscription was paused at" in told
    assert ", by " in told
    assert any("the subscription was paused: on holiday, by " in line for line in found.log)


def test_a_period_that_a_resumed_subscription_left_out(monthly: Business) -> None:
    with monthly.store() as db:
        decisions.pause(db, "ada", utc_now(), "")
        decisions.resume(db, "ada", utc_now(), date(2026, 6, 10), monthly.config.settings, "")
    (told,) = why(monthly, "2026-04-01").billing
    assert "it was already past when the subscription was imported or resumed" in told
    assert "2026-07-01 as the next due date" in told


def test_a_cancelled_subscription(monthly: Business) -> None:
    with monthly.store() as db:
        decisions.cancel(db, "ada", utc_now(), START + timedelta(days=3), "", at_period_end=False)
    (told,) = why(monthly, "2026-05-01").billing
    assert "cancelled from 2026-03-04 on" in told


def test_held_refused_and_unknown_payments_say_what_they_wait_for(
    new_business: Callable[..., Business],
) -> None:
    held = new_business(cycle__max_payments_per_run="0")
    lost = new_business()
    for each in (held, lost):
        each.subscribe(f"ada,P,N,a@example.com,5,1 month,{START}")
    held.run(START)
    lost.sandbox.script("cut_after_commit")
    lost.run(START)

    assert (
        why(held, START)
        .billing[-1]
        .startswith("It is held, and waits for a person: over the safety limit cycle.max_payments")
    )
    told = why(lost, START).billing
    assert told[-1].startswith("It is not known whether it exists at Mileston")
    lost.run(START)
    assert any(
        "was found at Mileston after its answer was lost" in sentence for sentence in why(lost, START).billing
    )


def test_a_reminder_that_went_out_and_one_that_was_not_due(monthly: Business) -> None:
    monthly.run(START - timedelta(days=3))
    (told,) = why(monthly, START - timedelta(days=3)).reminders
    (none,) = why(monthly, START - timedelta(days=5)).reminders

    assert told.startswith("A reminder of the payment due on 2026-03-01 was queued 3 days ahead at ")
    assert "and sent at" in told
    assert none == "No reminder was due: none of the days 7, 3, 1 before a due date falls on this one."


@pytest.mark.parametrize(
    ("settings", "offset", "words"),
    [
        ({"reminders__days_before": "[]"}, 3, "Reminders are switched off"),
        ({}, 7, "no cycle ran that day"),
        ({}, 1, "one was queued at"),
    ],
)
def test_why_nobody_was_reminded(
    new_business: Callable[..., Business], settings: dict[str, str], offset: int, words: str
) -> None:
    business = new_business(**settings)
    business.subscribe(f"ada,P,N,a@example.com,5,1 month,{START}")
    if offset == 1:
        business.run(START - timedelta(days=3))
    (told,) = why(business, START - timedelta(days=offset)).reminders
    assert words in told


def test_times_are_in_the_business_zone(new_business: Callable[..., Business]) -> None:
    business = new_business(business__timezone="Pacific/Kiritimati")
    business.subscribe(f"ada,P,N,a@example.com,5,1 month,{START}")
    business.run(START)
    found = why(business, START)
    hour = f"{(utc_now() + timedelta(hours=14)):%Y-%m-%d}"
    assert found.zone == "Pacific/Kiritimati"
    assert any(sentence.startswith(hour) for sentence in found.billing)


def test_the_command_prints_pages_and_json(monthly: Business, billing: Callable[..., Finished]) -> None:
    monthly.run(START)
    page = billing(monthly, "explain", "ada", str(START))
    document = json.loads(billing(monthly, "explain", "ada", str(START), "--json").stdout)
    unknown = billing(monthly, "explain", "adaa")

    for words in (
        " days ago (times are in UTC)",
        "Billing\n",
        "Reminders\n",
        "Dunning\n",
        "Events of that day",
    ):
        assert words in page.stdout
    assert document.keys() == {
        "reference",
        "date",
        "timezone",
        "terms",
        "billing",
        "reminders",
        "dunning",
        "log",
    }
    assert "example.com" not in page.stdout
    assert (unknown.returncode, "the nearest are: ada" in unknown.stderr) == (2, True)


def test_an_unknown_reference_is_refused(monthly: Business) -> None:
    with pytest.raises(UsageError):
        why(monthly, START, "nobody")


def test_every_action_of_the_log_has_its_sentence() -> None:
    """An action that nobody put into words is shown as it is, braces and all."""
    assert sentence_of("paid", "", "payment 7") == "payment 7 was found to be paid"
    assert sentence_of("held", "", "payment 7") == "payment 7 was held"
    assert sentence_of("brand_new", "a {detail}", "payment 7") == "payment 7: brand new: a {detail}"
