"""Ending the daemon: at rest, in the middle of sending, politely and not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from billing.app.runtime import utc_now
from tests.support.business import Business
from tests.support.daemon import RunningDaemon
from tests.support.waiting import until

Start = Callable[..., RunningDaemon]
TODAY = utc_now().date()


def subscribe(business: Business, count: int) -> None:
    business.subscribe(*(f"s{i:03},P,N,s{i}@example.com,5,1 month,{TODAY}" for i in range(count)))


def wait_for_records(business: Business, count: int) -> None:
    until(f"{count} payments at the API", lambda: len(business.remote()) >= count)


def assert_each_was_charged_once(business: Business, count: int) -> None:
    charged = Counter(record["data"]["subscriberEmail"] for record in business.remote(live=False))
    assert charged == {f"s{i}@example.com": 1 for i in range(count)}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_at_rest_ends_it_with_0(
    business: Business, start_daemon: Start, number: signal.Signals
) -> None:
    daemon = start_daemon(business)
    daemon.wait_for("cycle ok")

    assert daemon.stop(number) == 0
    assert daemon.messages()[-1] == "the daemon has stopped"
    assert daemon.child.out == ""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_in_the_middle_of_sending_what_is_in_flight_ends_and_nothing_new_begins(
    business: Business, start_daemon: Start, number: signal.Signals
) -> None:
    subscribe(business, 60)
    business.sandbox.faults(latency="60-120")
    daemon = start_daemon(business, cycle__concurrency="4")
    wait_for_records(business, 4)
    assert daemon.stop(number) == 0

    states = Counter(payment["state"] for payment in business.payments())
    assert states.keys() == {"open", "planned"}  # nothing is left `sending`, nothing unknown
    assert states["open"] == len(business.remote())
    assert {p["attempts"] for p in business.payments() if p["state"] == "open"} == {1}

    business.sandbox.faults()
    again = start_daemon(business)
    again.wait_for("cycle ok")
    assert again.stop() == 0
    assert_each_was_charged_once(business, 60)


def test_a_second_signal_ends_it_at_once_and_loses_nothing(business: Business, start_daemon: Start) -> None:
    subscribe(business, 40)
    business.sandbox.faults(latency="400-600")
    daemon = start_daemon(business, cycle__concurrency="8")
    daemon.wait_for("planned", times=40)
    wait_for_records(business, 1)
    daemon.child.signal(signal.SIGTERM)
    daemon.child.signal(signal.SIGTERM)
    # Both may come in one: then a third is the second.
    while not daemon.child.ends_within(0.1):
        daemon.child.signal(signal.SIGTERM)
    assert daemon.child.code in (128 + signal.SIGTERM, 0)

    business.sandbox.faults()
    # What was under way takes effect within its latency, which the quiet window has to exceed.
    again = start_daemon(business, schedule__every_minutes="0.002", reconcile__quiet_seconds="1")
    until("all payments open", lambda: {p["state"] for p in business.payments()} == {"open"})
    assert again.stop() == 0
    assert_each_was_charged_once(business, 40)


_IMPATIENT = (
    "import billing.daemon.signals as s; s.GRACE_SECONDS = 0.5; from billing.cli.main import main; main()"
)


def test_what_takes_longer_than_the_grace_is_cut_off_and_found_later(
    business: Business, start_daemon: Start
) -> None:
    """The create takes effect, but its answer drips in for longer than a stop may take."""
    subscribe(business, 1)
    business.sandbox.script("slow_drip:200")
    environ = {**business.environ, "BILLING_MILESTON__TIMEOUT_SECONDS": "200"}
    process = subprocess.Popen(
        [sys.executable, "-c", _IMPATIENT, "daemon", "--config", str(business.toml)],
        env={**os.environ, **environ},
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for_records(business, 1)
    process.terminate()
    _, log = process.communicate(timeout=30)

    assert process.returncode == 0
    assert "stopped with requests still in flight" in log
    assert [payment["state"] for payment in business.payments()] == ["sending"]
    again = start_daemon(business)
    again.wait_for("cycle ok")
    assert again.stop() == 0
    assert [payment["state"] for payment in business.payments()] == ["open"]
    assert_each_was_charged_once(business, 1)


def test_days_that_passed_while_it_was_down_are_caught_up_within_the_limit(
    business: Business, start_daemon: Start
) -> None:
    first = TODAY - timedelta(days=21)
    business.subscribe(f"weekly,P,N,w@example.com,5,1 week,{first}")
    daemon = start_daemon(business, cycle__catch_up_limit="1")
    daemon.wait_for("cycle attention")
    assert daemon.stop() == 0
    assert Counter(payment["state"] for payment in business.payments()) == {"open": 2, "held": 2}


def test_it_bills_from_postgresql_as_well(business: Business, start_daemon: Start, postgresql: Any) -> None:
    with postgresql.empty() as url:
        business.environ["BILLING_DATABASE__URL"] = url
        subscribe(business, 3)
        daemon = start_daemon(business)
        daemon.wait_for("cycle ok")
        assert daemon.get("/readyz")[0] == 200
        assert daemon.metric('billing_payments_in_state{state="open"}') == 3
        assert daemon.stop() == 0
        assert_each_was_charged_once(business, 3)
