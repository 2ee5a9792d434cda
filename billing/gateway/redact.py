"""Makes the API's messages safe to store, log and show."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

_LONGEST_SHOWN = 300
# Work is bounded before anything looks at a message; what is cut here was not going to be shown.
_LONGEST_READ = 4000
_REMOVED = "…"
_WORD = re.compile(r"[^\s\"'<>()\[\]{},;:=]+")


def clean_message(message: object, secret: Iterable[str], personal: Iterable[str]) -> str:
    """The API's `message` as one safe line of at most 300 characters.

    A list (one entry a fault) is joined; anything but text gives an empty string. Control
    characters go. Keys (`secret`) become `…` wherever they appear, names and the like (`personal`)
    where they appear as words, e-mail addresses always.
    """
    if isinstance(message, list):
        message = "; ".join(entry for entry in message if isinstance(entry, str))
    if not isinstance(message, str):
        return ""
    anywhere = _longest_first(secret)
    as_words = _longest_first(personal)
    text = _one_line(message[:_LONGEST_READ])
    if len(message) > _LONGEST_READ:  # the cut may have left half of something that must not show
        text = text[: -max(map(len, (*anywhere, *as_words, "-")))].rpartition(" ")[0]
    for value in anywhere:
        text = re.sub(re.escape(value), _REMOVED, text, flags=re.IGNORECASE)
    for value in as_words:
        text = _as_words(value).sub(_REMOVED, text)
    text = _WORD.sub(lambda word: _REMOVED if "@" in word[0] or "%40" in word[0] else word[0], text)
    return text if len(text) <= _LONGEST_SHOWN else text[: _LONGEST_SHOWN - 1] + "…"


def _longest_first(values: Iterable[str]) -> list[str]:
    return sorted({line for value in values if (line := _one_line(value))}, key=len, reverse=True)


def _one_line(text: str) -> str:
    """`text` without invisible characters; every run of blanks becomes one space."""
    return " ".join("".join(map(_visible, text)).split())


def _visible(character: str) -> str:
    category = unicodedata.category(character)
    if category in ("Cc", "Zl", "Zp"):
        return " "
    return "" if category.startswith("C") else character


def _as_words(value: str) -> re.Pattern[str]:
    """`value` in any case, but not inside a longer word: a person named Al must not spoil `already`."""
    before = r"(?<!\w)" if value[0].isalnum() else ""
    after = r"(?!\w)" if value[-1].isalnum() else ""
    return re.compile(before + re.escape(value) + after, re.IGNORECASE)
