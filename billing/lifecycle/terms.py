"""The terms of a subscription are put: by import, and by whatever else agrees on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import Protocol, TypedDict

from billing.core.event_text import EventAction
from billing.core.periods import Interval, is_due_on
from billing.core.reminders import ReminderSettings, first_reminder_on
from billing.core.schedule import Terms
from billing.core.states import SubscriptionStatus
from billing.core.terms_change import Agreement as Shown
from billing.core.terms_change import (
    Change,
    FirstPeriod,
    changes,
    first_allowed_period,
    next_charge,
    past_periods,
)
from billing.lifecycle import versions
from billing.lifecycle.moves import set_values
from billing.lifecycle.prices import kept_prices, reprice
from billing.store import payments, subscriptions
from billing.store.bulk import upsert_rows
from billing.store.events import event, record
from billing.store.models import subscriptions as table
from billing.store.rows import Subscription
from billing.store.subscriptions import terms_of
from billing.store.tx import Tx


class Agreement(Protocol):
    """What a subscriber agreed on. `amount` is in micro-USDC; `starts_on` is the anchor."""

    @property
    def line(self) -> int: ...
    @property
    def reference(self) -> str: ...
    @property
    def plan(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def email(self) -> str: ...
    @property
    def amount(self) -> int: ...
    @property
    def interval(self) -> Interval: ...
    @property
    def starts_on(self) -> date: ...
    @property
    def bill_from(self) -> date | None: ...
    @property
    def ends_on(self) -> date | None: ...
    @property
    def wallet_address(self) -> str | None: ...
    @property
    def locale(self) -> str | None: ...
    @property
    def company(self) -> str: ...
    @property
    def tax_id(self) -> str: ...
    @property
    def address(self) -> str: ...


class StoredTerms(TypedDict):
    """The row that an agreement becomes."""

    reference: str
    plan: str
    name: str
    email: str
    amount_micros: int
    interval_count: int
    interval_unit: str
    anchor_on: date
    bill_from: date | None
    ends_on: date | None
    wallet_address: str | None
    locale: str | None
    company: str
    tax_id: str
    address: str
    status: str
    cancel_on: date | None
    next_period: int
    next_due_on: date | None
    next_remind_on: date | None
    price_from: date | None
    change_on: date | None
    created_at: datetime
    updated_at: datetime


@dataclass(slots=True)
class Put:
    """What became of a batch: references added and changed, and how many were as they are already.

    `told` are sentences for people: what changes, field by field, and the next charge of each changed
    subscription. `past` counts the past periods that will be billed. `faults` are changes that are refused.
    """

    added: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    unchanged: int = 0
    told: list[str] = field(default_factory=list)
    past: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Rules:
    """What terms are judged by. `today` is the business date; overlap needs a person's permission.

    Terms that waited were agreed on at `agreed_at`, and are no price of payments due before `holds_from`.
    """

    today: date
    reminders: ReminderSettings
    catch_up_limit: int
    allow_overlap: bool = False
    agreed_at: datetime | None = None
    holds_from: date | None = None


_PERSONAL = ("name", "email", "wallet_address", "company", "tax_id", "address")
_KEPT = ("id", "created_at")
_TIMES = ("created_at", "updated_at")


def put(tx: Tx, actor: str, now: datetime, batch: Sequence[Agreement], rules: Rules) -> Put:
    """Add what is new by its reference, and change what is known.

    No new period begins inside charged days, whatever changes (`core.terms_change`), and what does not
    exist at Mileston yet takes the new price.
    """
    known = subscriptions.by_references(tx, [row.reference for row in batch])
    charged = payments.charged_through(tx, [row.id for row in known.values()]) if known else {}
    done, stored, lines = Put(), [], []
    agreed: list[versions.Changed] = []
    for row in batch:
        old = known.get(row.reference)
        begins = _begin(row, old, charged.get(old.id) if old is not None else None, rules)
        if begins.refusal is not None:
            done.faults.append(f"{place_of(row)}: {begins.refusal}")
            continue
        new = _stored(row, old, begins.n, rules, now)
        if old is None:
            done.added.append(row.reference)
        elif all(getattr(old, key) == value for key, value in new.items() if key not in _TIMES):
            done.unchanged += 1
            continue
        else:
            done.changed.append(row.reference)
            differing = changes(_before(old), shown(row))
            if versions.billed(old) != _billed(new):
                agreed.append(
                    {"old": old, "new": _billed(new), "holds_from": new["next_due_on"] or rules.today}
                )
            more = _repriced(tx, actor, now, old, row, rules.holds_from) + _never_charged(tx, old, row, new)
            more += _shortened(tx, now, old, new["next_due_on"])
            done.told.append(_told(row, differing, begins, new, rules.today, more))
            logged = [_without_people(change) for change in differing] or ["imported again"]
            lines.append(event(now, actor, EventAction.CHANGED, "; ".join(logged), subscription_id=old.id))
        if warning := _past(row, new, rules):
            done.past.append(f"{row.reference}: {warning}")
        stored.append(new)
    if any(each["old"].change_on is not None for each in agreed):
        versions.drop(tx, [each["old"].id for each in agreed])
    upsert_rows(tx, table, stored, "reference", _KEPT)
    versions.note(tx, actor, rules.agreed_at or now, agreed)
    if done.added:
        ids = subscriptions.ids_of(tx, done.added)
        lines += [event(now, actor, EventAction.ADDED, "imported", subscription_id=row_id) for row_id in ids]
    record(tx, lines)
    return done


def _billed(stored: StoredTerms) -> versions.Billed:
    return {
        "plan": stored["plan"],
        "amount_micros": stored["amount_micros"],
        "interval_count": stored["interval_count"],
        "interval_unit": stored["interval_unit"],
        "anchor_on": stored["anchor_on"],
        "bill_from": stored["bill_from"],
        "ends_on": stored["ends_on"],
    }


def _repriced(
    tx: Tx, actor: str, now: datetime, old: Subscription, row: Agreement, due_from: date | None
) -> list[str]:
    """A price is the price of a period: those of another length, and those due before, keep theirs."""
    if terms_of(old).interval == row.interval:
        return reprice(tx, actor, now, old.id, row.amount, due_from)
    return kept_prices(tx, old.id) if row.amount != old.amount_micros else []


def place_of(row: Agreement) -> str:
    """Where `bill_from` was written: in a file, or with a command."""
    return f"line {row.line}, column bill_from" if row.line else "--bill-from"


def _told(
    row: Agreement,
    differing: Sequence[Change],
    begins: FirstPeriod,
    new: StoredTerms,
    today: date,
    more: Sequence[str],
) -> str:
    terms = shown(row).terms(new["cancel_on"])
    fields = map(str, differing) if differing else ["imported again"]
    parts = [*fields, *more, next_charge(shown(row), terms, new["next_period"], today), begins.sentence()]
    return f"{row.reference}: " + "; ".join(part for part in parts if part)


def _never_charged(tx: Tx, old: Subscription, row: Agreement, new: StoredTerms) -> list[str]:
    """Coming due dates that are taken by payments which will never be charged: they are told."""
    due_on = new["next_due_on"]
    if due_on is None:
        return []
    return [
        f"{taken_on} will not be charged: its payment is {state}"
        for taken_on, state in payments.never_charged(tx, old.id, due_on).items()
        if is_due_on(row.starts_on, row.interval, taken_on)
    ]


def _shortened(tx: Tx, now: datetime, old: Subscription, next_on: date | None) -> list[str]:
    """A rejected payment's days are free for a new calendar: if it is sent after all, it ends before that."""
    if next_on is None:
        return []
    last_on = next_on - timedelta(days=1)
    rows = payments.rejected_across(tx, old.id, next_on)
    for row in rows:
        set_values(tx, row.id, now, period_end_on=last_on)
    return [
        f"the rejected payment due {row.due_on} covers the days until {last_on}, no longer until "
        f"{row.period_end_on}"
        for row in rows
    ]


