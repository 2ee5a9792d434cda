"""How fast to call an API that may say "slow down": additive increase, multiplicative decrease.

As TCP does with a network whose room it does not know (RFC 5681): begin with few calls at once, grow with
every success, and halve when told to. The pace, in calls a second, does the same.
"""

from __future__ import annotations

import math
from collections import deque

SLOW_DOWN = frozenset({429, 503})
"""Answers that ask for fewer calls. They say nothing about the payment, nor that the API is broken."""
FIRST_LANES = 4
LEAST_PER_SECOND = 0.5
LONGEST_PAUSE_SECONDS = 60.0
_FIRST_PAUSE_SECONDS = 0.25
_GROWTH, _LEAST_GROWTH = 0.1, 0.25  # a second: of the pace, and calls
_NEAR, _SLOW_GROWTH = 0.8, 0.02  # of the pace that was too much: from there on it grows slowly
_CAREFUL_PER_SECOND = 1.0
_MEASURED_SECONDS = 1.0


class Throttle:
    """Lanes and pace of one run. Times are seconds of one clock that never goes back.

    `most_lanes` are the calls under way at once at most, `most_per_second` the calls that may begin in a
    second (infinite: as many as can).
    """

    def __init__(self, most_lanes: int, most_per_second: float = math.inf) -> None:
        self._most_lanes, self._most_per_second = most_lanes, most_per_second
        self._lanes = float(min(FIRST_LANES, most_lanes))
        self.per_second = most_per_second
        self._cut_at = -math.inf
        self.cuts = 0
        """How often it was asked to slow down: a place that was taken before is not good any more."""
        self._next_at = -math.inf
        self._paused_until = -math.inf
        self._pauses = 0
        self._too_much = math.inf
        self._successes: deque[float] = deque()

    @property
    def lanes(self) -> int:
        """So many calls may be under way now."""
        return max(1, int(self._lanes))

    @property
    def at_once(self) -> int:
        """So many calls may be made ready: as many as can begin within a second."""
        return self._most_lanes * 1000 if math.isinf(self.per_second) else max(1, int(self.per_second))

    def place(self, now: float) -> float:
        """Take the next place; returns the instant at which its call may begin."""
        at = max(now, self._next_at)
        self._next_at = at if math.isinf(self.per_second) else at + 1.0 / self.per_second
        return max(at, self._paused_until)

    def begin_carefully(self, now: float) -> None:
        """The API asked to slow down before: go on at a pace that hardly any refuses."""
        self._lanes = 1.0
        self.per_second = min(self.per_second, _CAREFUL_PER_SECOND)
        self._next_at = max(self._next_at, now + 1.0 / self.per_second)

    def succeeded(self, now: float) -> None:
        """A call was answered, and not asked to slow down."""
        self._pauses = 0
        self._successes.append(now)
        while self._successes[0] < now - _MEASURED_SECONDS:
            self._successes.popleft()
        grown = self._lanes + (1.0 / self._lanes if self.cuts else 1.0)
        self._lanes = min(float(self._most_lanes), grown)
        if not math.isinf(self.per_second):
            near = self.per_second >= _NEAR * self._too_much
            growth = _SLOW_GROWTH if near else max(_GROWTH, _LEAST_GROWTH / self.per_second)
            self.per_second = min(self._most_per_second, self.per_second + growth)

    def throttled(self, now: float, began: float, retry_after: float | None) -> None:
        """A call that began at `began` was answered 429 or 503; `retry_after` is what it asked for.

        Answers to calls that began before the latest cut belong to the same flood, and cut nothing more.
        """
        if began <= self._cut_at:
            return
        asked = retry_after if retry_after is not None and retry_after >= 0 else None
        pause = _FIRST_PAUSE_SECONDS * 2.0 ** min(self._pauses, 10) if asked is None else asked
        self._pauses += 1
        self._paused_until = max(self._paused_until, now + min(pause, LONGEST_PAUSE_SECONDS))
        self._cut_at = now
        self.cuts += 1
        self._lanes = max(1.0, self._lanes / 2)
        measured = float(sum(at >= now - _MEASURED_SECONDS for at in self._successes))
        before = min(self.per_second, max(measured, 2 * LEAST_PER_SECOND))
        self._too_much = before
        self.per_second = max(LEAST_PER_SECOND, before / 2)
        self._next_at = max(self._next_at, self._paused_until)
