"""Reads subscriptions from CSV, naming the line, the column and the reason of every bad cell."""

from __future__ import annotations

import csv
import dataclasses
import difflib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from typing import Any, BinaryIO, Protocol

from billing.app.csv_text import csv_text, explain_bytes
from billing.core.fields import read_field
from billing.core.likeness import fold
from billing.core.periods import Interval
from billing.core.wrecked import wrecked_reference
from billing.errors import BillingError

REQUIRED = ("reference", "plan", "name", "email", "amount", "interval", "starts_on")
_BUYER = ("company", "tax_id", "address")
"""Texts that are empty where nothing is known of them, and never None."""
OPTIONAL = ("bill_from", "ends_on", "wallet_address", "locale", *_BUYER)
_COLUMNS = REQUIRED + OPTIONAL
_ALL = frozenset(_COLUMNS)
_LONGEST_CELL = 10_000
_MOST_FAULTS = 1000
_MOST_KNOWN = 1000
"""Plans, amounts and dates repeat; names and addresses don't, and need not be kept."""
_FORMULA = re.compile(r"'*[=+\-@]")
_GUARDED = re.compile(r"'+[=+\-@]")
_BLANKS = " \u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"
_DOUBLED = 'a quotation mark inside a quoted cell is written twice ("")'


class OptionalFields(Protocol):
    """What a known subscription holds in the columns that a file may leave out."""

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


@dataclass(frozen=True, slots=True)
class SubscriptionRow:
    """One good line of the file.

    `present` are the columns that the file had. A column that it had not says nothing (`keeping`); an empty
    cell of one that it had says None, or '' of a buyer's text. An address has lines.
    """

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
    company: str = ""
    tax_id: str = ""
    address: str = ""
    present: frozenset[str] = _ALL

    def keeping(self, known: OptionalFields) -> SubscriptionRow:
        """This row with the known values in the columns that its file had not."""
        absent = {name: getattr(known, name) for name in OPTIONAL if name not in self.present}
        return dataclasses.replace(self, **absent) if absent else self

    def contradiction(self) -> str | None:
        """The fault of a row whose dates can't hold together, or None; to be asked again after `keeping`."""
        if self.ends_on is not None and self.ends_on < self.starts_on:
            place = f"line {self.line}, column ends_on" if self.line else "--ends-on"
            return f"{place}: {self.ends_on} is before starts_on {self.starts_on}"
        return None


def guarded(text: str) -> str:
    """A cell that no spreadsheet takes for a formula.

    One that begins with `=`, `+`, `-` or `@` would be run there, so it gets a leading `'`; one that already
    looks so gets one more, so that `unguarded(guarded(text)) == text` for every text.
    """
    return f"'{text}" if _FORMULA.match(text) else text


def unguarded(cell: str) -> str:
    """The text that `guarded` made a cell of."""
    return cell[1:] if _GUARDED.match(cell) else cell


def _nothing_known(_reference: str) -> bool:
    return False


def read_rows(
    file: BinaryIO,
    faults: list[str],
    *,
    allow_similar: bool = False,
    is_known: Callable[[str], bool] = _nothing_known,
) -> Iterator[SubscriptionRow]:
    """Good rows one by one; every fault is appended to `faults` as `line N, column C: reason`.

    The first line that is not blank names the columns. Nothing is kept but the references, to find doubles,
    and, unless `allow_similar`, those that look alike. `is_known` is asked, seldom, about a reference that
    looks wrecked or like another one: what was imported once is not asked about again. After the first
    thousand faults the reading stops.
    """
    csv.field_size_limit(_LONGEST_CELL)
    try:
        text = csv_text(file, _COLUMNS)
    except ValueError as error:
        faults.append(str(error))
        return
    tape = _Tape(text.lines)
    reader = csv.reader(tape, delimiter=text.separator, strict=True)
    columns = _header(reader, text.skipped + 1, faults)
    if columns is None:
        return
    rows = _Rows(columns, text.separator, faults, allow_similar, is_known)
    while True:
        if len(faults) >= _MOST_FAULTS:
            faults[_MOST_FAULTS:] = [f"and maybe more: reading stopped after {_MOST_FAULTS} faults"]
            return
        line = text.skipped + reader.line_num + 1
        tape.taken.clear()
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            faults.append(_explain_csv(error, line, columns, tape.taken, text.separator))
            continue
        if any(cells) and not all(cell.isspace() for cell in cells if cell):
            row = rows.read(line, cells)
            if row is not None:
                yield row


