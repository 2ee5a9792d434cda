"""Coverage: whatever the order, the cap and the lag of a list, what it is said to cover is in it."""

import random
import tracemalloc
from collections import Counter
from dataclasses import dataclass, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from billing.core.coverage import CHAIN, UNSEEN, CoverageProof, KnownRemote, is_plausible_cap
from billing.core.outcomes import RemotePayment, RemoteStatus
from tests.support.listed_worlds import (
    ASKED,
    MARKER,
    ORDERS,
    QUIET,
    SECOND,
    Real,
    history,
    lost_create,
    read,
)

seeds = st.integers(0, 2**32)


@dataclass(frozen=True)
class World:
    """A business's records, one that was lost, and how much of them a list shows."""

    records: list[Real]
    lost: Real
    limit: int
    cap: int | None

    def read(self, order: str, rng: random.Random) -> tuple[CoverageProof, list[Real]]:
        ties = {real.name: rng.random() for real in [*self.records, self.lost]}
        key = ORDERS[order]
        return read(
            self.records, lambda real: (key(real), ties[real.name]), self.limit, self.cap, lost=self.lost
        )


def world(rng: random.Random) -> World:
    """Orderly enough that a list proves something, and not quite orderly, so that it could be fooled."""
    size = rng.randint(12, 60)
    due_style, paid_share = (
        rng.choice(["daily", "batch", "one", "wild", "reverse"]),
        rng.choice([0, 0.2, 0.7]),
    )
    apart, odd = rng.choice([[1], [0, 1, 2], [5, 20]]), rng.choice([0, 0, 0.1])
    slack, ours = rng.choice([0.0, 0.0, 0.4, 3.0]), rng.choice([1.0, 1.0, 0.8])

    def due(n: int) -> int:
        if rng.random() < odd:
            return rng.randint(-5, size)
        styles = {"daily": n, "batch": n // 9, "one": 0, "wild": rng.randint(0, 9), "reverse": -n // 3}
        return styles[due_style]

    made, records = 0.0, []
    lost_at = rng.randint(0, size)
    for n in range(size + 1):
        made += rng.choice(apart)
        paid = made + rng.choice([1, 7, 40, 300]) * rng.random() + 0.5 if rng.random() < paid_share else None
        real = Real(f"r{n}", made, due(n), paid, ours=rng.random() < ours, slack=slack)
        records.append(replace(real, booked=rng.random() < 0.7))
    lost = replace(records.pop(lost_at), name="lost", paid=None, ours=True)
    return World(records, lost, rng.randint(8, size + 3), rng.choice([None, None, 10, 20, 25, 50]))


def is_fooled(seen: World, proof: CoverageProof, listed: list[Real]) -> bool:
    return seen.lost not in listed and proof.covers(lost_create(seen.lost))


@settings(max_examples=600)
@given(seeds, st.sampled_from(sorted(ORDERS)))
def test_what_a_list_is_said_to_cover_is_in_it_whatever_the_order_and_the_cap(seed: int, order: str) -> None:
    rng = random.Random(seed)
    seen = world(rng)
    proof, listed = seen.read(order, rng)
    assert not is_fooled(seen, proof, listed)
    assert proof.covers(lost_create(seen.lost)) == (proof.why_not(lost_create(seen.lost)) == "")
    assert not proof.complete or len(listed) == len(seen.records) + 1


@settings(max_examples=400)
@given(seeds, st.sampled_from(["latest change first", "earliest change first"]))
def test_changes_that_nobody_told_us_of_do_not_fool_it(seed: int, order: str) -> None:
    rng = random.Random(seed)
    seen = world(rng)
    last = seen.records[-1].made
    for n in rng.sample(range(len(seen.records)), rng.randint(1, UNSEEN - 1)):
        seen.records[n] = replace(seen.records[n], touched=rng.uniform(0, last + 10))
    proof, listed = seen.read(order, rng)
    assert not is_fooled(seen, proof, listed)


@settings(max_examples=400)
@given(seeds, st.sampled_from(sorted(ORDERS)))
def test_a_list_that_lags_covers_no_record_that_it_had_to_show(seed: int, order: str) -> None:
    """What is newer than `quiet` may be in it or not, and so may a payment that is; the lost one is older."""
    rng = random.Random(seed)
    seen = world(rng)
    late = [
        replace(real, name=f"late-{n}", made=9_996 + n, paid=None) for n, real in enumerate(seen.records[:4])
    ]
    shown = [real for real in late if rng.random() < 0.5]
    seen.records.extend(shown)
    just_paid = rng.sample(range(len(seen.records)), 5)
    for n in just_paid:  # our database knows, and the list shows them as they were
        seen.records[n] = replace(seen.records[n], paid_lately=True, paid=None)
    proof, listed = seen.read(order, rng)
    for real in late:
        if real not in shown and real.ours:
            proof.missing(real.known)
    assert not is_fooled(seen, proof, listed)


def test_lists_of_every_order_but_one_do_prove_something() -> None:
    """Without this, the tests above could hold of a proof that never covers anything."""
    proved: Counter[str] = Counter()
    for seed in range(1200):
        rng = random.Random(seed)
        seen = world(rng)
        order = sorted(ORDERS)[seed % len(ORDERS)]
        proof, _ = seen.read(order, rng)
        proved[order] += not proof.complete and proof.covers(lost_create(seen.lost))
    # A create that was lost may have been paid at this very moment, so it would be last of all there.
    assert not proved.pop("earliest change first")
    assert min(proved.values()) >= 5, proved


def test_an_order_that_follows_nothing_is_never_believed() -> None:
    """A thousand lists, each in an order of its own."""
    for seed in range(1000):
        rng = random.Random(seed)
        size, limit = rng.randint(5, 60), rng.randint(3, 50)
        gap = rng.choice([2, 30])
        world = [Real(f"r{n}", n * gap, due=n // rng.choice([1, 7])) for n in range(size)]
        places = {real.name: rng.random() for real in world}
        lost = Real("lost", rng.randint(0, size * gap), rng.randint(0, size))
        places["lost"] = rng.random()
        proof, listed = read(world, lambda real: places[real.name], limit, lost=lost)  # noqa: B023
        assert lost in listed or not proof.covers(lost_create(lost)), seed


# -- Whole lists ----------------------------------------------------------------------------------------


def whole(size: int, limit: int = 1000, longest_seen: int = 0) -> CoverageProof:
    proof = CoverageProof(limit, ASKED, QUIET, longest_seen)
    for n in range(size):
        proof.show(RemotePayment(f"s{n}", None, 1, "", RemoteStatus.UNPAID))
    return proof


LOST = lost_create(Real("lost", 100, due=3))


@pytest.mark.parametrize("size", [0, 1, 2, 5, 7, 9, 11, 30, 99, 101, 110, 999])
def test_a_short_list_covers_everything(size: int) -> None:
    assert whole(size).complete
    assert whole(size).covers(LOST)
    assert whole(size).why_not(LOST) == ""


@pytest.mark.parametrize("size", [10, 20, 25, 50, 100, 200, 250, 500])
def test_a_list_as_long_as_a_cap_could_be_covers_nothing_until_a_longer_one_was_seen(size: int) -> None:
    assert not whole(size).covers(LOST)
    assert f"may be cut off by Mileston at {size} records" in whole(size).why_not(LOST)
    assert not whole(size, longest_seen=size).covers(LOST)
    assert whole(size, longest_seen=size + 1).covers(LOST)


def test_the_plausible_caps() -> None:
    caps = [number for number in range(3000) if is_plausible_cap(number)]
    assert caps == [10, 20, 25, 50, 100, 200, 250, 500, 1000, 2000, 2500]


@pytest.mark.parametrize("listed", [7, 8])
def test_a_full_list_is_not_whole(listed: int) -> None:
    assert not whole(listed, limit=7, longest_seen=99).covers(LOST)
    assert f"the list is full ({listed} records)" in whole(listed, limit=7).why_not(LOST)


def test_a_short_list_that_lacks_one_of_ours_is_not_whole() -> None:
    proof = whole(7)
    too_new = KnownRemote(ASKED - QUIET, ASKED - QUIET + SECOND)
    proof.missing(too_new)
    assert proof.complete
    proof.missing(replace(too_new, by_at=ASKED - QUIET))
    assert not proof.complete
    assert "the list lacks 1 of our records" in proof.why_not(LOST)


@pytest.mark.parametrize("name", [None, "RB-ZZZZZZZZZZZZZZZZ"])
def test_a_known_record_whose_name_lost_its_marker_takes_every_proof_away(name: str | None) -> None:
    for limit in (30, 99):
        world = history(30)
        proof = CoverageProof(limit, ASKED, QUIET, longest_seen=1000)
        for real in reversed(world):
            shown = replace(real.remote, marker=name) if real.name == "r7" else real.remote
            proof.show(shown, replace(real.known, marker=MARKER))
        assert not proof.complete
        assert not proof.covers(lost_create(Real("lost", 290, due=29)))
        assert "r7" in proof.why_not(LOST)


def test_any_marker_will_do_where_none_is_given() -> None:
    proof = CoverageProof(99, ASKED, QUIET)
    proof.show(replace(history(1)[0].remote, marker="RB-ZZZZZZZZZZZZZZZZ"), history(1)[0].known)
    assert proof.complete


def test_a_stranger_without_a_marker_takes_nothing_away() -> None:
    assert whole(3).complete


# -- Words and hints ------------------------------------------------------------------------------------


def test_why_not_says_which_order_is_in_the_way_and_what_would_prove_it() -> None:
    proof, _ = read(history(50), ORDERS["newest first"], 30)
    assert proof.why_not(lost_create(Real("lost", 495, due=3))) == (
        'the list is full (30 records), and if its order is "latest due date first", the payment could be '
        "beyond its end; a list that shows, of our records, one due before 2026-03-04 would prove it "
        "(a larger reconcile.page_size reads further)"
    )
    assert 'order is "newest first"' in proof.why_not(lost_create(Real("lost", 15, due=40)))
    assert "one made before 2026-03-01 12:15 UTC" in proof.why_not(lost_create(Real("lost", 15, due=40)))
    few, _ = read(history(5), ORDERS["newest first"], 5)
    assert f"too few of our records ({CHAIN} in a row)" in few.why_not(LOST)


@pytest.mark.parametrize(
    ("order", "size", "hint"),
    [
        ("newest first", 2, True),
        ("newest first", 1, False),
        ("oldest first", 9, False),
        ("newest first", 0, False),
    ],
)
def test_two_of_ours_hint_at_the_order(order: str, size: int, hint: bool) -> None:
    proof, _ = read(history(size), ORDERS[order], 99)
    assert proof.newest_first == hint


def test_what_is_missing_is_said_after_what_is_shown() -> None:
    proof = whole(1)
    proof.missing(history(1)[0].known)
    with pytest.raises(ValueError, match="before"):
        proof.show(history(1)[0].remote)


def test_it_costs_the_memory_of_a_few_numbers_however_long_the_list() -> None:
    proof = CoverageProof(10**6, ASKED, QUIET)
    tracemalloc.start()
    for n in range(4000):
        real = Real("r", float(-n), due=-n // 100)
        proof.show(real.remote, real.known)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 20_000
