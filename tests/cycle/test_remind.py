"""Reminders in a cycle: missed ones, and offsets that change."""

from __future__ import annotations

from tests.support.business import Business


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
