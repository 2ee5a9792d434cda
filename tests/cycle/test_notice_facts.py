"""Whether a notice still holds, and what it says."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

import pytest

from billing.app import decisions
from billing.app.runtime import utc_now
from tests.support.business import Business


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
    assert business.mail_names() == ["subscription_cancelled.ada.2026-02-01"]


@pytest.mark.parametrize("namespace", ["", "shop-2"])
def test_a_reminder_shows_the_number_under_which_the_payment_will_come(
    new_business: Callable[..., Business], namespace: str
) -> None:
    business = new_business(mileston__namespace=namespace)
    business.subscribe("ada,Gold,Ada,ada@example.com,19.90,1 month,2026-02-08")
    business.run("2026-02-01")
    (reminder,) = business.mails()
    business.run("2026-02-08")
    (payment,) = business.payments()
    marker = payment["marker"]

    body = reminder.get_body(("plain",))
    assert body is not None
    text = body.get_content()
    assert f"Payment number: {marker}" in text
    assert f"On the payment page you will see {marker}." in text
    (remote,) = business.remote()
    assert remote["data"]["subscriptionName"] == f"[{marker}] Gold"
