"""Submitting in a cycle: refusals, an API that is down, and many payments."""

from __future__ import annotations

from collections.abc import Callable

from billing.app.runtime import Hooks
from tests.support.business import Business

TODAY = "2026-03-01"


def test_a_refusal_is_kept_with_the_words_of_the_api_and_not_tried_again(business: Business) -> None:
    # The sandbox refuses what Mileston would: this address passes our check, but has no @ there.
    business.subscribe("ada,Gold,Ada,ada@example.com,5,1 month,2026-03-01")
    with business.store() as db, db.transaction() as tx:
        tx.exec_driver_sql("UPDATE subscriptions SET email = 'nobody'")

    first, second = business.run(TODAY), business.run(TODAY)

    (payment,) = business.payments()
    assert (first.rejected, second.due) == (1, 0)
    assert payment["state"] == "rejected"
    assert "subscriberEmail" in payment["cause"]
    assert second.outcome == "attention"


def test_an_api_that_is_down_leaves_payments_planned(new_business: Callable[..., Business]) -> None:
    business = new_business()
    business.subscribe("ada,Gold,Ada,ada@example.com,5,1 month,2026-03-01")
    url = business.environ["BILLING_MILESTON__RECURRING_PAYMENT_URL"]
    business.environ["BILLING_MILESTON__RECURRING_PAYMENT_URL"] = "http://127.0.0.1:9/recurring-payment"

    down = business.run(TODAY)
    business.environ["BILLING_MILESTON__RECURRING_PAYMENT_URL"] = url
    up = business.run(TODAY)

    assert (down.due, down.not_sent, down.unknown, down.outcome) == (1, 1, 0, "attention")
    assert (up.due, up.created) == (1, 1)
    assert len(business.remote(live=False)) == 1


def test_many_are_created_once_each_over_several_pages(business: Business) -> None:
    business.subscribe(
        *(f"s{i},Plan {i},N {i},s{i}@example.com,{i + 1},1 month,2026-03-01" for i in range(1200))
    )
    seen: list[tuple[str, int, int]] = []

    report = business.run(TODAY, Hooks(progress=lambda *step: seen.append(step)))

    assert (report.due, report.created) == (1200, 1200)
    names = [name for name, _ in business.due_dates(live=False)]
    assert len(names) == len(set(names)) == 1200
    assert [step for step in seen if step[0] == "submit"][-1] == ("submit", 1200, 1200)
    assert report.notices_sent == 1200
