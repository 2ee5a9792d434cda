"""Every query returns the columns that its row type names: a Protocol by `cast` promises them unchecked."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, get_type_hints

import pytest
from sqlalchemy import insert

from billing.core.event_text import EventAction
from billing.core.states import NoticeKind
from billing.lifecycle import notices as outbox
from billing.store import (
    events,
    notices,
    overdue,
    payments,
    remote_checks,
    renewals,
    rows,
    runs,
    subscriptions,
)
from billing.store.connection import Database
from billing.store.models import attempts
from billing.store.models import runs as run_table
from tests.support.databases import NOW, TODAY, a_payment, a_subscription

LATER = NOW + timedelta(days=9)
START = (datetime.min.replace(tzinfo=UTC), 0)

QUERIES: list[tuple[type, Callable[[Any], Any]]] = [
    (rows.PlannedPayment, lambda tx: payments.planned_page(tx, TODAY, 0, 9)),
    (rows.Payment, lambda tx: payments.rejected_across(tx, 1, TODAY)),
    (rows.PaymentOfSubscription, lambda tx: list(payments.listing(tx))),
    (rows.PaymentOfSubscription, lambda tx: [payments.find(tx, 1)]),
    (rows.Attempt, lambda tx: payments.attempts_of(tx, 1)),
    (rows.LostPayment, lambda tx: remote_checks.lost_page(tx, 0, 9)),
    (
        rows.LostPayment,
        lambda tx: list(remote_checks.by_marker(tx, [row.marker for row in payments.listing(tx)]).values()),
    ),
    (
        rows.MarkedPayment,
        lambda tx: list(remote_checks.standing_for(tx, [row.marker for row in payments.listing(tx)])),
    ),
    (rows.ListedPayment, lambda tx: remote_checks.unpaid_page(tx, LATER, START, 9)),
    (rows.Holder, lambda tx: list(remote_checks.holders(tx, ["paid"]).values())),
    (rows.BeforeNext, lambda tx: renewals.before_next(tx, TODAY, 0, 9)),
    (rows.MayRenew, lambda tx: renewals.to_stop(tx, TODAY, 0, 9)),
    (rows.PaidPayment, lambda tx: remote_checks.paid_among(tx, ["paid"])),
    (rows.OverduePayment, lambda tx: overdue.overdue_page(tx, TODAY, "run-1", 0, 9)),
    (rows.OverduePayment, lambda tx: overdue.overdue_of(tx, TODAY, "run-1", [1])),
    (rows.OwedPayment, lambda tx: overdue.owed_by(tx, [1])[1]),
    (rows.DueSubscription, lambda tx: subscriptions.due_page(tx, TODAY, 9)),
    (rows.DueSubscription, lambda tx: subscriptions.remind_page(tx, TODAY, 9)),
    (rows.DueSubscription, lambda tx: subscriptions.active_page(tx, 0, 9)),
    (rows.Subscription, lambda tx: [subscriptions.find(tx, "acme")]),
    (rows.Subscription, lambda tx: [subscriptions.get(tx, 1)]),
    (rows.Subscription, lambda tx: list(subscriptions.by_references(tx, ["acme"]).values())),
    (rows.NoticeWithRows, lambda tx: notices.queued_page(tx, NOW, START, 9)),
    (rows.NoticeWithRows, lambda tx: [notices.with_rows(tx, 1)]),
    (rows.ListedNotice, lambda tx: list(notices.listing(tx))),
    (rows.Notice, lambda tx: [notices.find(tx, 1)]),
    (rows.Event, lambda tx: list(events.every(tx))),
    (rows.Run, lambda tx: [runs.latest(tx)]),
]


@pytest.fixture
def everything(db: Database) -> Database:
    """One row at least for every query."""
    acme = a_subscription(db, next_due_on=TODAY, next_remind_on=TODAY)
    planned = a_payment(db, acme)
    day = timedelta(days=1)
    a_payment(db, acme, TODAY - day, state="unknown", cause="lost")
    overdue = {"looked_at": NOW, "looked_run_id": "run-1", "payable_on": TODAY, "next_dun_on": TODAY}
    a_payment(db, acme, TODAY - 2 * day, state="open", remote_id="open", **overdue)
    a_payment(db, acme, TODAY - 4 * day, state="rejected", cause="HTTP 403", period_end_on=TODAY)
    a_payment(db, acme, TODAY - 3 * day, state="paid", remote_id="paid", paid_at=NOW)
    with db.transaction() as tx:
        tx.execute(
            insert(attempts).values(payment_id=planned, number=1, run_id="run-1", started_at=NOW, detail="")
        )
        notice = outbox.new_notice(
            NoticeKind.PAYMENT_CREATED, "key", NOW, subscription_id=acme, payment_id=planned
        )
        assert outbox.queue(tx, [notice]) == 1
        events.record(tx, [events.event(NOW, "run:1", EventAction.ADDED)])
    with db.transaction() as tx:
        assert tx.execute(
            insert(run_table).values(id="run-1", as_of=TODAY, started_at=NOW, summary="")
        ).rowcount
    return db


@pytest.mark.parametrize(
    ("kind", "query"), QUERIES, ids=[f"{n}-{kind.__name__}" for n, (kind, _) in enumerate(QUERIES)]
)
def test_a_query_returns_every_field_of_its_row_type(everything: Database, kind: type, query: Any) -> None:
    with everything.transaction() as tx:
        found = query(tx)
        missing = [name for name in get_type_hints(kind) if not hasattr(found[0], name)]
    assert missing == []
