"""What a change of an agreement means: field by field, for the next charge, and for days already charged."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache

from billing.core.fields import written_address
from billing.core.money import format_amount
from billing.core.periods import Interval, first_period_from
from billing.core.schedule import Terms

_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Agreement:
    """What a subscriber agreed to; the fields bear the names that people write."""

    plan: str
    name: str
    email: str
    amount_micros: int
    interval: Interval
    starts_on: date
    bill_from: date | None = None
    ends_on: date | None = None
    wallet_address: str | None = None
    locale: str | None = None
    company: str = ""
    tax_id: str = ""
    address: str = ""

    def terms(self, cancel_on: date | None = None) -> Terms:
        return Terms(self.starts_on, self.interval, self.bill_from, self.ends_on, cancel_on)

    @property
    def amount(self) -> str:
        return f"{format_amount(self.amount_micros)} USDC"


@dataclass(frozen=True, slots=True)
class Change:
    """One field that changes, both values as people read them; a value that is not there is `none`."""

    field: str
    old: str
    new: str

    def __str__(self) -> str:
        return f"{self.field}: {self.old} -> {self.new}"


_FIELDS = (
    "plan",
    "name",
    "email",
    "amount",
    "interval",
    "starts_on",
    "bill_from",
    "ends_on",
    "wallet_address",
    "locale",
    "company",
    "tax_id",
    "address",
)


def changes(before: Agreement, after: Agreement) -> list[Change]:
    """The fields that differ, in the order of the import file's columns."""
    pairs = ((field, _shown(before, field), _shown(after, field)) for field in _FIELDS)
    return [Change(field, old, new) for field, old, new in pairs if old != new]


def _shown(agreement: Agreement, field: str) -> str:
    value = getattr(agreement, field)
    if value is None or value == "":
        return "none"
    return written_address(value) if field == "address" else str(value)


# -- days already charged -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class FirstPeriod:
    """The first period that changed terms may bill.

    `due_on` is None if they never bill one. `free_days` lie between the last charged day and `due_on`;
    `charged_twice_days` are those through which the new periods may charge again, because a person
    allowed it. `refusal` says what is wrong if the change itself asks, without that permission, for a period
    inside charged days; `n` is then the first one behind them, for those who go on with it.
    """

    n: int
    due_on: date | None
    free_days: int = 0
    charged_twice_days: int = 0
    refusal: str | None = None

    def sentence(self) -> str | None:
        """What a person should know about the step from old to new terms, if anything."""
        if self.charged_twice_days:
            days = _days(self.charged_twice_days)
            return f"up to {days} already charged will be charged again, as you allowed"
        if self.free_days:
            return f"{_days(self.free_days)} before the next charge will not be charged"
        return None


def first_allowed_period(
    after: Terms,
    charged_through: date | None,
    new_bill_from: date | None = None,
    allow_overlap: bool = False,
    not_before: date | None = None,
) -> FirstPeriod:
    """Where billing under new terms begins so that no day is charged twice.

    `charged_through` is the last day that is charged or paid ahead. `new_bill_from` is `bill_from` if this
    very change sets it, else None: an old one that merely stands in the file is no permission. Only both, a
    new `bill_from` and `allow_overlap`, open a period on or before the charged day. `not_before` is the first
    due date that was not dealt with yet, say by a pause that passed periods over; it gives way to that
    permission as well.
    """
    asked = after.first_period()
    permitted = allow_overlap and new_bill_from is not None
    floors = [charged_through + _DAY if charged_through else None, not_before]
    floor = max((day for day in floors if day is not None), default=None)
    n = asked if permitted else after.first_period(floor)
    due_on = after.next_due_on(n)
    refusal = None
    if not permitted and new_bill_from is not None and charged_through is not None:
        refusal = _refusal(after, asked, charged_through)
    if due_on is None or charged_through is None:
        return FirstPeriod(n, due_on, refusal=refusal)
    gap = (due_on - charged_through).days - 1
    return FirstPeriod(n, due_on, max(0, gap), max(0, -gap), refusal)


def _refusal(after: Terms, asked: int, charged_through: date) -> str | None:
    due_on = after.next_due_on(asked)
    if due_on is None or due_on > charged_through:
        return None
    return (
        f"bill_from {after.bill_from} opens a period on {due_on}, but every day through {charged_through} is "
        f"charged already; write {charged_through + _DAY} or later, or allow it with --allow-overlap"
    )


# -- what a person is shown before ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PastPeriods:
    """Periods due before today that the next run plans: all of them, and how many a person must release."""

    count: int
    held: int
    first_due_on: date | None
    last_due_on: date | None
    amount_micros: int
    """Of all of them, in micro-USDC."""

    def warning(self) -> str | None:
        if not self.count:
            return None
        kind, verb = ("period", "was") if self.count == 1 else ("periods", "were")
        span = f"on {self.first_due_on}"
        if self.count > 1:
            span = f"from {self.first_due_on} to {self.last_due_on}"
        held = f", {self.held} of them only after your release" if self.held else ""
        return (
            f"{self.count} past {kind}, due {span}, {verb} not charged yet and will be billed{held}: "
            f"{format_amount(self.amount_micros)} USDC; set bill_from to leave them out"
        )


def past_periods(
    agreement: Agreement, terms: Terms, next_period: int, today: date, catch_up_limit: int
) -> PastPeriods:
    """The periods from `next_period` on that were due before `today`, as `plan_periods` will plan them."""
    before, due, first_on, last_on = _past_of(terms, next_period, today)
    held = max(0, due - 1 - catch_up_limit) if before else 0
    return PastPeriods(before, held, first_on, last_on, before * agreement.amount_micros)


@lru_cache(maxsize=4096)  # of a hundred thousand subscriptions few have a calendar of their own
def _past_of(terms: Terms, next_period: int, today: date) -> tuple[int, int, date | None, date | None]:
    """How many are due before today and by today, and the first and last due date of the former."""
    last = terms.last_due_on()
    before = max(0, _periods_through(terms, next_period, min(today - _DAY, last)))
    if not before:
        return 0, 0, None, None
    due = _periods_through(terms, next_period, min(today, last))
    return before, due, terms.due_on(next_period), terms.due_on(next_period + before - 1)


def _periods_through(terms: Terms, first: int, day: date) -> int:
    """How many periods from `first` on are due by `day`; counted without listing them."""
    if day < terms.anchor_on:
        return 0
    return max(0, first_period_from(terms.anchor_on, terms.interval, day + _DAY) - first)


def next_charge(agreement: Agreement, terms: Terms, next_period: int, today: date) -> str:
    """What is charged next and when, as a sentence; of one that is overdue already, that it comes at once."""
    due_on = terms.next_due_on(next_period)
    if due_on is None:
        return "nothing more will be charged"
    covers = f"for {due_on} to {terms.period_end_on(next_period)}"
    when = f"on {due_on}" if due_on > today else "in the next run"
    return f"next charge: {agreement.amount} {when}, {covers}"


def _days(count: int) -> str:
    return f"{count} day" if count == 1 else f"{count} days"
