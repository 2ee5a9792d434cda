"""What a campaign counted, and how it is told."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass
class Tally:
    """The counters of one campaign on one database; many threads count at once."""

    database: str
    points: tuple[str, ...]
    began: float = field(default_factory=time.monotonic)
    kills: Counter[str] = field(default_factory=Counter)
    """By crash point, `at random` or `holding the lock`."""
    blows: Counter[str] = field(default_factory=Counter)
    """Everything else that was done to the processes."""
    facts: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def kill(self, where: str) -> None:
        with self._lock:
            self.kills[where] += 1

    def blow(self, kind: str, count: int = 1) -> None:
        with self._lock:
            self.blows[kind] += count

    def fact(self, name: str, count: int = 1) -> None:
        with self._lock:
            self.facts[name] += count

    def violation(self, what: str) -> None:
        with self._lock:
            self.violations.append(what)

    @property
    def killed(self) -> int:
        return self.kills.total()

    def never_struck(self) -> list[str]:
        return [point for point in self.points if not self.kills[point]]

    def lines(self) -> Iterator[str]:
        """The summary."""
        seconds = time.monotonic() - self.began
        yield f"{self.database}: {self.killed} kills in {seconds:.0f} s"
        yield from _table("killed with kill -9", self.kills)
        yield from _table("done besides", self.blows)
        yield from _table("what came of it", self.facts)
        if missing := self.never_struck():
            yield f"  never struck: {', '.join(missing)}"
        for what in self.violations:
            yield f"  VIOLATION: {what}"
        if not self.violations:
            charges = self.facts["payments that were due"]
            yield f"  {charges} payments were due: each is at the API exactly once, none is missing."


def _table(title: str, counts: Counter[str]) -> Iterator[str]:
    yield f"  {title}"
    for name, count in sorted(counts.items()):
        yield f"    {count:>7}  {name}"
