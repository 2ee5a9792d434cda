"""Characters that nobody sees: controls, zero-width and bidirectional marks, blanks that are none."""

from __future__ import annotations

import re

# Printable by Unicode's categories, but they show nothing or only change their neighbour: joiners and
# fillers, variation selectors, the blank Braille pattern.
_IGNORABLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)


def first_unprintable(text: str) -> str | None:
    """The first character of `text` that does not show as what it is, or None.

    The space shows as a space; every other blank (a no-break space, a tab) only looks like one.
    """
    if _shows_as_it_is(text):
        return None
    return next((char for char in text if not char.isprintable() or _IGNORABLE.match(char)), None)


def without_invisible(text: str) -> str:
    """`text` without all that `first_unprintable` finds, but for blanks."""
    if _shows_as_it_is(text):
        return text
    return "".join(
        char for char in text if char.isspace() or (char.isprintable() and not _IGNORABLE.match(char))
    )


def _shows_as_it_is(text: str) -> bool:
    """Whether nothing need be looked at character by character, as with nearly every text."""
    return text.isprintable() and (text.isascii() or not _IGNORABLE.search(text))


def code_point(char: str) -> str:
    """How people look a character up: `U+202E`."""
    return f"U+{ord(char):04X}"
