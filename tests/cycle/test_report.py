"""The report of a run: whether its counts add up, and what it is called in the end."""

from __future__ import annotations

from datetime import date

import pytest

from billing.cycle.report import Report

ENDS = ("created", "adopted", "not_sent", "rejected", "unknown", "held")


def a_report(**counts: int) -> Report:
    report = Report("run-1", date(2026, 3, 1))
    for name, count in counts.items():
        setattr(report, name, count)
    return report


def test_a_run_conserves_what_was_due() -> None:
    assert a_report(due=21, **{name: n for n, name in enumerate(ENDS, start=1)}).conserved()


@pytest.mark.parametrize("end", ENDS)
def test_a_payment_that_is_counted_nowhere_or_twice_shows(end: str) -> None:
    assert not a_report(due=1).conserved()
    assert a_report(due=1, **{end: 1}).conserved()
    assert not a_report(due=1, **{end: 2}).conserved()


def test_the_outcome_is_the_worst_that_happened() -> None:
    report = a_report(due=1, created=1)
    assert report.outcome == "ok"
    report.notices_failed = 1
    assert report.outcome == "ok"  # whether it still waits for a person, its row says
    report.mail_needs_a_person = 1
    assert report.outcome == "attention"
    report.stopped = "the API refused the key"
    assert report.outcome == "stopped"


@pytest.mark.parametrize("trouble", ["needs_a_person", "mail_needs_a_person", "not_sent"])
def test_what_is_left_over_is_never_ok(trouble: str) -> None:
    assert a_report(**{trouble: 1}).outcome == "attention"


def test_a_problem_of_a_whole_step_is_never_ok() -> None:
    report = a_report()
    report.problems.append("the list could not be read")
    assert report.outcome == "attention"
    assert report.to_json()["problems"] == ["the list could not be read"]


def test_amounts_are_decimal_strings() -> None:
    document = a_report(amount_created_micros=19_900_000).to_json()
    assert (document["amount_created"], document["as_of"]) == ("19.90", "2026-03-01")
