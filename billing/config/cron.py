"""A cron expression, read as crontab(5) means it, into plain sets of numbers."""

from __future__ import annotations

import re
from dataclasses import dataclass

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_LONGEST_MONTH = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_PART = re.compile(r"(?:(\*)|(\w+)(?:-(\w+))?)(?:/([0-9]{1,3}))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Cron:
    """When to run, in UTC. Each field is sorted; weekdays are 0 (Sunday) to 6, as cron counts them."""

    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: tuple[int, ...]
    months: tuple[int, ...]
    weekdays: tuple[int, ...]


def parse_cron(text: str) -> Cron:
    """Read `minute hour day month weekday`. Raises `ValueError` with the field and its allowed values.

    Days and weekdays can't both be restricted: cron then runs on either, which hardly anybody expects.
    """
    fields = text.lower().split()
    if len(fields) != 5:
        raise ValueError(
            "a cron expression has five fields: minute hour day month weekday, as in '5 * * * *'"
        )
    minute, hour, day, month, weekday = fields
    if not day.startswith("*") and not weekday.startswith("*"):
        raise ValueError("give either days of the month or weekdays, not both; cron would run on either")
    cron = Cron(
        _field("minute", minute, 0, 59),
        _field("hour", hour, 0, 23),
        _field("day", day, 1, 31),
        _field("month", month, 1, 12, _MONTHS),
        # 7 is Sunday too.
        tuple(sorted({number % 7 for number in _field("weekday", weekday, 0, 7, _WEEKDAYS)})),
    )
    if not any(cron.days[0] <= _LONGEST_MONTH[number - 1] for number in cron.months):
        raise ValueError("no such date exists: none of the months in the expression has that many days")
    return cron


def _field(name: str, text: str, low: int, high: int, words: tuple[str, ...] = ()) -> tuple[int, ...]:
    found: set[int] = set()
    for part in text.split(","):
        match = _PART.fullmatch(part)
        first = _number(match[2], low, words) if match and match[2] else low
        last = _number(match[3], low, words) if match and match[3] else first
        step = int(match[4]) if match and match[4] else 1
        if match and (match[1] or (match[4] and not match[3])):
            last = high - 1 if name == "weekday" else high  # a star must not count Sunday twice
        if match is None or first is None or last is None or not low <= first <= last <= high or not step:
            known = f", or {words[0]} to {words[-1]}" if words else ""
            raise ValueError(f"{part!r} is not a {name}; it is {low} to {high}{known}, as in 1,15 or 0-30/10")
        found.update(range(first, last + 1, step))
    return tuple(sorted(found))


def _number(text: str, low: int, words: tuple[str, ...]) -> int | None:
    if text in words:
        return words.index(text) + low
    return int(text) if text.isdecimal() and len(text) <= 3 else None
