"""What stops or slows a run, what is held then, and how a person lets it go."""

from __future__ import annotations

import socket
from collections.abc import Callable
from datetime import datetime, timedelta

import pytest

from tests.support.installation import Installation, adds_up, subscription
from tests.support.sandbox import Sandbox

DAY = "2026-01-05"
Install = Callable[..., Installation]


def _subscribed(install: Install, count: int, **settings: object) -> Installation:
    billing = install(**settings)
    billing.subscribe(subscription(f"s{n:02d}", DAY) for n in range(count))
    return billing


def test_a_wrong_key_stops_the_run_and_blames_no_payment(install: Install, sandbox: Sandbox) -> None:
    billing = _subscribed(install, 20, cycle__concurrency=2)
    sandbox.ask("PUT", "keys", {"keys": ["another-key"]})

    answer = billing.run(DAY)

    assert (answer["exit_code"], answer["outcome"]) == (1, "stopped")
    assert answer["payments"]["not_sent"] == answer["payments"]["due"] == 20
    assert billing.states() == {"planned": 20}
    assert sandbox.calls("create") <= 2
    sandbox.ask("PUT", "keys", {"keys": None})
    assert billing.run(DAY)["payments"]["created"] == 20


@pytest.mark.parametrize("status", ["429", "503"])
def test_the_run_waits_as_long_as_the_api_asks(install: Install, sandbox: Sandbox, status: str) -> None:
    billing = _subscribed(install, 3, cycle__concurrency=1)
    sandbox.script(f"{status}:1")
    sandbox.ask("PUT", "recording", {"on": True})

    answer = billing.run(DAY)

    requests = sandbox.ask("GET", "requests")["requests"]
    first, second, *_ = (datetime.fromisoformat(r["at"]) for r in requests if r["method"] == "POST")
    assert second - first >= timedelta(seconds=0.99)
    assert (answer["payments"]["unknown"], answer["payments"]["created"]) == (1, 2)
    assert adds_up(answer)


def test_what_is_over_the_number_of_payments_is_held_until_released(
    install: Install, sandbox: Sandbox
) -> None:
    billing = _subscribed(install, 5, cycle__max_payments_per_run=2)

    answer = billing.run(DAY)

    assert (answer["payments"]["created"], answer["payments"]["held"], answer["exit_code"]) == (2, 3, 1)
    assert adds_up(answer)
    assert billing.run(DAY)["payments"]["created"] == 0, "what is held stays held"
    held = [str(row["id"]) for row in billing.payments("held")]
    assert billing.billing("payments", "release", held[0], "--reason", "checked").code == 0
    assert billing.run(DAY)["payments"]["created"] == 1
    assert billing.billing("payments", "release", "--all-held", "--reason", "checked").code == 0
    assert billing.run(DAY)["payments"]["created"] == 2
    assert sandbox.charges() == sorted((f"s{n:02d}@example.com", DAY) for n in range(5))


def test_what_is_over_the_amount_is_held(install: Install, sandbox: Sandbox) -> None:
    billing = _subscribed(install, 4, cycle__max_amount_per_run="25.00")

    answer = billing.run(DAY)

    assert (answer["payments"]["created"], answer["payments"]["held"]) == (2, 2)
    assert answer["amount_created"] == "19.80"
    assert all("max_amount_per_run" in row["cause"] for row in billing.payments("held"))


def test_too_many_unknown_outcomes_hold_the_rest(install: Install, sandbox: Sandbox) -> None:
    billing = _subscribed(install, 30, cycle__concurrency=1)
    sandbox.script(*["500"] * 30)

    answer = billing.run(DAY)

    # Ten of ten are over one half beyond chance (three standard deviations); nine of nine are not.
    assert (answer["payments"]["unknown"], answer["payments"]["held"]) == (10, 20)
    assert sandbox.calls("create") == 10
    assert answer["outcome"] == "stopped"
    assert adds_up(answer)


def test_failures_in_a_row_hold_the_rest(install: Install, sandbox: Sandbox) -> None:
    billing = _subscribed(install, 8, cycle__concurrency=1, cycle__max_consecutive_failures=3)
    sandbox.script("500", "ok", "500", "500", "500")

    answer = billing.run(DAY)

    counts = answer["payments"]
    assert (counts["created"], counts["unknown"], counts["held"]) == (1, 4, 3)
    assert adds_up(answer)


def test_an_api_that_can_t_be_reached_costs_no_payment_its_turn(install: Install) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        nobody = f"http://127.0.0.1:{taken.getsockname()[1]}/recurring-payment"
    billing = _subscribed(
        install,
        6,
        mileston__recurring_payment_url=nobody,
        cycle__concurrency=1,
        cycle__max_consecutive_failures=3,
    )

    answer = billing.run(DAY)

    assert answer["payments"]["not_sent"] == answer["payments"]["due"] == 6
    assert answer["outcome"] == "stopped"
    assert billing.states() == {"planned": 6}


def test_missed_periods_beyond_the_limit_wait_for_a_person(install: Install, sandbox: Sandbox) -> None:
    billing = install(cycle__catch_up_limit=1)
    billing.subscribe([subscription("late", "2025-09-05")])

    answer = billing.run(DAY)

    assert (answer["payments"]["created"], answer["payments"]["held"]) == (2, 3)
    assert sandbox.charges() == [("late@example.com", "2025-12-05"), ("late@example.com", "2026-01-05")]
    assert billing.billing("payments", "release", "--all-held", "--reason", "agreed").code == 0
    assert billing.run(DAY)["payments"]["created"] == 3
    assert [day for _, day in sandbox.charges()] == [
        "2025-09-05",
        "2025-10-05",
        "2025-11-05",
        "2025-12-05",
        "2026-01-05",
    ]
