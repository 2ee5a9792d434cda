"""Records as JSON documents: the same fields in lists and alone, and every value plain."""

import json
from datetime import date, timedelta
from typing import Any

import pytest

from billing.app import documents
from billing.core.event_text import EventAction
from billing.core.states import NoticeKind, PaymentState
from billing.errors import UsageError
from billing.lifecycle import notices as outbox
from billing.lifecycle import payments as verbs
from billing.store.connection import Database
from billing.store.models import attempts, notices
from billing.store.paging import PAGE
from tests.support.business import Business
from tests.support.databases import NOW, TODAY, a_payment, a_subscription
from tests.support.written import payment_of

DAY = timedelta(days=1)


def plain(document: Any) -> Any:
    """The document as it comes out of JSON: what is no plain value raises."""
    return json.loads(json.dumps(document))


def a_notice(db: Database, key: str, **changes: Any) -> int:
    with db.transaction() as tx:
        row = outbox.new_notice(NoticeKind.PAYMENT_CREATED, key, NOW)
        return int(
            tx.execute(notices.insert().values({**row, **changes}).returning(notices.c.id)).scalar_one()
        )


# -- payments ------------------------------------------------------------------------------------------


def test_a_payment_is_shown_with_every_field_of_the_contract(db: Database) -> None:
    row_id = a_payment(
        db, a_subscription(db), state="paid", remote_id="r-1", attempts=2, attention="look", paid_at=NOW
    )
    (document,) = plain(list(documents.payments_listed(db)))
    assert document == {
        "id": row_id,
        "subscription": "acme",
        "due_on": "2026-02-01",
        "amount": "19.90",
        "state": "paid",
        "remote_id": "r-1",
        "marker": payment_of(db, row_id).marker,
        "attempts": 2,
        "cause": "",
        "attention": "look",
        "paid_at": NOW.isoformat(),
    }


def test_payments_come_by_due_date_and_can_be_narrowed(db: Database) -> None:
    subscription = a_subscription(db)
    later = a_payment(db, subscription, TODAY + DAY, state="held")
    sooner = a_payment(db, subscription, TODAY, state="open", attention="look")

    def ids(**narrowed: Any) -> list[int]:
        return [document["id"] for document in documents.payments_listed(db, **narrowed)]

    assert ids() == [sooner, later]
    assert ids(state="held") == [later]
    assert ids(attention=True) == [sooner]
    assert ids(state="held", attention=True) == []
    assert documents.held_payments(db) == [later]


def test_one_payment_comes_with_its_attempts_and_its_history(db: Database) -> None:
    subscription = a_subscription(db)
    row_id = a_payment(db, subscription)
    a_payment(db, subscription, TODAY + DAY)
    values = {"payment_id": row_id, "run_id": "run-1", "started_at": NOW}
    with db.transaction() as tx:
        done = {"outcome": "unknown", "status": 504, "detail": "no answer", "finished_at": NOW + DAY}
        tx.execute(attempts.insert().values({**values, "number": 1, **done}))
        tx.execute(attempts.insert().values({**values, "number": 2}))
    row = payment_of(db, row_id)
    with db.transaction() as tx:
        verbs.hold(tx, "run:1", NOW, [row], {row.id: "over the limit"})
    shown = plain(documents.payment_shown(db, row_id))
    (listed, _) = plain(list(documents.payments_listed(db)))
    assert {name: shown[name] for name in listed} == listed
    assert [set(attempt) for attempt in shown["attempt_log"]] == [
        {"number", "run_id", "started_at", "outcome", "status", "detail", "finished_at"}
    ] * 2
    assert [attempt["finished_at"] for attempt in shown["attempt_log"]] == [(NOW + DAY).isoformat(), None]
    assert shown["events"] == [
        {"at": NOW.isoformat(), "actor": "run:1", "action": EventAction.HELD, "detail": "over the limit"}
    ]


@pytest.mark.parametrize("payment_id", [0, -1, 4711])
def test_a_payment_that_is_not_there_is_refused(db: Database, payment_id: int) -> None:
    a_payment(db, a_subscription(db))
    with pytest.raises(UsageError, match=f"there is no payment {payment_id}"):
        documents.payment_shown(db, payment_id)


# -- subscriptions -------------------------------------------------------------------------------------


