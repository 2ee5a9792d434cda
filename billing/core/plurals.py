"""Numbers of things, as people say them."""

from __future__ import annotations

from datetime import date


def plural(count: int, one: str, many: str = "") -> str:
    """The noun for a number: `payment` for 1, else `payments`; `many` is for irregular ones."""
    return one if count == 1 else many or f"{one}s"


def counted(count: int, one: str, many: str = "") -> str:
    """A number with its noun: `1 payment`, `2 payments`."""
    return f"{count} {plural(count, one, many)}"


def day_from(day: date, today: date) -> str:
    """When a day is, counted in days of the calendar: `today`, `1 day ago`, `in 2 days`."""
    days = (day - today).days
    if not days:
        return "today"
    return f"in {counted(days, 'day')}" if days > 0 else f"{counted(-days, 'day')} ago"