def _past(row: Agreement, new: StoredTerms, rules: Rules) -> str | None:
    if new["status"] != SubscriptionStatus.ACTIVE or new["next_due_on"] is None:
        return None
    terms = shown(row).terms(new["cancel_on"])
    return past_periods(shown(row), terms, new["next_period"], rules.today, rules.catch_up_limit).warning()


def _without_people(change: Change) -> str:
    """The log names which field of a person changed, and not what it says."""
    return f"{change.field} changed" if change.field in _PERSONAL else str(change)


def _before(old: Subscription) -> Shown:
    return Shown(
        old.plan,
        old.name,
        old.email,
        old.amount_micros,
        terms_of(old).interval,
        old.anchor_on,
        old.bill_from,
        old.ends_on,
        old.wallet_address,
        old.locale,
        old.company,
        old.tax_id,
        old.address,
    )


def shown(row: Agreement) -> Shown:
    """An agreement as people read it."""
    return Shown(
        row.plan,
        row.name,
        row.email,
        row.amount,
        row.interval,
        row.starts_on,
        row.bill_from,
        row.ends_on,
        row.wallet_address,
        row.locale,
        row.company,
        row.tax_id,
        row.address,
    )


# Of a hundred thousand subscriptions few have a calendar of their own.
_next_due_on = lru_cache(maxsize=4096)(Terms.next_due_on)
_first_period = lru_cache(maxsize=4096)(Terms.first_period)


