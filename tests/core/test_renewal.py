"""What a record of the period before means for the next one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.core.outcomes import RemotePayment, RemoteStatus
from billing.core.renewal import RENEWED, Step, has_renewed, judge, may_take, renewed_text

DUE, NEXT = date(2026, 1, 1), date(2026, 2, 1)
OURS = RemotePayment("r1", "RB-AAAA", 19_900_000, "zoe@example.org", RemoteStatus.PAID, DUE, 31)
BACK = replace(OURS, status=RemoteStatus.UNPAID, due_on=NEXT)


@dataclass
class Row:
    id: int = 7
    state: str = "paid"
    remote_id: str = "r1"
    marker: str = "RB-AAAA"
    due_on: date = DUE
    shown_on: date | None = None
    email: str = "zoe@example.org"
    next_marker: str = "RB-BBBB"
    next_due_on: date = NEXT
    let_go: bool = False


def step(remote: RemotePayment | None, *, paid: bool = True, row: Row | None = None) -> Step:
    return judge(row or Row(), remote, paid=paid).step


def test_a_record_that_is_as_it_was_gets_an_interval_that_never_comes() -> None:
    assert step(OURS) is Step.STOP
    assert step(replace(OURS, status=RemoteStatus.UNPAID), paid=False) is Step.STOP


def test_one_that_is_gone_is_no_matter() -> None:
    assert step(None) is Step.NOTHING


def test_one_that_came_back_for_the_next_period_is_taken_for_it() -> None:
    assert step(BACK) is Step.TAKE
    assert step(replace(BACK, marker="RB-BBBB")) is Step.TAKE  # a take that was cut short


@pytest.mark.parametrize(
    ("remote", "paid", "words"),
    [
        (BACK, False, "before it was seen paid"),
        (replace(OURS, due_on=NEXT), True, "for which of the two periods"),
        (replace(BACK, due_on=NEXT + timedelta(days=31)), True, "not when this one is due"),
        (replace(BACK, email="other@example.org"), True, "name or e-mail"),
        (replace(BACK, marker=None), True, "name or e-mail"),
    ],
)
def test_where_nobody_can_tell_a_person_decides(remote: RemotePayment, paid: bool, words: str) -> None:
    verdict = judge(Row(), remote, paid=paid)
    assert verdict.step is Step.HOLD
    assert words in verdict.cause
    assert "r1" in verdict.cause
    assert "payment 7" in verdict.cause


def test_a_date_that_moved_when_it_was_paid_is_not_a_second_payment() -> None:
    moved = replace(OURS, due_on=NEXT)
    assert step(moved, row=Row(shown_on=NEXT)) is Step.STOP
    assert step(replace(moved, status=RemoteStatus.UNPAID), row=Row(shown_on=NEXT)) is Step.TAKE


def test_what_a_person_let_go_is_not_held_again() -> None:
    assert step(replace(BACK, due_on=date(2027, 1, 1)), row=Row(let_go=True)) is Step.NOTHING
    assert step(BACK, row=Row(let_go=True)) is Step.TAKE
    assert renewed_text(BACK).startswith(RENEWED)


@given(
    status=st.sampled_from(RemoteStatus),
    moved=st.one_of(st.none(), st.integers(-400, 400)),
    paid=st.booleans(),
    marker=st.sampled_from(["RB-AAAA", "RB-BBBB", "RB-CCCC", None]),
)
def test_only_an_unpaid_record_of_ours_for_that_very_day_is_ever_taken(
    status: RemoteStatus, moved: int | None, paid: bool, marker: str | None
) -> None:
    due_on = None if moved is None else DUE + timedelta(days=moved)
    remote = replace(OURS, status=status, due_on=due_on, marker=marker)
    taken = step(remote, paid=paid) is Step.TAKE
    free = may_take(remote, NEXT, ("RB-AAAA", "RB-BBBB"), "zoe@example.org")
    assert taken == (paid and free)
    if free:
        assert has_renewed(remote, DUE)


def test_what_was_paid_meanwhile_is_not_taken() -> None:
    assert may_take(BACK, NEXT, ("RB-AAAA", "RB-BBBB"), "ZOE@example.org")
    assert not may_take(
        replace(BACK, status=RemoteStatus.PAID), NEXT, ("RB-AAAA", "RB-BBBB"), "zoe@example.org"
    )
    assert not may_take(None, NEXT, ("RB-AAAA", "RB-BBBB"), "zoe@example.org")
