"""What waits for a person: grouped by cause, counted, the first few named, with one command for all."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from billing.core.causes import HeldCause
from billing.core.notices import MOST_TRIES
from billing.core.states import NEEDS_A_PERSON, NoticeKind, NoticeState, PaymentState
from billing.lifecycle import notices as outbox
from billing.lifecycle import payments as verbs
from billing.lifecycle.needs import Need, Waiting, needs, run_needs, waiting
from billing.store.connection import Database
from billing.store.models import attempts, notices
from tests.support.databases import NOW, TODAY, a_payment, a_subscription
from tests.support.written import payment_of

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
WAITING = sorted(NEEDS_A_PERSON)
AT_REST = [state for state in PaymentState if state not in NEEDS_A_PERSON]
LIMIT = "over the safety limit cycle.max_payments_per_run (5)"


def needs_of(
    db: Database, now: datetime = NOW, *, resends: bool = False, digests: bool = True
) -> dict[str, Need]:
    """What is told; it is never anything else than what makes the exit code."""
    with db.read() as tx:
        found = needs(tx, now, resends, digests=digests)
        counted = waiting(tx, now, resends)
    assert bool(found) == (counted != Waiting(0, 0, 0)) or not digests
    return {need.kind: need for need in found}


def counted(db: Database, now: datetime = NOW) -> int:
    with db.read() as tx:
        return waiting(tx, now, False).payments


def an_attempt(
    db: Database,
    payment_id: int,
    number: int = 1,
    at: datetime = NOW,
    outcome: str | None = "unknown",
    status: int | None = None,
) -> None:
    with db.transaction() as tx:
        values = {"payment_id": payment_id, "number": number, "run_id": "run-1", "started_at": at}
        answer = {"outcome": outcome, "status": status, "detail": ""}
        tx.execute(attempts.insert().values(values | answer))


def a_notice(
    db: Database,
    state: NoticeState,
    reply: str = "",
    kind: NoticeKind = NoticeKind.PAYMENT_CREATED,
    tries: int = 1,
    **about: Any,
) -> int:
    """A notice in this state; answers its id."""
    with db.transaction() as tx:
        key = f"{kind}.{len(tx.execute(notices.select()).all())}"
        row = outbox.new_notice(kind, key, NOW, **about)
        values = {
            **row,
            "state": state.value,
            "server_reply": reply,
            "message_id": "<1@x>",
            "lease_until": NOW,
            "tries": tries,
        }
        return int(tx.execute(notices.insert().values(values).returning(notices.c.id)).scalar_one())


def test_an_empty_database_needs_nobody(db: Database) -> None:
    assert needs_of(db) == {}
    assert counted(db) == 0


@pytest.mark.parametrize("state", AT_REST)
def test_what_goes_its_ordinary_way_waits_for_nobody(db: Database, state: PaymentState) -> None:
    an_attempt(db, a_payment(db, a_subscription(db), state=state))
    assert needs_of(db) == {}


@pytest.mark.parametrize("state", WAITING)
def test_every_state_that_needs_a_person_is_a_need(db: Database, state: PaymentState) -> None:
    a_payment(db, a_subscription(db), state=state)
    (kind,) = needs_of(db)
    assert kind.startswith(state)
    assert counted(db) == 1


# -- held, rejected, parked, flagged -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("cause", "kind"),
    [
        (LIMIT, HeldCause.SAFETY_LIMIT),
        ("10 creates in a row failed (safety limit cycle.max_consecutive_failures)", HeldCause.SAFETY_LIMIT),
        ("catch-up: missed before the latest due period, over cycle.catch_up_limit", HeldCause.CATCH_UP),
        ("paused: its subscription was paused before it was sent", HeldCause.PAUSED),
        ("approval: it waits to be approved", HeldCause.APPROVAL),
        ("who knows", HeldCause.OTHER),
    ],
)
def test_held_payments_are_grouped_by_the_kind_of_cause_with_one_command(
    db: Database, cause: str, kind: HeldCause
) -> None:
    subscription = a_subscription(db)
    first = a_payment(db, subscription, state="held", cause=cause)
    alone = needs_of(db)[f"held.{kind}"]
    assert alone.command == f"billing payments release {first}"
    assert alone.what.startswith("1 payment is held")
    assert alone.detail == f"payment {first} (acme, due on {TODAY}): {cause}"

    a_payment(db, subscription, TODAY + DAY, state="held", cause=cause)
    both = needs_of(db)[f"held.{kind}"]
    assert (both.count, both.command) == (2, f"billing payments release --all-held --cause {kind}")
    assert both.what.startswith("2 payments are held")
    assert "39.80 USDC" in both.what


def test_texts_of_one_kind_are_one_group_and_kinds_are_told_apart(db: Database) -> None:
    subscription = a_subscription(db)
    for n, cause in enumerate((LIMIT, LIMIT.replace("5", "6"), "catch-up: missed")):
        a_payment(db, subscription, TODAY + n * DAY, state="held", cause=cause)
    found = needs_of(db)
    assert {kind: need.count for kind, need in found.items()} == {"held.safety-limit": 2, "held.catch-up": 1}
    assert LIMIT in found["held.safety-limit"].detail


def test_three_are_named_and_all_are_counted(db: Database) -> None:
    subscription = a_subscription(db)
    ids = [a_payment(db, subscription, TODAY + n * DAY, state="held", cause=LIMIT) for n in range(7)]
    need = needs_of(db)["held.safety-limit"]
    named = ", ".join(f"payment {ids[n]} (acme, due on {TODAY + n * DAY})" for n in range(3))
    assert (need.count, need.detail) == (7, f"{named}, and 4 more: {LIMIT}")


def test_rejected_payments_are_grouped_by_what_mileston_said(db: Database) -> None:
    subscription = a_subscription(db)
    ids = [a_payment(db, subscription, TODAY + n * DAY, state="rejected", cause="HTTP 422") for n in range(3)]
    other = a_payment(db, subscription, TODAY + 9 * DAY, state="rejected", cause="HTTP 400: no")
    found = needs_of(db)
    assert found["rejected: HTTP 422"].command == "billing payments release " + " ".join(map(str, ids))
    assert found["rejected: HTTP 400: no"].command == f"billing payments release {other}"
    assert "correct the data, then release it" in found["rejected: HTTP 400: no"].what


def test_many_rejections_are_listed_and_rare_causes_are_told_together(db: Database) -> None:
    subscription = a_subscription(db)
    for n in range(13):
        cause = f"HTTP {400 + max(0, n - 5)}"
        a_payment(db, subscription, TODAY + n * DAY, state="rejected", cause=cause)
    found = list(needs_of(db).values())
    assert [need.count for need in found] == [6, 1, 1, 1, 4]
    assert found[0].command == found[-1].command == "billing payments list --state rejected"
    assert found[-1].detail == "4 other causes"


def test_a_parked_payment_is_resolved_and_several_are_listed(db: Database) -> None:
    subscription = a_subscription(db)
    one = a_payment(db, subscription, state="parked", cause="record A is like it")
    assert needs_of(db)["parked"].command == f"billing payments resolve {one}"
    two = a_payment(db, subscription, TODAY + DAY, state="parked", cause="record B is like it")
    need = needs_of(db)["parked"]
    assert need.command == "billing payments list --state parked"
    assert need.detail == (
        f"payment {one} (acme, due on {TODAY}): record A is like it; "
        f"payment {two} (acme, due on {TODAY + DAY}): record B is like it"
    )


def test_a_flag_is_a_need_of_its_own_whatever_the_state(db: Database) -> None:
    subscription = a_subscription(db)
    row_id = a_payment(db, subscription, state="open", attention="its amount differs")
    assert needs_of(db)["attention"].command == f"billing payments dismiss {row_id}"
    a_payment(db, subscription, TODAY + DAY, state="held", attention="its address differs")
    need = needs_of(db)["attention"]
    assert (need.count, need.command) == (2, "billing payments list --attention")
    assert f"payment {row_id} (acme, due on {TODAY}): its amount differs" in need.detail
    assert counted(db) == 2  # the one that is held and flagged is one payment


def test_another_one_that_joins_makes_the_newest_greater(db: Database) -> None:
    subscription = a_subscription(db)
    rows = [payment_of(db, a_payment(db, subscription, TODAY + n * DAY)) for n in range(3)]
    newest = [""]
    for row, after in zip(rows, (timedelta(0), timedelta(microseconds=1), DAY), strict=True):
        with db.transaction() as tx:
            verbs.hold(tx, "run:1", NOW + after, [row], {row.id: LIMIT})
        newest.append(needs_of(db)["held.safety-limit"].newest)
    assert newest == sorted(set(newest))


# -- unknown -----------------------------------------------------------------------------------------


def test_a_young_unknown_is_the_programs_own_work_for_an_hour(db: Database) -> None:
    row_id = a_payment(db, a_subscription(db), state="unknown")
    an_attempt(db, row_id)
    assert needs_of(db, NOW + HOUR) == {}
    (need,) = needs_of(db, NOW + HOUR + timedelta(seconds=1)).values()
    assert (need.kind, need.count, need.command) == ("unknown", 1, "billing reconcile")
    assert need.detail == f"payment {row_id} (acme, due on {TODAY})"  # no cause, and no colon to none


def test_the_hour_counts_from_the_first_attempt_without_an_answer(db: Database) -> None:
    row_id = a_payment(db, a_subscription(db), state="unknown")
    an_attempt(db, row_id, 1, NOW - DAY, "not_sent")
    an_attempt(db, row_id, 2, NOW - DAY, "refused", 400)
    an_attempt(db, row_id, 3, NOW, None)  # its run died
    assert needs_of(db, NOW + HOUR) == {}
    assert list(needs_of(db, NOW + 2 * HOUR)) == ["unknown"]


def test_unknown_for_a_second_time_calls_a_person_at_once(db: Database) -> None:
    row_id = a_payment(db, a_subscription(db), state="unknown")
    an_attempt(db, row_id, 1)
    an_attempt(db, row_id, 2, NOW + timedelta(minutes=5))
    assert list(needs_of(db, NOW + timedelta(minutes=6))) == ["unknown"]


@pytest.mark.parametrize("status", [429, 503])
def test_an_api_that_asks_to_slow_down_is_no_alarm(db: Database, status: int) -> None:
    row_id = a_payment(db, a_subscription(db), state="unknown")
    for number in (1, 2, 3):
        an_attempt(db, row_id, number, status=status)
    assert needs_of(db, NOW + 9 * DAY) == {}
    an_attempt(db, row_id, 4, NOW + 9 * DAY, status=504)
    assert needs_of(db, NOW + 9 * DAY) == {}  # the first that counts
    assert list(needs_of(db, NOW + 9 * DAY + 2 * HOUR)) == ["unknown"]


@pytest.mark.parametrize("moved", ["updated_at", "deadline_at"])
def test_without_an_attempt_the_hour_counts_from_when_it_became_unknown(db: Database, moved: str) -> None:
    """A release after a restore writes the one, a restore and what turns up the other."""
    row_id = a_payment(db, a_subscription(db), state="unknown", **{moved: NOW + DAY})
    an_attempt(db, row_id, outcome="not_sent")
    assert needs_of(db, NOW + DAY + HOUR) == {}
    assert list(needs_of(db, NOW + DAY + 2 * HOUR)) == ["unknown"]


def test_a_flagged_unknown_is_one_payment(db: Database) -> None:
    a_payment(db, a_subscription(db), state="unknown", attention="look")
    assert counted(db, NOW) == counted(db, NOW + DAY) == 1


# -- mail --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "title"),
    [
        (NoticeState.FAILED, "1 e-mail could not be sent"),
        (NoticeState.UNKNOWN, "1 e-mail may or may not have been delivered"),
    ],
)
def test_a_mail_that_did_not_go_out_is_named_with_the_servers_words(
    db: Database, state: NoticeState, title: str
) -> None:
    about = a_notice(db, state, "550 no such user", subscription_id=a_subscription(db))
    alone = needs_of(db)[f"notices_{state}"]
    assert alone.what.startswith(title)
    assert (alone.command, alone.detail) == (
        f"billing notices resend {about}",
        "payment_created (acme): 550 no such user",
    )
    a_notice(db, state)
    both = needs_of(db)[f"notices_{state}"]
    assert (both.count, both.command) == (2, f"billing notices resend --all {state}")
    assert both.detail == "payment_created (acme): 550 no such user; payment_created"


@pytest.mark.parametrize(
    "state", [state for state in NoticeState if state not in (NoticeState.FAILED, NoticeState.UNKNOWN)]
)
def test_a_mail_that_goes_its_ordinary_way_waits_for_nobody(db: Database, state: NoticeState) -> None:
    a_notice(db, state)
    assert needs_of(db) == {}


def test_where_unknown_mail_is_resent_it_waits_for_nobody_until_its_tries_are_used_up(db: Database) -> None:
    a_notice(db, NoticeState.UNKNOWN, tries=MOST_TRIES - 1)
    assert needs_of(db, resends=True) == {}
    assert list(needs_of(db, resends=False)) == ["notices_unknown"]
    a_notice(db, NoticeState.UNKNOWN, tries=MOST_TRIES)
    assert [need.count for need in needs_of(db, resends=True).values()] == [1]


def test_a_digest_that_failed_is_no_reason_for_the_next_one(db: Database) -> None:
    for n in range(6):
        a_notice(db, NoticeState.FAILED, str(n), NoticeKind.RUN_DIGEST)
    letter = a_notice(db, NoticeState.FAILED)
    assert needs_of(db)["notices_failed"].count == 7
    without = needs_of(db, digests=False)["notices_failed"]
    assert (without.count, without.command) == (1, f"billing notices resend {letter}")


# -- runs --------------------------------------------------------------------------------------------


def test_a_run_that_stopped_is_one_need_with_whatever_else_went_wrong() -> None:
    (need,) = run_needs("Mileston refused the API key (401)", ["observe: 401"], 3)
    assert need.detail == "Mileston refused the API key (401); observe: 401"
    assert need.command == "billing doctor"


def test_problems_and_what_was_not_sent_are_told_of_a_run_that_went_on() -> None:
    problem, unsent = run_needs("", ["mail: the server is away"], 2)
    assert (problem.kind, problem.what) == ("problem: mail", "The step mail could not do its work")
    assert unsent.what == "2 payments that are due were not sent; the next run sends them"
    assert list(run_needs("", [], 0)) == []


def test_no_need_names_a_person(db: Database) -> None:
    subscription = a_subscription(db)
    for n, state in enumerate(WAITING):
        a_payment(db, subscription, TODAY + n * DAY, state=state, attention="look")
    a_notice(db, NoticeState.FAILED, "550 no", subscription_id=subscription)
    told = repr(needs_of(db))
    assert "acme" in told
    assert "Quillfeather" not in told
    assert "example.org" not in told
