"""What happened in a world, in order: for the reader of a failing seed, and for its fingerprint."""

from __future__ import annotations

import hashlib
from collections import Counter
from datetime import UTC, datetime, timedelta

from .loop import VirtualLoop


class Trace:
    """The world's clock, its log, and its counters of what was really exercised."""

    def __init__(self, loop: VirtualLoop, began: datetime) -> None:
        self._loop = loop
        self._began = began
        self.lines: list[tuple[float, str, str, str]] = []
        self.counts: Counter[str] = Counter()
        self.violations: list[str] = []
        self.clock_is_off = 0.0
        """By how many seconds the machine's clock is wrong."""

    def now(self) -> datetime:
        """The clock that the modelled processes read: aware UTC, virtual."""
        return self._began + timedelta(seconds=self._loop.time() + self.clock_is_off)

    def instant(self, seconds: float) -> datetime:
        """What the right time was, so many seconds after the beginning."""
        return self._began + timedelta(seconds=seconds)

    def note(self, who: str, what: str, detail: str = "") -> None:
        self.lines.append((self._loop.time(), who, what, detail))

    def count(self, what: str, by: int = 1) -> None:
        if by:
            self.counts[what] += by

    def violated(self, promise: str) -> None:
        """A promise is broken: the world ends soon after, and its seed is printed."""
        self.violations.append(promise)
        self.note("VIOLATION", promise)

    def fingerprint(self, *more: object) -> str:
        """The same for the same seed, on any machine."""
        digest = hashlib.sha256()
        for line in self.lines:
            digest.update(repr(line).encode())
        for each in more:
            digest.update(repr(each).encode())
        return digest.hexdigest()[:16]

    def readable(self, last: int | None = None) -> str:
        lines = self.lines if last is None else self.lines[-last:]
        return "\n".join(self._line(*line) for line in lines)

    def _line(self, at: float, who: str, what: str, detail: str) -> str:
        instant = (self._began + timedelta(seconds=at)).astimezone(UTC).isoformat(" ", "milliseconds")[:23]
        return f"{instant}  {who:<9} {what} {detail}".rstrip()
