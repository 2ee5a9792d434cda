"""`run-once --quiet` as cron and its monitors see it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import typer

from billing.app.runtime import utc_now
from billing.cli import runs
from billing.errors import ConfigError
from billing.store.lock import cycle_lock
from tests.support.business import Business
from tests.support.nursery import Finished

TODAY = utc_now().date()
Make = Callable[..., Business]


@dataclass
class Monitor:
    """A monitoring service that notes every ping, and answers as it is told."""

    url: str = ""
    status: int = 200
    location: str = ""
    pings: list[tuple[str, str]] = field(default_factory=list)

    @property
    def paths(self) -> list[str]:
        return [path.removeprefix("/0c6a8f3e") for path, _ in self.pings]


@pytest.fixture
def monitor() -> Iterator[Monitor]:
    noted = Monitor()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            noted.pings.append((self.path, body))
            self.send_response(noted.status)
            if noted.location:
                self.send_header("Location", noted.location)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    noted.url = f"http://127.0.0.1:{server.server_address[1]}/0c6a8f3e"
    yield noted
    server.shutdown()
    server.server_close()


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
        "Payment 1 is held",
        "zoe, due on",
        "cycle.max_payments_per_run",
        "billing payments release 1",
        "billing payments list --state held",
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


@pytest.mark.parametrize(("quiet", "jitter"), [(True, "30"), (True, "0"), (False, "30")])
def test_jitter_delays_runs_from_cron_and_nobody_else(
    new_business: Make, monkeypatch: pytest.MonkeyPatch, quiet: bool, jitter: str
) -> None:
    slept: list[float] = []
    monkeypatch.setattr(runs.time, "sleep", slept.append)
    business = new_business(watch__jitter_seconds=jitter)
    for name, value in business.environ.items():
        monkeypatch.setenv(name, value)

    with pytest.raises(typer.Exit) as exit_:
        runs.run_once(business.toml, quiet=quiet)

    assert exit_.value.exit_code == 0
    waited = [seconds for seconds in slept if seconds > 0]
    assert len(waited) == (quiet and jitter != "0")
    assert all(seconds <= 30 for seconds in waited)


def test_the_daemon_tells_the_monitor_as_well(
    new_business: Make, monitor: Monitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    from billing.daemon.daemon import Daemon, NobodyWatches

    business = new_business(watch__ping_url=monitor.url)
    for name, value in business.environ.items():
        monkeypatch.setenv(name, value)
    Daemon(business.config, NobodyWatches()).tick()
    assert monitor.paths == ["/start", ""]
