"""The database itself holds to what versions of terms may be."""

import pytest
from sqlalchemy import insert

from billing.errors import StoreError
from billing.store.connection import Database
from billing.store.models import terms
from tests.support.databases import NOW, TODAY, a_subscription

VERSION = {
    "agreed_at": NOW,
    "actor": "person:ada",
    "holds_from": TODAY,
    "plan": "Gold",
    "amount_micros": 5_000_000,
    "interval_count": 1,
    "interval_unit": "month",
    "anchor_on": TODAY,
}


def add(db: Database, subscription: int, **changes: object) -> None:
    with db.transaction() as tx:
        tx.execute(insert(terms).values(VERSION | {"subscription_id": subscription} | changes))


def test_many_versions_hold_one_after_the_other_and_one_waits(db: Database) -> None:
    subscription = a_subscription(db)
    add(db, subscription, waits=0)
    add(db, subscription, waits=0)
    add(db, subscription, waits=1)
    with pytest.raises(StoreError):
        add(db, subscription, waits=1)


def test_a_price_of_nothing_is_refused(db: Database) -> None:
    with pytest.raises(StoreError):
        add(db, a_subscription(db), waits=0, amount_micros=0)
