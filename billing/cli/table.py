"""Tables for people: a header, numbers to the right, and never wider than the screen (80 in a pipe)."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice

_PIPE_WIDTH = 80
_MEASURED = 200
"""The widths are those of so many rows; what comes later is cut to them. A screen shows no more."""
_FAIR, _LEAST = 16, 8
"""Names give way to the last text, which says most, down to the first; no text is cut below the second."""
_GAP = "  "
_BOLD, _DIM, _PLAIN = "\x1b[1m", "\x1b[2m", "\x1b[0m"
_GREEN, _YELLOW, _RED = "\x1b[32m", "\x1b[33m", "\x1b[31m"
_COLOURS = {
    **dict.fromkeys(("open", "paid", "sent", "active"), _GREEN),
    **dict.fromkeys(("sending", "unknown", "held", "queued", "paused"), _YELLOW),
    **dict.fromkeys(("rejected", "parked", "uncollectible", "failed"), _RED),
}


@dataclass(frozen=True, slots=True)
class Column:
    """`kind` is `text` (cut where there is no room), `number` (to the right), `state` or `fixed`."""

    name: str
    kind: str = "text"


def columns_of(**kinds: str) -> tuple[Column, ...]:
    """`columns_of(id="number", subscription="text")`."""
    return tuple(Column(name, kind) for name, kind in kinds.items())


def print_table(columns: Sequence[Column], rows: Iterable[Sequence[str]], empty: str) -> None:
    """Print the rows as they come; a screen shows the first 200 of them. Into a pipe go all."""
    screen = sys.stdout.isatty()
    coloured = screen and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    cleaned = (tuple(_printable(cell) for cell in row) for row in rows)
    first = list(islice(cleaned, _MEASURED))
    if not first:
        if screen:
            print(f"{_DIM}{empty}{_PLAIN}" if coloured else empty)
        return
    widths = _widths(columns, first, shutil.get_terminal_size().columns if screen else _PIPE_WIDTH)
    header = _line(columns, [column.name for column in columns], widths, coloured=False)
    print(f"{_BOLD}{header}{_PLAIN}" if coloured else header)
    for row in first if screen else chain(first, cleaned):
        print(_line(columns, row, widths, coloured))
    if screen:
        _say_the_rest(cleaned)


def _say_the_rest(rows: Iterator[tuple[str, ...]]) -> None:
    more = sum(1 for _ in rows)
    if more:
        print(f"… and {more} more; use --json or a pipe to see all")


def _printable(text: str) -> str:
    """Nothing that moves the cursor or changes what was written reaches a terminal."""
    return text if text.isprintable() else "".join(c if c.isprintable() else "�" for c in text)


def _widths(columns: Sequence[Column], rows: Sequence[Sequence[str]], room: int) -> list[int]:
    """As wide as the cells; where they don't fit, the widest text gives way first, the last one last."""
    from rich.cells import cell_len

    widths = [
        max(cell_len(column.name), *(cell_len(row[n]) for row in rows)) for n, column in enumerate(columns)
    ]
    texts = [n for n, column in enumerate(columns) if column.kind == "text"]
    over = sum(widths) + len(_GAP) * (len(columns) - 1) - room
    for yielding, least in ((texts[:-1], _FAIR), (texts, _LEAST)):
        while over > 0 and yielding:
            widest = max(yielding, key=lambda n: widths[n])
            if widths[widest] <= least:
                break
            widths[widest] -= 1
            over -= 1
    return widths


def _line(columns: Sequence[Column], row: Sequence[str], widths: Sequence[int], coloured: bool) -> str:
    cells = []
    for column, cell, width in zip(columns, row, widths, strict=True):
        fitted = _fitted(cell, width, column.kind)
        if coloured and column.kind == "state" and cell in _COLOURS:
            fitted = f"{_COLOURS[cell]}{fitted}{_PLAIN}"
        cells.append(fitted)
    return _GAP.join(cells).rstrip()


def _fitted(cell: str, width: int, kind: str) -> str:
    from rich.cells import cell_len, set_cell_size

    length = cell_len(cell)
    if length > width:
        # A number or a state that came late is never cut: a wrong amount would be read.
        if kind != "text":
            return cell
        cell = set_cell_size(cell, width - 1).rstrip() + "…"  # half of a wide letter is cut to a blank
        length = cell_len(cell)
    padding = " " * (width - length)
    return padding + cell if kind == "number" else cell + padding
