"""Configuration and keys that change under the running daemon, and cycles that fail."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from billing.app.runtime import utc_now
from billing.config import load_config
from billing.daemon.daemon import BackOff, Daemon, NobodyWatches
from billing.store.lock import cycle_lock
from tests.support.business import Business
from tests.support.daemon import RunningDaemon
from tests.support.waiting import until

Start = Callable[..., RunningDaemon]
TODAY = utc_now().date()
OFTEN = "0.005"  # minutes


def subscribe(business: Business, *references: str) -> None:
    business.subscribe(*(f"{ref},P,N,{ref}@example.com,5,1 month,{TODAY}" for ref in references))


@pytest.fixture
def key_file(business: Business) -> Path:
    """A file with the key that the API lets in."""
    path = business.folder / "key"
    path.write_text("the-first-key\n")
    path.chmod(0o600)
    business.environ["MILESTON_API_KEY_FILE"] = str(path)
    business.sandbox.ask("PUT", "keys", {"keys": ["the-first-key"]})
    return path


def charged(business: Business) -> list[str]:
    return sorted(
        record["data"]["subscriberEmail"].partition("@")[0] for record in business.remote(live=False)
    )


def test_a_rotated_key_is_used_by_the_next_cycle(
    business: Business, start_daemon: Start, key_file: Path
) -> None:
    subscribe(business, "before")
    daemon = start_daemon(business, schedule__every_minutes=OFTEN)
    until("the first charge", lambda: charged(business) == ["before"])
    business.sandbox.ask("PUT", "keys", {"keys": ["the-second-key"]})
    key_file.write_text("the-second-key\n")
    subscribe(business, "after")

    until("the charge with the second key", lambda: charged(business) == ["after", "before"])
    assert daemon.stop() == 0
    assert "the-first-key" not in daemon.child.err
    assert "the-second-key" not in daemon.child.err


class RotatesOnRefusal(NobodyWatches):
    """Puts the new key into its file at the very moment when the API refuses the old one."""

    def __init__(self, file: Path, key: str) -> None:
        self.file, self.key = file, key
        self.statuses: list[int | None] = []
        self.outcomes: list[str] = []

    def note_call(self, name: str, status: int | None, seconds: float) -> None:
        self.statuses.append(status)
        if status == 401:
            self.file.write_text(self.key)

    def note_report(self, report: object) -> None:
        self.outcomes.append(report.outcome)  # type: ignore[attr-defined]


def in_this_process(
    business: Business, watcher: NobodyWatches, monkeypatch: pytest.MonkeyPatch, **settings: str
) -> Daemon:
    for name, value in {**business.environ, **settings}.items():
        monkeypatch.setenv(name, value)
    return Daemon(load_config(business.toml, os.environ), watcher)


def test_a_key_that_is_refused_is_read_anew_once_within_the_tick(
    business: Business, key_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    subscribe(business, "ada", "bob")
    business.sandbox.ask("PUT", "keys", {"keys": ["the-second-key"]})
    watcher = RotatesOnRefusal(key_file, "the-second-key")
    in_this_process(business, watcher, monkeypatch, BILLING_CYCLE__CONCURRENCY="1").tick()

    assert watcher.outcomes == ["stopped", "ok"]
    assert charged(business) == ["ada", "bob"]


def test_a_key_that_stays_refused_is_not_tried_over_and_over(
    business: Business, key_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    subscribe(business, "ada")
    business.sandbox.ask("PUT", "keys", {"keys": ["nobody-has-this-one"]})
    same = RotatesOnRefusal(key_file, "the-first-key\n")
    wrong_again = RotatesOnRefusal(key_file, "another-wrong-one")
    in_this_process(business, same, monkeypatch).tick()
    in_this_process(business, wrong_again, monkeypatch).tick()

    assert same.outcomes == ["stopped"]
    assert wrong_again.outcomes == ["stopped", "stopped"]
    assert charged(business) == []


def test_sighup_takes_a_new_schedule_over_and_keeps_the_old_one_if_the_config_is_wrong(
    business: Business, start_daemon: Start
) -> None:
    business.toml.write_text("[schedule]\nevery_minutes = 600\n")
    daemon = start_daemon(business, schedule__every_minutes="")
    daemon.wait_for("cycle ok")

    business.toml.write_text("[schedule]\nevery_minutes = 0.01\n[cycle]\nconcurrency = 0\n")
    daemon.child.signal(signal.SIGHUP)
    assert "cycle.concurrency" in daemon.wait_for("is wrong and was not used")

    business.toml.write_text("[schedule]\nevery_minutes = 0.01\n")
    daemon.child.signal(signal.SIGHUP)
    daemon.wait_for("the configuration was read again")
    daemon.wait_for("cycle ok", times=3)
    assert daemon.stop() == 0


def test_a_cycle_that_fails_is_logged_and_counted_and_the_daemon_stays_up(
    business: Business, start_daemon: Start
) -> None:
    daemon = start_daemon(business, schedule__every_minutes=OFTEN)
    daemon.wait_for("cycle ok")
    assert daemon.get("/readyz")[0] == 200

    business.toml.write_text("this is not TOML")
    daemon.wait_for("the cycle failed, number 2 in a row")
    assert daemon.get("/readyz")[0] == 503
    assert daemon.get("/healthz")[0] == 200
    assert daemon.metric('billing_cycles_total{outcome="failed"}') >= 2

    business.toml.write_text("")
    daemon.child.signal(signal.SIGHUP)  # no waiting for the back-off
    until("ready again", lambda: daemon.get("/readyz")[0] == 200)
    assert daemon.stop() == 0


def test_an_overlap_is_counted_and_is_no_failure(business: Business, start_daemon: Start) -> None:
    subscribe(business, "ada")
    with cycle_lock(business.folder / "var" / "billing.db"):
        daemon = start_daemon(business, schedule__every_minutes=OFTEN)
        daemon.wait_for("another cycle is running", times=2)
        assert daemon.metric('billing_cycles_total{outcome="overlapped"}') >= 2
        assert daemon.metric('billing_cycles_total{outcome="failed"}') == 0
        assert charged(business) == []
    until("the charge after the overlap", lambda: charged(business) == ["ada"])
    assert daemon.stop() == 0


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        ({"mail__transport": "fax"}, 78),
        ({"watch__listen": "0.0.0.0:80"}, 78),
        ({"database__url": "oracle://x"}, 78),
    ],
)
def test_what_is_wrong_at_the_start_ends_it_with_the_exit_code_of_the_contract(
    business: Business, start_daemon: Start, settings: dict[str, str], code: int
) -> None:
    daemon = start_daemon(business, **settings)
    assert daemon.child.wait(60) == code
    assert next(iter(settings)).replace("__", ".") in daemon.child.err


def test_the_back_off_grows_to_an_hour_and_is_forgotten_after_a_success() -> None:
    now = 0.0
    back_off = BackOff(lambda: now)
    left_out = []
    for _ in range(8):
        back_off.failed(600.0)
        ticks = 0
        while True:
            now += 600.0
            if not back_off.holds:
                break
            ticks += 1
        left_out.append(ticks)
    assert left_out == [0, 1, 3, 5, 5, 5, 5, 5]

    back_off.worked()
    assert not back_off.holds
    assert back_off.failures == 0


def test_a_daily_tick_is_never_left_out() -> None:
    now = 0.0
    back_off = BackOff(lambda: now)
    for _ in range(10):
        back_off.failed(86_400.0)
        now += 86_400.0
        assert not back_off.holds
