"""What all sections share: the page they print, the servers, the databases, and how much to do."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field

from benchmarks.databases import Stock
from benchmarks.servers import ApiServer
from benchmarks.tables import Page, Target


@dataclass
class Bench:
    """`scale` is 1 for the full run. `in_flight` creates are on the wire at once, for everybody."""

    page: Page
    api: ApiServer
    stock: Stock
    rounds: int
    scale: float
    in_flight: int
    targets: list[Target] = field(default_factory=list)

    def say(self, words: str) -> None:
        """What goes on now, for a person who waits."""
        if sys.stderr.isatty():
            print(f"\r\x1b[K{words} …", end="", file=sys.stderr, flush=True)

    def said(self) -> None:
        if sys.stderr.isatty():
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
