"""Dunning: each step once, in order; what was missed collapses; the final action always comes."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.core.dunning import (
    DunningPolicy,
    FinalAction,
    Stage,
    Told,
    decide_dunning,
    first_dunning_on,
    freeze_policy,
    stage_of,
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
    decision = decide_dunning(USUAL, PAYABLE, 14, day(300), Told.YES)
    assert (decision.final, decision.notice, decision.next_on) == (True, None, None)


@pytest.mark.parametrize("overdue", [21, 22, 300])
def test_nobody_is_paused_before_they_were_told(overdue: int) -> None:
    """With no mail before it, a first one goes out, and the action waits a day; or until it went out."""
    first = decide_dunning(USUAL, PAYABLE, 0, day(overdue), Told.NO)
    assert (first.final, first.notice, first.next_on) == (False, overdue, day(overdue + 1))
    for told in Told:  # later on the same day
        again = decide_dunning(USUAL, PAYABLE, overdue, day(overdue), told)
        assert (again.final, again.notice, again.next_on) == (False, None, day(overdue + 1))
    waits = decide_dunning(USUAL, PAYABLE, overdue, day(overdue + 1), Told.WAITING)
    assert (waits.final, waits.notice, waits.next_on) == (False, None, day(overdue + 2))
    lost = decide_dunning(USUAL, PAYABLE, overdue, day(overdue + 1), Told.NO)
    assert (lost.final, lost.notice) == (False, overdue + 1)
    assert decide_dunning(USUAL, PAYABLE, overdue, day(overdue + 1), Told.YES).final


@given(policies, st.integers(0, 60), st.integers(0, 60), st.sampled_from(Told))
def test_the_final_action_needs_a_mail_of_an_earlier_day(
    policy: DunningPolicy, last_step: int, overdue: int, told: Told
) -> None:
    decision = decide_dunning(policy, PAYABLE, last_step, day(overdue), told)
    if decision.final:
        assert told is Told.YES
        assert last_step < overdue >= policy.final_after
    else:
        assert decision.next_on is not None
        assert decision.next_on > day(overdue)


@pytest.mark.parametrize(
    ("steps", "at", "stage", "last"),
    [
        ((1, 3, 7, 14), 1, Stage(1, 4), False),
        ((1, 3, 7, 14), 7, Stage(3, 4), False),
        ((1, 3, 7, 14), 14, Stage(4, 4), True),
        ((1, 3, 7, 14), 30, Stage(4, 4), True),
        ((3, 7), 1, Stage(1, 2), False),
        ((), 1, Stage(1, 1), True),
    ],
)
def test_where_a_notice_stands_in_its_ladder(
    steps: tuple[int, ...], at: int, stage: Stage, last: bool
) -> None:
    found = stage_of(DunningPolicy(steps, 21, FinalAction.PAUSE), at)
    assert (found, found.is_last) == (stage, last)


def test_a_step_that_was_taken_is_not_taken_again_on_the_same_day() -> None:
    again = decide_dunning(USUAL, PAYABLE, 3, day(3))
    assert (again.notice, again.next_on) == (None, day(7))


def test_a_payment_is_overdue_from_the_day_after_it_became_payable() -> None:
    assert first_dunning_on(date(2026, 2, 28)) == date(2026, 3, 1)


@given(
    st.lists(st.integers(1, 3660), max_size=8),
    st.integers(1, 3660),
    st.sampled_from(FinalAction),
    st.integers(1, 4000),
)
def test_a_frozen_policy_ends_before_the_next_due_date_or_after_a_week(
    days_after: list[int], final_after: int, action: FinalAction, period: int
) -> None:
    policy = freeze_policy(days_after, final_after, action, period)
    assert 1 <= policy.final_after <= final_after
    assert policy.final_after in (final_after, 7, period - 1)
    assert policy.final_after >= min(7, final_after)
    assert policy.steps == tuple(sorted({d for d in days_after if d < policy.final_after}))
    assert policy.final_action is action


@pytest.mark.parametrize(
    ("period", "steps", "final"),
    [
        (365, (1, 3, 7, 14), 21),
        (31, (1, 3, 7, 14), 21),
        (22, (1, 3, 7, 14), 21),
        (21, (1, 3, 7, 14), 20),
        (14, (1, 3, 7), 13),
        (10, (1, 3, 7), 9),
        (7, (1, 3), 7),
        (1, (1, 3), 7),
    ],
)
def test_the_usual_policy_in_periods_of_some_lengths(period: int, steps: tuple[int, ...], final: int) -> None:
    assert freeze_policy([14, 1, 7, 3, 3], 21, FinalAction.KEEP, period) == DunningPolicy(
        steps, final, FinalAction.KEEP
    )


def test_a_smaller_number_of_the_operator_s_is_honoured() -> None:
    assert freeze_policy([1, 3, 7], 2, FinalAction.PAUSE, 30) == DunningPolicy((1,), 2, FinalAction.PAUSE)


@given(policies)
def test_a_policy_survives_the_database(policy: DunningPolicy) -> None:
    assert DunningPolicy.from_json(policy.to_json()) == policy


def test_a_policy_that_an_older_version_stored_is_still_read() -> None:
    assert DunningPolicy.from_json('[[1, 3, 7, 14], 21, "pause"]') == USUAL
    assert DunningPolicy.from_json('[[], 1, "keep"]') == DunningPolicy((), 1, FinalAction.KEEP)
