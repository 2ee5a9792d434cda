"""Reconciliation's rules: a lost create is absent only by proof, and proof is hard to come by."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.core.coverage import CoverageProof
from billing.core.outcomes import RemotePayment, RemoteStatus
from billing.core.reconciling import (
    BACK_OFF,
    Coverage,
    Finding,
    KnownRemote,
    LostCreate,
    Verdict,
    choose,
    judge,
    judge_named,
    mismatch,
    prove_coverage,
)

T0 = datetime(2026, 2, 1, 12, 0, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
QUIET = 5 * MINUTE
DEADLINE = T0 + MINUTE
EVERYTHING, NOTHING = Coverage(complete=True), Coverage(complete=False)

seconds = st.integers(0, 20 * 86_400).map(lambda s: timedelta(seconds=s))
quiets = st.sampled_from([timedelta(0), timedelta(seconds=6), QUIET, HOUR])
coverages = st.sampled_from(
    [EVERYTHING, NOTHING, Coverage(False, T0 - MINUTE), Coverage(False, T0), Coverage(False, T0 + HOUR)]
)


def lost(**changes: object) -> LostCreate:
    usual = LostCreate(
        amount_micros=19_900_000,
        email="zoe@example.org",
        started_at=T0,
        deadline_at=DEADLINE,
        absent_looks=0,
        absent_at=None,
        look_step=0,
    )
    return replace(usual, **changes)  # type: ignore[arg-type]


def remote(remote_id: str = "r1", **changes: object) -> RemotePayment:
    usual = RemotePayment(
        remote_id, "RB-0123456789ABCDEF", 19_900_000, "zoe@example.org", RemoteStatus.UNPAID
    )
    return replace(usual, **changes)  # type: ignore[arg-type]


def after(before: LostCreate, verdict: Verdict) -> LostCreate:
    """What the store writes down of a look that decided nothing."""
    return replace(
        before,
        absent_looks=verdict.absent_looks,
        absent_at=verdict.absent_at,
        look_step=verdict.look_step,
    )


def remotes(count: int) -> list[RemotePayment]:
    return [remote(f"r{i}") for i in range(count)]


def known(*made_at: int, uncertainty: int = 0) -> dict[str, KnownRemote]:
    """Our payments r0, r1, …, made so many minutes after T0 (and at most `uncertainty` minutes later)."""
    return {
        f"r{i}": KnownRemote(T0 + at * MINUTE, T0 + (at + uncertainty) * MINUTE)
        for i, at in enumerate(made_at)
    }


# -- judge --------------------------------------------------------------------------------------------


def test_a_match_is_adopted_whenever_it_is_found() -> None:
    found = remote()
    for coverage in (EVERYTHING, NOTHING):
        for now in (T0 - HOUR, T0, T0 + 100 * DAY):
            verdict = judge(lost(), [found], coverage, now, QUIET)
            assert (verdict.finding, verdict.remote) == (Finding.ADOPT, found)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"amount_micros": 19_900_001}, "amount"),
        ({"amount_micros": None}, "amount"),
        ({"email": "somebody@example.org"}, "subscriberEmail"),
        ({"email": ""}, "subscriberEmail"),
    ],
)
def test_a_match_that_differs_is_parked_for_a_person(changes: dict[str, object], field: str) -> None:
    found = remote(**changes)
    verdict = judge(lost(), [found], EVERYTHING, T0 + DAY, QUIET)
    assert verdict.finding is Finding.PARK
    assert verdict.cause == f"a remote payment bears its marker but another {field}"
    assert mismatch(found, 19_900_000, "zoe@example.org") == field


@pytest.mark.parametrize("email", ["ZOE@Example.org", " zoe@example.org "])
def test_an_address_that_the_api_writes_otherwise_is_the_same(email: str) -> None:
    assert mismatch(remote(email=email), 19_900_000, "Zoe@example.ORG") == ""


def test_of_several_matches_one_that_fits_is_adopted() -> None:
    other, fitting = remote("a", amount_micros=1, status=RemoteStatus.PAID), remote("b")
    verdict = judge(lost(), [other, fitting], NOTHING, T0, QUIET)
    assert (verdict.finding, verdict.remote) == (Finding.ADOPT, fitting)


def test_of_several_matches_a_paid_one_is_kept_or_else_the_oldest() -> None:
    first, second, paid = remote("a"), remote("b"), remote("c", status=RemoteStatus.PAID)
    assert choose([first, second]) is first
    assert choose([first, second], newest_first=True) is second
    for newest_first in (False, True):
        assert choose([first, paid, second], newest_first) is paid
    newest_first_list = Coverage(complete=True, newest_first=True)
    assert judge(lost(), [first, second], newest_first_list, T0, QUIET).remote is second
    assert judge(lost(), [first, second], EVERYTHING, T0, QUIET).remote is first
    assert judge(lost(), [first, paid], NOTHING, T0, QUIET).remote is paid


def test_before_the_quiet_window_is_over_an_empty_list_proves_nothing() -> None:
    just_before = DEADLINE + QUIET - timedelta(microseconds=1)
    verdict = judge(lost(), [], EVERYTHING, just_before, QUIET)
    assert verdict.finding is Finding.LOOK_AGAIN
    assert verdict.absent_looks == 0
    assert verdict.next_look_at == DEADLINE + QUIET


def test_the_first_covered_look_is_no_proof_yet() -> None:
    now = DEADLINE + QUIET
    verdict = judge(lost(), [], EVERYTHING, now, QUIET)
    assert (verdict.finding, verdict.absent_looks, verdict.absent_at) == (Finding.LOOK_AGAIN, 1, now)
    assert verdict.next_look_at == now + QUIET


def test_a_second_look_too_soon_after_the_first_is_no_second_look() -> None:
    first_at = DEADLINE + QUIET
    once = lost(absent_looks=1, absent_at=first_at)
    verdict = judge(once, [], EVERYTHING, first_at + QUIET - timedelta(microseconds=1), QUIET)
    assert (verdict.finding, verdict.next_look_at) == (Finding.LOOK_AGAIN, first_at + QUIET)
    assert (verdict.absent_looks, verdict.absent_at) == (1, first_at)


def test_two_covered_looks_a_quiet_window_apart_prove_absence() -> None:
    first_at = DEADLINE + QUIET
    once = lost(absent_looks=1, absent_at=first_at)
    assert judge(once, [], EVERYTHING, first_at + QUIET, QUIET).finding is Finding.ABSENT


def test_a_count_of_looks_without_their_time_is_not_believed() -> None:
    verdict = judge(lost(absent_looks=1, absent_at=None), [], EVERYTHING, T0 + DAY, QUIET)
    assert verdict.finding is Finding.LOOK_AGAIN


def test_an_uncovered_look_takes_the_first_proof_back() -> None:
    once = lost(absent_looks=1, absent_at=DEADLINE + QUIET)
    verdict = judge(once, [], NOTHING, T0 + DAY, QUIET)
    assert verdict.finding is Finding.UNPROVED
    assert (verdict.absent_looks, verdict.absent_at) == (0, None)
    assert judge(after(once, verdict), [], EVERYTHING, T0 + 2 * DAY, QUIET).finding is Finding.LOOK_AGAIN


@pytest.mark.parametrize(
    ("back_to", "finding"),
    [
        (T0 - timedelta(microseconds=1), Finding.LOOK_AGAIN),
        (T0, Finding.UNPROVED),
        (T0 + timedelta(microseconds=1), Finding.UNPROVED),
    ],
)
def test_a_list_must_reach_back_to_before_the_attempt(back_to: datetime, finding: Finding) -> None:
    assert judge(lost(), [], Coverage(False, back_to), T0 + DAY, QUIET).finding is finding


@given(
    st.builds(
        LostCreate,
        amount_micros=st.just(19_900_000),
        email=st.just("zoe@example.org"),
        started_at=st.just(T0),
        deadline_at=seconds.map(lambda s: T0 + s),
        absent_looks=st.integers(0, 3),
        absent_at=st.none() | seconds.map(lambda s: T0 + s),
        look_step=st.integers(0, len(BACK_OFF)),
    ),
    coverages,
    seconds,
    quiets,
)
def test_absent_is_never_said_without_every_proof(
    create: LostCreate, coverage: Coverage, elapsed: timedelta, quiet: timedelta
) -> None:
    now = T0 + elapsed
    verdict = judge(create, [], coverage, now, quiet)
    if verdict.finding is Finding.ABSENT:
        assert coverage.covers(create.started_at)
        assert now >= create.deadline_at + quiet
        assert create.absent_looks >= 1
        assert create.absent_at is not None
        assert now >= create.absent_at + quiet
    if verdict.next_look_at is not None:
        assert verdict.next_look_at >= now
    assert (verdict.finding is Finding.PARK) == bool(verdict.cause)
    assert verdict.finding is not Finding.ADOPT


@given(st.lists(st.tuples(st.integers(0, 4000), coverages), max_size=30), quiets)
def test_whatever_the_looks_absence_rests_on_two_in_a_row_that_agree(
    looks: list[tuple[int, Coverage]], quiet: timedelta
) -> None:
    create, now = lost(), T0
    agreeing: list[datetime] = []  # covered looks after the quiet window, since the last uncovered one
    for waited, coverage in looks:
        now += timedelta(seconds=waited)
        verdict = judge(create, [], coverage, now, quiet)
        late_enough = now >= create.deadline_at + quiet
        if late_enough:
            agreeing = [*agreeing, now] if coverage.covers(T0) else []
        if verdict.finding in (Finding.ABSENT, Finding.PARK):
            if verdict.finding is Finding.ABSENT:
                assert len(agreeing) >= 2
                assert agreeing[-1] - agreeing[0] >= quiet
                assert agreeing[0] >= create.deadline_at + quiet
            return
        create = after(create, verdict)


@given(seconds, quiets)
def test_who_looks_when_told_has_the_proof_in_three_looks(waited: timedelta, quiet: timedelta) -> None:
    create, now = lost(), T0 + waited
    findings = []
    for _ in range(3):
        verdict = judge(create, [], EVERYTHING, now, quiet)
        findings.append(verdict.finding)
        if verdict.next_look_at is None:
            break
        create, now = after(create, verdict), verdict.next_look_at
    assert findings[-1] is Finding.ABSENT
    assert now >= DEADLINE + 2 * quiet


def test_without_proof_it_is_looked_up_by_kill_bills_calendar_and_then_parked() -> None:
    create, now = lost(), DEADLINE + 2 * HOUR
    waits = []
    for _ in range(20):
        verdict = judge(create, [], NOTHING, now, QUIET)
        if verdict.finding is Finding.PARK:
            break
        assert verdict.finding is Finding.UNPROVED
        assert verdict.next_look_at is not None
        waits.append(verdict.next_look_at - now)
        create, now = after(create, verdict), verdict.next_look_at
    assert waits == [5 * MINUTE, HOUR, DAY, DAY, DAY, DAY, DAY]
    assert verdict.cause == "the list of remote payments never covered the time of the attempt"


def test_the_first_five_minutes_of_uncovered_looks_cost_no_step() -> None:
    now = DEADLINE + 4 * MINUTE
    verdict = judge(lost(), [], NOTHING, now, timedelta(seconds=6))
    assert (verdict.finding, verdict.look_step, verdict.next_look_at) == (Finding.UNPROVED, 0, now)


def test_being_told_to_wait_costs_no_step() -> None:
    assert judge(lost(look_step=3), [], EVERYTHING, T0, QUIET).look_step == 3
    assert judge(lost(look_step=3), [], EVERYTHING, T0 + DAY, QUIET).look_step == 3


# -- Look-alikes, and what was answered with an id -------------------------------------------------------

DUE_ON = date(2026, 2, 1)


def stranger(**changes: object) -> RemotePayment:
    return remote("s1", **{"marker": None, "due_on": DUE_ON, **changes})


def test_an_unclaimed_record_with_the_same_email_amount_and_date_is_left_to_a_person() -> None:
    once = lost(due_on=DUE_ON, absent_looks=1, absent_at=DEADLINE + QUIET)
    for coverage in (EVERYTHING, NOTHING):
        verdict = judge(once, [], coverage, T0 + DAY, QUIET, [stranger(amount_micros=1), stranger()])
        assert (verdict.finding, verdict.remote) == (Finding.PARK, stranger())
        assert verdict.cause == (
            "the record s1 has its e-mail, amount and date, and no payment number of ours: "
            "say whether it is this payment"
        )


@pytest.mark.parametrize(
    "changes",
    [{"email": " ZOE@Example.org"}, {"amount_micros": None}, {"due_on": None}, {"status": RemoteStatus.PAID}],
)
def test_what_can_not_be_read_of_an_unclaimed_record_does_not_clear_it(changes: dict[str, object]) -> None:
    verdict = judge(lost(due_on=DUE_ON), [], EVERYTHING, T0 + DAY, QUIET, [stranger(**changes)])
    assert verdict.finding is Finding.PARK


def test_without_a_due_date_of_ours_email_and_amount_suffice() -> None:
    verdict = judge(lost(), [], EVERYTHING, T0 + DAY, QUIET, [stranger(due_on=DUE_ON + DAY)])
    assert verdict.finding is Finding.PARK


@pytest.mark.parametrize(
    "changes", [{"email": "chloe@example.org"}, {"amount_micros": 1}, {"due_on": DUE_ON + DAY}]
)
def test_an_unclaimed_record_that_differs_is_another_persons(changes: dict[str, object]) -> None:
    verdict = judge(lost(due_on=DUE_ON), [], EVERYTHING, T0 + DAY, QUIET, [stranger(**changes)])
    assert (verdict.finding, verdict.absent_looks) == (Finding.LOOK_AGAIN, 1)


def test_a_match_comes_before_a_look_alike_and_so_does_the_quiet_window() -> None:
    found = remote()
    assert judge(lost(), [found], EVERYTHING, T0 + DAY, QUIET, [stranger()]).remote == found
    assert judge(lost(), [], EVERYTHING, T0, QUIET, [stranger()]).finding is Finding.LOOK_AGAIN


def test_a_record_that_was_named_in_the_answer_is_adopted_if_it_is_ours_whatever_its_name() -> None:
    create = lost(due_on=DUE_ON, marker="RB-0123456789ABCDEF")
    for marker in (None, "RB-0123456789ABCDEF"):
        shown = stranger(marker=marker)
        assert judge_named(create, "s1", shown, T0) == Verdict(Finding.ADOPT, shown)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"marker": "RB-ZZZZZZZZZZZZZZZZ"}, "subscriptionName"),
        ({"amount_micros": 1}, "amount"),
        ({"email": "chloe@example.org"}, "subscriberEmail"),
        ({"due_on": DUE_ON + DAY}, "recurringDate"),
        ({"due_on": None}, "recurringDate"),
    ],
)
def test_a_record_that_was_named_and_is_not_ours_is_parked_with_its_id(
    changes: dict[str, object], field: str
) -> None:
    create = lost(due_on=DUE_ON, marker="RB-0123456789ABCDEF")
    verdict = judge_named(create, "s1", stranger(**changes), T0 + DAY)
    assert verdict.finding is Finding.PARK
    assert verdict.cause == f"Mileston made the record s1 of it with another {field}"


def test_a_record_that_was_named_and_is_not_there_is_waited_for_and_then_parked() -> None:
    create, now, findings = lost(), DEADLINE + HOUR, []
    for _ in range(10):
        verdict = judge_named(create, "s1", None, now)
        findings.append(verdict.finding)
        if verdict.next_look_at is None:
            break
        create, now = after(create, verdict), verdict.next_look_at
    assert findings == [Finding.UNPROVED] * len(BACK_OFF) + [Finding.PARK]
    assert verdict.cause == "Mileston named the record s1 and does not show it"


def test_a_proof_of_coverage_is_asked_about_this_create_and_says_what_would_prove_it() -> None:
    def proof(limit: int) -> CoverageProof:
        reading = CoverageProof(limit, T0 + DAY, QUIET)
        for _ in range(3):
            reading.show(stranger())
        return reading

    assert judge(lost(), [], proof(4), T0 + DAY, QUIET).absent_looks == 1
    assert judge(lost(), [], proof(3), T0 + DAY, QUIET).finding is Finding.UNPROVED
    verdict = judge(lost(look_step=len(BACK_OFF)), [], proof(3), T0 + 9 * DAY, QUIET)
    assert verdict.finding is Finding.PARK
    assert verdict.cause.startswith(
        "cannot confirm whether it exists at Mileston: the list is full (3 records)"
    )


# -- prove_coverage -----------------------------------------------------------------------------------


def test_a_list_shorter_than_its_limit_with_all_of_ours_is_complete() -> None:
    assert prove_coverage(remotes(3), 4, known(3, 2), known_live=2).complete
    assert prove_coverage([], 1, {}, known_live=0) == EVERYTHING


@pytest.mark.parametrize(
    ("listed", "limit", "live"),
    [
        (4, 4, 2),  # as long as its limit: there may be more
        (3, 4, 3),  # one of ours is missing: the list is stale, or cut by a cap below the limit
        (0, 4, 1),
        (100, 500, 60),
    ],
)
def test_a_list_that_may_lack_something_is_not_complete(listed: int, limit: int, live: int) -> None:
    ours = known(*(3, 2)[:listed])
    assert not prove_coverage(remotes(listed), limit, ours, known_live=live).complete


@pytest.mark.parametrize(
    ("made_at", "back_to"),
    [
        ([50, 40, 30, 20, 10], 10),
        ([50, 40, 30, 20], None),  # a chain of four happens by chance
        ([10, 20, 30, 40, 50], None),  # oldest first: the newest may be cut off
        ([50, 40, 30, 20, 10, 60], None),  # one out of order, and none is believed
        ([60, 10, 50, 40, 30, 20], None),
        ([50, 40, 30, 30, 20, 10], 10),  # made at once: their order says nothing
        ([50, 50, 50, 50, 50], None),
        ([], None),
    ],
)
def test_an_order_is_believed_only_of_a_chain_of_our_own(made_at: list[int], back_to: int | None) -> None:
    coverage = prove_coverage(remotes(len(made_at)), len(made_at), known(*made_at), known_live=99)
    assert not coverage.complete
    assert coverage.back_to == (None if back_to is None else T0 + back_to * MINUTE)


@pytest.mark.parametrize(
    ("made_at", "newest_first"),
    [
        ([50, 40], True),
        ([50, 40, 30], True),
        ([40, 50], False),
        ([50, 40, 45], False),
        ([50], False),
        ([], False),
    ],
)
def test_two_of_our_own_already_hint_at_the_order(made_at: list[int], newest_first: bool) -> None:
    for limit in (len(made_at), 99):
        coverage = prove_coverage(remotes(len(made_at)), limit, known(*made_at), known_live=len(made_at))
        assert coverage.newest_first == newest_first


def test_the_chain_may_stand_among_strangers() -> None:
    ours = known(50, 40, 30, 20, 10)
    listed = [entry for i in range(5) for entry in (remote(f"stranger{i}"), remote(f"r{i}"))]
    assert prove_coverage(listed, 10, ours, 99).back_to == T0 + 10 * MINUTE


def test_payments_whose_making_overlaps_in_time_make_no_chain() -> None:
    overlapping = known(50, 40, 30, 20, 10, uncertainty=15)
    assert prove_coverage(remotes(5), 5, overlapping, 99).back_to is None


def test_a_chain_reaches_back_to_when_its_oldest_surely_existed() -> None:
    ours = known(50, 40, 30, 20, 10, uncertainty=5)
    assert prove_coverage(remotes(5), 5, ours, 99).back_to == T0 + 15 * MINUTE


@given(
    st.lists(st.integers(0, 1000), unique=True, min_size=1, max_size=30),
    st.integers(1, 30),
    st.data(),
)
def test_no_payment_is_missing_from_what_a_newest_first_list_is_said_to_cover(
    made_at: list[int], limit: int, data: st.DataObject
) -> None:
    history = sorted(made_at, reverse=True)
    shown = history[:limit]
    ours = data.draw(st.lists(st.sampled_from(shown), unique=True))
    early = data.draw(st.integers(0, 30))
    late = data.draw(st.integers(0, 30))
    facts = {f"at{at}": KnownRemote(T0 + (at - early) * MINUTE, T0 + (at + late) * MINUTE) for at in ours}
    coverage = prove_coverage([remote(f"at{at}") for at in shown], limit, facts, known_live=len(ours))
    for at in history[limit:]:
        assert not coverage.covers(T0 + at * MINUTE)


@given(st.lists(st.integers(0, 1000), unique=True, min_size=5, max_size=30), st.integers(5, 30))
def test_an_oldest_first_list_that_is_full_covers_nothing(made_at: list[int], limit: int) -> None:
    shown = sorted(made_at)[:limit]
    facts = {f"at{at}": KnownRemote(T0 + at * MINUTE, T0 + at * MINUTE) for at in shown}
    coverage = prove_coverage([remote(f"at{at}") for at in shown], len(shown), facts, len(shown))
    assert coverage == NOTHING


@given(st.integers(0, 10), st.integers(1, 10), st.integers(0, 10), st.integers(0, 10))
def test_a_short_list_is_complete_exactly_if_it_lacks_none_of_ours(
    listed: int, spare: int, ours: int, missing: int
) -> None:
    seen = min(ours, listed)
    facts = known(*[5] * seen)  # all made at once: no order to believe in
    coverage = prove_coverage(remotes(listed), listed + spare, facts, known_live=seen + missing)
    assert coverage.complete == (missing == 0)


def test_a_newest_first_list_that_lacks_one_of_ours_made_since_is_stale_and_covers_nothing() -> None:
    def made(minute: int) -> KnownRemote:
        at = datetime(2026, 3, 1, 12, minute, tzinfo=UTC)
        return KnownRemote(at, at + timedelta(seconds=1))

    known = {f"r{minute}": made(minute) for minute in range(0, 50, 10)}
    coverage = Coverage(complete=False, back_to=made(0).by_at)
    assert coverage.confirmed_by(known, made_since=4) == coverage
    assert coverage.confirmed_by(known, made_since=5) == Coverage(complete=False)
    assert Coverage(complete=True).confirmed_by(known, 99) == Coverage(complete=True)
