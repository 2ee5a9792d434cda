"""The digest's items in the operator's language.

An item is stored in English, as `billing status` prints it. So its sentences are recognised by the patterns
that they were made from (`core/need_text.py`), and said again in another language. What no pattern knows
is a server's or a person's own words; that stays as it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from functools import lru_cache

from billing.core.need_text import DETAILS, TEXTS
from billing.core.notices import DigestItem
from billing.mail.i18n import SOURCE_LANGUAGE, Formats, translations

_PLACE = re.compile(r"\\\{(\w+)\\\}")
_VALUES = {
    "count": r"\d+",
    "id": r"\d+",
    "amount": r"[\d.]+",
    "limit": r"[\d.]+",
    "all": r"\d+",
    "due_on": r"\d{4}-\d\d-\d\d",
    "reference": r".+?",
    "since": r".+?",
}


def in_words_of(formats: Formats, item: DigestItem) -> DigestItem:
    """The item in a language; its command is the same in all of them."""
    if formats.language == SOURCE_LANGUAGE:
        return item
    return DigestItem(_title(item.title, formats), _detail(item.detail, formats), item.command)


def _title(title: str, formats: Formats) -> str:
    for pattern, one, many in _titles():
        found = pattern.fullmatch(title)
        if found:
            values = found.groupdict()
            count = int(values.get("count", 1))
            known = translations(formats.language)
            words = known.ngettext(one, many, count) if many else known.gettext(one)
            return words.format(**_said(values, formats))
    return title


def _detail(detail: str, formats: Formats) -> str:
    known = translations(formats.language)
    for pattern, source in _details():
        words = known.gettext(source)
        detail = pattern.sub(lambda found, to=words: to.format(**_said(found.groupdict(), formats)), detail)  # type: ignore[misc]
    return detail


def _said(values: dict[str, str], formats: Formats) -> dict[str, str]:
    """The values of a sentence, with dates and amounts as the language writes them."""
    said = dict(values)
    if "due_on" in values:
        said["due_on"] = formats.day(date.fromisoformat(values["due_on"]))
    if "amount" in values:
        said["amount"] = formats.amount(int(Decimal(values["amount"]).scaleb(6))).removesuffix("USDC").strip()
    return said


@lru_cache(maxsize=1)
def _titles() -> list[tuple[re.Pattern[str], str, str]]:
    return [(_pattern(text), *texts) for texts in TEXTS.values() for text in texts if text]


@lru_cache(maxsize=1)
def _details() -> list[tuple[re.Pattern[str], str]]:
    return [(_pattern(text), text) for text in DETAILS]


def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(
        _PLACE.sub(lambda place: f"(?P<{place[1]}>{_VALUES.get(place[1], '.+?')})", re.escape(text))
    )


def sources() -> Iterator[str | tuple[str, str]]:
    """Every sentence that the catalogues must have for this."""
    for one, many in TEXTS.values():
        yield (one, many) if many else one
    yield from DETAILS


def extract(*_: object, **_options: object) -> Iterator[tuple[int, str, str | tuple[str, str], list[str]]]:
    """The same, for pybabel (`locales/babel.cfg`)."""
    for source in sources():
        yield 0, "gettext" if isinstance(source, str) else "ngettext", source, []
