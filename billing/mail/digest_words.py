"""The digest's items in the operator's language.

An item is stored in English, as `billing status` prints it. So its sentences are recognised by the patterns
that they were made from (`core/need_text.py`, `core/reasons.py`), and said again in another language. What no
pattern knows is a server's or a person's own words; that stays as it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from functools import lru_cache

from billing.core.need_text import DETAILS, JOINTS, TEXTS
from billing.core.notices import DigestItem
from billing.mail.i18n import SOURCE_LANGUAGE, Formats, translations

_PLACE = re.compile(r"\\\{(\w+)\\\}")
_NUMBER, _AMOUNT, _DAY, _ID = r"\d+", r"[\d.]+", r"\d{4}-\d\d-\d\d", r"\S+?"
_INSTANT = rf"{_DAY} \d\d:\d\d(?::\d\d)? UTC"
_SENTENCE = r"[^\"()]+?"
# What may stand in a sentence's place for a value: as little as it can be, or it would swallow others' words.
_VALUES = {
    **dict.fromkeys(("all", "count", "id", "status"), _NUMBER),
    **dict.fromkeys(("amount", "limit", "paid"), _AMOUNT),
    **dict.fromkeys(("instant", "made", "made_by"), _INSTANT),
    **dict.fromkeys(("remote_id", "other_id"), _ID),
    **dict.fromkeys(("part", "wanted", "due"), _SENTENCE),
    "cause": r"\w+",
    "due_on": _DAY,
    "error": r"\w+",
    "fields": r"\w+(?:, \w+)*",
    "reference": r".+?",
    "seconds": r"[\d.e+-]+",
    "since": r".+?",
}
_SENTENCES = ("part", "wanted", "due")
_AMOUNTS = ("amount", "paid")


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
    joints = {joint: known.gettext(joint) for joint in JOINTS}
    for pattern, source in _details():
        words = known.gettext(source)

        def told(found: re.Match[str], words: str = words) -> str:
            joint = found["joint"]
            return words.format(**_said(found.groupdict(), formats)) + joints.get(joint, joint)

        detail = pattern.sub(told, detail)
    return detail


def _said(values: dict[str, str], formats: Formats) -> dict[str, str]:
    """The values of a sentence, with dates and amounts as the language writes them."""
    said = dict(values)
    for name in values.keys() & _SENTENCES:
        said[name] = _detail(values[name], formats)
    for name in values.keys() & _AMOUNTS:
        said[name] = formats.amount(int(Decimal(values[name]).scaleb(6))).removesuffix("USDC").strip()
    if "due_on" in values:
        said["due_on"] = formats.day(date.fromisoformat(values["due_on"]))
    return said


@lru_cache(maxsize=1)
def _titles() -> list[tuple[re.Pattern[str], str, str]]:
    return [(_pattern(text), *texts) for texts in TEXTS.values() for text in texts if text]


@lru_cache(maxsize=1)
def _details() -> list[tuple[re.Pattern[str], str]]:
    """Long ones first: a short one may be the beginning of a longer one."""
    return [(_pattern(text, alone=False), text) for text in sorted(DETAILS, key=len, reverse=True)]


def _pattern(text: str, *, alone: bool = True) -> re.Pattern[str]:
    """A sentence with its values; unless it is alone, it stands between the signs that join sentences."""
    pattern = _PLACE.sub(lambda place: f"(?P<{place[1]}>{_VALUES[place[1]]})", re.escape(text))
    if not alone:
        before = "(?:^|(?<= ))" if text.startswith("(") else "(?:^|(?<=[:;,] ))"
        pattern = f"{before}{pattern}(?P<joint>$|[:;,] )"
    return re.compile(pattern)


def sources() -> Iterator[str | tuple[str, str]]:
    """Every sentence that the catalogues must have for this."""
    for one, many in TEXTS.values():
        yield (one, many) if many else one
    yield from DETAILS
    yield from JOINTS


def extract(*_: object, **_options: object) -> Iterator[tuple[int, str, str | tuple[str, str], list[str]]]:
    """The same, for pybabel (`locales/babel.cfg`)."""
    for source in sources():
        yield 0, "gettext" if isinstance(source, str) else "ngettext", source, []
