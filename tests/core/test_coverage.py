"""Coverage: whatever the order, the cap and the lag of a list, what it is said to cover is in it."""

import random
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from billing.core.coverage import CHAIN, UNSEEN, CoverageProof, KnownRemote, is_plausible_cap
from billing.core.outcomes import RemotePayment, RemoteStatus
from billing.core.reconciling import LostCreate

T0 = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
DAY0 = date(2026, 3, 1)
SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
QUIET = 5 * MINUTE
MARKER = "RB-0123456789ABCDEF"
ASKED = T0 + 10_000 * MINUTE
SETTLED = ASKED - QUIET


@dataclass(frozen=True)
class Real:
    """A record as it truly is. Times are minutes after T0, `due` days after DAY0.

    `ours`: its id is known. `booked`: so is that it was paid. `touched`: somebody changed it, silently.
    `paid_lately`: it was paid a minute before the list was asked for, which shows nothing of it yet.
    """

    name: str
    made: float
    due: int = 0
    paid: float | None = None
    touched: float | None = None
    paid_lately: bool = False
    ours: bool = True
    booked: bool = True
    slack: float = 0.0

    @property
    def changed(self) -> float:
        return max(self.made, self.paid or 0, self.touched or 0)

    @property
    def remote(self) -> RemotePayment:
        status = RemoteStatus.UNPAID if self.paid is None else RemoteStatus.PAID
        due_on = DAY0 + timedelta(days=self.due)
        return RemotePayment(self.name, MARKER if self.ours else None, 1, "z@example.org", status, due_on)

    @property
    def known(self) -> KnownRemote:
        """What an honest database holds of it. Of a change by others it holds nothing."""
        from_at, by_at = T0 + (self.made - self.slack) * MINUTE, T0 + (self.made + self.slack) * MINUTE
        due_on = DAY0 + timedelta(days=self.due)
        if self.paid_lately:
            seen = ASKED - 2 * MINUTE
            return KnownRemote(from_at, by_at, due_on, seen, ASKED - MINUTE, unpaid_at=seen, paid=True)
        if self.paid is None or not self.booked:
            unpaid_at = None if self.paid is None else T0 + max(self.made, self.paid - 1) * MINUTE
            return KnownRemote(from_at, by_at, due_on, from_at, by_at, unpaid_at=unpaid_at)
        seen, paid_at = T0 + max(self.made, self.paid - 1) * MINUTE, T0 + (self.paid + 1) * MINUTE
        return KnownRemote(from_at, by_at, due_on, seen, paid_at, unpaid_at=seen, paid=True)


Key = Callable[[Real], float]
SortKey = Key | Callable[[Real], tuple[float, float]]
ORDERS: dict[str, Key] = {
    "newest first": lambda real: -real.made,
    "oldest first": lambda real: real.made,
    "latest due date first": lambda real: -real.due,
    "earliest due date first": lambda real: real.due,
    "latest change first": lambda real: -real.changed,
    "earliest change first": lambda real: real.changed,
}


def lost_create(real: Real) -> LostCreate:
    began = T0 + real.made * MINUTE
    return LostCreate(
        1, "z@example.org", began, began + MINUTE, 0, None, 0, due_on=DAY0 + timedelta(days=real.due)
    )


def read(
    world: Iterable[Real], key: SortKey, limit: int, cap: int | None = None, lost: Real | None = None
) -> tuple[CoverageProof, list[Real]]:
    """What a server with this order and this cap shows, and what is concluded from it."""
    records = [*world, *([lost] if lost is not None else [])]
    listed = sorted(records, key=key)[: min(limit, cap or limit)]
    proof = CoverageProof(limit, ASKED, QUIET)
    for real in listed:
        proof.show(real.remote, real.known if real.ours and real is not lost else None)
    shown = {real.name for real in listed}
    for real in records:
        if real.ours and real is not lost and real.name not in shown:
            proof.missing(real.known)
    return proof, listed


# -- What is covered is there ---------------------------------------------------------------------------

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


# -- And what should be covered is ----------------------------------------------------------------------


def history(size: int, apart: float = 10, days: int = 1) -> list[Real]:
    return [Real(f"r{n}", n * apart, due=n // days) for n in range(size)]


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
