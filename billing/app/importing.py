"""Upserts subscriptions by reference, all or nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache
from itertools import islice
from typing import Any, BinaryIO

from sqlalchemy import Connection

from billing.app.csv_rows import SubscriptionRow, read_rows
from billing.config import Settings
from billing.core.schedule import Terms
from billing.core.states import SubscriptionStatus
from billing.cycle.plan import first_reminder_on
from billing.errors import ImportRejected
from billing.store import payments, subscriptions
from billing.store.database import Database
from billing.store.events import event, record

_BATCH = 2000


@dataclass
class ImportResult:
    added: int = 0
    updated: int = 0
    unchanged: int = 0


class _RolledBack(Exception):
    pass


def import_csv(
    db: Database,
    file: BinaryIO,
    settings: Settings,
    now: datetime,
    actor: str,
    *,
    dry_run: bool = False,
    progress: Callable[[int], None] = lambda _done: None,
) -> ImportResult:
    """Read the whole file and store it in one transaction; with `dry_run`, store nothing.

    Raises `ImportRejected` with every fault (the first thousand are spelt out) if one cell is bad.
    """
    faults: list[str] = []
    result = ImportResult()
    try:
        with db.transaction() as tx:
            for batch in _batches(read_rows(file, faults)):
                if not faults:
                    _upsert(tx, batch, settings, now, actor, result)
                    progress(result.added + result.updated + result.unchanged)
            if faults or dry_run:
                raise _RolledBack
    except _RolledBack:
        pass
    if faults:
        raise ImportRejected(faults)
    return result


def import_rows(
    db: Database, rows: Sequence[SubscriptionRow], settings: Settings, now: datetime, actor: str
) -> ImportResult:
    """Upsert rows that are known to be good."""
    result = ImportResult()
    with db.transaction() as tx:
        for batch in _batches(rows):
            _upsert(tx, batch, settings, now, actor, result)
    return result


def _batches(rows: Iterable[SubscriptionRow]) -> Iterator[list[SubscriptionRow]]:
    rows = iter(rows)
    while batch := list(islice(rows, _BATCH)):
        yield batch


def _upsert(
    tx: Connection,
    batch: Sequence[SubscriptionRow],
    settings: Settings,
    now: datetime,
    actor: str,
    result: ImportResult,
) -> None:
    known = subscriptions.by_references(tx, [row.reference for row in batch])
    billed = payments.last_due_on(tx, [row.id for row in known.values()]) if known else {}
    stored, lines = [], []
    for row in batch:
        old = known.get(row.reference)
        new = _stored_row(row, old, billed.get(old.id) if old is not None else None, settings, now)
        if old is None:
            result.added += 1
        elif all(getattr(old, key) == value for key, value in new.items() if key not in _TIMES):
            result.unchanged += 1
            continue
        else:
            result.updated += 1
            lines.append(event(now, actor, "changed", "imported again", subscription_id=old.id))
        stored.append(new)
    subscriptions.upsert(tx, stored)
    if added := [row["reference"] for row in stored if row["reference"] not in known]:
        ids = subscriptions.ids_of(tx, added)
        lines += [event(now, actor, "added", "imported", subscription_id=row_id) for row_id in ids]
    record(tx, lines)


_TIMES = ("created_at", "updated_at")


# Of a hundred thousand subscriptions few have a calendar of their own.
_first_period = lru_cache(maxsize=4096)(Terms.first_period)
_next_due_on = lru_cache(maxsize=4096)(Terms.next_due_on)


def _floor(old: Any, last_billed: date | None) -> date | None:
    """The first day that changed terms may bill: after all that was billed, or passed over by a pause."""
    passed = [last_billed] if last_billed else []
    if old is not None:
        terms = subscriptions.terms_of(old)
        if old.next_period > terms.first_period():
            passed.append(terms.due_on(old.next_period - 1))
    return max(passed) + timedelta(days=1) if passed else None


def _stored_row(
    row: SubscriptionRow, old: Any, last_billed: date | None, settings: Settings, now: datetime
) -> dict[str, Any]:
    """What is stored for a line. A known subscription keeps its status and is never billed backwards."""
    cancel_on = old.cancel_on if old is not None else None
    terms = Terms(row.starts_on, row.interval, row.bill_from, row.ends_on, cancel_on)
    status = old.status if old is not None else SubscriptionStatus.ACTIVE.value
    if old is not None and subscriptions.terms_of(old) == terms:
        period = old.next_period
    else:
        period = _first_period(terms, _floor(old, last_billed))
    next_due = _next_due_on(terms, period)
    if status == SubscriptionStatus.CANCELLED:
        next_due = None
    elif cancel_on is not None:
        next_due = next_due or cancel_on  # it comes up once more then, to be cancelled
    elif status != SubscriptionStatus.PAUSED:
        status = (SubscriptionStatus.ENDED if next_due is None else SubscriptionStatus.ACTIVE).value
    stored = {
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
        "status": status,
        "cancel_on": cancel_on,
        "next_period": period,
        "next_due_on": next_due,
        "next_remind_on": None,
        "created_at": old.created_at if old is not None else now,
        "updated_at": now,
    }
    if old is not None and old.next_due_on == next_due and next_due is not None:
        stored["next_remind_on"] = old.next_remind_on
    elif next_due is not None and cancel_on is None:
        stored["next_remind_on"] = first_reminder_on(row.interval, next_due, settings)
    return stored
