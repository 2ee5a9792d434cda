"""The table of a payment's states: exactly the design's, whole, and with ends."""

from itertools import product

import pytest

from billing.core.states import NEEDS_A_PERSON, REMOTE, TRANSITIONS, PaymentState, check_transition
from billing.errors import IllegalTransition

# From the design's table of states. Two are added to it: a database that came back from a backup
# believes its planned and held payments unsent, and must look for them first.
LEGAL = {
    "planned": {"sending", "held", "void", "unknown"},
    "sending": {"open", "rejected", "planned", "unknown"},
    "open": {"paid", "uncollectible", "void"},
    "rejected": {"planned", "void", "unknown"},
    "unknown": {"open", "planned", "parked"},
    "held": {"planned", "void", "unknown"},
    "parked": {"open", "planned", "void"},
    "paid": set(),
    "uncollectible": {"paid"},
    "void": set(),
}
PAIRS = list(product(PaymentState, PaymentState))


def test_the_table_is_the_designs() -> None:
    assert TRANSITIONS == LEGAL


@pytest.mark.parametrize(("old", "new"), PAIRS)
def test_a_change_is_allowed_exactly_if_the_table_joins_the_states(
    old: PaymentState, new: PaymentState
) -> None:
    if new in LEGAL[old]:
        check_transition(old, new)
    else:
        with pytest.raises(IllegalTransition, match=f"a payment that is {old} can't become {new}"):
            check_transition(old, new)


def test_a_refusal_says_what_would_be_allowed() -> None:
    with pytest.raises(IllegalTransition, match=r"it can become paid$"):
        check_transition(PaymentState.UNCOLLECTIBLE, PaymentState.OPEN)
    with pytest.raises(IllegalTransition, match=r"nothing: it is final$"):
        check_transition(PaymentState.VOID, PaymentState.PLANNED)


def reachable_from(start: PaymentState) -> set[PaymentState]:
    found, ahead = {start}, [start]
    while ahead:
        new = TRANSITIONS[ahead.pop()] - found
        found |= new
        ahead += new
    return found


def test_every_state_can_be_reached_from_planned() -> None:
    assert reachable_from(PaymentState.PLANNED) == set(PaymentState)


@pytest.mark.parametrize("state", PaymentState)
def test_every_state_leads_to_an_end(state: PaymentState) -> None:
    assert reachable_from(state) & {PaymentState.PAID, PaymentState.VOID}


def test_only_paid_and_void_are_final() -> None:
    assert {state for state in PaymentState if not TRANSITIONS[state]} == {"paid", "void"}


def test_what_is_on_the_wire_or_lost_is_never_given_up_without_a_look_or_a_person() -> None:
    for state in (PaymentState.SENDING, PaymentState.UNKNOWN):
        assert PaymentState.VOID not in TRANSITIONS[state]
        assert PaymentState.HELD not in TRANSITIONS[state]


def test_what_exists_at_the_api_is_never_planned_again() -> None:
    for state in REMOTE:
        assert not reachable_from(state) & {PaymentState.PLANNED, PaymentState.SENDING}


def test_what_needs_a_person_is_neither_under_way_nor_settled() -> None:
    assert {"rejected", "held", "parked"} == NEEDS_A_PERSON
