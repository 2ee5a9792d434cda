"""Upserts subscriptions by reference, all or nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import BinaryIO

from billing.app.csv_rows import SubscriptionRow, read_rows
from billing.config import Settings
from billing.errors import ImportRejected
from billing.lifecycle.terms import put
from billing.store.connection import Database
from billing.store.tx import Tx

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
                    _put(tx, batch, settings, now, actor, result)
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
            _put(tx, batch, settings, now, actor, result)
    return result


def _batches(rows: Iterable[SubscriptionRow]) -> Iterator[list[SubscriptionRow]]:
    rows = iter(rows)
    while batch := list(islice(rows, _BATCH)):
        yield batch


def _put(
    tx: Tx,
    batch: Sequence[SubscriptionRow],
    settings: Settings,
    now: datetime,
    actor: str,
    result: ImportResult,
) -> None:
    done = put(tx, actor, now, batch, settings.reminders)
    result.added += len(done.added)
    result.updated += len(done.changed)
    result.unchanged += done.unchanged
