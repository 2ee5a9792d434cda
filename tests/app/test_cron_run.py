"""`run-once --quiet` as cron and its monitors see it."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
import typer

from billing.app.runtime import utc_now
from billing.cli import runs
from billing.store.lock import cycle_lock
from tests.support.business import Business
from tests.support.monitor import Monitor
from tests.support.nursery import Finished

TODAY = utc_now().date()
Make = Callable[..., Business]


Billing = Callable[..., Finished]


def subscribe(business: Business) -> None:
    business.subscribe(f"zoe,Gold,Zoë,zoe@example.org,5,1 month,{TODAY}")


def test_when_all_is_well_cron_has_nothing_to_mail_and_the_monitor_hears_of_it(
    new_business: Make, monitor: Monitor, billing: Billing
) -> None:
    business = new_business(watch__ping_url=monitor.url)
    subscribe(business)
    done = billing(business, "run-once", "--quiet")

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert monitor.paths == ["/start", ""]
    summary = json.loads(monitor.pings[1][1])
    assert summary["payments"]["created"] == 1
    assert "zoe" not in monitor.pings[1][1]


def test_when_something_needs_a_person_there_is_one_page_with_what_to_type(
    new_business: Make, monitor: Monitor, billing: Billing
) -> None:
    business = new_business(watch__ping_url=monitor.url, cycle__max_payments_per_run="0")
    subscribe(business)
    done = billing(business, "run-once", "--quiet")

    assert (done.returncode, done.stdout) == (1, "")
    for words in (
        ": attention",
        "1  held (safety limit, catch-up or paused)",
        "1 payment is held by a safety limit",
        "zoe, due on",
        "cycle.max_payments_per_run",
        "billing payments release 1",
    ):
        assert words in done.stderr, words
    assert len(done.stderr.splitlines()) < 25
    assert "\x1b" not in done.stderr
    assert monitor.paths == ["/start", "/fail"]


def test_a_run_that_could_not_run_is_a_failure_to_the_monitor(
    new_business: Make, monitor: Monitor, billing: Billing
) -> None:
    business = new_business(watch__ping_url=monitor.url)
    database = business.folder / "var" / "billing.db"
    database.parent.mkdir()
    database.write_text("no database at all, though it is long enough to be one")
    done = billing(business, "run-once", "--quiet")

    assert (done.returncode, done.stdout) == (1, "")
    assert "database" in done.stderr
    assert "Traceback" not in done.stderr
    assert monitor.paths == ["/start", "/fail"]


def test_an_overlap_is_quiet_and_exits_75(new_business: Make, monitor: Monitor, billing: Billing) -> None:
    business = new_business(watch__ping_url=monitor.url)
    subscribe(business)
    with cycle_lock(business.folder / "var" / "billing.db"):
        quiet = billing(business, "run-once", "--quiet")
        loud = billing(business, "run-once")

    assert (quiet.returncode, quiet.stdout, quiet.stderr) == (75, "", "")
    assert loud.returncode == 75
    assert "another cycle is running" in loud.stderr
    assert set(monitor.paths) == {"/start"}  # the other run tells how it ended
    assert business.remote() == []


@pytest.mark.parametrize(("quiet", "jitter"), [(True, "30"), (True, "0"), (False, "30")])
def test_jitter_delays_runs_from_cron_and_nobody_else(
    new_business: Make, monkeypatch: pytest.MonkeyPatch, quiet: bool, jitter: str
) -> None:
    slept: list[float] = []
    monkeypatch.setattr("billing.cli.runs.time.sleep", slept.append)
    business = new_business(watch__jitter_seconds=jitter)
    for name, value in business.environ.items():
        monkeypatch.setenv(name, value)

    with pytest.raises(typer.Exit) as exit_:
        runs.run_once(business.toml, quiet=quiet)

    assert exit_.value.exit_code == 0
    waited = [seconds for seconds in slept if seconds > 0]
    assert len(waited) == (quiet and jitter != "0")
    assert all(seconds <= 30 for seconds in waited)
