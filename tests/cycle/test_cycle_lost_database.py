"""All is lost but the CSV and what stands at Mileston: a new database charges nobody again."""

import shutil
from collections import Counter

import pytest

from tests.support.business import Business

ROWS = [f"member-{n},Gold,Member {n},member{n}@example.com,19.90,1 month,2026-03-01" for n in range(6)]
NEW = "newcomer,Gold,New Comer,new@example.com,19.90,1 month,2026-03-01"


@pytest.fixture
def lost(business: Business) -> Business:
    """A business that charged in March, and whose machine is gone."""
    business.subscribe(*ROWS)
    assert business.run("2026-03-01").created == len(ROWS)
    shutil.rmtree(business.folder / "var")
    return business


def states(business: Business) -> Counter[str]:
    return Counter(payment["state"] for payment in business.payments())


def test_what_the_lost_database_charged_is_found_and_the_rest_is_charged(lost: Business) -> None:
    before = {record["id"] for record in lost.remote()}
    lost.subscribe(*ROWS, NEW)

    first = lost.run("2026-03-01")
    assert (first.due, first.adopted, first.unknown, first.created) == (7, 6, 1, 0)
    assert {record["id"] for record in lost.remote()} == before
    assert "this database believes unsent" in lost.billing("explain", "newcomer", "2026-03-01").stdout
    assert "database_lost" in lost.billing("events", "export").stdout

    reports = [lost.run("2026-03-01") for _ in range(3)]
    assert sum(report.created for report in reports) == 1
    assert all(report.conserved() for report in reports)
    assert states(lost) == {"open": 7}
    assert len(lost.remote()) == 7
    assert before < {record["id"] for record in lost.remote()}

    assert lost.run("2026-04-01").created == 7  # and from then on it is a database like any other


def test_a_new_plan_of_the_same_business_is_charged_at_once(lost: Business) -> None:
    lost.subscribe(NEW)
    report = lost.run("2026-03-01")
    assert (report.created, report.outcome) == (1, "ok")


def test_a_period_of_the_past_that_was_charged_is_adopted_and_not_held(lost: Business) -> None:
    """March was charged; the machine was gone until May, when March is over the catch-up limit."""
    lost.subscribe(*ROWS)
    first = lost.run("2026-05-01")
    assert (first.created, first.adopted, first.held) == (0, len(ROWS), 0)
    for _ in range(4):
        lost.run("2026-05-01")
    assert states(lost) == {"open": 3 * len(ROWS)}
    assert len(lost.remote()) == 3 * len(ROWS)


def test_a_list_longer_than_a_page_is_read_to_its_end(lost: Business) -> None:
    lost.environ["BILLING_RECONCILE__PAGE_SIZE"] = "2"
    lost.subscribe(ROWS[0], ROWS[-1])
    assert lost.run("2026-03-01").created == 0
    assert len(lost.remote()) == len(ROWS)


def test_a_list_that_cannot_be_read_stops_no_new_business(business: Business) -> None:
    business.subscribe(*ROWS)
    business.sandbox.faults(**{"list.500": 1})
    report = business.run("2026-03-01")
    assert (report.created, report.outcome) == (len(ROWS), "ok")
    told = [line for line in business.billing("events", "export").stdout.splitlines() if "first_look" in line]
    assert len(told) == 1
    assert "500" in told[0]
