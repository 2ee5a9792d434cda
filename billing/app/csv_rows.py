"""Reads subscriptions from CSV, naming the line, the column and the reason of every bad cell."""

from __future__ import annotations

import csv
import difflib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import Any, BinaryIO

from billing.core.money import parse_amount
from billing.core.periods import Interval, parse_interval
from billing.errors import BillingError

REQUIRED = ("reference", "plan", "name", "email", "amount", "interval", "starts_on")
OPTIONAL = ("bill_from", "ends_on", "wallet_address", "locale")
_COLUMNS = REQUIRED + OPTIONAL
_LONGEST_CELL = 10_000
_LONGEST_LINE = 2_000_000
_MOST_FAULTS = 1000

_CONTROL = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]")
_PLAIN_EMAIL = re.compile(
    r"[A-Za-z0-9_+-]+(?:\.[A-Za-z0-9_+-]+)*@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z]{2,24}"
)
_MOST_KNOWN = 1000
"""Plans, amounts and dates repeat; names and addresses don't, and need not be kept."""
_FORMULA = re.compile(r"'*[=+\-@]")
_GUARDED = re.compile(r"'+[=+\-@]")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_LOCALE = re.compile(r"[a-zA-Z]{2,3}(?:[-_][a-zA-Z0-9]{2,8})*")
_WALLET = re.compile(r"[A-Za-z0-9]{20,100}")
# Addresses that the rule for real senders would refuse, but that tests and samples need.
_SPECIAL_USE = (".test", ".example", ".invalid", ".localhost")


@dataclass(frozen=True, slots=True)
class SubscriptionRow:
    """One good line of the file."""

    line: int
    reference: str
    plan: str
    name: str
    email: str
    amount: int
    interval: Interval
    starts_on: date
    bill_from: date | None = None
    ends_on: date | None = None
    wallet_address: str | None = None
    locale: str | None = None


def guarded(text: str) -> str:
    """A cell that no spreadsheet takes for a formula.

    One that begins with `=`, `+`, `-` or `@` would be run there, so it gets a leading `'`; one that already
    looks so gets one more, so that `unguarded(guarded(text)) == text` for every text.
    """
    return f"'{text}" if _FORMULA.match(text) else text


def unguarded(cell: str) -> str:
    """The text that `guarded` made a cell of."""
    return cell[1:] if _GUARDED.match(cell) else cell


def read_rows(file: BinaryIO, faults: list[str]) -> Iterator[SubscriptionRow]:
    """Good rows one by one; every fault is appended to `faults` as `line N, column C: reason`.

    The file is UTF-8 with a header line. Nothing is kept but the references, to find doubles. After the
    first thousand faults the reading stops.
    """
    csv.field_size_limit(_LONGEST_CELL)
    reader = csv.reader(_lines(file, faults), strict=True)
    header = _header(reader, faults)
    if header is None:
        return
    seen: dict[str, int] = {}
    known: _Known = {name: {} for name in header}
    while True:
        if len(faults) >= _MOST_FAULTS:
            faults[_MOST_FAULTS:] = [f"and maybe more: reading stopped after {_MOST_FAULTS} faults"]
            return
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            faults.append(f"line {line}: {_explain_csv(error)}")
            continue
        if not cells:
            continue
        row = _row(line, known, cells, faults)
        if row is None:
            continue
        first = seen.setdefault(row.reference, line)
        if first != line:
            faults.append(f"line {line}, column reference: {row.reference!r} stands already on line {first}")
            continue
        yield row


def _lines(file: BinaryIO, faults: list[str]) -> Iterator[str]:
    number = 0
    while raw := file.readline(_LONGEST_LINE):
        number += 1
        if number == 1:
            raw = raw.removeprefix(b"\xef\xbb\xbf")
        try:
            yield raw.decode("utf-8")
        except UnicodeDecodeError as error:
            faults.append(
                f"line {number}: byte {error.start + 1} is not UTF-8 text; save the file with the "
                "encoding UTF-8"
            )
            yield raw.decode("utf-8", "replace")


