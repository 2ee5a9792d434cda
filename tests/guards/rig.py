"""What the guards are tested with: a Mileston of a few lines whose time, lies and deaths are scripted.

The database is a real SQLite file; only the payments API and the clock are played.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Row, insert, select

from billing.config import Settings
from billing.core.outcomes import CreateOutcome, OutcomeKind, PaymentRequest, RemotePayment, RemoteStatus
from billing.core.states import SubscriptionStatus
from billing.cycle.context import Context, nothing
from billing.cycle.cycle import Step, run_cycle
from billing.cycle.plan import plan
from billing.cycle.reconcile import reconcile
from billing.cycle.recover import recover
from billing.cycle.report import Report
from billing.cycle.submit import submit
from billing.store.database import Database, claim_identity, migrate
from billing.store.models import attempts, payments, subscriptions

DAY = date(2026, 2, 1)
START = datetime(2026, 2, 1, 12, 0, tzinfo=UTC)
QUIET = 45
TIMEOUT = 15
CHARGING: tuple[Step, ...] = (recover, reconcile, plan, submit)
LOOKING: tuple[Step, ...] = (recover, reconcile)


class Died(BaseException):
    """The process is gone: nothing in it may catch this."""


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now

    def to(self, seconds: float) -> None:
        """Go to so many seconds after the start."""
        self.now = START + timedelta(seconds=seconds)


@dataclass
class Made:
    """A create that took effect, or will at `at`."""

    remote: RemotePayment
    at: datetime
    deleted: bool = False


@dataclass
class Api:
    """Plays Mileston.

    `script` tells what befalls the next creates: `ok`; `lost` (it took effect, the answer got lost);
    `never` (no answer and no effect); `late:60` (no answer, and it takes effect 60 s later); `died`
    (it took effect, and our process died). The list shows what is `lag_seconds` old.
    """

    clock: Clock
    script: deque[str] = field(default_factory=deque)
    made: list[Made] = field(default_factory=list)
    lag_seconds: float = 0.0
    frozen_at: datetime | None = None
    """The list goes on showing what there was at that instant."""
    newest_first: bool = False
    hidden: bool = False
    """The list is answered from a place that knows none of our payments."""
    believed_unpaid: bool = False
    """The list shows nothing as paid."""
    creates: list[tuple[PaymentRequest, datetime]] = field(default_factory=list)
    """Every request that arrived, with its `send_by`."""
    on_create: Callable[[PaymentRequest], None] = lambda _request: None
    deleted: list[str] = field(default_factory=list)

    async def create(self, request: PaymentRequest, send_by: datetime) -> CreateOutcome:
        if self.clock() >= send_by:
            return CreateOutcome(OutcomeKind.NOT_SENT, detail="its deadline had passed")
        self.creates.append((request, send_by))
        self.on_create(request)
        word, _, seconds = (self.script.popleft() if self.script else "ok").partition(":")
        if word != "never":
            self.add(request, float(seconds or 0))
        if word == "died":
            raise Died
        if word != "ok":
            return CreateOutcome(OutcomeKind.UNKNOWN, detail="no answer")
        return CreateOutcome(OutcomeKind.CREATED, remote_id=self.made[-1].remote.remote_id, status=201)

    def add(self, request: PaymentRequest, late_seconds: float = 0.0) -> str:
        """Let a create take effect; answers its id."""
        remote_id = f"remote-{len(self.made) + 1}"
        remote = RemotePayment(
            remote_id, request.marker, request.amount_micros, request.email, RemoteStatus.UNPAID
        )
        self.made.append(Made(remote, self.clock() + timedelta(seconds=late_seconds)))
        return remote_id

    def pay(self, remote_id: str) -> None:
        for made in self.made:
            if made.remote.remote_id == remote_id:
                made.remote = replace(made.remote, status=RemoteStatus.PAID)

    @property
    def live(self) -> list[RemotePayment]:
        """What payers could pay now."""
        return [made.remote for made in self.made if made.at <= self.clock() and not made.deleted]

    async def list(self, limit: int) -> list[RemotePayment]:
        """The oldest first unless told otherwise: nobody promised an order."""
        if self.hidden:
            return []
        moment = self.frozen_at or self.clock() - timedelta(seconds=self.lag_seconds)
        shown = [made.remote for made in self.made if made.at <= moment and not made.deleted]
        if self.believed_unpaid:
            shown = [replace(remote, status=RemoteStatus.UNPAID) for remote in shown]
        if self.newest_first:
            shown.reverse()
        return shown[:limit]

    async def get(self, remote_id: str) -> RemotePayment | None:
        return next((remote for remote in self.live if remote.remote_id == remote_id), None)

    async def delete(self, remote_id: str) -> bool:
        self.deleted.append(remote_id)
        for made in self.made:
            if made.remote.remote_id == remote_id:
                made.deleted = True
        return True

    def checkout_url(self, remote_id: str) -> str:
        return f"https://checkout.example/{remote_id}"


class Rig:
    """A database of one business, the played API, and cycles on them. Keyword arguments: settings."""

    def __init__(self, folder: Path, **settings: dict[str, Any]) -> None:
        self.clock = Clock()
        self.api = Api(self.clock)
        folder.mkdir(exist_ok=True)
        self.path = folder / "billing.db"
        self.db = Database(f"sqlite:///{self.path}")
        migrate(self.db)
        claim_identity(self.db, "sandbox", "business-1")
        self.settings = Settings.model_validate(
            {
                "mileston": {"timeout_seconds": float(TIMEOUT)},
                "reconcile": {"quiet_seconds": float(QUIET)},
            }
            | settings
        )
        self._runs = 0

    def context(self, *, exclusive: bool = True, checkpoint: Callable[[str], None] = nothing) -> Context:
        self._runs += 1
        run_id = f"run-{self._runs}"
        nobody: Any = None
        return Context(
            db=self.db,
            gateway=self.api,
            transport=nobody,
            renderer=nobody,
            settings=self.settings,
            run_id=run_id,
            as_of=DAY,
            clock=self.clock,
            report=Report(run_id, DAY),
            exclusive=exclusive,
            checkpoint=checkpoint,
        )

    def cycle(self, steps: Sequence[Step] = CHARGING, **context: Any) -> Report:
        """One cycle of these steps; keyword arguments as for `context`."""
        return asyncio.run(run_cycle(self.context(**context), steps))

    def cycles_at(self, *seconds: float) -> None:
        """One cycle at each of these seconds after the start."""
        for second in seconds:
            self.clock.to(second)
            self.cycle()

    def subscribe(self, reference: str = "acme", **changes: Any) -> int:
        """An active monthly subscription that is due today; answers its id."""
        row: dict[str, Any] = {
            "reference": reference,
            "plan": "Gold",
            "name": "Zoë Quill",
            "email": f"{reference}@example.com",
            "amount_micros": 19_900_000,
            "interval_count": 1,
            "interval_unit": "month",
            "anchor_on": DAY,
            "status": SubscriptionStatus.ACTIVE.value,
            "next_period": 0,
            "next_due_on": DAY,
            "created_at": START,
            "updated_at": START,
        } | changes
        with self.db.transaction() as tx:
            statement = insert(subscriptions).values(row).returning(subscriptions.c.id)
            return int(tx.execute(statement).scalar_one())

    def payment(self, reference: str = "acme") -> Row[Any]:
        """The only payment of a subscription."""
        (row,) = self.payments(reference)
        return row

    def payments(self, reference: str = "acme") -> list[Row[Any]]:
        query = select(payments).join(subscriptions).where(subscriptions.c.reference == reference)
        with self.db.read() as tx:
            return list(tx.execute(query.order_by(payments.c.id)))

    def attempts(self) -> list[Row[Any]]:
        with self.db.read() as tx:
            return list(tx.execute(select(attempts).order_by(attempts.c.id)))
