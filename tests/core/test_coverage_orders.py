"""What a full list does cover, once the orders that it could have are refuted by records of ours."""

import random
from dataclasses import replace
from datetime import timedelta

import pytest

from billing.core.coverage import CHAIN, CoverageProof, KnownRemote
from billing.core.outcomes import RemoteStatus
from tests.support.listed_worlds import (
    ASKED,
    DAY0,
    MINUTE,
    ORDERS,
    QUIET,
    T0,
    Real,
    history,
    lost_create,
    read,
)


def covered(world: list[Real], order: str, limit: int, lost: Real) -> bool:
    proof, _ = read(world, ORDERS[order], limit)
    return proof.covers(lost_create(lost))


def test_a_full_list_newest_first_covers_what_is_newer_than_its_oldest_ones() -> None:
    world = history(50)
    assert covered(world, "newest first", 30, Real("lost", 255, due=26))
    assert not covered(world, "newest first", 30, Real("lost", 195, due=26))
    assert not covered(world, "newest first", 30, Real("lost", 205, due=26))  # the last change: unproved


def test_a_back_dated_due_date_is_not_covered_by_a_list_that_may_be_sorted_by_due_date() -> None:
    world = history(50)
    back_dated = Real("lost", 495, due=3)
    for order in ("newest first", "latest due date first"):
        assert not covered(world, order, 30, back_dated)
    # One back-dated record of ours at its place in time refutes that order.
    world[45] = replace(world[45], due=2)
    assert covered(world, "newest first", 30, back_dated)


@pytest.mark.parametrize("booked", [True, False])
def test_a_full_list_oldest_first_covers_what_is_older_once_the_last_change_is_refuted(booked: bool) -> None:
    world = history(50)
    lost = Real("lost", 105, due=10)
    assert not covered(world, "oldest first", 30, lost)
    for n in range(0, 20, 2):  # paid later than those behind them were made
        world[n] = replace(world[n], paid=400 - n, booked=booked)
    assert covered(world, "oldest first", 30, lost)
    assert not covered(world, "oldest first", 30, Real("lost", 495, due=49))


def test_a_list_by_last_change_is_not_taken_for_one_by_creation() -> None:
    """The oldest ones were paid lately, so they stand in front, and what was made since is cut off."""
    world = history(50)
    world[0:20] = [replace(real, paid=600 + n) for n, real in enumerate(world[:20])]
    lost = Real("lost", 495, due=49)
    assert not covered(world, "latest change first", 20, lost)
    assert covered(world, "latest change first", 40, lost)


def test_one_silent_change_does_not_refute_the_order_by_last_change() -> None:
    """It stands in front of many that were paid after its own last change that we know of."""
    world = [replace(real, paid=500 + n) for n, real in enumerate(history(20))]
    world[19] = replace(world[19], paid=None, touched=9000)
    lost = Real("lost", 185, due=18)
    proof, listed = read(world, ORDERS["latest change first"], 12, lost=lost)
    assert [real.name for real in listed] == [f"r{n}" for n in range(19, 7, -1)]
    assert not proof.covers(lost_create(lost))


def test_all_of_one_due_date_are_covered_by_their_order_among_themselves() -> None:
    world = history(50, days=1000)
    assert covered(world, "newest first", 30, Real("lost", 300))
    assert not covered(world, "newest first", 30, Real("lost", 150))
    assert not covered(world, "newest first", 30, Real("lost", 300, due=-1))
    rng = random.Random(1)
    shuffled = {real.name: rng.random() for real in world}
    proof, _ = read(world, lambda real: (-real.due, shuffled[real.name]), 30)
    assert not proof.covers(lost_create(Real("lost", 300)))


@pytest.mark.parametrize(("in_order", "believed"), [(CHAIN - 1, False), (CHAIN, True)])
def test_an_order_is_believed_of_ten_in_a_row(in_order: int, believed: bool) -> None:
    world = history(in_order)
    assert covered(world, "newest first", in_order, Real("lost", in_order * 10, due=in_order)) == believed


def test_records_made_at_once_show_no_order() -> None:
    world = [replace(real, slack=500) for real in history(30)]
    assert not covered(world, "newest first", 30, Real("lost", 995, due=99))


@pytest.mark.parametrize("wide", [0, 5, CHAIN])
def test_one_wide_bound_does_not_break_the_chain(wide: int) -> None:
    world = history(CHAIN + 1, days=1000)
    world[wide] = replace(world[wide], slack=500)
    assert covered(world, "newest first", CHAIN + 1, Real("lost", 700))


def test_bounds_that_overlap_in_turn_make_no_long_chain() -> None:
    proof = CoverageProof(24, ASKED, QUIET)
    for n in range(12):
        for first, last in ((3 * n + 1, 1000), (3 * n - 1, 3 * n + 3)):
            known = KnownRemote(T0 + first * MINUTE, T0 + last * MINUTE, DAY0)
            proof.show(Real("r", 0).remote, known)
    assert "too few of our records" in proof.why_not(lost_create(Real("lost", -60)))


