"""Cycles on a real SQLite file, where only the payments API and the clock are played."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from sqlalchemy import Row, select

from billing.config import Settings
from billing.cycle.context import Context, nothing
from billing.cycle.cycle import Step, run_cycle
from billing.cycle.plan import plan
from billing.cycle.reconcile import reconcile
from billing.cycle.recover import recover
from billing.cycle.report import Report
from billing.cycle.submit import submit
from billing.store.connection import Database
from billing.store.identity import claim_identity
from billing.store.models import attempts, payments, subscriptions
from billing.store.schema import migrate
from tests.support.databases import a_subscription
from tests.support.fake_gateway import Clock, FakeGateway

DAY = date(2026, 2, 1)
QUIET = 45
TIMEOUT = 15
CHARGING: tuple[Step, ...] = (recover, reconcile, plan, submit)
LOOKING: tuple[Step, ...] = (recover, reconcile)


class Rig:
    """A database of one business, the played API, and cycles on them. Keyword arguments: settings."""

    def __init__(self, folder: Path, **settings: dict[str, Any]) -> None:
        self.clock = Clock()
        self.api = FakeGateway(self.clock)
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
        return a_subscription(self.db, reference, **{"email": f"{reference}@example.com", **changes})

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
