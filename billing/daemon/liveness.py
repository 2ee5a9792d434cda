"""Is the daemon alive? Reported by the loop that does the work, not by a thread that would outlive a hang."""

from __future__ import annotations

import time
from collections.abc import Callable

LONGEST_SILENCE_SECONDS = 180.0
"""A database transaction may block the loop, but never this long. Same as WatchdogSec in the unit."""


class Pulse:
    """Two signs of life: the loop turns (`beat`), and the cycle makes progress (`moved`).

    While a cycle runs, a loop that turns without progress is no sign of life: after `stall_seconds`
    without `moved`, beats no longer count, and systemd's watchdog ends the process.
    """

    def __init__(
        self,
        feed: Callable[[], None],
        watchdog_seconds: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._feed = feed
        self._clock = clock
        # Three times in its interval, so that one late beat ends nothing.
        self.interval_seconds = min(5.0, watchdog_seconds / 3) if watchdog_seconds else 5.0
        self._stall_seconds = 0.0
        self._moved_at = self._fed_at = clock()

    def cycle_begins(self, stall_seconds: float) -> None:
        """From now on progress is expected, `stall_seconds` apart at the most."""
        self._stall_seconds = stall_seconds
        self.moved()

    def cycle_ends(self) -> None:
        self._stall_seconds = 0.0
        self.beat(at_once=True)

    def moved(self) -> None:
        """The cycle made progress. Also a beat: much of a cycle seldom returns to its loop."""
        self._moved_at = self._clock()
        self.beat()

    def beat(self, *, at_once: bool = False) -> None:
        """The loop turns. Feeds the watchdog, no more often than it needs."""
        now = self._clock()
        if not self.stalled and (at_once or now - self._fed_at >= self.interval_seconds):
            self._fed_at = now
            self._feed()

    @property
    def stalled(self) -> bool:
        """Whether a cycle is running and has made no progress for too long."""
        return 0.0 < self._stall_seconds < self._clock() - self._moved_at

    @property
    def silent_seconds(self) -> float:
        """For how long there has been no sign of life."""
        return self._clock() - self._fed_at

    def trouble(self) -> str:
        """Why this process seems to hang, or ''."""
        silent = self.silent_seconds
        if self.stalled or silent > LONGEST_SILENCE_SECONDS:
            return f"no progress for {max(silent, self._clock() - self._moved_at):.0f} s"
        return ""
