"""Planning in a cycle: due periods become payments, within the catch-up limit."""

from __future__ import annotations

from tests.support.business import Business

TODAY = "2026-03-01"


def test_missed_periods_are_caught_up_to_the_limit_and_older_ones_wait(business: Business) -> None:
    business.subscribe("ada,Gold,Ada,ada@example.com,5,1 week,2026-02-01")

    report = business.run(TODAY)

    assert (report.due, report.created, report.held) == (5, 2, 3)
    assert [due for _, due in business.due_dates()] == ["2026-02-22", "2026-03-01"]
    assert report.outcome == "attention"
    states = {p["due_on"]: p["state"] for p in business.payments()}
    assert [day for day, state in states.items() if state == "held"] == [
        "2026-02-01",
        "2026-02-08",
        "2026-02-15",
    ]
