"""Some months of the real program at an API whose records renew themselves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.installation import Installation, subscription
from tests.support.sandbox import Sandbox

Install = Callable[..., Installation]
MONTHS = ["2026-01-05", "2026-02-02", "2026-03-02", "2026-03-30"]  # of four weeks each
NAMES = [f"s{n}" for n in range(6)]


def asked_for(sandbox: Sandbox) -> Counter[tuple[str, str]]:
    """For which day each subscriber is asked, by whatever record is live."""
    return Counter(
        (record["data"]["subscriberEmail"], record["data"]["recurringDate"][:10]) for record in sandbox.live()
    )


def everybody_pays(sandbox: Sandbox) -> None:
    for record in sandbox.live():
        sandbox.pay(record["id"])


def run_until_quiet(billing: Installation, day: str) -> list[dict[str, Any]]:
    return [billing.run(day) for _ in range(2)]


@pytest.mark.parametrize("order", ["paid", "all", "paid,deaf", "paid,late=3"])
def test_with_stop_nobody_is_asked_twice_and_nothing_is_missed(
    install: Install, sandbox: Sandbox, order: str
) -> None:
    billing = install(mileston__renewal="stop", reconcile__quiet_seconds=0.2)
    billing.subscribe(subscription(name, MONTHS[0], "4 weeks") for name in NAMES)
    for day in MONTHS:
        sandbox.renew(order, day)  # in the night before the run
        run_until_quiet(billing, day)
        everybody_pays(sandbox)
        run_until_quiet(billing, day)
    assert {row["state"] for row in billing.payments()} == {"paid"}
    assert len(billing.payments()) == len(NAMES) * len(MONTHS)
    assert set(asked_for(sandbox).values()) == {1}
    made = len(sandbox.records())
    assert made == (len(NAMES) if "deaf" in order else len(NAMES) * len(MONTHS))
    assert not any(record["deletedAt"] for record in sandbox.records())


def test_without_it_the_run_stops_before_it_asks_twice_and_goes_on_once_it_is_set(
    install: Install, sandbox: Sandbox
) -> None:
    billing = install(reconcile__quiet_seconds=0.2)
    billing.subscribe(subscription(name, MONTHS[0], "4 weeks") for name in NAMES)
    run_until_quiet(billing, MONTHS[0])
    everybody_pays(sandbox)
    run_until_quiet(billing, MONTHS[0])
    sandbox.renew("paid", MONTHS[1])

    child = billing.start_run(MONTHS[1])
    assert child.wait() == 1
    stopped = child.document
    assert stopped["outcome"] == "stopped"
    assert stopped["payments"] == dict.fromkeys(stopped["payments"], 0) | {
        "due": len(NAMES),
        "not_sent": len(NAMES),
    }
    assert 'mileston.renewal = "stop"' in stopped["stopped"]
    assert len(sandbox.records()) == len(NAMES)

    for _ in range(2):
        billing.billing("run-once", "--as-of", MONTHS[1], BILLING_MILESTON__RENEWAL="stop")
    assert set(asked_for(sandbox).values()) == {1}
    assert len(sandbox.records()) == len(NAMES)
    assert billing.states() == {"paid": len(NAMES), "open": len(NAMES)}
