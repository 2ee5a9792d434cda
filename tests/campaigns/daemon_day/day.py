"""A day of the daemon in which everything around it fails now and then. `make daemon-day` runs whole ones.

The clock skips the time between ticks. Meanwhile the sandbox restarts, keys are rotated in either order,
the mail server goes away and comes back, and the daemon gets SIGTERM and SIGHUP, all at random moments.
The day ends calmly; then the API and the mailbox are asked what they saw.
"""

from __future__ import annotations

import argparse
import io
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from email import message_from_bytes
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller

from billing.app.importing import import_csv
from billing.app.runtime import open_store
from billing.config import load_config
from billing.store import notices, payments
from billing.store.connection import Database
from tests.support.business import HEADER
from tests.support.nursery import ROOT
from tests.support.ports import free_port
from tests.support.sandbox import Sandbox, charge_of
from tests.support.watchdog import watch

CALM_HOURS = 2
_STOP_SECONDS = 30  # what is promised of SIGTERM
_PATIENCE_SECONDS = 900.0


class Api(Sandbox):
    """A slow sandbox that lets one key in, and another later."""

    def __init__(self, folder: Path) -> None:
        self.key = "key-0"
        super().__init__(folder / "api.jsonl", "--latency-ms", "5-60", "--api-key", self.key)

    def restart(self, pause: float) -> None:
        self.stop()
        time.sleep(pause)
        self.options[-1] = self.key
        self.start()

    def let_in(self, key: str) -> None:
        self.key = key
        self.ask("PUT", "keys", {"keys": [key]})

    def charged(self) -> Counter[tuple[str, str]]:
        """(subscriber, due date) of every payment that was ever made, deleted ones too."""
        return Counter(map(charge_of, self.records()))


@dataclass
class MailServer:
    """Takes every message, unless it is away: then it says so and hangs up, or is not there at all."""

    port: int = 0
    away: bool = False
    taken: list[bytes] = field(default_factory=list)

    async def handle_MAIL(
        self, _server: Any, _session: Any, envelope: Any, address: str, _options: Any
    ) -> str:
        if self.away:
            return "421 4.3.2 away"
        envelope.mail_from = address
        return "250 OK"

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:
        self.taken.append(envelope.content)
        return "250 taken"

    def message_ids(self) -> Counter[str]:
        return Counter(str(message_from_bytes(raw)["Message-ID"]) for raw in self.taken)

    @contextmanager
    def serving(self) -> Iterator[MailServer]:
        self.port = free_port()
        controller = Controller(self, hostname="127.0.0.1", port=self.port)
        controller.start()
        try:
            yield self
        finally:
            controller.stop()


