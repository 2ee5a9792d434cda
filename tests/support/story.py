"""A business lived through day by day: what the mailbox got on each."""

from __future__ import annotations

from datetime import date, timedelta

from tests.support.business import Business


class Story:
    """Lives one day after the other and keeps what the mailbox got on each."""

    def __init__(self, business: Business, first_day: str, reference: str = "ada") -> None:
        self.business = business
        self.reference = reference
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
        self.mailbox = [n["dedupe_key"].replace(f".{self.reference}", "") for n in sent]
        self.new_mail = self.mailbox[known:]

    def pay(self, due_on: str) -> None:
        (payment,) = (p for p in self.business.payments() if p["due_on"] == due_on)
        self.business.sandbox.pay(payment["remote_id"])

    def state_of(self, due_on: str) -> str:
        return next(str(p["state"]) for p in self.business.payments() if p["due_on"] == due_on)
