"""A monitoring URL hears of every run, and never stands in its way."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from billing.app.runtime import utc_now
from billing.errors import ConfigError
from tests.support.business import Business
from tests.support.monitor import Monitor
from tests.support.nursery import Finished

TODAY = utc_now().date()
Make = Callable[..., Business]


Billing = Callable[..., Finished]


def subscribe(business: Business) -> None:
    business.subscribe(f"zoe,Gold,Zoë,zoe@example.org,5,1 month,{TODAY}")


@pytest.mark.parametrize("trouble", ["refused", "500", "redirect"])
def test_a_monitor_that_fails_never_fails_the_run(
    new_business: Make, monitor: Monitor, trouble: str, billing: Billing
) -> None:
    url = "http://127.0.0.1:9/0c6a8f3e" if trouble == "refused" else monitor.url
    if trouble == "500":
        monitor.status = 500
    elif trouble == "redirect":
        monitor.status, monitor.location = 302, f"{monitor.url}/elsewhere"
    business = new_business(watch__ping_url=url)
    subscribe(business)
    done = billing(business, "run-once", "--quiet")

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert len(business.remote()) == 1
    assert "/elsewhere" not in monitor.paths


@pytest.mark.parametrize(
    "url",
    ["http://monitor.example/x", "ftp://monitor.example/x", "http://192.0.2.1/x", "https://a:b@m.example/x"],
)
def test_no_ping_goes_in_the_clear_beyond_this_machine(new_business: Make, url: str) -> None:
    with pytest.raises(ConfigError, match=r"watch\.ping_url"):
        _ = new_business(watch__ping_url=url).config


def test_the_daemon_tells_the_monitor_as_well(
    new_business: Make, monitor: Monitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    from billing.daemon.daemon import Daemon, NobodyWatches

    business = new_business(watch__ping_url=monitor.url)
    for name, value in business.environ.items():
        monkeypatch.setenv(name, value)
    Daemon(business.config, NobodyWatches()).tick()
    assert monitor.paths == ["/start", ""]
