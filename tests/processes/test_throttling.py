"""Finding 14: an API that takes so many calls a second, and a pace of our own."""

from __future__ import annotations

from collections.abc import Callable

from tests.support.installation import Installation, assert_sound, subscription
from tests.support.sandbox import Sandbox

Install = Callable[..., Installation]
DAY = "2026-01-05"
COUNT = 40


def test_an_api_that_throttles_is_no_alarm_and_everything_is_charged_once(
    install: Install, sandbox: Sandbox
) -> None:
    billing = install(reconcile__quiet_seconds=1, mileston__timeout_seconds=5)
    billing.subscribe(subscription(f"s{n:03d}", DAY) for n in range(COUNT))
    sandbox.faults(per_second=30)

    answers = billing.run_until_settled(DAY, runs=30, pause=0.5)

    assert_sound(answers)
    assert {(answer["outcome"], answer["exit_code"]) for answer in answers} == {("ok", 0)}
    assert sum(answer["payments"]["held"] for answer in answers) == 0
    assert sandbox.charges() == sorted((f"s{n:03d}@example.com", DAY) for n in range(COUNT))
    assert billing.states() == {"open": COUNT}
    assert answers[0]["payments"]["created"] > COUNT / 2


def test_a_run_goes_on_at_its_own_pace_until_all_is_sent(install: Install, sandbox: Sandbox) -> None:
    """At this pace the last one's turn comes long after a create's time limit."""
    billing = install(mileston__requests_per_second=25, mileston__timeout_seconds=0.3)
    billing.subscribe(subscription(f"s{n:03d}", DAY) for n in range(60))

    answer = billing.run(DAY)

    assert (answer["outcome"], answer["payments"]["created"], answer["payments"]["due"]) == ("ok", 60, 60)
    assert len(sandbox.charges()) == 60
