"""How fast an API is called that may ask to slow down."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.core.throttle import FIRST_LANES, LEAST_PER_SECOND, LONGEST_PAUSE_SECONDS, Throttle


def test_it_begins_with_few_lanes_and_doubles_them_in_a_round() -> None:
    throttle = Throttle(32)
    assert throttle.lanes == FIRST_LANES
    for _ in range(FIRST_LANES):
        throttle.succeeded(1.0)
    assert throttle.lanes == 2 * FIRST_LANES
    for _ in range(100):
        throttle.succeeded(2.0)
    assert throttle.lanes == 32


def test_an_answer_to_slow_down_halves_lanes_and_pace_once_a_flood() -> None:
    throttle = Throttle(32)
    for _ in range(28):
        throttle.succeeded(10.0)
    throttle.throttled(10.5, began=10.2, retry_after=None)
    lanes, pace = throttle.lanes, throttle.per_second
    assert (lanes, pace) == (16, 14.0)
    throttle.throttled(10.6, began=10.3, retry_after=None)
    assert (throttle.lanes, throttle.per_second) == (lanes, pace)
    throttle.throttled(12.0, began=11.5, retry_after=None)
    assert throttle.lanes == 8
    assert throttle.per_second < pace


@pytest.mark.parametrize(
    ("asked", "paused"), [(5.0, 5.0), (0.0, 0.0), (3600.0, LONGEST_PAUSE_SECONDS), (-1.0, 0.25), (None, 0.25)]
)
def test_a_pause_is_as_long_as_it_was_asked_for_within_bounds(asked: float | None, paused: float) -> None:
    throttle = Throttle(8)
    throttle.throttled(100.0, began=99.0, retry_after=asked)
    assert throttle.place(100.0) == pytest.approx(100.0 + paused)


def test_pauses_that_nobody_asked_for_grow_until_something_is_taken() -> None:
    throttle = Throttle(8)
    waits = []
    for n in range(3):
        throttle.throttled(100.0 * n, began=100.0 * n - 1, retry_after=None)
        waits.append(throttle.place(100.0 * n) - 100.0 * n)
    assert waits == pytest.approx([0.25, 0.5, 1.0])
    throttle.succeeded(400.0)
    throttle.throttled(500.0, began=499.0, retry_after=None)
    assert throttle.place(500.0) == pytest.approx(500.25)


def test_places_are_a_gap_apart() -> None:
    throttle = Throttle(8, 4.0)
    assert [throttle.place(10.0) for _ in range(4)] == [10.0, 10.25, 10.5, 10.75]
    assert throttle.place(20.0) == 20.0
    assert throttle.at_once == 4


def test_what_was_asked_to_slow_down_before_begins_one_by_one() -> None:
    throttle = Throttle(32)
    throttle.begin_carefully(5.0)
    assert (throttle.lanes, throttle.at_once) == (1, 1)
    assert throttle.place(5.0) == pytest.approx(6.0)


@given(st.lists(st.one_of(st.none(), st.floats(0, 100)), max_size=60), st.integers(1, 64), st.floats(1, 50))
def test_whatever_comes_it_stays_within_its_bounds_and_recovers(
    answers: list[float | None], most: int, fastest: float
) -> None:
    throttle, now = Throttle(most, fastest), 0.0
    for asked in answers:
        now = max(now + 0.1, throttle.place(now))
        if asked is None:
            throttle.succeeded(now)
        else:
            throttle.throttled(now, now - 0.05, asked)
        assert 1 <= throttle.lanes <= most
        assert min(LEAST_PER_SECOND, fastest) <= throttle.per_second <= fastest
        assert throttle.place(now) <= now + LONGEST_PAUSE_SECONDS + 200.0
    for _ in range(20_000):
        throttle.succeeded(now)
    assert throttle.lanes == most
    assert throttle.per_second == fastest


def test_against_an_api_that_takes_ten_a_second_hardly_any_is_refused() -> None:
    throttle, now, refused, taken, second = Throttle(32), 0.0, 0, 0, (0, 0)
    while taken < 300:
        now = max(now, throttle.place(now)) + 1e-4
        second = (int(now), second[1] + 1 if second[0] == int(now) else 1)
        if second[1] <= 10:
            taken += 1
            throttle.succeeded(now)
        else:
            refused += 1
            throttle.throttled(now, now - 1e-5, 1.0)
    assert refused <= 15
    assert now <= 90
    assert not math.isinf(throttle.per_second)