def _begin(row: Agreement, old: Subscription | None, charged: date | None, rules: Rules) -> FirstPeriod:
    """The first period under these terms: of a new subscription, of unchanged terms, of changed ones."""
    terms = Terms(row.starts_on, row.interval, row.bill_from, row.ends_on, old.cancel_on if old else None)
    if old is None:
        n = _first_period(terms)
        return FirstPeriod(n, _next_due_on(terms, n))
    before = terms_of(old)
    if before == terms:
        return FirstPeriod(old.next_period, _next_due_on(terms, old.next_period))
    passed = None
    if old.next_period > before.first_period():
        # All that was billed, or passed over by a pause, is dealt with.
        passed = before.due_on(old.next_period - 1) + timedelta(days=1)
    if old.resumed_on is not None:
        passed = max(passed or old.resumed_on, old.resumed_on)
    new_bill_from = row.bill_from if row.bill_from != old.bill_from else None
    return first_allowed_period(terms, charged, new_bill_from, rules.allow_overlap, passed)


def _stored(
    row: Agreement, old: Subscription | None, period: int, rules: Rules, now: datetime
) -> StoredTerms:
    """What is stored of an agreement. A known subscription keeps its status."""
    reminders, holds_from = rules.reminders, rules.holds_from
    cancel_on = old.cancel_on if old is not None else None
    terms = Terms(row.starts_on, row.interval, row.bill_from, row.ends_on, cancel_on)
    status = old.status if old is not None else SubscriptionStatus.ACTIVE.value
    next_due = _next_due_on(terms, period)
    if status == SubscriptionStatus.CANCELLED:
        next_due = None
    elif cancel_on is not None:
        next_due = next_due or cancel_on  # it comes up once more then, to be cancelled
    elif status != SubscriptionStatus.PAUSED:
        status = (SubscriptionStatus.ENDED if next_due is None else SubscriptionStatus.ACTIVE).value
    stored: StoredTerms = {
        "reference": row.reference,
        "plan": row.plan,
        "name": row.name,
        "email": row.email,
        "amount_micros": row.amount,
        "interval_count": row.interval.count,
        "interval_unit": row.interval.unit.value,
        "anchor_on": row.starts_on,
        "bill_from": row.bill_from,
        "ends_on": row.ends_on,
        "wallet_address": row.wallet_address,
        "locale": row.locale,
        "company": row.company,
        "tax_id": row.tax_id,
        "address": row.address,
        "status": status,
        "cancel_on": cancel_on,
        "next_period": period,
        "next_due_on": next_due,
        "next_remind_on": None,
        "price_from": holds_from,
        "change_on": None,
        "created_at": old.created_at if old is not None else now,
        "updated_at": now,
    }
    if old is not None and versions.billed(old) == _billed(stored):
        stored["price_from"], stored["change_on"] = (
            old.price_from,
            old.change_on,
        )  # nothing personal makes terms that wait obsolete
    if (
        old is not None
        and old.next_due_on == next_due
        and terms_of(old).interval == row.interval
        and next_due
    ):
        stored["next_remind_on"] = old.next_remind_on
    elif next_due is not None and cancel_on is None:
        stored["next_remind_on"] = first_reminder_on(row.interval, next_due, reminders)
    return stored