def test_a_subscription_bears_the_names_of_the_files_columns(db: Database) -> None:
    a_subscription(
        db,
        locale="de",
        ends_on=date(2026, 12, 31),
        interval_count=2,
        interval_unit="week",
        company="Quill Ltd",
        address="12 Harbour Road\nBristol",
    )
    (document,) = plain(list(documents.subscriptions_listed(db)))
    assert document == {
        "reference": "acme",
        "plan": "Gold plan",
        "name": "Zoë Quillfeather",
        "email": "zoe.quillfeather@example.org",
        "amount": "19.90",
        "interval": "2 weeks",
        "starts_on": "2026-02-01",
        "bill_from": None,
        "ends_on": "2026-12-31",
        "wallet_address": None,
        "locale": "de",
        "company": "Quill Ltd",
        "tax_id": None,
        "address": "12 Harbour Road | Bristol",
        "status": "active",
        "cancel_on": None,
        "paused_until": None,
        "next_due_on": "2026-02-01",
    }


@pytest.mark.parametrize(
    ("cancel_on", "next_due_on"),
    [(TODAY, None), (TODAY - DAY, None), (TODAY + DAY, "2026-02-01"), (None, "2026-02-01")],
)
def test_what_comes_up_only_to_be_cancelled_has_no_next_due_date(
    db: Database, cancel_on: date | None, next_due_on: str | None
) -> None:
    a_subscription(db, cancel_on=cancel_on)
    assert documents.subscription_shown(db, "acme")["next_due_on"] == next_due_on


def test_one_subscription_comes_with_its_own_payments_and_notices(db: Database) -> None:
    ours, theirs = a_subscription(db), a_subscription(db, "other")
    payment, _ = a_payment(db, ours), a_payment(db, theirs, reference="other")
    notice, _ = a_notice(db, "ours", subscription_id=ours), a_notice(db, "theirs", subscription_id=theirs)
    shown = plain(documents.subscription_shown(db, "acme"))
    assert [each["id"] for each in shown["payments"]] == [payment]
    assert [each["id"] for each in shown["notices"]] == [notice]
    listed = plain(list(documents.subscriptions_listed(db)))
    assert [each["reference"] for each in listed] == ["acme", "other"]
    assert {name: shown[name] for name in listed[0]} == listed[0]


def test_a_subscription_that_is_not_there_is_refused_with_the_nearest(db: Database) -> None:
    a_subscription(db)
    with pytest.raises(UsageError, match="the nearest are: acme"):
        documents.subscription_shown(db, "acne")


# -- notices -------------------------------------------------------------------------------------------


def test_a_notice_goes_to_whom_it_went_or_else_to_whom_it_would_go(db: Database) -> None:
    subscription = a_subscription(db)
    a_notice(db, "sent", subscription_id=subscription, to_address="then@example.org", due_on=TODAY)
    a_notice(db, "queued", subscription_id=subscription)
    a_notice(db, "the operator's")
    found = plain(list(documents.notices_listed(db)))
    assert [(each["subscription"], each["to"], each["due_on"]) for each in found] == [
        ("acme", "then@example.org", "2026-02-01"),
        ("acme", "zoe.quillfeather@example.org", None),
        (None, None, None),
    ]
    assert {"kind", "state", "dedupe_key", "message_id", "tries", "server_reply", "sent_at"} <= set(found[0])
    assert [each["dedupe_key"] for each in documents.notices_listed(db, "queued")] == [
        "sent",
        "queued",
        "the operator's",
    ]
    assert list(documents.notices_listed(db, "sent")) == []


# -- long lists, and the shell's completion ------------------------------------------------------------


@pytest.mark.parametrize("dialect", ["sqlite"], indirect=True)
def test_a_list_of_more_than_a_page_comes_whole(db: Database) -> None:
    subscription = a_subscription(db)
    for n in range(PAGE + 3):
        a_payment(db, subscription, TODAY + n * DAY)
    listed = [document["due_on"] for document in documents.payments_listed(db, PaymentState.PLANNED)]
    assert listed == [(TODAY + n * DAY).isoformat() for n in range(PAGE + 3)]


def test_references_are_completed_as_far_as_they_are_asked_for(business: Business) -> None:
    assert documents.references_like(business.config, "a", 9) == []
    business.subscribe(
        *(f"{name},P,N,{name}@example.com,5,1 month,2026-03-01" for name in ("ada", "abe", "bob"))
    )
    assert sorted(documents.references_like(business.config, "a", 9)) == ["abe", "ada"]
    assert len(documents.references_like(business.config, "", 2)) == 2
    assert documents.references_like(business.config, "z", 9) == []
