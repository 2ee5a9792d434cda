"""What the tests of people's decisions share: the acts, the API as far as people need it, the log."""

import asyncio
import builtins
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from billing.app import decisions
from billing.config import Settings
from billing.core.outcomes import CreateOutcome, PaymentRequest, RemotePayment
from billing.core.states import PaymentState
from billing.errors import BillingError, GatewayError, UsageError
from billing.store import payments, subscriptions
from billing.store.connection import Database
from billing.store.models import events
from billing.store.models import notices as notice_table
from tests.support.databases import NOW, TODAY

DAY = timedelta(days=1)
SETTINGS = Settings()
ACTOR = decisions.actor()
STATES = [state.value for state in PaymentState]
# Tables of refusals that are the program's own: one database is enough.
only_sqlite = pytest.mark.parametrize("dialect", ["sqlite"], indirect=True)


@dataclass
class FakeGateway:
    """The API as far as people need it: remote payments by id, and what was asked for."""

    remotes: dict[str, RemotePayment] = field(default_factory=dict)
    broken: bool = False
    meanwhile: Callable[[], None] = lambda: None
    """Happens while the API is being asked."""
    asked: list[str] = field(default_factory=list)

    async def get(self, remote_id: str) -> RemotePayment | None:
        self._note(f"get {remote_id}")
        return self.remotes.get(remote_id)

    async def delete(self, remote_id: str) -> bool:
        self._note(f"delete {remote_id}")
        return self.remotes.pop(remote_id, None) is not None

    async def create(self, request: PaymentRequest, send_by: Any) -> CreateOutcome:
        raise AssertionError("a person's decision creates nothing")

    async def list(self, limit: int) -> builtins.list[RemotePayment]:
        self._note("list")
        return list(self.remotes.values())

    def checkout_url(self, remote_id: str) -> str:
        return f"https://pay.example.com/{remote_id}"

    def _note(self, what: str) -> None:
        self.asked.append(what)
        self.meanwhile()
        if self.broken:
            raise GatewayError("the API can't be reached")


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
    asyncio.run(decisions.void(db, gateway, payment_id, NOW, "a mistake"))


def resolve(db: Database, gateway: FakeGateway, payment_id: int, remote_id: str | None) -> None:
    asyncio.run(decisions.resolve(db, gateway, payment_id, remote_id, NOW, TODAY, "seen in Mileston's pages"))
