"""What each field of a subscription may hold: text in, value out, or the reason why not.

The rules are the same wherever an agreement comes from: a file, a command, a request.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from datetime import date
from functools import lru_cache
from typing import Any

from billing.core.addresses import mailable
from billing.core.characters import code_point, first_unprintable, without_invisible
from billing.core.money import format_amount, parse_amount
from billing.core.periods import Interval, parse_interval
from billing.core.wrecked import not_a_date, wrecked, wrecked_reference

FieldValue = str | int | date | Interval
"""What a field holds once it is read; amounts are micro-USDC."""

_TEXTS = {"reference": 64, "plan": 80, "name": 120, "company": 120, "tax_id": 60, "address": 500}
"""Columns that hold free text, and how many characters of it."""
_MOST_LINES = 8
_BETWEEN_LINES = " | "
_BLANKS_AND_JOINERS = re.compile("[\\s\u200c\u200d]")

# Nothing of this can stand in any field: controls (also the second set, which terminals obey), separators of
# lines, marks that turn the text around them, and halves of characters.
_FORBIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_LOST = "\ufffd"
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_LOCALE = re.compile(r"[a-zA-Z]{2,3}(?:[-_][a-zA-Z0-9]{2,8})*")
_WALLET = re.compile(r"[A-Za-z0-9]{20,100}")
# A scheme, `www.`, or a host with a path. A bare host is no address: companies are called Booking.com.
_URL = re.compile(
    r"[a-z][a-z0-9+.-]*://|\b(?:mailto|javascript|tel):\S|\bwww[0-9]?\.\S"
    r"|\b(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)+[a-z]{2,24}(?::[0-9]+)?[/?#]\S",
    re.IGNORECASE,
)
_URL_MARKS = frozenset("./:")
_MARKER = re.compile(r"\[\s*RB-|RB-[0-9A-Z]{16}", re.IGNORECASE)
_EITHER = re.compile(r"([1-9][0-9]{0,2})[.,]([0-9]{3})")
_GROUPED = re.compile(
    r"([1-9][0-9]{0,2}(?:(?P<group>[.,'’ \u00a0\u202f])[0-9]{3})(?:(?P=group)[0-9]{3})*)"
    r"(?:(?!(?P=group))[.,]([0-9]{1,18}))?"
)
_DECIMAL_COMMA = re.compile(r"([0-9]{1,12}),([0-9]{1,18})")


def read_field(column: str, text: str, *, allow_similar: bool = False) -> FieldValue:
    """The value of a field, from text that is not blank and bears no blanks around it.

    Raises `ValueError` (or a `BillingError`) that says why not, and what to write. With `allow_similar` a
    reference, plan or name may look as if a spreadsheet had wrecked it.
    """
    _check_characters(column, text)
    free = column in _TEXTS
    if not (allow_similar and free):
        sentence = (wrecked_reference if column == "reference" else wrecked)(text)
        if sentence:
            hint = "; if it is meant so, import it with --allow-similar" if free else ""
            raise ValueError(f"{sentence[:300]}{hint}")
    value: FieldValue = _READERS[column](text)
    return value


def _check_characters(column: str, text: str) -> None:
    if "\n" in text or "\r" in text:
        more = f", with {_BETWEEN_LINES!r} between its lines" if column == "address" else ""
        raise ValueError(f"it holds a line break; write it on one line{more}")
    if text.isascii() and text.isprintable():
        return
    if found := _FORBIDDEN.search(text):
        raise ValueError(f"it holds a control character ({code_point(found[0])}); take it out")
    if _LOST in text:
        raise ValueError("a character of it was lost when the file was converted (U+FFFD); enter it again")


def _text(column: str, text: str) -> str:
    longest = _TEXTS[column]
    if len(text) > longest:
        raise ValueError(f"it is {len(text)} characters long; at most {longest} are allowed")
    if not without_invisible(text).strip():
        raise ValueError("it is empty: nothing in it can be seen")
    return text


def _code(column: str, called: str, text: str) -> str:
    """A text that people compare and copy: every character of it is seen."""
    if strange := first_unprintable(text):
        kind = "a blank that is no space" if strange.isspace() else "an invisible character"
        raise ValueError(f"it holds {kind} ({code_point(strange)}); type the {called} anew")
    return _text(column, text)


def _reference(text: str) -> str:
    return _code("reference", "reference", text)


def _name(text: str) -> str:
    return _without_links("name", _text("name", text))


def _printed(column: str, text: str) -> str:
    """A text for receipts, of which everything is seen but blanks and what joins letters."""
    if strange := first_unprintable(_BLANKS_AND_JOINERS.sub(" ", text)):
        raise ValueError(f"it holds an invisible character ({code_point(strange)}); type it anew")
    return _without_links(column, _text(column, text))


def _company(text: str) -> str:
    return _printed("company", text)


def _tax_id(text: str) -> str:
    return _without_links("tax_id", _code("tax_id", "tax number", text))


def _address(text: str) -> str:
    """Lines, which the text parts by bars: a line break in a cell is what a forgotten quotation mark makes,
    and would swallow the subscriptions below it."""
    lines = [line for part in _printed("address", text).split("|") if (line := part.strip())]
    if not lines:
        raise ValueError("it is empty: there is nothing between its bars")
    if len(lines) > _MOST_LINES:
        raise ValueError(f"it has {len(lines)} lines; at most {_MOST_LINES} are allowed")
    return "\n".join(lines)


def written_address(address: str) -> str:
    """An address as `read_field` reads it again: on one line, its lines parted by bars."""
    return _BETWEEN_LINES.join(address.splitlines())


def _plan(text: str) -> str:
    if _MARKER.search(unicodedata.normalize("NFKC", without_invisible(text))):
        raise ValueError(
            "it holds a payment number (RB-…), by which payments are recognised at Mileston; write the "
            "plan's own name without it"
        )
    return _without_links("plan", _text("plan", text))


def _without_links(column: str, text: str) -> str:
    if text.isascii() and not _URL_MARKS.intersection(text):
        return text
    if _URL.search(unicodedata.normalize("NFKC", without_invisible(text))):
        raise ValueError(
            f"it holds a web address, which mail would show to the subscriber as a link; write a {column} "
            "without it"
        )
    return text


@lru_cache(maxsize=4096)
def _amount(text: str) -> int:
    if match := _EITHER.fullmatch(text):
        whole, places = match.groups()
        decimal = format_amount(parse_amount(f"{whole}.{places}"))
        if len(decimal.partition(".")[2]) == 3:
            decimal += "0"  # with three places it would be refused again
        raise ValueError(
            f"{text!r} may mean {whole}{places} or {decimal.rstrip('0').rstrip('.')}; "
            f"write {whole}{places}.00 or {decimal}"
        )
    if match := _GROUPED.fullmatch(text):
        whole = re.sub(r"[^0-9]", "", match[1])
        raise ValueError(
            f"{text[:40]!r} is not an amount: it has marks between its thousands; "
            f"write {whole}.{match[3] or '00'}"
        )
    if match := _DECIMAL_COMMA.fullmatch(text):
        raise ValueError(f"{text!r} is not an amount: it has a decimal comma; write {match[1]}.{match[2]}")
    return parse_amount(text)


def written_amount(micros: int) -> str:
    """An amount as `read_field` reads it again: never with three places, which may mean thousands."""
    text = format_amount(micros)
    return f"{text}0" if len(text.partition(".")[2]) == 3 else text


@lru_cache(maxsize=4096)
def _date(text: str) -> date:
    try:
        if not _DATE.fullmatch(text):
            raise ValueError
        day = date.fromisoformat(text)
    except ValueError:
        raise ValueError(not_a_date(text)) from None
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
    "reference": _reference,
    "plan": _plan,
    "name": _name,
    "email": mailable,
    "amount": _amount,
    "interval": lru_cache(maxsize=4096)(parse_interval),
    "starts_on": _date,
    "bill_from": _date,
    "ends_on": _date,
    "wallet_address": _wallet,
    "locale": _locale,
    "company": _company,
    "tax_id": _tax_id,
    "address": _address,
}
