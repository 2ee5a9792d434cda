"""Tables that read well on a terminal and as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

Cell = str | float | None


class Page:
    """Prints, and keeps what was printed for docs/benchmarks.md."""

    def __init__(self) -> None:
        self.text = ""

    def write(self, text: str = "") -> None:
        print(text, flush=True)
        self.text += text + "\n"

    def table(
        self, title: str, columns: Sequence[str], rows: Iterable[Sequence[Cell]], note: str = ""
    ) -> None:
        cells = [[_shown(cell) for cell in row] for row in rows]
        widths = [max(map(len, column)) for column in zip(columns, *cells, strict=True)]
        self.write(f"\n### {title}\n")
        self.write(_line(columns, widths))
        self.write(
            "|"
            + "|".join("-" * (widths[0] + 2) if not i else "-" * (w + 1) + ":" for i, w in enumerate(widths))
            + "|"
        )
        for row in cells:
            self.write(_line(row, widths))
        if note:
            self.write(f"\n{note}")


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = zip(cells, widths, strict=True)
    padded = [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)]
    return "| " + " | ".join(padded) + " |"


def _shown(cell: Cell) -> str:
    if cell is None:
        return "–"
    if isinstance(cell, str):
        return cell
    return grouped(cell, 0 if abs(cell) >= 100 else 1 if abs(cell) >= 10 else 2)


def grouped(number: float, places: int = 0) -> str:
    """`1 234`."""
    return f"{number:,.{places}f}".replace(",", " ")


def times(value: float) -> str:
    """A ratio: `0.84 ×`."""
    return f"{_shown(value)} ×"


@dataclass(frozen=True)
class Target:
    """One line of the targets: what was to be reached, what was, and whether that is enough."""

    what: str
    wanted: str
    found: str
    met: bool

    def cells(self) -> tuple[str, str, str, str]:
        return self.what, self.wanted, self.found, "met" if self.met else "missed"
