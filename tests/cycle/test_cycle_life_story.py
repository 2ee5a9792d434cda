"""A subscription's whole life, day by day; the mailbox holds exactly the expected mails, in order."""

from __future__ import annotations

from datetime import date

from billing.app import decisions
from billing.app.runtime import utc_now
from tests.support.business import Business
from tests.support.story import Story


def test_reminded_charged_paid_late_unpaid_paused_resumed_and_cancelled(business: Business) -> None:
    business.subscribe("ada,Gold,Ada Lovelace,ada@example.com,19.90,1 month,2026-02-01")
    story = Story(business, "2026-01-20")

    story.live_through("2026-02-01")
    assert story.new_mail == [
        "next_payment_due.2026-02-01.d7",
        "next_payment_due.2026-02-01.d3",
        "next_payment_due.2026-02-01.d1",
        "payment_created.2026-02-01",
    ]

    # Paid late, after two overdue mails.
    story.live_through("2026-02-04")
    assert story.new_mail == ["payment_overdue.2026-02-01.d1", "payment_overdue.2026-02-01.d3"]
    story.pay("2026-02-01")
    story.live_through("2026-02-20")
    assert story.new_mail == ["payment_received.2026-02-01"]
    assert story.state_of("2026-02-01") == "paid"

    # Charged again, and never paid.
    story.live_through("2026-03-01")
    assert story.new_mail == [
        "next_payment_due.2026-03-01.d7",
        "next_payment_due.2026-03-01.d3",
        "next_payment_due.2026-03-01.d1",
        "payment_created.2026-03-01",
    ]
    story.live_through("2026-04-09")
    assert story.new_mail == [
        "payment_overdue.2026-03-01.d1",
        "payment_overdue.2026-03-01.d3",
        "payment_overdue.2026-03-01.d7",
        "payment_overdue.2026-03-01.d14",
        "subscription_paused.2026-03-01",
    ]
    assert story.state_of("2026-03-01") == "uncollectible"

    # Resumed on the anchor's days; the pause is not billed.
    with business.store() as db:
        due = decisions.resume(db, "ada", utc_now(), story.today, business.config.settings, "she wrote to us")
    assert due == date(2026, 5, 1)
    story.live_through("2026-05-01")
    assert story.new_mail[0].startswith("subscription_resumed.")
    assert story.new_mail[1:] == [
        "next_payment_due.2026-05-01.d7",
        "next_payment_due.2026-05-01.d3",
        "next_payment_due.2026-05-01.d1",
        "payment_created.2026-05-01",
    ]
    story.pay("2026-05-01")
    # Crypto can always be paid late.
    story.pay("2026-03-01")
    story.live_through("2026-05-10")
    assert sorted(story.new_mail) == ["payment_received.2026-03-01", "payment_received.2026-05-01"]

    # Cancelled at the period's end: no reminder for a payment that will never come.
    with business.store() as db:
        last = decisions.cancel(db, "ada", utc_now(), story.today, "she moves", at_period_end=True)
    assert last == date(2026, 5, 31)
    story.live_through("2026-07-02")
    assert story.new_mail == ["subscription_cancelled.2026-05-31"]

    assert business.due_dates(live=False) == [
        ("Gold", "2026-02-01"),
        ("Gold", "2026-03-01"),
        ("Gold", "2026-05-01"),
    ]
