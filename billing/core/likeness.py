"""Which new subscriptions look like known ones?

A spreadsheet that makes `417` of `00417` must not have the same person charged twice.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from billing.core.addresses import same_mailbox
from billing.core.characters import without_invisible

# Letters of other alphabets by the Latin ones that they look like, in lower case (also where only the
# capitals are alike); digits by letters, so that zeros and letters O become one before zeros are dropped.
_CYRILLIC = zip("авекмнорстухіјѕԁԛԝһӏь", "abekmhopctyxijsdqwhlb", strict=True)
_GREEK = zip("αβεζηικμνορτυχγϲϳ", "abezhikmvoptyxycj", strict=True)
_OTHER = zip("ıɩɑɡ", "iiag", strict=True)
_LATIN = dict([*_CYRILLIC, *_GREEK, *_OTHER])
_ALIKE = {"0": "o", "1": "l", "i": "l", "|": "l"}
_TABLE = str.maketrans({letter: _ALIKE.get(latin, latin) for letter, latin in _LATIN.items()} | _ALIKE)
_DASHES = re.compile("[-\u02d7\u058a\u1806\u2010-\u2015\u2043\u2212\u2796\ufe58\ufe63\uff0d]+")
_TOKEN = re.compile(r"[^\W_]+")
# Digits as the table leaves them: 2 to 9, and o and l for 0 and 1.
_NUMBER = re.compile(r"o+(?=[^\W_]*[2-9]|[lo]+\Z)")


def fold(reference: str) -> str:
    """The same text for references that people, or spreadsheets, take for one another.

    Letter case, compatibility forms, blanks, invisible characters, kinds of dashes, leading zeros of numbers,
    and letters and digits that look alike make no difference.
    """
    folded = _folded(reference)
    if reference.isascii():
        return folded
    # What falls away may bring characters together that compose anew; a few rounds settle every text.
    for _ in range(4):
        again = _folded(folded)
        if again == folded:
            break
        folded = again
    return folded


def _folded(text: str) -> str:
    if text.isascii():
        text = without_invisible(text).lower()
    else:
        text = unicodedata.normalize("NFKC", _DASHES.sub("-", text)).casefold()
        text = unicodedata.normalize("NFKC", without_invisible(text))
    text = _DASHES.sub("-", "".join(text.split())).translate(_TABLE)
    return _TOKEN.sub(_without_zeros, text) if "o" in text else text


def _without_zeros(token: re.Match[str]) -> str:
    return _NUMBER.sub("", token[0], count=1) if token[0].startswith("o") else token[0]


@dataclass(frozen=True, slots=True)
class Known:
    """A subscription as far as likeness concerns it; `line` is that of a new one in its file."""

    reference: str
    email: str
    plan: str
    anchor_on: date
    line: int | None = None


@dataclass(frozen=True, slots=True)
class Similar:
    """A new subscription that may be a known one."""

    new: Known
    known_reference: str
    same_person: bool
    """By e-mail, plan and anchor; else by a reference that looks the same."""

    def __str__(self) -> str:
        """One sentence: where, what, and what to do. It holds references and no personal data."""
        place = f"line {self.new.line}, column reference: " if self.new.line is not None else ""
        way_out = "to import both, say --allow-similar"
        known = repr(self.known_reference)
        if self.same_person:
            return (
                f"{place}{self.new.reference!r} is new, but has the e-mail, plan and starts_on of the known "
                f"{known}; write {known} if it is the same subscription; {way_out}"
            )
        return (
            f"{place}{self.new.reference!r} is new, but looks like the known {known} (spreadsheets drop "
            f"leading zeros, people mix up letters); write {known} if it is the same subscription; {way_out}"
        )


def similar(new: Iterable[Known], known: Iterable[Known]) -> list[Similar]:
    """The new subscriptions that may be known ones, in their order, each with the first likeness found.

    `known` is gone through once and not kept, so it may be a query over all of them; what stands there under
    the reference of a new one is that new one itself, and counts for nothing.
    """
    newcomers = list(new)
    own = {row.reference for row in newcomers}
    by_look: dict[str, list[int]] = {}
    by_person: dict[tuple[str, str, date], list[int]] = {}
    for index, row in enumerate(newcomers):
        by_look.setdefault(fold(row.reference), []).append(index)
        by_person.setdefault(_person(row), []).append(index)
    looks: dict[int, Similar] = {}
    persons: dict[int, Similar] = {}
    if newcomers:
        for row in known:
            if row.reference in own:
                continue
            for index in by_look.get(fold(row.reference), ()):
                looks.setdefault(index, Similar(newcomers[index], row.reference, same_person=False))
            for index in by_person.get(_person(row), ()):
                persons.setdefault(index, Similar(newcomers[index], row.reference, same_person=True))
    found = persons | looks
    return [found[index] for index in sorted(found)]


def _person(row: Known) -> tuple[str, str, date]:
    return same_mailbox(row.email), fold(row.plan), row.anchor_on
