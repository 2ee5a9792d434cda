"""The daemon: a cycle at start and at every tick, until it is asked to stop.

    SIGTERM, SIGINT   no new intents; what is in flight ends within its time limit; exit 0
    a second one      ends at once; reconciliation finds what was in flight
    SIGHUP            configuration and keys are read again, as they are for every cycle

One thread does it all: it waits, it runs the cycle, and it feeds the watchdog. So a cycle
that hangs can't hide behind a thread that doesn't.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from datetime import datetime
from pathlib import Path
from typing import Protocol

from billing.app.logs import set_up
from billing.app.ping import pinged
from billing.app.runtime import Hooks, needs_own_sandbox, open_store, run_once, sandbox_data, utc_now
from billing.app.sandbox_host import own_sandbox
from billing.config import Config, load_config
from billing.core.plurals import counted
from billing.cycle.context import nothing
from billing.cycle.report import Report
from billing.daemon.liveness import Pulse
from billing.daemon.notify import Notifier
from billing.daemon.scheduler import CycleScheduler
from billing.daemon.signals import Signals
from billing.errors import AlreadyRunning, BillingError

logger = logging.getLogger("billing.daemon")

_LOOK_UP_SECONDS = 0.2
"""How often a running cycle is checked: has a stop used up its grace period, the watchdog."""
_LATE_SECONDS = 60.0
_LONGEST_BACK_OFF_SECONDS = 3600.0
_UNAUTHORIZED = 401


class Watcher(Protocol):
    """Who counts what the daemon does; `billing.app.metrics.Metrics`, for one."""

    def note_report(self, report: Report) -> None: ...
    def note_cycle(self, outcome: str) -> None: ...
    def note_call(self, name: str, status: int | None, seconds: float) -> None: ...
    def note_delivery(self, kind: str, outcome: str) -> None: ...
    def note_scheduler(self, event: str) -> None: ...


class NobodyWatches:
    """A watcher for a daemon without `watch.listen`."""

    note_report = note_cycle = note_call = note_delivery = note_scheduler = staticmethod(nothing)


class BackOff:
    """After a failed cycle the next tick tries again; from the second failure on, ticks are skipped."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._not_before = float("-inf")
        self.failures = 0

    @property
    def holds(self) -> bool:
        """Whether a tick that comes now is skipped."""
        return self._clock() < self._not_before

    def failed(self, every_seconds: float) -> None:
        self.failures += 1
        # Half a step short of the intended tick, so that it is not just missed.
        steps = 2 ** min(self.failures - 1, 20) - 0.5
        wait = min(steps * every_seconds, max(_LONGEST_BACK_OFF_SECONDS, 0.5 * every_seconds))
        self._not_before = self._clock() + wait

    def worked(self) -> None:
        self.failures = 0
        self._not_before = float("-inf")