class _Tape:
    """Lines, and those that the row under the reader is made of."""

    def __init__(self, lines: Iterator[str]) -> None:
        self._lines = lines
        self.taken: list[str] = []

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        self.taken.append(line)
        return line


def _column_name(cell: str) -> str:
    """`Starts on` and `STARTS_ON` are `starts_on`."""
    name = cell.strip("\ufeff \t\r\n\u00a0\u200b")
    folded = re.sub(r"\s+", "_", name.casefold())
    return folded if folded in _ALL else name


def _header(reader: Iterator[list[str]], line: int, faults: list[str]) -> list[str] | None:
    """The columns by name, without empty ones at the end; None after a fault."""
    try:
        cells = next(reader)
    except csv.Error as error:
        faults.append(_explain_csv(error, line, [], [], ","))
        return None
    names = [_column_name(cell) for cell in cells]
    while names and not names[-1]:
        names.pop()
    before = len(faults)
    known = _ALL.intersection(names)
    if strange := explain_bytes("".join(cells)):
        faults.append(f"line {line}: {strange}")
    elif not known:
        faults.append(
            f"line {line}: it names none of the columns; the first line must, and there are {_listed()}"
        )
    elif len(names) > _MOST_FAULTS:
        faults.append(f"line {line}: it names {len(names)} columns; there are {_listed()}")
    else:
        faults += _faults_of_header(names, line)
    return names if len(faults) == before else None


def _listed() -> str:
    return ", ".join(_COLUMNS)


def _faults_of_header(names: list[str], line: int) -> Iterator[str]:
    for name in REQUIRED:
        if name not in names:
            yield f"line {line}, column {name}: the column is missing"
    for position, name in enumerate(names, start=1):
        if not name:
            yield f"line {line}: column {position} has no name; name it or take it out"
        elif name not in _ALL:
            close = difflib.get_close_matches(name.casefold(), _COLUMNS, 1)
            hint = f"; did you mean {close[0]}?" if close else f"; there are {_listed()}"
            yield f"line {line}, column {name[:40]!r}: there is no such column{hint}"
        elif name in names[: position - 1]:
            yield f"line {line}, column {name}: the column stands there {names.count(name)} times"


def _explain_csv(error: csv.Error, line: int, columns: list[str], taken: list[str], separator: str) -> str:
    said = str(error)
    if "field larger" in said:
        return (
            f"line {line}: a cell is longer than {_LONGEST_CELL} characters; maybe a quotation mark is not "
            "closed before it"
        )
    if "unexpected end" in said:
        return (
            f"line {line}{_last_column(columns, taken, separator)}: a quotation mark opens the cell and none "
            f"closes it; close it, or take it out; {_DOUBLED}"
        )
    if "expected after" in said:
        return f"line {line}: text follows the quotation mark that closes a cell; {_DOUBLED}"
    return f"line {line}: not valid CSV: {error}"


def _last_column(columns: list[str], taken: list[str], separator: str) -> str:
    """Where lines that end in the middle of a cell end."""
    try:
        cells = next(csv.reader(taken, delimiter=separator), [])
    except csv.Error:
        return ""
    return f", column {columns[len(cells) - 1]}" if 0 < len(cells) <= len(columns) else ""


