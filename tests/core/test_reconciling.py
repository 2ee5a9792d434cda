"""Reconciliation's rules: a lost create is absent only by proof, and proof is hard to come by."""

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.core.coverage import CoverageProof, KnownRemote, Lost
from billing.core.outcomes import RemotePayment, RemoteStatus
from billing.core.reconciling import (
    BACK_OFF,
    Finding,
    LostCreate,
    Verdict,
    choose,
    judge,
    judge_named,
    mismatch,
)

T0 = datetime(2026, 2, 1, 12, 0, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
QUIET = 5 * MINUTE
DEADLINE = T0 + MINUTE


@dataclass(frozen=True)
class Coverage:
    """A proof to order: of everything, or of what began after an instant."""

    complete: bool
    back_to: datetime | None = None
    newest_first: bool = False

    def covers(self, lost: Lost) -> bool:
        return self.complete or (self.back_to is not None and self.back_to < lost.started_at)

    def why_not(self, lost: Lost) -> str:
        return "" if self.covers(lost) else "the list ends before it"


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
def test_a_match_that_differs_is_parked_for_a_person(changes: dict[str, Any], field: str) -> None:
    found = remote(**changes)
    verdict = judge(lost(), [found], EVERYTHING, T0 + DAY, QUIET)
    assert verdict.finding is Finding.PARK
    assert verdict.cause == f"a remote payment bears its marker, but its {field} is not ours"
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
        assert coverage.covers(create)
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
            agreeing = [*agreeing, now] if coverage.covers(create) else []
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
    assert verdict.cause == ("cannot confirm whether it exists at Mileston: the list ends before it")


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
            "decide whether it is this payment"
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
    assert verdict.cause == f"Mileston made the record s1 for it, but its {field} is not ours"


def test_a_record_that_was_named_and_is_not_there_is_waited_for_and_then_parked() -> None:
    create, now, findings = lost(), DEADLINE + HOUR, []
    for _ in range(10):
        verdict = judge_named(create, "s1", None, now)
        findings.append(verdict.finding)
        if verdict.next_look_at is None:
            break
        create, now = after(create, verdict), verdict.next_look_at
    assert findings == [Finding.UNPROVED] * len(BACK_OFF) + [Finding.PARK]
    assert verdict.cause == "Mileston answered with the record s1, but does not show it"


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