def test_instants_within_one_second_may_be_ties() -> None:
    world = history(30)
    last = world[10]
    near = Real("lost", last.made + 0.01, due=29)
    far = Real("lost", last.made + 0.02, due=29)
    world = [replace(real, touched=None) for real in world]
    # By last change more of ours must stand behind, so that order is refuted first.
    for n in range(11, 30, 2):
        world[n - 1] = replace(world[n - 1], paid=900 - n)
    proof, _ = read(world, ORDERS["newest first"], 20)
    assert not proof.covers(lost_create(near))
    assert proof.covers(lost_create(far))


def test_a_record_of_ours_that_the_list_should_show_and_does_not_refutes_its_order() -> None:
    world = history(50)
    lost = lost_create(Real("lost", 400, due=40))
    proof = CoverageProof(30, ASKED, QUIET)
    for real in reversed(world[20:]):
        if real.name != "r45":
            proof.show(real.remote, real.known)
    proof.show(Real("stranger", 205, ours=False).remote)
    for real in world[:20]:
        proof.missing(real.known)
    assert proof.covers(lost)
    proof.missing(world[45].known)
    assert not proof.covers(lost)
    assert "no order that is known" in proof.why_not(lost)


def test_records_made_within_one_second_show_no_order_however_many_they_are() -> None:
    """Each pair stands the wrong way round, which may be a tie; the first of each pair make no chain."""
    world = [Real(f"r{n}", n * 0.0005) for n in range(30)]
    places = {f"r{n}": n ^ 1 for n in range(30)}
    proof, _ = read(world, lambda real: places[real.name], 30)
    assert not proof.covers(lost_create(Real("lost", -60)))
    assert "too few of our records" in proof.why_not(lost_create(Real("lost", -60)))


def test_the_order_of_one_due_date_says_nothing_of_the_next() -> None:
    world = [Real(f"r{n}", 100 + n, due=9) for n in range(20)] + [Real("r", 1, due=0)]
    assert covered(world, "newest first", 21, Real("lost", 110, due=5))
    assert not covered(world, "newest first", 21, Real("lost", 110, due=0))


def test_a_lost_create_may_have_taken_effect_until_quiet_after_its_deadline() -> None:
    world = history(50)
    for n in range(0, 20, 2):
        world[n] = replace(world[n], paid=400 - n)
    in_time, later = Real("lost", 283, due=20), Real("lost", 286, due=20)
    assert covered(world, "oldest first", 30, in_time)  # the last one shown was made at 290
    assert not covered(world, "oldest first", 30, later)


def test_a_change_that_the_list_need_not_know_yet_refutes_nothing() -> None:
    lost = lost_create(Real("lost", 205, due=26))
    proof, _ = read(history(50)[20:], ORDERS["newest first"], 30)
    assert 'order is "latest change first"' in proof.why_not(lost)
    proof.missing(replace(history(1)[0], paid_lately=True).known)
    assert 'order is "latest change first"' in proof.why_not(lost)


@pytest.mark.parametrize("shown", ["paid, as nobody knew", "unclear", "another date"])
def test_what_does_not_show_what_we_know_may_have_changed_at_any_time(shown: str) -> None:
    """All that stand behind the lost create would, in a list by last change, be no witnesses."""
    world, lost = history(50), lost_create(Real("lost", 265, due=26))
    proof = CoverageProof(30, ASKED, QUIET)
    for real in reversed(world[20:]):
        remote = real.remote
        if real.made <= 260:
            changes = {
                "paid, as nobody knew": {"status": RemoteStatus.PAID},
                "unclear": {"status": RemoteStatus.UNCLEAR},
                "another date": {"due_on": DAY0 + timedelta(days=real.due - 1)},
            }
            remote = replace(remote, **changes[shown])  # type: ignore[arg-type]
        proof.show(remote, real.known)
    assert 'order is "latest change first"' in proof.why_not(lost)
    as_known, _ = read(world, ORDERS["newest first"], 30)
    assert as_known.covers(lost)


def test_a_date_that_differs_may_be_either() -> None:
    """Under an order by due date, only a date that surely lies behind counts."""
    world, lost = history(50), lost_create(Real("lost", 495, due=15))
    for moved, is_covered in ((0, True), (16, False)):
        proof = CoverageProof(30, ASKED, QUIET)
        for real in reversed(world[20:]):
            proof.show(real.remote, real.known)
        last = Real("r", 100, due=14)
        proof.show(replace(last.remote, due_on=DAY0 + timedelta(days=moved)), last.known)
        assert proof.covers(lost) == is_covered


def test_a_paid_record_that_renewed_itself_may_be_due_later_than_we_know() -> None:
    world = history(50)
    for n in range(0, 20, 2):
        world[n] = replace(world[n], paid=400 - n)
    lost = lost_create(Real("lost", 105, due=29))
    proof, _ = read(world, ORDERS["oldest first"], 30)
    assert 'order is "earliest due date first"' in proof.why_not(lost)
    absent = Real("r", 495, due=3, paid=500)
    proof.missing(absent.known)
    assert 'order is "earliest due date first"' in proof.why_not(lost)
    proof.missing(replace(absent, paid=None).known)
    assert proof.covers(lost)
