"""Instants that lie in the future hold up nothing: they were written while the clock was wrong."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from billing.lifecycle import sending
from billing.lifecycle.clock import IN_FUTURE, set_clock_right
from billing.store.connection import Database
from tests.support.databases import NOW, a_payment, a_subscription
from tests.support.written import payment_of

FAR, NEAR = NOW + timedelta(days=200), NOW + IN_FUTURE


@pytest.mark.parametrize(
    ("state", "column", "late", "becomes"),
    [
        ("open", "looked_at", FAR, NOW),
        ("open", "looked_at", NEAR, NEAR),
        ("uncollectible", "looked_at", FAR, NOW),
        ("paid", "looked_at", FAR, FAR),
        ("unknown", "deadline_at", FAR, NOW),
        ("unknown", "deadline_at", NEAR, NEAR),
        ("unknown", "next_look_at", FAR, NOW),
        ("unknown", "next_look_at", NOW + timedelta(days=1), NOW + timedelta(days=1)),
    ],
)
def test_what_was_noted_by_a_wrong_clock(
    db: Database, state: str, column: str, late: Any, becomes: Any
) -> None:
    values = {"remote_id": "r", "paid_at": NOW} if state != "unknown" else {"deadline_at": NOW}
    payment = a_payment(db, a_subscription(db), state=state, **{**values, column: late})
    with db.transaction() as tx:
        assert set_clock_right(tx, NOW) == (late != becomes)
    assert getattr(payment_of(db, payment), column) == becomes


def test_a_lease_of_a_wrong_clock_has_ended(db: Database) -> None:
    """Its worker was killed while its clock was ahead; the quiet window begins now."""
    subscription = a_subscription(db)
    sent = a_payment(
        db, subscription, state="sending", run_id="run-1", attempts=1, lease_until=FAR, deadline_at=FAR
    )
    with db.transaction() as tx:
        assert sending.recover(tx, "run:2", NOW, False, 9) == 1
    row = payment_of(db, sent)
    assert (row.state, row.deadline_at) == ("unknown", NOW)


def test_a_proof_of_a_wrong_clock_is_old(db: Database) -> None:
    payment = a_payment(db, a_subscription(db), absent_looks=2, absent_at=FAR, attempts=1)
    with db.transaction() as tx:
        assert sending.expire_proofs(tx, "run:2", NOW, NOW - timedelta(seconds=60)) == 1
    assert payment_of(db, payment).state == "unknown"
