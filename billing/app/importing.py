"""Upserts subscriptions by reference, all or nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import BinaryIO
from zoneinfo import ZoneInfo

from billing.app.csv_rows import SubscriptionRow, read_rows
from billing.config import Settings
from billing.core.likeness import Known, similar
from billing.errors import ImportRejected
from billing.lifecycle.terms import Rules, put
from billing.store import subscriptions
from billing.store.connection import Database
from billing.store.tx import Tx

_BATCH = 2000


@dataclass
class ImportResult:
    """Counts, and for people: what changes, field by field, and the past periods that will be billed."""

    added: int = 0
    updated: int = 0
    unchanged: int = 0
    changes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


class _RolledBack(Exception):
    pass


@dataclass(frozen=True)
class Permissions:
    """What a person allows with an import: look-alikes of known subscriptions, and days charged twice."""

    similar: bool = False
    overlap: bool = False


def import_csv(
    db: Database,
    file: BinaryIO,
    settings: Settings,
    now: datetime,
    actor: str,
    *,
    dry_run: bool = False,
    allow: Permissions = Permissions(),
    progress: Callable[[int], None] = lambda _done: None,
) -> ImportResult:
    """Read the whole file and store it in one transaction; with `dry_run`, store nothing.

    Raises `ImportRejected` with every fault (the first thousand are spelt out) if one cell is bad, if a
    new row looks like a known subscription, or if a change would charge days that are charged already.
    """
    faults: list[str] = []
    result = ImportResult()
    rules = rules_of(settings, now, allow)
    newcomers: list[Known] = []
    try:
        with db.transaction() as tx:
            looks = not allow.similar and subscriptions.count(tx) > 0

            def is_known(reference: str) -> bool:
                return bool(subscriptions.by_references(tx, [reference]))

            read = read_rows(file, faults, allow_similar=allow.similar, is_known=is_known)
            for batch in _batches(read):
                rows = _completed(tx, batch, faults)
                if not faults:
                    added = _put(tx, rows, rules, now, actor, result, faults)
                    newcomers += [_likeness(row) for row in rows if looks and row.reference in added]
                    progress(result.added + result.updated + result.unchanged)
            if not faults and newcomers:
                faults += map(str, similar(newcomers, subscriptions.likenesses(tx)))
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
    rules = rules_of(settings, now, Permissions())
    with db.transaction() as tx:
        for batch in _batches(rows):
            _put(tx, batch, rules, now, actor, result, [])
    return result


def rules_of(settings: Settings, now: datetime, allow: Permissions) -> Rules:
    """What terms are judged by today."""
    today = now.astimezone(ZoneInfo(settings.business.timezone)).date()
    return Rules(today, settings.reminders, settings.cycle.catch_up_limit, allow.overlap)


def _batches(rows: Iterable[SubscriptionRow]) -> Iterator[list[SubscriptionRow]]:
    rows = iter(rows)
    while batch := list(islice(rows, _BATCH)):
        yield batch


def _completed(tx: Tx, batch: Sequence[SubscriptionRow], faults: list[str]) -> list[SubscriptionRow]:
    """The rows with what is known in the columns that the file does not have."""
    known = subscriptions.by_references(tx, [row.reference for row in batch])
    whole = [row.keeping(known[row.reference]) if row.reference in known else row for row in batch]
    faults += [fault for row in whole if (fault := row.contradiction()) is not None]
    return whole


def _likeness(row: SubscriptionRow) -> Known:
    return Known(row.reference, row.email, row.plan, row.starts_on, row.line)


def _put(
    tx: Tx,
    batch: Sequence[SubscriptionRow],
    rules: Rules,
    now: datetime,
    actor: str,
    result: ImportResult,
    faults: list[str],
) -> set[str]:
    """Store a batch; returns the references that are new."""
    done = put(tx, actor, now, batch, rules)
    result.added += len(done.added)
    result.updated += len(done.changed)
    result.unchanged += done.unchanged
    result.changes += done.told
    result.warnings += done.past
    faults += done.faults
    return set(done.added)
