"""How the model of the API bends what it stores and shows: names, statuses, the order of its list."""

from __future__ import annotations

import html
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .traits import Traits

if TYPE_CHECKING:
    from .records import Remote

_FOUR_BYTES = 0xFFFF
DAY = 86_400.0

PLANS = (
    "Gold plan",
    "Gold 🥇 plan",
    "Bed & breakfast <all in>",
    "The long " + "very " * 9 + "long plan",
    "Öl & Gas",
)
"""Names of plans that some API or other can't keep as they are; the fourth has 63 characters."""


def stored_name(name: str, traits: Traits) -> str:
    """What the API keeps of a name."""
    if traits.name_chars == "strip":
        name = "".join(char for char in name if ord(char) <= _FOUR_BYTES)
    elif traits.name_chars == "cut":
        at = next((i for i, char in enumerate(name) if ord(char) > _FOUR_BYTES), len(name))
        name = name[:at]
    if traits.name_case:
        changed: Callable[[], str] = getattr(name, traits.name_case)
        name = changed()
    if traits.name_escaped:
        name = html.escape(name)
    return name[: traits.name_cut] if traits.name_cut else name


def spelt(status: str | None, traits: Traits) -> str | None:
    """A status in this API's spelling."""
    if status is None or not traits.status_spelling:
        return status
    return status.upper() if traits.status_spelling == "upper" else status.title()


def order_of(list_by: str) -> tuple[Callable[[Remote], Any], bool]:
    """The key by which a list is sorted, and whether the largest comes first."""
    what, _, first = list_by.partition("_")
    if what == "due":
        return (lambda remote: (remote.key[1], remote.made_at)), first == "newest"
    return (lambda remote: remote.changed_at), first == "newest"
