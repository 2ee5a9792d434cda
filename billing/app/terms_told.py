"""What was agreed when, as sentences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date
from zoneinfo import ZoneInfo

from billing.core.money import format_amount
from billing.core.periods import Interval, Unit
from billing.store.rows import Subscription, Version


def agreed(row: Subscription, versions: Sequence[Version], day: date, zone: ZoneInfo) -> Iterator[str]:
    """The terms of a day, and those that are to follow. `versions` are oldest first; none: never changed."""
    held = [each for each in versions if not each.waits]
    if held:
        now = next((each for each in reversed(held) if each.holds_from <= day), held[0])
        by = f", by {now.actor.removeprefix('person:')}" if now.actor.startswith("person:") else ""
        when = f"{now.agreed_at.astimezone(zone):%Y-%m-%d}"
        yield f"{_words(now)}; agreed on {when}{by}, for what is due from {now.holds_from} on."
    else:
        yield f"{_words(row)}."
    for each in versions:
        if each.holds_from > day:
            waits = "it is agreed and waits" if each.waits else "it is agreed"
            yield f"From {each.holds_from} on: {_words(each)}; {waits}."


def _words(terms: Subscription | Version) -> str:
    interval = Interval(terms.interval_count, Unit(terms.interval_unit))
    every = str(interval).removeprefix("1 ")
    price = f"{format_amount(terms.amount_micros)} USDC every {every}"
    return f"{terms.plan}: {price}, counted from {terms.anchor_on}"
