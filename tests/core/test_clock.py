"""How far two clocks are apart, and when that is told."""

from datetime import UTC, datetime, timedelta

import pytest

from billing.core.clock import clock_problem, skew_seconds

NOW = datetime(2026, 2, 1, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize("ahead", [0.0, 40.0, -40.0, 86_400.0])
@pytest.mark.parametrize("fraction", [0.0, 0.3, 0.999])
@pytest.mark.parametrize("round_trip", [0.0, 4.0])
def test_the_skew_is_right_to_half_a_second(ahead: float, fraction: float, round_trip: float) -> None:
    told_at = NOW + timedelta(seconds=fraction)
    received_at = told_at + timedelta(seconds=ahead + round_trip / 2)
    assert skew_seconds(NOW, received_at, round_trip) == pytest.approx(ahead, abs=0.5001)


@pytest.mark.parametrize(
    ("skew", "quiet", "told"),
    [
        (None, 300, False),
        (0.0, 300, False),
        (100.0, 300, False),
        (-100.0, 300, False),
        (100.1, 300, True),
        (-100.1, 300, True),
        (41.0, 120, True),
        (9.0, 0, False),
        (10.1, 0, True),
    ],
)
def test_a_difference_is_told_beyond_a_third_of_the_quiet_time(
    skew: float | None, quiet: float, told: bool
) -> None:
    assert bool(clock_problem(skew, quiet)) is told


def test_what_is_told_names_the_direction_and_the_limit() -> None:
    assert clock_problem(130.4, 300) == (
        "this machine's clock is 130 s ahead of Mileston's, "
        "more than a third of reconcile.quiet_seconds (300)"
    )
    assert "7200 s behind Mileston's" in clock_problem(-7200, 120)
