"""Turns the bytes of a CSV file into lines of text, whatever program wrote them.

UTF-8 and UTF-16, with and without a mark at the start, the line ends of Unix, Windows and old Macs, cells
separated by commas, semicolons, tabs or bars, and the line `sep=;` are all read. What is no text at all is
refused.
"""

from __future__ import annotations

import io
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import BinaryIO, cast

SEPARATORS = ",;\t|"
_LONGEST_LINE = 2_000_000
_SEP_LINE = re.compile(r'\s*"?sep=(.)"?[,;\t| \r\n]*', re.IGNORECASE | re.DOTALL)
_BLANK = SEPARATORS + ' "\r\n\ufeff'

_SAVE_AS = "save it as 'CSV UTF-8'"
_NO_TEXT = (
    (b"PK\x03\x04", "a workbook (.xlsx, .ods) or another ZIP archive"),
    (b"\xd0\xcf\x11\xe0", "an Excel workbook (.xls)"),
    (b"%PDF", "a PDF document"),
    (b"\x1f\x8b", "compressed with gzip"),
    (b"\xff\xfe\x00\x00", "UTF-32 text"),
    (b"\x00\x00\xfe\xff", "UTF-32 text"),
)
# A header is ASCII, so that every second byte of UTF-16 is 0 there, also where no mark says which.
_UTF_16 = (
    (re.compile(rb"\xff\xfe"), "utf-16"),
    (re.compile(rb"\xfe\xff"), "utf-16"),
    (re.compile(rb"[^\x00]\x00[^\x00]\x00", re.DOTALL), "utf-16-le"),
    (re.compile(rb"\x00[^\x00]\x00[^\x00]", re.DOTALL), "utf-16-be"),
)


@dataclass(frozen=True, slots=True)
class CsvText:
    """`lines` begin with the header, which follows after `skipped` lines of the file."""

    lines: Iterator[str]
    separator: str
    skipped: int


def csv_text(file: BinaryIO, columns: Collection[str]) -> CsvText:
    """The text of a file whose header names some of `columns`.

    A byte that is no text becomes a lone surrogate (UTF-8) or U+FFFD (UTF-16), for the cell's reader to name.
    Raises `ValueError` with a sentence that begins with the place.
    """
    lines = _lines(file)
    separator = None
    skipped = 0
    for line in lines:
        given = _SEP_LINE.fullmatch(line) if skipped == 0 else None
        if given is not None:
            separator = given[1]
            if separator not in SEPARATORS:
                raise ValueError(
                    f"line 1: it says that {separator!r} separates the cells; separate them by ','"
                )
        elif line.strip(_BLANK):
            return CsvText(chain([line], lines), separator or _separator(line, columns), skipped)
        skipped += 1
    raise ValueError(
        f"line {max(skipped, 1)}: the file is empty; its first line names the columns: {','.join(columns)}"
    )


def _separator(header: str, columns: Collection[str]) -> str:
    """The separator by which most columns are found."""

    def found(separator: str) -> int:
        return sum(name.strip(_BLANK).casefold() in columns for name in header.split(separator))

    return max(SEPARATORS, key=found)


def _lines(file: BinaryIO) -> Iterator[str]:
    # A pipe can't be rewound, so the first bytes are looked at without taking them.
    buffered = io.BufferedReader(cast(io.RawIOBase, file))
    try:
        start = buffered.peek(4)[:4]
        for magic, kind in _NO_TEXT:
            if start.startswith(magic):
                raise ValueError(f"line 1: the file is {kind} and no CSV; {_SAVE_AS}")
        encoding = next((name for pattern, name in _UTF_16 if pattern.match(start)), "utf-8-sig")
        errors = "surrogateescape" if encoding == "utf-8-sig" else "replace"
        text = io.TextIOWrapper(buffered, encoding, errors, newline="")
        try:
            # Lines keep their ends, also a bare CR, so that a cell with a line break can be told.
            while line := text.readline(_LONGEST_LINE):
                yield line
        finally:
            text.detach()
    finally:
        buffered.detach()  # the file is its opener's to close


def explain_bytes(cell: str) -> str | None:
    """Why a cell is no text if bytes of it were none, else None."""
    found = re.search("[\udc80-\udcff]", cell)
    if found is None:
        return None
    byte = ord(found[0]) - 0xDC00
    guess = bytes([byte]).decode("cp1252", "replace")
    likely = f" (in Windows-1252 it would be {guess!r})" if guess.isprintable() and guess != "\ufffd" else ""
    return f"the byte 0x{byte:02X} is not UTF-8 text{likely}; save the file as 'CSV UTF-8'"
