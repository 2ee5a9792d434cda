"""Subscriptions, payments and events for other programs, row by row, as CSV or as JSON lines.

CSV is made safe to open in a spreadsheet (`csv_rows.guarded`); JSON lines are exact as they are.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TextIO

from sqlalchemy import Select, select

from billing.app.csv_rows import OPTIONAL, REQUIRED, guarded
from billing.core.fields import written_amount
from billing.core.money import format_amount
from billing.store.database import Database
from billing.store.models import events, payments, subscriptions
from billing.store.paging import paged
from billing.store.subscriptions import terms_of

Row = dict[str, str | int | None]


@dataclass(frozen=True, slots=True)
class Export:
    """One kind of thing: its columns, the query for it (ordered by id), and a row's values."""

    columns: Sequence[str]
    query: Select[Any]
    values: Callable[[Any], Mapping[str, Any]]

    def rows(self, db: Database) -> Iterator[Row]:
        """All of them by id, a page at a time; what is added meanwhile may be there or not."""
        row_id = next(column for column in self.query.selected_columns if column.name == "id")
        for row in paged(db, self.query, [row_id]):
            values = self.values(row)
            yield {name: _plain(values[name]) for name in self.columns}


def _plain(value: Any) -> str | int | None:
    """Dates and instants as ISO 8601; numbers and texts as they are."""
    if value is None or isinstance(value, (str, int)):
        return value
    return str(value.isoformat())


def _subscription(row: Any) -> Mapping[str, Any]:
    return {
        **row._mapping,
        "amount": written_amount(row.amount_micros),
        "interval": str(terms_of(row).interval),
        "starts_on": row.anchor_on,
    }


def _payment(row: Any) -> Mapping[str, Any]:
    return {**row._mapping, "amount": format_amount(row.amount_micros), "subscription": row.reference}


SUBSCRIPTIONS = Export((*REQUIRED, *OPTIONAL), select(subscriptions), _subscription)
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
    select(payments, subscriptions.c.reference).join(
        subscriptions, subscriptions.c.id == payments.c.subscription_id
    ),
    _payment,
)

EVENTS = Export(
    ("id", "at", "actor", "action", "detail", "subscription", "payment_id", "notice_id"),
    select(events, subscriptions.c.reference).outerjoin(
        subscriptions, subscriptions.c.id == events.c.subscription_id
    ),
    lambda row: {**row._mapping, "subscription": row.reference},
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
