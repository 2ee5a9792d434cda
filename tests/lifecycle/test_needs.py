"""What waits for a person: counted, the first few spelt out, each with what to type."""

from datetime import timedelta
from typing import Any

import pytest

from billing.core.notices import DigestItem
from billing.core.states import NEEDS_A_PERSON, NoticeKind, NoticeState, PaymentState
from billing.lifecycle import notices as outbox
from billing.lifecycle import payments as verbs
from billing.lifecycle.needs import Need, count_payments, needs
from billing.store.connection import Database
from billing.store.models import notices
from tests.support.databases import NOW, TODAY, a_payment, a_subscription
from tests.support.written import payment_of

DAY = timedelta(days=1)
WAITING = sorted(NEEDS_A_PERSON)
AT_REST = [state for state in PaymentState if state not in NEEDS_A_PERSON]


def needs_of(db: Database, digests: bool = True) -> dict[str, Need]:
    with db.read() as tx:
        return {need.kind: need for need in needs(tx, digests=digests)}


def counted(db: Database) -> int:
    with db.read() as tx:
        return count_payments(tx)


def a_notice(
    db: Database,
    state: NoticeState,
    reply: str = "",
    kind: NoticeKind = NoticeKind.PAYMENT_CREATED,
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
        }
        return int(tx.execute(notices.insert().values(values).returning(notices.c.id)).scalar_one())


def test_an_empty_database_needs_nobody(db: Database) -> None:
    assert needs_of(db) == {}
    assert counted(db) == 0


@pytest.mark.parametrize(
    ("state", "title", "command"),
    [
        ("rejected", "was rejected by Mileston; correct the data, then release it", "payments release"),
        ("held", "is held; release it if it is right", "payments release"),
        (
            "parked",
            "is parked: the program cannot confirm whether it exists at Mileston",
            "payments resolve",
        ),
    ],
)
def test_a_payment_that_waits_is_named_with_its_cause_and_what_to_type(
    db: Database, state: str, title: str, command: str
) -> None:
    row_id = a_payment(db, a_subscription(db), state=state, cause="over the limit")
    need = needs_of(db)[state]
    assert (need.count, need.command) == (1, f"billing payments list --state {state}")
    assert need.what.startswith(f"{state} payments (")
    assert need.items == (
        DigestItem(
            f"Payment {row_id} {title}",
            f"acme, due on {TODAY}: over the limit",
            f"billing {command} {row_id}",
        ),
    )


def test_an_unknown_payment_is_looked_up_by_the_program_and_so_by_one_command(db: Database) -> None:
    a_payment(db, a_subscription(db), state="unknown")
    (item,) = needs_of(db)["unknown"].items
    assert item.command == "billing reconcile"
    assert item.detail == f"acme, due on {TODAY}"  # no cause, and no colon that leads to none


@pytest.mark.parametrize("state", AT_REST)
def test_what_goes_its_ordinary_way_waits_for_nobody(db: Database, state: PaymentState) -> None:
    a_payment(db, a_subscription(db), state=state)
    assert needs_of(db) == {}
    assert counted(db) == 0


@pytest.mark.parametrize("state", WAITING)
def test_every_state_that_needs_a_person_is_a_need(db: Database, state: PaymentState) -> None:
    a_payment(db, a_subscription(db), state=state)
    assert list(needs_of(db)) == [state]
    assert counted(db) == 1


def test_a_flag_is_a_need_of_its_own_whatever_the_state(db: Database) -> None:
    subscription = a_subscription(db)
    row_id = a_payment(db, subscription, state="open", attention="its amount differs")
    a_payment(db, subscription, TODAY + DAY, state="held", attention="its address differs")
    need = needs_of(db)["attention"]
    assert (need.count, need.command) == (2, "billing payments list --attention")
    assert need.items[0] == DigestItem(
        f"Payment {row_id} needs a look",
        f"acme, due on {TODAY}: its amount differs",
        f"billing payments show {row_id}",
    )
    assert counted(db) == 2  # the one that is held and flagged is one payment


def test_five_are_spelt_out_and_all_are_counted(db: Database) -> None:
    subscription = a_subscription(db)
    for n in reversed(range(7)):
        a_payment(db, subscription, TODAY + n * DAY, state="held")
    need = needs_of(db)["held"]
    assert (need.count, len(need.items)) == (7, 5)
    assert [item.detail[:24] for item in need.items] == [f"acme, due on {TODAY + n * DAY}:" for n in range(5)]


def test_another_one_that_joins_makes_the_newest_greater(db: Database) -> None:
    subscription = a_subscription(db)
    rows = [payment_of(db, a_payment(db, subscription, TODAY + n * DAY)) for n in range(3)]
    newest = [""]
    for row, after in zip(rows, (timedelta(0), timedelta(microseconds=1), DAY), strict=True):
        with db.transaction() as tx:
            verbs.hold(tx, "run:1", NOW + after, [row], {row.id: "why"})
        newest.append(needs_of(db)["held"].newest)
    assert newest == sorted(set(newest))


@pytest.mark.parametrize(
    ("state", "title"),
    [
        (NoticeState.FAILED, "was refused by the mail server"),
        (NoticeState.UNKNOWN, "may or may not have been delivered"),
    ],
)
def test_a_mail_that_did_not_go_out_is_named_with_the_servers_words(
    db: Database, state: NoticeState, title: str
) -> None:
    about = a_notice(db, state, "550 no such user", subscription_id=a_subscription(db))
    alone = a_notice(db, state)
    need = needs_of(db)[f"notices_{state}"]
    assert (need.count, need.command) == (2, f"billing notices list --state {state}")
    assert need.items == (
        DigestItem(
            f"The e-mail payment_created {title}", "acme: 550 no such user", f"billing notices resend {about}"
        ),
        DigestItem(f"The e-mail payment_created {title}", "", f"billing notices resend {alone}"),
    )


@pytest.mark.parametrize(
    "state", [state for state in NoticeState if state not in (NoticeState.FAILED, NoticeState.UNKNOWN)]
)
def test_a_mail_that_goes_its_ordinary_way_waits_for_nobody(db: Database, state: NoticeState) -> None:
    a_notice(db, state)
    assert needs_of(db) == {}


def test_a_digest_that_failed_is_no_reason_for_the_next_one(db: Database) -> None:
    for n in range(6):
        a_notice(db, NoticeState.FAILED, str(n), NoticeKind.RUN_DIGEST)
    letter = a_notice(db, NoticeState.FAILED)
    assert needs_of(db)["notices_failed"].count == 7
    without = needs_of(db, digests=False)["notices_failed"]
    assert (without.count, [item.command for item in without.items]) == (
        1,
        [f"billing notices resend {letter}"],
    )


def test_no_need_names_a_person(db: Database) -> None:
    subscription = a_subscription(db)
    for n, state in enumerate(WAITING):
        a_payment(db, subscription, TODAY + n * DAY, state=state, attention="look")
    a_notice(db, NoticeState.FAILED, "550 no", subscription_id=subscription)
    told = repr(needs_of(db))
    assert "acme" in told
    assert "Quillfeather" not in told
    assert "example.org" not in told
