"""What a spreadsheet makes of cells: rounded numbers, errors, truth values, dates of its own."""

from __future__ import annotations

import re
from datetime import date, timedelta

# Truth values in capitals only, as spreadsheets write them: there are people called True.
_WRECKED = re.compile(
    r"(?P<error>(?i:#(?:REF|VALUE|NUM|NULL|SPILL|CALC|FIELD|BLOCKED|CONNECT|BUSY|UNKNOWN|DIV/0)!"
    r"|#NAME\?|#N/A|#GETTING_DATA|#{3,}|ERR:[0-9]{3}))"
    r"|(?P<rounded>(?i:-?(?:[0-9][.,][0-9]+E[+-]?[0-9]{1,3}|[0-9]E\+[0-9]{1,3})))"
    r"|(?P<truth>TRUE|FALSE|WAHR|FALSCH|VRAI|FAUX|VERDADERO|FALSO)"
)
_KINDS = {
    "error": "an error that stands in place of a value",
    "rounded": "a number whose digits were rounded away",
    "truth": "a truth value and no text",
}
_MONTH = "(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)"
_SPREADSHEET_DATE = re.compile(
    rf"[0-9]{{1,2}}/[0-9]{{1,2}}/(?:[0-9]{{2}}|[0-9]{{4}})|[0-9]{{1,2}}-{_MONTH}(?:-[0-9]{{2,4}})?"
    rf"|{_MONTH}-[0-9]{{2}}",
    re.IGNORECASE,
)
_CULPRIT = "a spreadsheet probably did that"
_REMEDY = "format the column as text there and enter the cell again"

# Serial numbers from 1970 to 2100; day 1 is 1900-01-01, and the 29 February 1900 that never was is counted.
_SERIAL = re.compile(r"[0-9]{5}(?:[.,]0+)?")
_DAY_ZERO = date(1899, 12, 30)
_PARTS = re.compile(
    r"(?P<a>[0-9]{1,2})(?P<sep>[./-])(?P<b>[0-9]{1,2})(?P=sep)(?P<year>[0-9]{4}|[0-9]{2})"
    r"(?:[ T]+[0-9]{1,2}:[0-9]{2}(?::[0-9]{2})?)?"
)
_YEAR_FIRST = re.compile(r"(?P<year>[0-9]{4})[./](?P<b>[0-9]{1,2})[./](?P<a>[0-9]{1,2})")


def wrecked(text: str) -> str | None:
    """What a spreadsheet seems to have done to a cell, as a sentence's end, or None.

    Sound for every column: what it finds is no amount, date, address or interval either.
    """
    match = _WRECKED.fullmatch(text)
    if match is None or match.lastgroup is None:
        return None
    return f"{text!r} is {_KINDS[match.lastgroup]}; {_CULPRIT}, {_REMEDY}"


def wrecked_reference(text: str) -> str | None:
    """The same for a reference, which a spreadsheet may also have taken for a date."""
    if _SPREADSHEET_DATE.fullmatch(text):
        return f"{text!r} looks like a date that was a reference before; {_CULPRIT}, {_REMEDY}"
    return wrecked(text)


def date_readings(text: str) -> list[date]:
    """The days that a cell which is not of the form YYYY-MM-DD may mean, the likeliest first."""
    if _SERIAL.fullmatch(text):
        return _years([_DAY_ZERO + timedelta(days=int(text[:5]))])
    match = _PARTS.fullmatch(text) or _YEAR_FIRST.fullmatch(text)
    if match is None:
        return []
    year, a, b = (int(match[name]) for name in ("year", "a", "b"))
    year += 2000 if year < 100 else 0
    swapped = [(b, a), (a, b)] if match.re is _PARTS else [(b, a)]
    found = []
    for month, day in swapped:
        try:
            found.append(date(year, month, day))
        except ValueError:
            continue
    return _years(found)


def _years(days: list[date]) -> list[date]:
    return list(dict.fromkeys(day for day in days if 1970 <= day.year <= 2100))


def not_a_date(text: str) -> str:
    """Why a cell is no date, and what to write instead, naming every reading."""
    shown = text[:40]
    readings = " or ".join(day.isoformat() for day in date_readings(text))
    if not readings:
        return f"{shown!r} is not a date; write YYYY-MM-DD"
    return f"{shown!r} is not a date; write YYYY-MM-DD, here {readings} ({_CULPRIT})"
