"""Dunning: each step once, in order; what was missed collapses; the final action always comes."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.core.dunning import (
    DunningPolicy,
    FinalAction,
    decide_dunning,
    first_dunning_on,
    freeze_policy,
)

PAYABLE = date(2026, 3, 1)
USUAL = DunningPolicy((1, 3, 7, 14), 21, FinalAction.PAUSE)

policies = st.builds(
    freeze_policy,
    st.lists(st.integers(1, 40), max_size=6),
    st.integers(1, 60),
    st.sampled_from(FinalAction),
    st.integers(1, 90),
)


def day(overdue: int) -> date:
    return PAYABLE + timedelta(days=overdue)


def walk(policy: DunningPolicy, overdue_days: list[int]) -> tuple[list[tuple[int, int]], int | None]:
    """The notices as (step, day it went out) and the day of the final action, for looks on these days."""
    notices: list[tuple[int, int]] = []
    step = 0
    coming: date | None = first_dunning_on(PAYABLE)
    for overdue in overdue_days:
        if coming is None or day(overdue) < coming:
            continue
        decision = decide_dunning(policy, PAYABLE, step, day(overdue))
        if decision.final:
            return notices, overdue
        if decision.notice is not None:
            step = decision.notice
            notices.append((step, overdue))
        coming = decision.next_on
    return notices, None


def test_the_usual_policy_day_by_day() -> None:
    notices, final = walk(USUAL, list(range(1, 60)))
    assert notices == [(1, 1), (3, 3), (7, 7), (14, 14)]
    assert final == 21


@given(policies)
def test_day_by_day_every_step_goes_out_on_its_own_day(policy: DunningPolicy) -> None:
    notices, final = walk(policy, list(range(1, 100)))
    assert notices == [(step, step) for step in policy.steps]
    assert final == policy.final_after


@given(policies, st.lists(st.integers(1, 30), max_size=12))
def test_missed_steps_collapse_into_the_latest_one(policy: DunningPolicy, gaps: list[int]) -> None:
    looks = [sum(gaps[: i + 1]) for i in range(len(gaps))]
    notices, final = walk(policy, looks)
    steps = [step for step, _ in notices]
    assert steps == sorted(set(steps))
    for step, overdue in notices:
        assert step == max(s for s in policy.steps if s <= overdue)
    assert final == next((overdue for overdue in looks if overdue >= policy.final_after), None)


@given(policies, st.integers(1, 60), st.integers(0, 3))
def test_nothing_is_to_be_done_before_the_next_day_that_is_named(
    policy: DunningPolicy, overdue: int, taken: int
) -> None:
    steps_before = [0, *[step for step in policy.steps if step <= overdue]]
    last_step = steps_before[min(taken, len(steps_before) - 1)]
    decision = decide_dunning(policy, PAYABLE, last_step, day(overdue))
    if decision.final:
        return
    assert decision.next_on is not None
    assert decision.next_on > day(overdue)
    step = decision.notice or last_step
    between = overdue + 1
    while day(between) < decision.next_on:
        quiet = decide_dunning(policy, PAYABLE, step, day(between))
        assert (quiet.notice, quiet.final) == (None, False)
        between += 1
    then = decide_dunning(policy, PAYABLE, step, decision.next_on)
    assert then.final or then.notice is not None


def test_the_final_action_wins_over_a_step_that_was_missed() -> None:
    decision = decide_dunning(USUAL, PAYABLE, 0, day(300))
    assert (decision.final, decision.notice, decision.next_on) == (True, None, None)


def test_a_step_that_was_taken_is_not_taken_again_on_the_same_day() -> None:
    again = decide_dunning(USUAL, PAYABLE, 3, day(3))
    assert (again.notice, again.next_on) == (None, day(7))


def test_a_payment_is_overdue_from_the_day_after_it_became_payable() -> None:
    assert first_dunning_on(date(2026, 2, 28)) == date(2026, 3, 1)


@given(
    st.lists(st.integers(1, 3660), max_size=8),
    st.integers(1, 3660),
    st.sampled_from(FinalAction),
    st.integers(-40, 4000),
)
def test_a_frozen_policy_fits_before_the_next_due_date(
    days_after: list[int], final_after: int, action: FinalAction, room: int
) -> None:
    policy = freeze_policy(days_after, final_after, action, room)
    assert 1 <= policy.final_after <= final_after
    # A period of one day, or a payment that was charged late, leaves no room: the very next day ends it.
    assert policy.final_after <= room - 1 or policy.final_after == 1
    assert policy.steps == tuple(sorted({d for d in days_after if d < policy.final_after}))
    assert policy.final_action is action


@pytest.mark.parametrize(
    ("room", "steps", "final"),
    [
        (31, (1, 3, 7, 14), 21),
        (22, (1, 3, 7, 14), 21),
        (21, (1, 3, 7, 14), 20),
        (14, (1, 3, 7), 13),
        (7, (1, 3), 6),
        (3, (1,), 2),
        (2, (), 1),
        (1, (), 1),
        (0, (), 1),
        (-5, (), 1),
    ],
)
def test_the_usual_policy_in_periods_of_some_lengths(room: int, steps: tuple[int, ...], final: int) -> None:
    assert freeze_policy([14, 1, 7, 3, 3], 21, FinalAction.KEEP, room) == DunningPolicy(
        steps, final, FinalAction.KEEP
    )


@given(policies)
def test_a_policy_survives_the_database(policy: DunningPolicy) -> None:
    assert DunningPolicy.from_json(policy.to_json()) == policy


def test_a_policy_that_an_older_version_stored_is_still_read() -> None:
    assert DunningPolicy.from_json('[[1, 3, 7, 14], 21, "pause"]') == USUAL
    assert DunningPolicy.from_json('[[], 1, "keep"]') == DunningPolicy((), 1, FinalAction.KEEP)
