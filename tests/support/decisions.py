"""What the tests of people's decisions share: the acts, and what is then in the log and the outbox."""

import asyncio
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from billing.app import decisions
from billing.config import Settings
from billing.core.states import PaymentState
from billing.errors import BillingError, UsageError
from billing.store import payments, subscriptions
from billing.store.connection import Database
from billing.store.models import events
from billing.store.models import notices as notice_table
from tests.support.databases import NOW, TODAY
from tests.support.fake_gateway import FakeGateway

DAY = timedelta(days=1)
QUIET = 300
SETTINGS = Settings()
ACTOR = decisions.actor()
STATES = [state.value for state in PaymentState]
# Tables of refusals that are the program's own: one database is enough.
only_sqlite = pytest.mark.parametrize("dialect", ["sqlite"], indirect=True)


def subscription(db: Database, reference: str = "acme") -> Any:
    with db.transaction() as tx:
        return subscriptions.find(tx, reference)


def payment(db: Database, payment_id: int) -> Any:
    with db.transaction() as tx:
        return payments.find(tx, payment_id)


def log(db: Database) -> list[tuple[str, str, str]]:
    with db.read() as connection:
        rows = connection.execute(select(events).order_by(events.c.id))
        return [(row.actor, row.action, row.detail) for row in rows]


def outbox(db: Database) -> list[Any]:
    with db.read() as connection:
        return list(connection.execute(select(notice_table).order_by(notice_table.c.id)))


def refused(act: Callable[[], Any], db: Database, error: type[BillingError] = UsageError) -> str:
    """The refusal's message; nothing may have been logged."""
    before = log(db)
    with pytest.raises(error) as raised:
        act()
    assert log(db) == before
    return str(raised.value)


def pause(db: Database, reference: str = "acme", reason: str = "asked by mail") -> None:
    decisions.pause(db, reference, NOW, reason)


def resume(db: Database, today: date = TODAY, reason: str = "asked by mail") -> date:
    return decisions.resume(db, "acme", NOW, today, SETTINGS, reason)


def cancel(db: Database, at_period_end: bool = False, today: date = TODAY) -> date:
    return decisions.cancel(db, "acme", NOW, today, "asked by mail", at_period_end)


def void(db: Database, payment_id: int, gateway: FakeGateway | None = None) -> None:
    asyncio.run(decisions.void(db, gateway, payment_id, NOW, QUIET, "a mistake"))
    assert gateway is None or gateway.creates == []


def resolve(db: Database, gateway: FakeGateway, payment_id: int, remote_id: str | None) -> None:
    asyncio.run(decisions.resolve(db, gateway, payment_id, remote_id, NOW, TODAY, "seen in Mileston's pages"))
    assert gateway.creates == []
