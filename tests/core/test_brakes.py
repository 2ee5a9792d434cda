"""The safety brakes of a run, and the bound that tells bad luck from something wrong."""

from math import isclose, sqrt

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from billing.core.brakes import BrakeLimits, Brakes, share_is_over
from billing.core.outcomes import OutcomeKind as K


def brakes(**changes: float) -> Brakes:
    limits = {
        "max_payments": 1000,
        "max_amount_micros": 10**15,
        "max_unknown_share": 1.0,
        "max_consecutive_failures": 1000,
    }
    return Brakes(BrakeLimits(**(limits | changes)))  # type: ignore[arg-type]


def after(made: Brakes, *outcomes: K) -> Brakes:
    for kind in outcomes:
        made.note(kind)
    return made


def wilson_lower(bad: int, total: int, z: float = 3.0) -> float:
    """The true share at which `bad` would be just z deviations too many, found by halving."""
    seen, low, high = bad / total, 0.0, bad / total
    for _ in range(200):
        middle = (low + high) / 2
        if seen - middle > z * sqrt(middle * (1 - middle) / total):
            low = middle
        else:
            high = middle
    return low


@given(st.integers(1, 100_000), st.integers(0, 100_000), st.floats(0, 1))
@example(10, 10, 0.5)
@example(10, 10, 0.0)
@example(1, 1, 0.1)
def test_a_share_is_over_when_wilsons_lower_bound_is(total: int, bad: int, limit: float) -> None:
    assume(bad <= total)
    bound = wilson_lower(bad, total)
    assume(not isclose(bound, limit, rel_tol=1e-6, abs_tol=1e-9))
    assert share_is_over(bad, total, limit) == (bound > limit)


@pytest.mark.parametrize(
    ("bad", "total", "limit", "over"),
    [
        (10, 10, 0.5, True),
        (9, 9, 0.5, False),
        (4, 10, 0.5, False),
        (60, 100, 0.5, False),
        (650, 1000, 0.5, True),
        (500, 1000, 0.5, False),
        (1, 1, 0.0, True),
        (0, 1, 0.0, False),
        (0, 0, 0.0, False),
        (1000, 1000, 1.0, False),
    ],
)
def test_a_share_is_over_beyond_chance_alone(bad: int, total: int, limit: float, over: bool) -> None:
    assert share_is_over(bad, total, limit) is over


def test_payments_over_the_number_are_refused_and_not_counted() -> None:
    run = brakes(max_payments=2)
    assert [run.admit(5), run.admit(5)] == ["", ""]
    assert run.admit(5) == "over the safety limit cycle.max_payments_per_run (2)"
    assert (run.payments, run.amount_micros) == (2, 10)


def test_a_payment_over_the_amount_is_refused_and_a_smaller_one_may_follow() -> None:
    run = brakes(max_amount_micros=100_000_000)
    assert run.admit(60_000_000) == ""
    assert run.admit(40_000_001) == "over the safety limit cycle.max_amount_per_run (100.00 USDC)"
    assert run.admit(40_000_000) == ""
    assert run.admit(1) == "over the safety limit cycle.max_amount_per_run (100.00 USDC)"
    assert (run.payments, run.amount_micros) == (2, 100_000_000)


@given(st.lists(st.integers(1, 1000), max_size=40), st.integers(0, 20), st.integers(0, 5000))
def test_what_is_admitted_is_never_over_a_limit(amounts: list[int], most: int, sum_: int) -> None:
    run = brakes(max_payments=most, max_amount_micros=sum_)
    admitted = [amount for amount in amounts if run.admit(amount) == ""]
    assert len(admitted) <= most
    assert sum(admitted) <= sum_
    assert (run.payments, run.amount_micros) == (len(admitted), sum(admitted))


def test_a_refused_key_stops_the_run_at_once() -> None:
    assert after(brakes(), K.CREATED, K.UNAUTHORIZED).stopped == "Mileston refused the API key (401)"


def test_a_forbidden_create_stops_the_run_at_once() -> None:
    run = brakes()
    run.note(K.REFUSED, 400)
    assert run.stopped == ""
    run.note(K.REFUSED, 403)
    assert run.stopped == "Mileston forbids this key to create payments (403)"


def test_an_api_out_of_reach_stops_the_run_and_holds_nothing() -> None:
    run = after(brakes(max_consecutive_failures=3), K.NOT_SENT, K.NOT_SENT)
    assert run.stopped == ""
    after(run, K.NOT_SENT)
    assert (run.stopped, run.hold_cause) == ("Mileston can't be reached", "")


@pytest.mark.parametrize("kind", [K.REFUSED, K.UNKNOWN])
def test_failures_in_a_row_hold_the_rest(kind: K) -> None:
    run = after(brakes(max_consecutive_failures=3), kind, kind, kind)
    assert run.hold_cause == "3 creates in a row failed (safety limit cycle.max_consecutive_failures)"
    assert run.admit(1) == run.hold_cause
    assert run.payments == 0


def test_a_created_payment_ends_the_row_of_failures() -> None:
    run = after(brakes(max_consecutive_failures=3), *[K.UNKNOWN, K.UNKNOWN, K.CREATED] * 5)
    assert (run.stopped, run.hold_cause) == ("", "")


def test_too_many_unknown_outcomes_hold_the_rest() -> None:
    run = after(brakes(max_unknown_share=0.5), *[K.UNKNOWN] * 9)
    assert run.hold_cause == ""
    after(run, K.UNKNOWN)
    assert run.hold_cause == "10 of 10 outcomes are unknown (safety limit cycle.max_unknown_share 0.5)"


def test_refusals_are_no_unknown_outcomes() -> None:
    run = after(brakes(max_unknown_share=0.1), *[K.REFUSED] * 100)
    assert (run.finished, run.unknown, run.hold_cause) == (100, 0, "")


def test_a_share_of_one_never_holds() -> None:
    assert after(brakes(max_unknown_share=1.0), *[K.UNKNOWN] * 500).hold_cause == ""
