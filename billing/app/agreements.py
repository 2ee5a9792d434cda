"""One agreement at a time, as a person types it: add, change, begin anew. Files come through `importing`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import date, datetime, timedelta
from typing import Any

from billing.app.csv_rows import OPTIONAL, REQUIRED, SubscriptionRow
from billing.app.decisions import actor, find_subscription
from billing.app.importing import Permissions, rules_of
from billing.config import Settings
from billing.core.fields import read_field
from billing.core.likeness import Known, similar
from billing.core.money import format_amount
from billing.core.price_notice import changes_terms, holds_from, rises
from billing.core.states import SubscriptionStatus
from billing.core.terms_change import changes, next_charge
from billing.errors import BillingError, ImportRejected, UsageError
from billing.lifecycle import subscriptions as verbs
from billing.lifecycle import terms, versions
from billing.store import payments, subscriptions
from billing.store.connection import Database
from billing.store.rows import Subscription
from billing.store.subscriptions import terms_of
from billing.store.tx import Tx

_TEXTS = ("company", "tax_id", "address")
_BILLED = ("plan", "amount", "interval", "starts_on", "bill_from", "ends_on")
"""The fields that say what is charged when; the others are of a person."""
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Agreed:
    """What became of one agreement. `told` are sentences for people, `past` warns of past periods."""

    reference: str
    outcome: str
    told: tuple[str, ...]
    past: tuple[str, ...]
    status: str
    due_on: date | None
    amount_micros: int

    def next_words(self) -> str:
        """What is charged next, unless `told` says so already."""
        if self.outcome == "changed":
            return ""
        if self.due_on is None:
            return f"; it is {self.status}, and nothing more will be charged"
        return f"; next charge: {format_amount(self.amount_micros)} USDC on {self.due_on}"

    def to_json(self, *, dry_run: bool) -> dict[str, Any]:
        due = {"due_on": str(self.due_on), "amount": format_amount(self.amount_micros)}
        return {
            "reference": self.reference,
            "outcome": self.outcome,
            "dry_run": dry_run,
            "status": self.status,
            "changes": list(self.told),
            "warnings": list(self.past),
            "next_charge": due if self.due_on is not None else None,
        }


@dataclass(frozen=True, slots=True)
class Desk:
    """Where an agreement is made: on which database, by which settings, when, and with what permissions."""

    db: Database
    settings: Settings
    now: datetime
    allow: Permissions = field(default_factory=Permissions)
    dry_run: bool = False

    @property
    def today(self) -> date:
        return rules_of(self.settings, self.now, self.allow).today


class _Undo(Exception):
    """A dry run: what was done in the transaction is taken back."""


def add(desk: Desk, reference: str, cells: Mapping[str, str]) -> Agreed:
    """A new subscription; `cells` are texts by the names of the CSV's columns.

    Raises ImportRejected with every fault, UsageError if there is one with this reference.
    """
    row = _row({"reference": reference, **cells}, desk.allow)

    def act(tx: Tx) -> terms.Put:
        if subscriptions.find(tx, row.reference) is not None:
            how = f"`billing subscriptions change {row.reference}` changes it"
            raise UsageError(f"there is a subscription {row.reference} already; {how}")
        if not desk.allow.similar:
            known = Known(row.reference, row.email, row.plan, row.starts_on, row.line)
            if alike := list(map(str, similar([known], subscriptions.likenesses(tx)))):
                raise ImportRejected(alike)
        return _put(tx, desk, row)

    return _done(desk, row.reference, act)


def change(desk: Desk, reference: str, cells: Mapping[str, str], wanted: date | None = None) -> Agreed:
    """New terms for a known one, from its next charge on; what `cells` does not name keeps its value.

    They wait for the due date on or after `wanted`, and a higher price for the one that is at least
    `reminders.price_change_days` away. Raises ImportRejected with every fault, UsageError if there is no such
    subscription.
    """
    values = _values(cells, desk.allow)

    def act(tx: Tx) -> terms.Put:
        known = find_subscription(tx, reference)
        before = _of(known)
        after = replace(before, **values)
        if after.interval != before.interval and "starts_on" not in values:
            after = replace(after, starts_on=_renewal(tx, known))
        day = _day_of_change(desk, known, before, after, wanted)
        if day is None:
            done = _put(tx, desk, after)
            due = find_subscription(tx, reference).next_due_on
            if due is not None and known.status == SubscriptionStatus.ACTIVE:
                versions.tell(tx, desk.now, known, _billed(after), due)
            return done
        if after.interval != before.interval and "starts_on" not in values:
            after = replace(after, starts_on=day)
        return _put_off(tx, desk, known, before, after, day)

    return _done(desk, reference, act)


def _renewal(tx: Tx, known: Subscription) -> date:
    """Where a new calendar begins if nobody says so: with the next charge, so that no day is free."""
    charged = payments.charged_through(tx, [known.id]).get(known.id)
    return charged + _DAY if charged is not None else known.next_due_on or known.anchor_on


def _day_of_change(
    desk: Desk, known: Subscription, before: SubscriptionRow, after: SubscriptionRow, wanted: date | None
) -> date | None:
    """The due date that changed terms have to wait for; None if they hold with the next charge."""
    old, new = terms.shown(before), terms.shown(after)
    if not changes_terms(old, new) or known.status == SubscriptionStatus.CANCELLED:
        return None
    days = desk.settings.reminders.price_change_days if rises(old, new) else 0
    try:
        return holds_from(terms_of(known), known.next_due_on, desk.today, wanted, days)
    except LookupError as error:
        raise UsageError(f"{known.reference} can't be changed: {error}") from None


def _put_off(
    tx: Tx, desk: Desk, known: Subscription, before: SubscriptionRow, after: SubscriptionRow, day: date
) -> terms.Put:
    """What is personal changes at once; the terms wait for their day, and the subscriber is told."""
    if fault := after.contradiction():
        raise ImportRejected([fault])
    personal = replace(after, **{name: getattr(before, name) for name in _BILLED})
    done = _put(tx, desk, personal)
    differing = changes(terms.shown(personal), terms.shown(after))
    detail = "; ".join(map(str, differing))
    versions.wait(tx, actor(), desk.now, known, _billed(after), day, detail)
    versions.tell(tx, desk.now, known, _billed(after), day)
    soon = next_charge(terms.shown(before), terms_of(known), known.next_period, desk.today)
    done.told.append(f"{known.reference}: from {day} on: {detail}; until then nothing changes; {soon}")
    done.changed = [known.reference]
    return done


def _billed(row: SubscriptionRow) -> versions.Billed:
    return {
        "plan": row.plan,
        "amount_micros": row.amount,
        "interval_count": row.interval.count,
        "interval_unit": row.interval.unit.value,
        "anchor_on": row.starts_on,
        "bill_from": row.bill_from,
        "ends_on": row.ends_on,
    }


def reactivate(desk: Desk, reference: str, starts_on: date | None, reason: str) -> Agreed:
    """A cancelled or ended subscription begins anew on a day, by default as soon as nothing is charged twice.

    Raises UsageError if it is neither, or if that day is charged already or past.
    """

    def act(tx: Tx) -> terms.Put:
        known = find_subscription(tx, reference)
        if known.status not in (SubscriptionStatus.CANCELLED, SubscriptionStatus.ENDED):
            raise UsageError(f"{reference} is {known.status}; only a cancelled or ended one begins anew")
        charged = payments.charged_through(tx, [known.id]).get(known.id)
        earliest = max(desk.today, charged + _DAY) if charged is not None else desk.today
        day = starts_on or earliest
        if day < earliest:
            why = f"every day through {charged} is charged already" if charged else "that day is past"
            what = f"{reference} can't begin anew on {day}: {why}"
            raise UsageError(f"{what}; write --from {earliest} or later")
        verbs.reopen(tx, actor(), desk.now, known, day, reason)
        return _put(tx, desk, replace(_of(known), starts_on=day, bill_from=None, ends_on=None))

    return _done(desk, reference, act)


def _done(desk: Desk, reference: str, act: Any) -> Agreed:
    agreed: Agreed | None = None
    try:
        with desk.db.transaction() as tx:
            put: terms.Put = act(tx)
            if put.faults:
                raise ImportRejected(put.faults)
            row = find_subscription(tx, reference)
            outcome = "added" if put.added else "changed" if put.changed else "unchanged"
            due = row.next_due_on if row.cancel_on is None or row.next_due_on != row.cancel_on else None
            agreed = Agreed(
                reference, outcome, tuple(put.told), tuple(put.past), row.status, due, row.amount_micros
            )
            if desk.dry_run:
                raise _Undo
    except _Undo:
        pass
    assert agreed is not None
    return agreed


def _put(tx: Tx, desk: Desk, row: SubscriptionRow) -> terms.Put:
    if fault := row.contradiction():
        raise ImportRejected([fault])
    return terms.put(tx, actor(), desk.now, [row], rules_of(desk.settings, desk.now, desk.allow))


def _row(cells: Mapping[str, str], allow: Permissions) -> SubscriptionRow:
    missing = [name for name in REQUIRED if not cells.get(name, "").strip()]
    if missing:
        raise UsageError(f"{', '.join(map(_option, missing))} {'is' if len(missing) == 1 else 'are'} missing")
    return SubscriptionRow(0, **_values(cells, allow))


def _values(cells: Mapping[str, str], allow: Permissions) -> dict[str, Any]:
    """What the texts mean. Raises ImportRejected with every fault."""
    values: dict[str, Any] = {}
    faults = []
    for name, cell in cells.items():
        text = cell.strip()
        if not text and name in OPTIONAL:
            values[name] = "" if name in _TEXTS else None
            continue
        try:
            if not text:
                raise ValueError("it is empty")
            values[name] = read_field(name, text, allow_similar=allow.similar)
        except (BillingError, ValueError) as error:
            faults.append(f"{_option(name)}: {error}")
    if faults:
        raise ImportRejected(faults)
    return values


def _option(name: str) -> str:
    return "REF" if name == "reference" else f"--{name.replace('_', '-')}"


def _of(known: Subscription) -> SubscriptionRow:
    """A stored agreement as if it had come from a file."""
    kept = {f.name: getattr(known, f.name) for f in fields(SubscriptionRow) if hasattr(known, f.name)}
    interval = terms_of(known).interval
    return SubscriptionRow(
        line=0, amount=known.amount_micros, interval=interval, starts_on=known.anchor_on, **kept
    )
