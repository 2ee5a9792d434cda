"""Subscriptions, payments and events for other programs, row by row, as CSV or as JSON lines.

CSV is made safe to open in a spreadsheet (`csv_rows.guarded`); JSON lines are exact as they are.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from typing import Generic, TextIO, TypeVar

from billing.app.csv_rows import OPTIONAL, REQUIRED, guarded
from billing.core.fields import written_address, written_amount
from billing.core.money import format_amount
from billing.store import exports
from billing.store.connection import Database
from billing.store.paging import Listing, paged
from billing.store.subscriptions import terms_of

Value = str | int | date | datetime | None
Row = dict[str, str | int | None]
R = TypeVar("R")


class Export(Generic[R]):
    """One kind of thing: its columns, where they come from, and those that a row calls otherwise."""

    def __init__(
        self, columns: Sequence[str], listing: Listing[R], named: Mapping[str, Callable[[R], Value]]
    ) -> None:
        self.columns = columns
        self._listing = listing
        self._named = named

    def rows(self, db: Database) -> Iterator[Row]:
        """All of them by id, a page at a time; what is added meanwhile may be there or not."""
        for row in paged(db, self._listing):
            yield {name: _plain(self._value(row, name)) for name in self.columns}

    def _value(self, row: R, name: str) -> Value:
        value: Value = self._named[name](row) if name in self._named else getattr(row, name)
        return value


def _plain(value: Value) -> str | int | None:
    """Dates and instants as ISO 8601; numbers and texts as they are."""
    return value.isoformat() if isinstance(value, date) else value


SUBSCRIPTIONS = Export(
    (*REQUIRED, *OPTIONAL),
    exports.all_subscriptions(),
    {
        "amount": lambda row: written_amount(row.amount_micros),
        "interval": lambda row: str(terms_of(row).interval),
        "starts_on": lambda row: row.anchor_on,
        "address": lambda row: written_address(row.address),
    },
)
"""The columns of the import: what is exported can be imported again."""

PAYMENTS = Export(
    (
        "id",
        "subscription",
        "due_on",
        "period_end_on",
        "amount",
        "state",
        "cause",
        "attention",
        "attempts",
        "marker",
        "remote_id",
        "paid_at",
        "created_at",
        "updated_at",
    ),
    exports.all_payments(),
    {
        "amount": lambda row: format_amount(row.amount_micros),
        "subscription": lambda row: row.reference,
        "remote_id": lambda row: row.remote_id or row.former_remote_id,
    },
)

EVENTS = Export(
    ("id", "at", "actor", "action", "detail", "subscription", "payment_id", "notice_id"),
    exports.all_events(),
    {"subscription": lambda row: row.reference},
)


def write_csv(columns: Sequence[str], rows: Iterable[Row], out: TextIO) -> None:
    """A header line and a line a row, as the import reads them."""
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow(
            guarded(value) if isinstance(value, str) else value for value in (row[name] for name in columns)
        )


def write_json_lines(rows: Iterable[Row], out: TextIO) -> None:
    """A JSON object a line; amounts are strings, so that no reader makes floats of them."""
    for row in rows:
        out.write(json.dumps(row, ensure_ascii=False) + "\n")
