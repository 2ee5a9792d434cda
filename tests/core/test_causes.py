"""The kind of cause of a held payment, read from the texts that the program stores."""

from __future__ import annotations

import pytest

from billing.core import reasons
from billing.core.brakes import BrakeLimits, Brakes
from billing.core.causes import HeldCause, held_cause
from billing.core.need_text import TEXTS, NeedKind, need_text
from billing.core.outcomes import OutcomeKind


def test_every_brake_is_a_safety_limit() -> None:
    assert held_cause(Brakes(BrakeLimits(0, 10, 1, 9)).admit(5)) is HeldCause.SAFETY_LIMIT
    assert held_cause(Brakes(BrakeLimits(5, 1, 1, 9)).admit(5)) is HeldCause.SAFETY_LIMIT
    failing = Brakes(BrakeLimits(5, 10, 1, 1))
    failing.note(OutcomeKind.REFUSED, 422)
    assert held_cause(failing.hold_cause) is HeldCause.SAFETY_LIMIT
    unsure = Brakes(BrakeLimits(99, 10, 0.1, 99))
    for _ in range(20):
        unsure.note(OutcomeKind.UNKNOWN)
    assert held_cause(unsure.hold_cause) is HeldCause.SAFETY_LIMIT


def test_what_planning_and_sending_store_is_told_apart() -> None:
    assert held_cause(reasons.CATCH_UP) is HeldCause.CATCH_UP
    assert held_cause(reasons.PAUSED) is HeldCause.PAUSED


@pytest.mark.parametrize("text", ["", "a word of another version"])
def test_what_is_not_known_is_no_known_cause(text: str) -> None:
    assert held_cause(text) is HeldCause.OTHER


def test_the_beginning_counts_before_what_a_person_wrote() -> None:
    assert held_cause("paused: until we know about the safety limit") is HeldCause.PAUSED


def test_every_kind_of_need_has_its_words() -> None:
    held = {f"{NeedKind.HELD}.{cause}" for cause in HeldCause}
    assert set(TEXTS) == {kind for kind in NeedKind if kind is not NeedKind.HELD} | held
    for kind in TEXTS:
        for count in (1, 2):
            if count == 1 or TEXTS[kind][1]:
                assert "{" not in need_text(kind, count, "5.00", "mail", "2 hours")