def _header(reader: Any, faults: list[str]) -> list[str] | None:
    try:
        names = [name.strip() for name in next(reader)]
    except StopIteration:
        faults.append(f"line 1: the file is empty; its first line names the columns: {','.join(_COLUMNS)}")
        return None
    except csv.Error as error:
        faults.append(f"line 1: {_explain_csv(error)}")
        return None
    before = len(faults)
    if len(names) == 1 and ";" in names[0]:
        faults.append("line 1: the columns are separated by ';'; separate them by ','")
        return None
    if len(names) > _MOST_FAULTS:
        faults.append(f"line 1: it names {len(names)} columns; there are {', '.join(_COLUMNS)}")
        return None
    for name in REQUIRED:
        if name not in names:
            faults.append(f"line 1, column {name}: the column is missing")
    for name in names:
        if name not in _COLUMNS:
            close = difflib.get_close_matches(name, _COLUMNS, 1)
            hint = f"; did you mean {close[0]}?" if close else f"; there are {', '.join(_COLUMNS)}"
            faults.append(f"line 1, column {name[:40]!r}: there is no such column{hint}")
        elif names.count(name) > 1:
            faults.append(f"line 1, column {name}: the column stands there {names.count(name)} times")
    return names if len(faults) == before else None


def _explain_csv(error: csv.Error) -> str:
    if "field larger" in str(error):
        return f"a cell is longer than {_LONGEST_CELL} characters"
    return f"not valid CSV: {error}"


_Known = dict[str, dict[str, Any]]
"""By column, in the header's order: cells that were read before, and their values."""


def _row(line: int, known: _Known, cells: list[str], faults: list[str]) -> SubscriptionRow | None:
    if len(cells) != len(known):
        faults.append(f"line {line}: {len(cells)} cells, and the header names {len(known)} columns")
        return None
    values: dict[str, Any] = {}
    good = True
    for (column, before), cell in zip(known.items(), cells, strict=True):
        if cell in before:
            values[column] = before[cell]
            continue
        try:
            values[column] = _cell(column, cell)
            if len(before) < _MOST_KNOWN:
                before[cell] = values[column]
        except (BillingError, ValueError) as error:
            faults.append(f"line {line}, column {column}: {error}")
            good = False
    if not good:
        return None
    row = SubscriptionRow(line, **values)
    if row.ends_on is not None and row.ends_on < row.starts_on:
        faults.append(f"line {line}, column ends_on: {row.ends_on} is before starts_on {row.starts_on}")
        return None
    return row


def _cell(column: str, cell: str) -> Any:
    if "\n" in cell or "\r" in cell:
        raise ValueError("it holds a line break; write it on one line")
    if _CONTROL.search(cell):
        raise ValueError("it holds a control character; take it out")
    text = cell.strip()
    text = unguarded(text)
    if not text:
        if column in OPTIONAL:
            return None
        raise ValueError("it is empty")
    return _READERS[column](text)


def _text(longest: int) -> Callable[[str], str]:
    def read(text: str) -> str:
        if len(text) > longest:
            raise ValueError(f"it is {len(text)} characters long; at most {longest} are allowed")
        return text

    return read


def _email(text: str) -> str:
    if len(text) > 254:
        raise ValueError("it is too long for an e-mail address")
    if _PLAIN_EMAIL.fullmatch(text) and len(text.partition("@")[0]) <= 64:
        return text
    # The common shape needs no library; everything unusual is judged by one (it costs 20 times more).
    from email_validator import EmailNotValidError, validate_email

    special = text.lower().endswith(_SPECIAL_USE)
    try:
        found = validate_email(text, strict=True, check_deliverability=False, test_environment=special)
        return found.normalized
    except EmailNotValidError as error:
        raise ValueError(f"{text[:80]!r} is not an e-mail address: {error}") from None


@lru_cache(maxsize=4096)
def _date(text: str) -> date:
    try:
        if not _DATE.fullmatch(text):
            raise ValueError
        day = date.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text[:40]!r} is not a date; write YYYY-MM-DD") from None
    if not 1970 <= day.year <= 2100:
        raise ValueError(f"{text} is not between the years 1970 and 2100")
    return day


def _wallet(text: str) -> str:
    if not _WALLET.fullmatch(text):
        raise ValueError("not a wallet address: 20 to 100 letters and digits")
    return text


def _locale(text: str) -> str:
    if len(text) > 35 or not _LOCALE.fullmatch(text):
        raise ValueError(f"{text[:40]!r} is not a locale; write for example 'de' or 'pt-BR'")
    return text.replace("_", "-")


_READERS: dict[str, Callable[[str], Any]] = {
    "reference": _text(64),
    "plan": _text(80),
    "name": _text(120),
    "email": _email,
    "amount": lru_cache(maxsize=4096)(parse_amount),
    "interval": lru_cache(maxsize=4096)(parse_interval),
    "starts_on": _date,
    "bill_from": _date,
    "ends_on": _date,
    "wallet_address": _wallet,
    "locale": _locale,
}
