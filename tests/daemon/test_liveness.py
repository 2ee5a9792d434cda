"""What systemd hears, and that a cycle which hangs is noticed."""

from __future__ import annotations

import asyncio
import os
import socket
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from billing.config import load_config
from billing.daemon import daemon as module
from billing.daemon.daemon import Daemon, NobodyWatches, longest_stall_seconds
from billing.daemon.liveness import LONGEST_SILENCE_SECONDS, Pulse
from billing.daemon.notify import Notifier
from billing.sandbox import running_url
from tests.support.business import Business
from tests.support.daemon import NotifySocket, RunningDaemon
from tests.support.waiting import until

Start = Callable[..., RunningDaemon]


@pytest.fixture
def notified(tmp_path: Path) -> Any:
    with NotifySocket(tmp_path) as heard:
        yield heard


def test_systemd_hears_ready_status_watchdog_and_stopping(
    business: Business, start_daemon: Start, notified: NotifySocket
) -> None:
    business.subscribe("ada,P,N,ada@example.com,5,1 month,2026-03-01")
    daemon = start_daemon(business, NOTIFY_SOCKET=str(notified.path), WATCHDOG_USEC="300000")
    daemon.wait_for("cycle attention")  # its past periods are held
    until("the idle status", lambda: any("; the next one at" in words for words in notified.heard()))
    count = notified.heard().count("WATCHDOG=1")
    until("the watchdog fed at rest", lambda: notified.heard().count("WATCHDOG=1") > count + 2)
    assert daemon.stop() == 0
    until("the last word", lambda: notified.heard()[-1] == "STOPPING=1")

    heard = notified.heard()
    assert heard[0] == "READY=1"
    assert "STATUS=a cycle is running" in heard
    assert any(words.startswith("STATUS=a cycle is running: submit ") for words in heard)
    assert not any("example.com" in words for words in heard)


def test_without_a_notify_socket_nobody_is_told() -> None:
    notifier = Notifier({})
    notifier.ready()
    notifier.watchdog()
    assert notifier.watchdog_seconds == 0


def test_an_abstract_socket_is_understood_and_a_lost_one_does_no_harm() -> None:
    name = f"billing-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(f"\0{name}")
        notifier = Notifier({"NOTIFY_SOCKET": f"@{name}"})
        notifier.status("two\nlines")
        assert listener.recv(100) == b"STATUS=two lines"
    notifier.ready()


@pytest.mark.parametrize(
    ("environ", "seconds"),
    [
        ({"WATCHDOG_USEC": "180000000"}, 180.0),
        ({"WATCHDOG_USEC": "180000000", "WATCHDOG_PID": str(os.getpid())}, 180.0),
        ({"WATCHDOG_USEC": "180000000", "WATCHDOG_PID": "1"}, 0.0),  # meant for another process
        ({"WATCHDOG_USEC": "soon"}, 0.0),
    ],
)
def test_how_often_the_watchdog_wants_to_be_fed(environ: dict[str, str], seconds: float) -> None:
    assert Notifier(environ).watchdog_seconds == seconds


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_beats_feed_the_watchdog_no_more_often_than_it_needs() -> None:
    clock, fed = Clock(), []
    pulse = Pulse(lambda: fed.append(clock.now), 9.0, clock)
    for _ in range(100):
        clock.now += 0.1
        pulse.beat()
    assert len(fed) == 3
    assert pulse.trouble() == ""


def test_a_cycle_that_gets_nowhere_feeds_it_no_longer_though_the_loop_turns() -> None:
    clock, fed = Clock(), []
    pulse = Pulse(lambda: fed.append(clock.now), 9.0, clock)
    pulse.cycle_begins(60.0)
    for _ in range(200):
        clock.now += 1.0
        pulse.beat()
    assert max(fed) <= 1060.0
    assert "no progress for" in pulse.trouble()

    pulse.moved()  # it got on after all
    assert pulse.trouble() == ""
    pulse.cycle_ends()
    clock.now += 100.0
    pulse.beat()
    assert fed[-1] == clock.now


def test_a_loop_that_is_blocked_is_in_trouble_also_without_a_cycle() -> None:
    clock = Clock()
    pulse = Pulse(lambda: None, 0.0, clock)
    clock.now += LONGEST_SILENCE_SECONDS + 1
    assert "no progress for 181 s" in pulse.trouble()


def test_no_cycle_that_only_waits_for_slow_servers_is_taken_for_hung(business: Business) -> None:
    slow = load_config(
        business.toml,
        {
            "BILLING_MILESTON__TIMEOUT_SECONDS": "300",
            "BILLING_MAIL__TRANSPORT": "smtp",
            "BILLING_MAIL__SMTP_HOST": "localhost",
            "BILLING_MAIL__SMTP_TIMEOUT_SECONDS": "600",
        },
    )
    pause_at_most, phases, tries = 60.0, 10, 2
    assert longest_stall_seconds(slow) >= max(300 + pause_at_most, phases * tries * 600)


def test_a_hung_cycle_starves_the_watchdog_of_the_daemon(
    business: Business, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loop turns, the cycle awaits what never comes: a thread would have fed on."""
    for name, value in business.environ.items():
        monkeypatch.setenv(name, value)
    daemon = Daemon(load_config(business.toml), NobodyWatches(), Notifier({}))
    clock, fed = Clock(), []
    daemon.pulse = Pulse(lambda: fed.append(clock.now), 30.0, clock)

    async def hang(*_: object) -> None:
        began = clock.now
        while clock.now < began + 600:  # twice its limit
            await asyncio.sleep(0)
            clock.now += 20.0
            daemon.pulse.beat()
        assert len(fed) > 5
        assert max(fed) <= began + longest_stall_seconds(daemon.config)
        assert daemon.trouble()
        raise RuntimeError("killed, as the watchdog would")

    monkeypatch.setattr(module, "run_once", hang)
    daemon.tick()
    assert daemon.last_failure == "RuntimeError"


def test_it_keeps_its_own_sandbox_up_so_that_pay_links_open(business: Business, start_daemon: Start) -> None:
    data = business.folder / "var" / "sandbox.jsonl"
    daemon = start_daemon(business, mileston__recurring_payment_url="", MILESTON_BUSINESS_ID="")
    daemon.wait_for("cycle ok")
    url = running_url(data)
    assert url is not None
    (mail,) = [m for m in business.mails() if "acme-team" in str(m["X-Notice"] or m["To"])][:1]
    body = mail.get_body(("plain",))
    assert body is not None
    link = next(word for word in body.get_content().split() if word.startswith(url))
    with urllib.request.urlopen(link, timeout=20) as page:
        assert "49" in page.read().decode()

    assert daemon.stop() == 0
    assert running_url(data) is None