class Day:
    """One day of `hours`, from 21:30 UTC on, so that midnight is in it."""

    def __init__(
        self, folder: Path, hours: float, seed: int, subscriptions: int, log: Callable[[str], None]
    ) -> None:
        self.folder = folder
        self.rng = random.Random(seed)
        self.log = log
        tomorrow = datetime.now(UTC) + timedelta(days=1)
        self.begins = tomorrow.replace(hour=21, minute=30, second=0, microsecond=0)
        self.ends = self.begins + timedelta(hours=hours)
        self.clock = folder / "clock"
        self.clock.write_text(repr((self.begins - datetime.now(UTC)).total_seconds()))
        self.key_file = folder / "key"
        self.key_file.write_text("key-0")
        self.subscriptions = subscriptions
        self.started_on: list[date] = []
        self.happened: Counter[str] = Counter()
        self.starts = 0

    @property
    def now(self) -> datetime:
        try:
            skipped = float(self.clock.read_text())
        except ValueError:  # it is being written
            return self.begins
        return datetime.fromtimestamp(time.time() + skipped, UTC)

    def run(self) -> None:
        """Live through it, and check what became of it. Raises AssertionError."""
        with MailServer().serving() as self.mail:
            self.api = Api(self.folder)
            try:
                self._subscribe()
                self.daemon = self._start()
                self._trouble()
                self._calm()
                self._check()
            finally:
                self.daemon.kill()
                self.daemon.wait()
                self.api.stop()

    # --- the business

    def _subscribe(self) -> None:
        (self.folder / "config.toml").write_text(
            "\n".join(
                (
                    f'[mileston]\nrecurring_payment_url = "{self.api.address}"',
                    "[cycle]\nconcurrency = 4\nmax_unknown_share = 1.0",
                    f'[mail]\ntransport = "smtp"\nsmtp_host = "127.0.0.1"\nsmtp_port = {self.mail.port}',
                    f'smtp_tls = "none"\ntemplates_dir = "{ROOT / "templates"}"',
                    "[schedule]\nevery_minutes = 10\n",
                )
            )
        )
        # A third is due on the first day, a third on the second, a third is reminded of a later one.
        first = self.begins.date()
        self._import([first + timedelta(days=(0, 1, 3)[n % 3]) for n in range(self.subscriptions)])

    def _import(self, starts: Sequence[date]) -> None:
        """New subscriptions that start on these days."""
        rows = [HEADER]
        for starts_on in starts:
            number = len(self.started_on)
            self.started_on.append(starts_on)
            rows.append(f"s{number},P,N,s{number}@example.org,5,1 month,{starts_on}")
        config = load_config(self.folder / "config.toml", {"MILESTON_API_KEY_FILE": str(self.key_file)})
        with open_store(config) as db:
            text = "\n".join(rows).encode()
            import_csv(db, io.BytesIO(text), config.settings, datetime.now(UTC), "person:test")

    def _environ(self) -> dict[str, str]:
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("BILLING_", "MILESTON_"))}
        return {**inherited, "PYTHONPATH": str(ROOT), "MILESTON_API_KEY_FILE": str(self.key_file)}

    def _start(self) -> subprocess.Popen[bytes]:
        self.starts += 1
        with (self.folder / "daemon.log").open("ab") as log:
            daemon = subprocess.Popen(
                [sys.executable, "-m", "tests.campaigns.daemon_day.fast_daemon", "config.toml", "clock"],
                cwd=self.folder,
                env=self._environ(),
                stderr=log,
            )
        watch(daemon.pid)
        return daemon

    # --- trouble

    def _trouble(self) -> None:
        troubles = (
            self._restart_api,
            self._rotate_key,
            self._mail_goes_away,
            self._stop_daemon,
            self._hang_up,
        )
        calm = self.ends - timedelta(hours=CALM_HOURS)
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while self.now < calm:
            if time.monotonic() > deadline:
                raise TimeoutError(f"it is still {self.now:%H:%M}; see {self.folder / 'daemon.log'}")
            # New ones all the time, so that most cycles have something to send when trouble comes.
            self._import([self.now.date()] * self.rng.randint(1, 8))
            time.sleep(self.rng.uniform(0.0, 0.3))
            trouble = self.rng.choice(troubles)
            self.happened[trouble.__name__.strip("_")] += 1
            trouble()

    def _restart_api(self) -> None:
        self.api.restart(self.rng.uniform(0, 0.3))

    def _rotate_key(self) -> None:
        key = f"key-{self.rng.randrange(10**9)}"
        steps: list[Callable[[], None]] = [lambda: self.api.let_in(key), lambda: self._put_key(key)]
        self.rng.shuffle(steps)
        for step in steps:
            step()
            time.sleep(self.rng.uniform(0, 0.3))

    def _put_key(self, key: str) -> None:
        new = self.key_file.with_suffix(".new")
        new.write_text(key)
        new.replace(self.key_file)

    def _mail_goes_away(self) -> None:
        self.mail.away = True
        time.sleep(self.rng.uniform(0, 0.6))
        self.mail.away = False

    def _stop_daemon(self) -> None:
        self.daemon.send_signal(signal.SIGTERM)
        code = self.daemon.wait(_STOP_SECONDS)
        # It may not have come as far as to take signals over.
        assert code in (0, -signal.SIGTERM), (self.folder / "daemon.log").read_text()[-2000:]
        self.daemon = self._start()

    def _hang_up(self) -> None:
        up = (self.folder / "daemon.log").read_text().count("the daemon is up")
        if up == self.starts:  # one that still starts would not know what it means
            self.daemon.send_signal(signal.SIGHUP)

    def _calm(self) -> None:
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while self.now < self.ends:
            assert self.daemon.poll() is None, (self.folder / "daemon.log").read_text()[-2000:]
            if time.monotonic() > deadline:
                raise TimeoutError(f"it is still {self.now:%H:%M}; see {self.folder / 'daemon.log'}")
            time.sleep(0.05)
        self.daemon.send_signal(signal.SIGTERM)
        assert self.daemon.wait(_STOP_SECONDS) == 0

    # --- what became of it

    def expected(self) -> Counter[tuple[str, str]]:
        """(subscriber, due date) of every payment that came due until the day ended."""
        last: date = self.ends.date()
        due = ((n, day) for n, day in enumerate(self.started_on) if day <= last)
        return Counter((f"s{n}@example.org", str(day)) for n, day in due)

    def _check(self) -> None:
        charged = self.api.charged()
        assert charged == self.expected(), charged - self.expected() or self.expected() - charged
        db = Database(f"sqlite:///{self.folder / 'var' / 'billing.db'}")
        try:
            with db.read() as tx:
                states = Counter(row.state for row in payments.listing(tx))
                letters = [(row.kind, row.state, row.message_id) for row in notices.listing(tx)]
        finally:
            db.close()
        assert states.keys() <= {"open"}, states
        assert {state for _, state, _ in letters} == {"sent"}, Counter(letters)
        assert self.mail.message_ids() == Counter(message_id for _, _, message_id in letters)
        kinds = Counter(kind for kind, _, _ in letters)
        assert kinds["payment_created"] == sum(charged.values())
        assert kinds["next_payment_due"] > 0
        self.log(f"{dict(self.happened)}; {self.starts} starts; {dict(kinds)}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=int, default=3)
    parser.add_argument("--hours", type=float, default=24.0)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--subscriptions", type=int, default=150)
    given = parser.parse_args()
    for seed in range(given.seed, given.seed + given.days):
        began = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            print(f"seed {seed}: ", end="", flush=True)
            Day(Path(folder), given.hours, seed, given.subscriptions, print).run()
            print(f"  every payment once, every notice once, in {time.monotonic() - began:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
