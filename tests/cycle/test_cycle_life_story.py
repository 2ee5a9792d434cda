"""A subscription's whole life, day by day; the mailbox holds exactly the expected mails, in order."""

from __future__ import annotations

from datetime import date, timedelta

from billing.app import decisions
from billing.app.runtime import utc_now
from tests.support.business import Business


class Story:
    """Lives one day after the other and keeps what the mailbox got on each."""

    def __init__(self, business: Business, first_day: str) -> None:
        self.business = business
        self.today = date.fromisoformat(first_day)
        self.mailbox: list[str] = []

    def live_through(self, last_day: str) -> None:
        """A cycle for each day up to and including `last_day`."""
        days = (date.fromisoformat(last_day) - self.today).days + 1
        for report in self.business.run_days(self.today, days):
            assert report.conserved()
            assert not report.problems
        self.today += timedelta(days=days)
        known = len(self.mailbox)
        sent = [n for n in self.business.notices() if n["state"] == "sent"]
        assert len(sent) == len(self.business.mail_names())
        self.mailbox = [n["dedupe_key"].replace(".ada", "") for n in sent]
        self.new_mail = self.mailbox[known:]

    def pay(self, due_on: str) -> None:
        (payment,) = (p for p in self.business.payments() if p["due_on"] == due_on)
        self.business.sandbox.pay(payment["remote_id"])

    def state_of(self, due_on: str) -> str:
        return next(p["state"] for p in self.business.payments() if p["due_on"] == due_on)


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
    assert story.new_mail == [
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
    assert story.new_mail == ["subscription_cancelled"]

    assert business.due_dates(live=False) == [
        ("Gold", "2026-02-01"),
        ("Gold", "2026-03-01"),
        ("Gold", "2026-05-01"),
    ]


def test_overdue_steps_that_were_missed_collapse_into_the_latest(business: Business) -> None:
    business.subscribe("ada,Gold,Ada,ada@example.com,19.90,1 month,2026-02-01")
    for day in ("2026-02-01", "2026-02-10", "2026-02-11", "2026-02-15"):
        business.run(day)

    kinds = [n["dedupe_key"] for n in business.notices() if n["kind"] == "payment_overdue"]
    assert kinds == ["payment_overdue.ada.2026-02-01.d7", "payment_overdue.ada.2026-02-01.d14"]


def test_no_overdue_mail_while_the_api_can_not_be_read(business: Business) -> None:
    business.subscribe("ada,Gold,Ada,ada@example.com,19.90,1 month,2026-02-01")
    business.run("2026-02-01")
    business.sandbox.faults(**{"list.500": 1, "get.500": 1})
    blind = business.run("2026-02-03")
    assert [n["kind"] for n in business.notices()] == ["payment_created"]
    assert (blind.checked, blind.outcome) == (0, "attention")

    business.sandbox.faults()
    (payment,) = business.payments()
    business.sandbox.pay(payment["remote_id"])
    business.run("2026-02-03")
    assert [n["kind"] for n in business.notices()] == ["payment_created", "payment_received"]


def test_a_changed_policy_does_not_move_the_steps_of_a_payment_that_is_overdue(business: Business) -> None:
    business.subscribe("ada,Gold,Ada,ada@example.com,19.90,1 month,2026-02-01")
    business.run("2026-02-01")
    business.run("2026-02-02")
    business.environ["BILLING_DUNNING__DAYS_AFTER"] = "2, 4"
    business.environ["BILLING_DUNNING__FINAL_AFTER_DAYS"] = "5"
    for day in range(3, 10):
        business.run(f"2026-02-{day:02}")

    kinds = [n["dedupe_key"][-2:] for n in business.notices() if n["kind"] == "payment_overdue"]
    assert kinds == ["d1", "d3", "d7"]
    assert business.payments()[0]["state"] == "open"


def test_a_payment_that_a_person_deleted_at_mileston_needs_a_look_and_is_not_charged_again(
    business: Business,
) -> None:
    business.subscribe("ada,Gold,Ada,ada@example.com,19.90,1 month,2026-02-01")
    business.run("2026-02-01")
    (remote,) = business.remote()
    business.sandbox.delete(remote)

    report = business.run("2026-02-02")
    business.run("2026-02-03")

    (payment,) = business.payments()
    assert "no longer at Mileston" in payment["attention"]
    assert report.outcome == "attention"
    assert business.remote() == []
    assert [n["kind"] for n in business.notices()] == ["payment_created"]


def test_paid_and_then_unpaid_again_needs_a_look_and_nothing_else(business: Business) -> None:
    business.subscribe(
        "ada,Gold,Ada,ada@example.com,19.90,1 month,2026-02-01",
        "bob,Gold,Bob,bob@example.com,19.90,1 month,2026-02-01",
    )
    business.run("2026-02-01")
    ada, bob = business.payments()
    business.sandbox.pay(ada["remote_id"])
    business.run("2026-02-02")
    business.sandbox.ask("POST", f"unpay/{ada['remote_id']}")
    business.run("2026-02-03")

    ada, bob = business.payments()
    assert (ada["state"], bob["state"]) == ("paid", "open")
    assert "unpaid" in ada["attention"]
    assert len(business.remote(live=False)) == 2


def test_a_queued_notice_that_no_longer_holds_is_superseded(business: Business) -> None:
    from billing.cycle.deliver import deliver
    from billing.cycle.remind import remind

    business.subscribe("ada,Gold,Ada,ada@example.com,19.90,1 month,2026-02-08")
    business.run("2026-02-01", steps=(remind,))
    with business.store() as db:
        decisions.cancel(db, "ada", utc_now(), date(2026, 2, 1), "changed her mind", at_period_end=False)
    business.run("2026-02-01", steps=(deliver,))

    states = {n["kind"]: n["state"] for n in business.notices()}
    assert states == {"next_payment_due": "superseded", "subscription_cancelled": "sent"}
    assert business.mail_names() == ["subscription_cancelled.ada"]


def test_a_missed_reminder_is_not_sent_late_in_bulk(business: Business) -> None:
    business.subscribe("ada,Gold,Ada,ada@example.com,19.90,1 month,2026-02-08")
    business.run("2026-02-06")
    business.run("2026-02-06")
    business.run("2026-02-07")

    keys = [n["dedupe_key"] for n in business.notices()]
    assert keys == ["next_payment_due.ada.2026-02-08.d3", "next_payment_due.ada.2026-02-08.d1"]


def test_changed_reminder_offsets_hold_at_once_and_repeat_nothing(business: Business) -> None:
    business.subscribe("ada,Gold,Ada,ada@example.com,19.90,1 month,2026-02-15")
    business.run("2026-02-08")
    business.environ["BILLING_REMINDERS__DAYS_BEFORE"] = "10, 5"
    for day in range(8, 15):
        business.run(f"2026-02-{day:02}")

    keys = [n["dedupe_key"][-2:] for n in business.notices()]
    assert keys == ["d7", "d5"]
