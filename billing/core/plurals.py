"""Numbers of things, as people say them."""

from __future__ import annotations

from datetime import UTC, date, datetime, tzinfo


def plural(count: int, one: str, many: str = "") -> str:
    """The noun for a number: `payment` for 1, else `payments`; `many` is for irregular ones."""
    return one if count == 1 else many or f"{one}s"


def counted(count: int, one: str, many: str = "") -> str:
    """A number with its noun: `1 payment`, `2 payments`."""
    return f"{count} {plural(count, one, many)}"


def day_from(day: date, today: date) -> str:
    """When a day is, counted in days of the calendar: `today`, `tomorrow`, `in 2 days`, `2 days ago`."""
    days = (day - today).days
    near = {-1: "yesterday", 0: "today", 1: "tomorrow"}
    return near.get(days) or (f"in {days} days" if days > 0 else f"{-days} days ago")


def time_ago(at: datetime, now: datetime, zone: tzinfo) -> str:
    """How long ago an instant was: minutes, then hours, then the calendar days of `zone`."""
    # In UTC: two times of one zone are subtracted as its clocks show them, an hour wrong where those change.
    minutes = int((now.astimezone(UTC) - at.astimezone(UTC)).total_seconds() // 60)
    if minutes < 1:
        return "just now"
    if minutes < 120:
        return f"{counted(minutes, 'minute')} ago"
    if minutes < 60 * 48:
        return f"{minutes // 60} hours ago"
    return day_from(at.astimezone(zone).date(), now.astimezone(zone).date())