class _Rows:
    """Turns cells into rows, and remembers what must not come twice."""

    def __init__(
        self,
        columns: list[str],
        separator: str,
        faults: list[str],
        allow_similar: bool,
        is_known: Callable[[str], bool],
    ) -> None:
        self._present = frozenset(columns)
        self._separator = separator
        self._faults = faults
        self._allow_similar = allow_similar
        self._is_known = is_known
        self._known: dict[str, dict[str, Any]] = {name: {} for name in columns}
        """By column, in the header's order: cells that were read before, and their values."""
        self._lines: dict[str, int] = {}
        self._folded: dict[str, str] = {}
        self._bytes_told = False

    def read(self, line: int, cells: list[str]) -> SubscriptionRow | None:
        """The row of a line that is not blank; None after a fault."""
        width = len(self._known)
        while len(cells) > width and not cells[-1].strip():
            cells.pop()
        if len(cells) != width:
            self._faults.append(f"line {line}: {self._explain_width(cells, width)}")
            return None
        values = self._values(line, cells)
        if values is None:
            return None
        row = SubscriptionRow(line, present=self._present, **values)
        fault = row.contradiction() or self._double(row)
        if fault:
            self._faults.append(fault)
            return None
        return row

    def _explain_width(self, cells: list[str], width: int) -> str:
        count = f"{len(cells)} cell{'s' if len(cells) > 1 else ''}, and the header names {width} columns"
        if any("\n" in cell or "\r" in cell for cell in cells):
            return f"{count}; a quotation mark may be open there that should not be"
        if len(cells) > width:
            return f"{count}; a cell that holds {self._separator!r} must stand in quotation marks"
        return f"{count}; an empty cell needs its {self._separator!r} as well"

    def _values(self, line: int, cells: list[str]) -> dict[str, Any] | None:
        values: dict[str, Any] = {}
        for (column, before), cell in zip(self._known.items(), cells, strict=True):
            if cell in before:
                values[column] = before[cell]
                continue
            if not cell.isascii() and (strange := explain_bytes(cell)):
                # Where one line is in another encoding the others are as well: it is told once.
                if not self._bytes_told:
                    self._faults.append(f"line {line}, column {column}: {strange}")
                self._bytes_told = True
                continue
            try:
                values[column] = self._value(column, cell)
            except (BillingError, ValueError) as error:
                hint = self._while_it_is_wrong(values) if column == "email" else ""
                self._faults.append(f"line {line}, column {column}: {error}{hint}")
                continue
            if len(before) < _MOST_KNOWN:
                before[cell] = values[column]
        return values if len(values) == len(cells) else None

    def _while_it_is_wrong(self, values: dict[str, Any]) -> str:
        """What to do with a known subscription whose address older versions let in: an export holds it."""
        if not self._is_known(values.get("reference", "")):
            return ""
        return "; until then take the line out of the file: its subscription stays as it is"

    def _value(self, column: str, cell: str) -> Any:
        # Line breaks and controls at the ends are refused as well, so only blanks go before the reading.
        text = unguarded(cell.strip(_BLANKS))
        if not text:
            if column in OPTIONAL:
                return "" if column in _BUYER else None
            raise ValueError("it is empty")
        vouched = self._allow_similar
        if column == "reference" and not vouched and wrecked_reference(text):
            vouched = self._is_known(text)
        return read_field(column, text, allow_similar=vouched)

    def _double(self, row: SubscriptionRow) -> str | None:
        """What to say of a reference that stands in the file already, or one that looks like it does."""
        place = f"line {row.line}, column reference: {row.reference!r}"
        first = self._lines.setdefault(row.reference, row.line)
        if first != row.line:
            return f"{place} stands already on line {first}"
        if self._allow_similar:
            return None
        alike = self._folded.setdefault(fold(row.reference), row.reference)
        if alike != row.reference and not (self._is_known(alike) and self._is_known(row.reference)):
            return (
                f"{place} looks like {alike!r} on line {self._lines[alike]}; correct one, or import it with "
                "--allow-similar if they are two subscriptions"
            )
        return None