class Daemon:
    """Runs cycles by the schedule of `config`, whose file is read again for each of them."""

    def __init__(self, config: Config, watcher: Watcher, notifier: Notifier | None = None) -> None:
        self.config = config
        self._path: Path | None = config.path
        self._watcher = watcher
        self._notifier = notifier or Notifier()
        self.pulse = Pulse(self._notifier.watchdog, self._notifier.watchdog_seconds)
        self._signals = Signals()
        self._back_off = BackOff()
        self._refused = False
        """Whether the API refused the key in the current cycle."""
        self._running = False
        self._last_words = "starting"
        self._said = ""
        self.last_failure = ""
        """Why the last cycle failed, or ''; a payment that needs a person is not a failure."""
        self.scheduler = CycleScheduler(
            config.settings.schedule, self.tick, self._wait, watcher.note_scheduler
        )

    def run(self) -> int:
        """Run until a signal. Returns the exit code.

        Raises `ConfigError` or `StoreError` if it can't start at all, so that whoever started it is
        told.
        """
        with open_store(self.config):
            pass  # it is there, ours, and of this program's schema
        with self._signals, self._sandbox():
            self._notifier.ready()
            logger.info("the daemon is up")
            self.scheduler.start()
            self._notifier.stopping()
        logger.info("the daemon has stopped")
        return 0

    def tick(self) -> None:
        """One tick of the scheduler. Whatever goes wrong, the daemon stays up."""
        if self._signals.stopping or self._back_off.holds:
            return
        self._running = True
        try:
            self._read_config()
            self._cycle()
            if self._refused and self._key_was_changed():
                logger.warning(
                    "Mileston refused the API key, and a different key is configured now: running again"
                )
                self._cycle()
            self._back_off.worked()
            self.last_failure = ""
        except AlreadyRunning:
            self._watcher.note_cycle("overlapped")
            self._last_words = "another cycle was running"
            logger.info("another cycle is running on this database; nothing done, the next tick tries again")
        except BillingError as error:
            self._note_failure(str(error), error, expected=True)
        except Exception as error:
            self._note_failure(f"an unexpected {type(error).__name__}", error, expected=False)
        finally:
            self._running = False
            self.pulse.cycle_ends()

    def trouble(self) -> str:
        """Why this process seems to hang, or ''."""
        return self.pulse.trouble()

    def late(self, now: datetime) -> str:
        """Why the last tick is too old or failed, or ''."""
        if self.last_failure:
            return "the last cycle failed; the log says why"
        planned = self.scheduler.next_at
        if not self._running and planned is not None and (now - planned).total_seconds() > _LATE_SECONDS:
            return "the last tick is overdue: no cycle started when it was planned"
        return ""

    def _cycle(self) -> None:
        config = self.config
        self._refused = False
        hooks = Hooks(
            progress=self._progress,
            stopping=lambda: self._signals.stopping,
            checkpoint=lambda _name: self.pulse.moved(),
            on_call=self._note_call,
            on_delivery=self._note_delivery,
        )
        self._status("a cycle is running")
        self.pulse.cycle_begins(longest_stall_seconds(config))
        try:
            report = asyncio.run(self._looked_after(config, hooks))
        finally:
            self.pulse.cycle_ends()
        if report is None:
            self._watcher.note_cycle("cut_off")
            logger.warning(
                "stopped with requests still in flight; the next cycle looks up what became of them"
            )
            return
        self._watcher.note_report(report)
        self._last_words = f"last cycle {report.outcome}"
        level = logging.INFO if report.outcome == "ok" else logging.WARNING
        logger.log(level, "cycle %s", _in_words(report), extra={"run_id": report.run_id})

    async def _looked_after(self, config: Config, hooks: Hooks) -> Report | None:
        """The cycle's report, or None if it was cut off because a stop took too long."""
        cycle = asyncio.create_task(
            pinged(config.settings.watch.ping_url, lambda: run_once(config, None, hooks))
        )
        cut_off = False
        while not cycle.done():
            await asyncio.wait((cycle,), timeout=_LOOK_UP_SECONDS)
            self.pulse.beat()
            if self._signals.grace_is_over and not cut_off:
                cut_off = cycle.cancel()  # once: its clean-up must not be interrupted
        return None if cycle.cancelled() else cycle.result()

    def _wait(self, seconds: float) -> None:
        """What the scheduler does between ticks."""
        self.pulse.beat()
        if not self._signals.stopping:
            self._status("idle")
            self._signals.wait(min(seconds, self.pulse.interval_seconds))
        if self._signals.stopping:
            self.scheduler.shutdown(wait=False)
        elif self._signals.take_reload():
            self._reload()

    def _reload(self) -> None:
        try:
            self._read_config()
        except BillingError as error:
            logger.error(
                "the new configuration is wrong and was not used; the old one stays in use: %s", error
            )
            return
        self._back_off.worked()  # whatever was wrong, a person has just dealt with it
        logger.info("the configuration was read again")

    def _read_config(self) -> None:
        """Read the configuration and the secrets as they are now; keep the old ones if they are wrong."""
        config = load_config(self._path)
        set_up(config, long_running=True)
        if config.settings.schedule != self.config.settings.schedule:
            self.scheduler.follow(config.settings.schedule)
        self.config = config

    def _key_was_changed(self) -> bool:
        """Whether the secrets differ from those that the last cycle used; the next one uses the new ones."""
        if self._signals.stopping:
            return False
        before = self.config.secrets
        self._read_config()
        return self.config.secrets != before

    def _note_failure(self, words: str, error: BaseException, *, expected: bool) -> None:
        self._back_off.failed(self._every_seconds())
        self.last_failure = type(error).__name__
        self._last_words = f"the last cycle failed ({self._back_off.failures} in a row)"
        self._watcher.note_cycle("failed")
        logger.error(
            "the cycle failed (%d in a row), the schedule tries again: %s",
            self._back_off.failures,
            words,
            exc_info=None if expected else error,
        )

    def _every_seconds(self) -> float:
        planned, now = self.scheduler.next_at, utc_now()
        if not self.config.settings.schedule.cron or planned is None:
            return self.config.settings.schedule.every_minutes * 60
        return max(60.0, (planned - now).total_seconds())

    def _progress(self, step: str, done: int, total: int) -> None:
        self.pulse.moved()
        self._status(f"a cycle is running: {step} {done} of {total}")

    def _note_call(self, name: str, status: int | None, seconds: float) -> None:
        self.pulse.moved()
        self._refused = self._refused or status == _UNAUTHORIZED
        self._watcher.note_call(name, status, seconds)

    def _note_delivery(self, kind: str, outcome: str) -> None:
        self.pulse.moved()
        self._watcher.note_delivery(kind, outcome)

    def _status(self, words: str) -> None:
        planned = self.scheduler.next_at
        if words == "idle" and planned is not None:
            words = f"{self._last_words}; the next one at {planned:%Y-%m-%d %H:%M:%S} UTC"
        if words != self._said:
            self._said = words
            self._notifier.status(words)

    @contextmanager
    def _sandbox(self) -> Iterator[None]:
        """Our own sandbox, if one is needed, for as long as the daemon runs, so that its pay links work."""
        own = needs_own_sandbox(self.config)
        with own_sandbox(sandbox_data(self.config)) if own else nullcontext():
            yield


def longest_stall_seconds(config: Config) -> float:
    """How long a cycle may go without any sign of progress: many times its longest wait."""
    settings = config.settings
    waits = [15.0, settings.mileston.timeout_seconds]
    if settings.mail.transport == "smtp":
        waits.append(settings.mail.smtp_timeout_seconds)  # a mail has ten phases, and a second try
    return 20 * max(waits)


def _in_words(report: Report) -> str:
    """`ok: 8 created; 12 e-mails sent`: short enough for a line of the log."""
    counts = report.to_json()
    said = [f"{count} {name.replace('_', ' ')}" for name, count in counts["payments"].items() if count]
    if report.paid:
        said.append(f"{report.paid} paid")
    if report.notices_sent or report.notices_failed:
        sent = counted(report.notices_sent, "e-mail")
        said.append(f"{sent} sent, {report.notices_failed} failed")
    said += [report.stopped] if report.stopped else []
    said += report.problems
    return f"{report.outcome}: {'; '.join(said) or 'nothing was due'}"
