"""Faults that were found from outside, each as its smallest input, through the program over real sockets."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable

import pytest

from tests.support.business import Business

DAY = "2026-03-01"
ROWS = [f"member-{n},Gold,Member {n},member{n}@example.com,19.90,1 month,2026-03-01" for n in range(4)]
Make = Callable[..., Business]


def test_a_whole_folder_that_was_put_back_charges_nobody_again(business: Business) -> None:
    """Finding 2: the database and all that stands beside it are from before the cycle that charged."""
    business.subscribe(*ROWS)
    var, aside = business.folder / "var", business.folder / "aside"
    shutil.copytree(var, aside)
    assert business.run(DAY).created == len(ROWS)
    before = {record["id"] for record in business.remote()}
    shutil.rmtree(var)
    shutil.copytree(aside, var)

    report = business.run(DAY)

    assert (report.adopted, report.created) == (len(ROWS), 0)
    assert {record["id"] for record in business.remote(live=False)} == before
    assert {payment["state"] for payment in business.payments()} == {"open"}


@pytest.mark.parametrize(("on_unknown", "mailed"), [("hold", 0), ("resend", len(ROWS))])
def test_the_mail_of_a_payment_that_another_copy_made_may_have_gone_out_already(
    new_business: Make, on_unknown: str, mailed: int
) -> None:
    business = new_business(mail__on_unknown=on_unknown)
    business.subscribe(*ROWS)
    var, aside = business.folder / "var", business.folder / "aside"
    shutil.copytree(var, aside)
    business.run(DAY)
    shutil.rmtree(var)
    shutil.copytree(aside, var)

    report = business.run(DAY)

    created = [name for name in business.mail_names() if "payment_created" in name]
    assert len(created) == mailed
    assert (report.adopted, report.notices_held) == (len(ROWS), len(ROWS) - mailed)
    if not mailed:
        notices = business.notices()
        assert {notice["state"] for notice in notices if notice["kind"] == "payment_created"} == {"unknown"}
        for notice in notices:
            business.billing("notices", "resend", str(notice["id"]))
        business.run(DAY)
        assert len([name for name in business.mail_names() if "payment_created" in name]) == len(ROWS)


def test_a_copy_in_the_place_of_the_database_sends_nothing_before_one_look(new_business: Make) -> None:
    """A weak reason: nothing is sent until a look, a quiet time after the copy was put in place."""
    business = new_business(reconcile__quiet_seconds="3600")
    business.subscribe(*ROWS[:1])
    business.run("2026-02-28")
    var, aside = business.folder / "var", business.folder / "aside"
    shutil.copytree(var, aside)
    shutil.rmtree(var)
    shutil.copytree(aside, var)

    report = business.run(DAY)
    assert (report.created, report.outcome) == (0, "stopped")
    assert "checks Mileston" in report.stopped
    assert business.remote() == []

    assert "trusted" in business.billing("database", "trust").stdout
    assert business.run(DAY).created == 1


def test_two_databases_of_one_business_never_touch_each_other_s_records(new_business: Make) -> None:
    """Finding 4: both have a subscription 1001 that is due on one day."""
    one, other = new_business(), new_business()
    other.environ["MILESTON_BUSINESS_ID"] = one.environ["MILESTON_BUSINESS_ID"]
    other.id = one.id
    one.subscribe(f"1001,Gold,Ann,ann@example.com,19.90,1 month,{DAY}")
    other.subscribe(f"1001,Silver,Bob,bob@example.com,5.00,1 month,{DAY}")
    assert one.run(DAY).created == 1
    (mine,) = one.remote()

    for _ in range(2):
        assert other.run(DAY).created == 0
    (payment,) = other.payments()
    assert payment["state"] == "parked"
    assert "mileston.namespace" in payment["cause"]
    assert [record["id"] for record in one.remote(live=False)] == [mine["id"]]

    third = new_business(mileston__namespace="shop-2")
    third.environ["MILESTON_BUSINESS_ID"] = third.id = one.id
    third.subscribe(f"1001,Silver,Bob,bob@example.com,5.00,1 month,{DAY}")
    assert third.run(DAY).created == 1
    assert one.run(DAY).outcome == "ok"
    assert len(one.remote()) == 2


def test_another_namespace_is_refused_after_the_first_send(new_business: Make) -> None:
    business = new_business(mileston__namespace="a")
    business.subscribe(*ROWS[:1])
    business.run(DAY)
    business.environ["BILLING_MILESTON__NAMESPACE"] = "b"
    refused = business.billing("run-once")
    assert refused.returncode == 78
    assert "mileston.namespace" in refused.stderr


@pytest.mark.parametrize(
    ("before", "after", "next_due"),
    [
        ("120.00,1 year,2026-01-15", "12.00,1 month,2026-01-15", "2027-01-15"),  # finding 7
        ("19.90,1 month,2026-01-15", "19.90,1 month,2026-01-20", "2026-02-20"),  # finding 8
        ("19.90,1 month,2026-01-31", "19.90,30 days,2026-01-31", "2026-03-02"),
    ],
)
def test_no_period_begins_inside_a_charged_one(
    business: Business, before: str, after: str, next_due: str
) -> None:
    amount, interval, start = before.split(",")
    business.subscribe(f"ada,Gold,Ada,ada@example.com,{amount},{interval},{start}")
    assert business.run(start).created == 1
    amount, interval, start = after.split(",")
    business.subscribe(f"ada,Gold,Ada,ada@example.com,{amount},{interval},{start}")
    shown = json.loads(business.billing("subscriptions", "show", "ada", "--json").stdout)
    assert shown["next_due_on"] == next_due
