"""CSV files of subscriptions, made of good rows and what differs from them."""

from __future__ import annotations

import csv
import io

from billing.app.csv_rows import OPTIONAL, REQUIRED, SubscriptionRow, read_rows

GOOD = {
    "reference": "acme",
    "plan": "Gold plan",
    "name": "Zoë Quillfeather",
    "email": "zoe@example.org",
    "amount": "19.90",
    "interval": "1 month",
    "starts_on": "2026-01-31",
}
COLUMNS = (*REQUIRED, *OPTIONAL)


def csv_file(*rows: dict[str, str], columns: tuple[str, ...] = COLUMNS) -> bytes:
    """A file of rows that differ from a good one in what is given."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows([GOOD | row for row in rows])
    return text.getvalue().encode()


def read(content: bytes) -> tuple[list[SubscriptionRow], list[str]]:
    faults: list[str] = []
    return list(read_rows(io.BytesIO(content), faults)), faults


def faults_of(content: bytes) -> list[str]:
    return read(content)[1]


def good_rows(content: bytes) -> list[SubscriptionRow]:
    rows, faults = read(content)
    assert faults == []
    return rows
