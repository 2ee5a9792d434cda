"""Why payments are held, as kinds: read from the cause that is stored with each, here and nowhere else."""

from __future__ import annotations

from enum import StrEnum


class HeldCause(StrEnum):
    SAFETY_LIMIT = "safety-limit"  # more than a run may charge, or too much went wrong in it
    CATCH_UP = "catch-up"  # a period missed before the latest, over cycle.catch_up_limit
    PAUSED = "paused"  # its subscription was paused before it was sent
    APPROVAL = "approval"  # it waits for a person's approval
    OTHER = "other"


_BEGINNINGS = (HeldCause.CATCH_UP, HeldCause.PAUSED, HeldCause.APPROVAL)


def held_cause(text: str) -> HeldCause:
    """The kind of a held payment's cause."""
    # The beginning counts first: what follows may be a person's own words.
    for cause in _BEGINNINGS:
        if text.startswith(cause.value):
            return cause
    return HeldCause.SAFETY_LIMIT if "safety limit" in text else HeldCause.OTHER
