"""From which due date may a changed price be asked? A higher one only some days after it was told."""

from __future__ import annotations

from datetime import date, timedelta

from billing.core.schedule import Terms
from billing.core.terms_change import Agreement


def rises(before: Agreement, after: Agreement) -> bool:
    """Whether a subscriber pays more by the day under the new terms, however the periods are cut."""
    old, new = before.interval.shortest_days, after.interval.shortest_days
    if before.interval == after.interval:
        return after.amount_micros > before.amount_micros
    return after.amount_micros * old > before.amount_micros * new


def changes_terms(before: Agreement, after: Agreement) -> bool:
    """Whether more than what is personal changes."""
    return _bill(before) != _bill(after)


def _bill(agreement: Agreement) -> tuple[object, ...]:
    terms = agreement.terms()
    return agreement.plan, agreement.amount_micros, terms


def holds_from(
    terms: Terms,
    next_due_on: date | None,
    today: date,
    wanted: date | None,
    notice_days: int,
) -> date | None:
    """The due date of the old calendar from which new terms hold; None if the next charge is early enough.

    `wanted` is the day that a person named; `notice_days` go by before a higher price is asked, 0 if it is
    none. Raises LookupError if no period of the old calendar is due by then.
    """
    earliest = max(wanted or today, today + timedelta(days=notice_days))
    if next_due_on is None or next_due_on >= earliest:
        return None
    day = terms.next_due_on(terms.first_period(earliest))
    if day is None:
        raise LookupError(f"no period is due on or after {earliest}")
    return day
