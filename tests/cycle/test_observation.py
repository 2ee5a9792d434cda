"""What the list showed: found by id, by marker, and among what bears no marker of ours."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from billing.core.coverage import CoverageProof
from billing.core.outcomes import RemotePayment, RemoteStatus
from billing.cycle.observation import Observation
from tests.support.fake_gateway import START

QUIET = timedelta(seconds=45)
ONE, OTHER = "RB-0123456789ABCDEF", "RB-FEDCBA9876543210"


def remote(remote_id: str, marker: str | None = None, amount: int | None = 5) -> RemotePayment:
    return RemotePayment(remote_id, marker, amount, "zoe@example.org", RemoteStatus.UNPAID)


def seen(*remotes: RemotePayment) -> Observation:
    return Observation(START, remotes, CoverageProof(100, START, QUIET))


def ids(remotes: list[RemotePayment]) -> list[str]:
    return [each.remote_id for each in remotes]


def test_it_remembers_when_it_was_asked_for_and_what_that_proves() -> None:
    proof = CoverageProof(100, START, QUIET)
    observation = Observation(START, [], proof)
    assert (observation.asked_at, observation.proof) == (START, proof)


def test_an_empty_list_shows_nothing() -> None:
    observation = seen()
    assert observation.by_id == {}
    assert observation.by_marker.get(ONE) is None
    assert observation.unmarked_ids == []
    assert observation.unclaimed(5, set()) == []


def test_a_record_is_found_by_its_id_whether_or_not_it_is_ours() -> None:
    ours, stranger = remote("r1", ONE), remote("r2")
    assert seen(ours, stranger).by_id == {"r1": ours, "r2": stranger}


def test_all_records_of_one_marker_are_found_together() -> None:
    first, second, other = remote("r1", ONE), remote("r2", ONE, amount=9), remote("r3", OTHER)
    observation = seen(first, other, second)
    assert observation.by_marker[ONE] == (first, second)
    assert observation.by_marker[OTHER] == (other,)
    assert observation.unmarked_ids == []


def test_looking_for_a_marker_does_not_invent_one() -> None:
    observation = seen(remote("r1", ONE))
    assert observation.by_marker.get(OTHER) is None
    assert list(observation.by_marker) == [ONE]


def test_what_bears_no_marker_could_be_ours_if_its_amount_is_the_same_or_unreadable() -> None:
    same, another, unreadable = remote("same"), remote("another", amount=6), remote("unreadable", amount=None)
    observation = seen(another, unreadable, same, remote("marked", ONE))
    assert ids(observation.unclaimed(5, set())) == ["same", "unreadable"]
    assert ids(observation.unclaimed(6, set())) == ["another", "unreadable"]
    assert ids(observation.unclaimed(7, set())) == ["unreadable"]
    assert sorted(observation.unmarked_ids) == ["another", "same", "unreadable"]


def test_a_record_that_stands_for_another_payment_of_ours_is_left_out() -> None:
    observation = seen(remote("a"), remote("b"), remote("c", amount=None))
    assert ids(observation.unclaimed(5, {"a", "c", "x"})) == ["b"]
    assert ids(observation.unclaimed(5, {"a", "b", "c"})) == []


def test_asking_for_an_amount_that_nobody_pays_changes_nothing() -> None:
    observation = seen(remote("a", amount=None))
    before = observation.unmarked_ids
    observation.unclaimed(4711, set())
    assert observation.unmarked_ids == before


@given(
    st.lists(
        st.tuples(st.none() | st.sampled_from([ONE, OTHER]), st.none() | st.integers(1, 3)), max_size=12
    ),
    st.integers(1, 3),
    st.sets(st.integers(0, 11)),
)
def test_every_record_is_either_marked_or_not_and_none_is_lost(
    records: list[tuple[str | None, int | None]], amount: int, claimed: set[int]
) -> None:
    remotes = [remote(f"r{n}", marker, micros) for n, (marker, micros) in enumerate(records)]
    observation = seen(*remotes)
    marked = [each.remote_id for alike in observation.by_marker.values() for each in alike]
    assert sorted([*marked, *observation.unmarked_ids]) == sorted(observation.by_id)
    taken = {f"r{n}" for n in claimed}
    assert set(ids(observation.unclaimed(amount, taken))) == {
        each.remote_id
        for each in remotes
        if each.marker is None and each.amount_micros in (amount, None) and each.remote_id not in taken
    }
