"""Numbers of things, as people say them."""

from __future__ import annotations


def plural(count: int, one: str, many: str = "") -> str:
    """The noun for a number: `payment` for 1, else `payments`; `many` is for irregular ones."""
    return one if count == 1 else many or f"{one}s"


def counted(count: int, one: str, many: str = "") -> str:
    """A number with its noun: `1 payment`, `2 payments`."""
    return f"{count} {plural(count, one, many)}"
