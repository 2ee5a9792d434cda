"""Dunning day by day through the real program: the mailbox holds exactly the expected mails, in order."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from datetime import date
from typing import Any

import pytest

from billing.app import decisions
from billing.app.runtime import utc_now
from tests.support.business import Business
from tests.support.story import Story

HEADER = "reference,plan,name,email,amount,interval,starts_on,bill_from"
NewBusiness = Callable[..., Business]


def of_kind(mail: list[str], *kinds: str) -> list[str]:
    return [key for key in mail if key.partition(".")[0] in kinds]


def dunning(mail: list[str]) -> list[str]:
    """What dunning sends, without the ordinary mail."""
    return of_kind(
        mail, "payment_overdue", "subscription_paused", "subscription_resumed", "subscription_cancelled"
    )


def status_of(business: Business, reference: str = "ada") -> str:
    with business.store() as db, db.read() as tx:
        return decisions.find_subscription(tx, reference).status


def facts_of(business: Business, key: str) -> dict[str, Any]:
    database = business.folder / "var" / "billing.db"
    (facts,) = sqlite3.connect(database).execute("SELECT facts FROM notices WHERE dedupe_key = ?", (key,))
    found: dict[str, Any] = json.loads(facts[0])
    return found


def test_a_subscription_that_was_imported_late_has_the_whole_ladder(business: Business) -> None:
    """Finding 11: charged a month late, it is not paused on the next day."""
    business.subscribe("ada,Gold,Ada,ada@example.com,19.90,1 month,2026-10-26")
    story = Story(business, "2026-11-25")

    story.live_through("2026-12-18")

    assert [key for key in dunning(story.mailbox) if "2026-10-26" in key] == [
        "payment_overdue.2026-10-26.d1",
        "payment_overdue.2026-10-26.d3",
        "payment_overdue.2026-10-26.d7",
        "payment_overdue.2026-10-26.d14",
        "subscription_paused.2026-10-26",
    ]
    assert len(of_kind(story.mailbox, "subscription_paused")) == 1
    assert facts_of(business, "payment_overdue.ada.2026-10-26.d14") == {
        "step": 4,
        "steps": 4,
        "asked_on": "2026-11-25",
        "last_on": "2026-12-02",
    }


def test_several_that_are_overdue_on_one_day_make_one_mail_and_one_pause(new_business: NewBusiness) -> None:
    business = new_business(cycle__catch_up_limit=3)
    business.subscribe("ada,Gold,Ada,ada@example.com,19.90,10 days,2026-02-01")
    story = Story(business, "2026-02-22")

    story.live_through("2026-03-02")
    assert dunning(story.mailbox) == [
        "payment_overdue.2026-02-01.d1",
        "payment_overdue.2026-02-01.d3",
        "payment_overdue.2026-02-01.d7",
    ]
    last = business.mails()[business.mail_names().index("payment_overdue.ada.2026-02-01.d7")]
    body = last.get_body(("plain",))
    assert body is not None
    for payment in business.payments():
        if payment["due_on"] < "2026-03-01":
            assert payment["marker"] in body.get_content()

    story.live_through("2026-03-03")
    assert dunning(story.new_mail) == ["subscription_paused.2026-02-01"]
    assert [p["state"] for p in business.payments()][:3] == ["uncollectible"] * 3


@pytest.mark.parametrize(
    ("interval", "keys", "paused_on"),
    [
        ("1 week", ["2026-02-02.d1", "2026-02-02.d3"], "2026-02-09"),
        ("1 day", ["2026-02-02.d1", "2026-02-03.d1", "2026-02-02.d3"], "2026-02-09"),
        ("10 days", ["2026-02-02.d1", "2026-02-02.d3", "2026-02-02.d7"], "2026-02-11"),
    ],
)
def test_a_short_period_ends_in_a_pause_after_a_week_and_the_period_of_that_day_is_not_charged(
    business: Business, interval: str, keys: list[str], paused_on: str
) -> None:
    business.subscribe(f"ada,Gold,Ada,ada@example.com,19.90,{interval},2026-02-02")
    story = Story(business, "2026-02-02")

    while story.today <= date.fromisoformat(paused_on):
        story.live_through(story.today.isoformat())
        assert len(dunning(story.new_mail)) <= 1

    overdue = of_kind(story.mailbox, "payment_overdue")
    assert overdue[: len(keys)] == [f"payment_overdue.{key}" for key in keys]
    assert status_of(business) == "paused"
    assert story.new_mail[-1] == "subscription_paused.2026-02-02"
    assert not any(due == paused_on for _, due in business.due_dates(live=False))


def test_whoever_pays_what_led_to_the_pause_goes_on_and_is_told(business: Business) -> None:
    """Finding 12. What the pause held back is charged if it covers the day."""
    business.subscribe("ada,Gold,Ada,ada@example.com,19.90,1 week,2026-02-02")
    story = Story(business, "2026-02-02")
    story.live_through("2026-02-09")
    held = business.payments()[1]
    assert (held["due_on"], held["state"]) == ("2026-02-09", "held")

    story.live_through("2026-02-10")
    assert story.new_mail == []
    story.pay("2026-02-02")
    story.live_through("2026-02-11")

    assert status_of(business) == "active"
    assert [key.partition(".")[0] for key in story.new_mail] == [
        "payment_received",
        "subscription_resumed",
        "payment_created",
    ]
    assert story.state_of("2026-02-09") == "open"
    story.live_through("2026-02-16")
    assert business.due_dates() == [("Gold", day) for day in ("2026-02-02", "2026-02-09", "2026-02-16")]


def test_what_was_held_back_and_is_over_when_the_pause_ends_is_void(business: Business) -> None:
    business.subscribe("ada,Gold,Ada,ada@example.com,19.90,1 week,2026-02-02")
    story = Story(business, "2026-02-02")
    story.live_through("2026-02-20")
    story.pay("2026-02-02")
    story.live_through("2026-02-23")

    assert story.state_of("2026-02-09") == "void"
    assert business.due_dates() == [("Gold", "2026-02-02"), ("Gold", "2026-02-23")]


def test_only_when_all_that_led_to_the_pause_is_paid_it_ends(new_business: NewBusiness) -> None:
    business = new_business(cycle__catch_up_limit=1)
    business.subscribe("ada,Gold,Ada,ada@example.com,19.90,1 month,2026-01-01")
    story = Story(business, "2026-02-02")
    story.live_through("2026-02-23")
    assert status_of(business) == "paused"

    story.pay("2026-01-01")
    story.live_through("2026-02-24")
    assert status_of(business) == "paused"
    assert of_kind(story.new_mail, "subscription_resumed") == []
    story.pay("2026-02-01")
    story.live_through("2026-02-25")
    assert status_of(business) == "active"
    assert len(of_kind(story.new_mail, "subscription_resumed")) == 1


def test_who_would_rather_be_asked_is_asked(new_business: NewBusiness) -> None:
    business = new_business(dunning__when_paid="ask")
    business.subscribe("ada,Gold,Ada,ada@example.com,19.90,1 month,2026-02-01")
    story = Story(business, "2026-02-01")
    story.live_through("2026-02-22")
    story.pay("2026-02-01")
    story.live_through("2026-02-24")

    assert status_of(business) == "paused"
    assert dunning(story.new_mail) == []
    said = business.billing("status")
    assert said.returncode == 1
    assert "billing subscriptions resume ada" in said.stdout


def test_a_pause_of_a_person_does_not_end_by_itself(business: Business) -> None:
    business.subscribe("ada,Gold,Ada,ada@example.com,19.90,1 month,2026-02-01")
    story = Story(business, "2026-02-01")
    story.live_through("2026-02-02")
    with business.store() as db:
        decisions.pause(db, "ada", utc_now(), "she asked")
    story.live_through("2026-02-23")
    assert dunning(story.new_mail)[-1] == "payment_overdue.2026-02-01.d14"
    assert of_kind(story.new_mail, "subscription_paused")[1:] == []

    story.pay("2026-02-01")
    story.live_through("2026-02-24")
    assert status_of(business) == "paused"


def test_a_cancellation_that_is_under_way_is_left_alone(business: Business) -> None:
    """Finding 18."""
    business.subscribe("ada,Gold,Ada,ada@example.com,19.90,1 month,2026-02-01")
    story = Story(business, "2026-02-01")
    story.live_through("2026-02-02")
    with business.store() as db:
        last = decisions.cancel(db, "ada", utc_now(), story.today, "", at_period_end=True)
    assert last == date(2026, 2, 28)
    story.live_through("2026-03-02")

    assert of_kind(story.mailbox, "subscription_paused") == []
    assert len(of_kind(story.mailbox, "subscription_cancelled")) == 1
    assert story.state_of("2026-02-01") == "uncollectible"
    assert status_of(business) == "cancelled"


def test_nobody_is_paused_while_the_mail_server_is_down(new_business: NewBusiness) -> None:
    business = new_business(mail__transport="smtp", mail__smtp_host="127.0.0.1", mail__smtp_port=9)
    business.subscribe("ada,Gold,Ada,ada@example.com,19.90,1 month,2026-02-01")
    for day in ("2026-02-01", "2026-02-02", "2026-02-15", "2026-02-22", "2026-02-23", "2026-03-01"):
        business.run(day)

    assert status_of(business) == "active"
    assert business.payments()[0]["state"] == "open"


def test_after_weeks_of_silence_a_first_notice_goes_out_and_the_action_waits_a_day(
    business: Business,
) -> None:
    business.subscribe("ada,Gold,Ada,ada@example.com,19.90,1 month,2026-02-01")
    business.run("2026-02-01")
    story = Story(business, "2026-02-26")
    story.live_through("2026-02-26")
    assert dunning(story.new_mail) == ["payment_overdue.2026-02-01.d25"]
    assert status_of(business) == "active"
    story.live_through("2026-02-27")
    assert dunning(story.new_mail) == ["subscription_paused.2026-02-01"]


def test_a_small_number_of_the_operator_s_is_honoured_and_still_told_first(new_business: NewBusiness) -> None:
    business = new_business(dunning__days_after="3", dunning__final_after_days="2")
    business.subscribe("ada,Gold,Ada,ada@example.com,19.90,1 month,2026-02-01")
    story = Story(business, "2026-02-01")
    story.live_through("2026-02-05")
    assert dunning(story.mailbox) == ["payment_overdue.2026-02-01.d2", "subscription_paused.2026-02-01"]


def test_who_pays_on_the_day_of_the_final_action_is_charged_for_the_next_period_at_once(
    business: Business,
) -> None:
    business.subscribe("ada,Gold,Ada,ada@example.com,19.90,1 week,2026-02-02")
    story = Story(business, "2026-02-02")
    story.live_through("2026-02-08")
    story.pay("2026-02-02")
    story.live_through("2026-02-09")

    assert status_of(business) == "active"
    assert business.due_dates() == [("Gold", "2026-02-02"), ("Gold", "2026-02-09")]


def test_kept_subscriptions_go_on_and_are_told_no_more(new_business: NewBusiness) -> None:
    business = new_business(dunning__final_action="keep")
    business.subscribe("ada,Gold,Ada,ada@example.com,19.90,1 month,2026-02-01")
    story = Story(business, "2026-02-01")
    story.live_through("2026-03-01")
    assert status_of(business) == "active"
    assert business.due_dates() == [("Gold", "2026-02-01"), ("Gold", "2026-03-01")]
    assert dunning(story.new_mail)[-1] == "payment_overdue.2026-02-01.d14"


def test_the_mail_about_a_pause_is_no_overdue_notice_of_another_payment(business: Business) -> None:
    business.subscribe("ada,Gold,Ada,ada@example.com,19.90,3 weeks,2026-01-20")
    for day in ("2026-02-09", "2026-02-10", "2026-03-01"):  # an outage between the last two
        business.run(day)
    assert dunning(business.mail_names()) == [
        "payment_overdue.ada.2026-01-20.d1",
        "subscription_paused.ada.2026-01-20",
    ]
    assert business.billing("subscriptions", "resume", "ada").returncode == 0

    for day in ("2026-03-02", "2026-03-03"):
        business.run(day)
    assert of_kind(business.mail_names(), "payment_overdue", "subscription_paused") == [
        "payment_overdue.ada.2026-01-20.d1",
        "payment_overdue.ada.2026-02-10.d20",
        "subscription_paused.ada.2026-01-20",
        "subscription_paused.ada.2026-02-10",
    ]


def test_who_pays_after_the_last_period_has_ended(business: Business) -> None:
    """There is nothing left to go on with, and nothing for a person to do."""
    business.subscribe(
        "ada,Gold,Ada,ada@example.com,19.90,2 weeks,2026-02-02,2026-02-03",
        header="reference,plan,name,email,amount,interval,starts_on,ends_on",
    )
    story = Story(business, "2026-02-02")
    story.live_through("2026-02-16")
    assert status_of(business) in ("paused", "ended")
    story.pay("2026-02-02")
    story.live_through("2026-02-17")
    assert status_of(business) == "ended"
    assert business.billing("status").returncode == 0
