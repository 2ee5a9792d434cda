"""A small business in a folder of its own: real database, real sandbox over a socket, real mail files."""

from __future__ import annotations

import asyncio
import email
import io
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, timedelta
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any

from billing.app.documents import notice_document, payment_document
from billing.app.importing import import_csv
from billing.app.runtime import Hooks, one_cycle, open_store, run_once, utc_now
from billing.config import Config, load_config
from billing.cycle.cycle import STEPS
from billing.cycle.report import Report
from billing.store import notices, payments
from billing.store.connection import Database
from tests.support.nursery import ROOT, Finished, the_nursery
from tests.support.sandbox import Sandbox

HEADER = "reference,plan,name,email,amount,interval,starts_on"


def as_environment(settings: Mapping[str, object]) -> dict[str, str]:
    """`{"cycle__concurrency": 4}` as the variables that say so."""
    return {f"BILLING_{key.upper()}": str(value) for key, value in settings.items()}


class Business:
    """One business: its folder, its configuration, and what the API and the mailbox saw of it."""

    def __init__(self, folder: Path, sandbox: Sandbox, name: str, **settings: object) -> None:
        self.folder = folder
        self.sandbox = sandbox
        self.id = f"business-{name}"
        self.environ = {
            "MILESTON_BUSINESS_ID": self.id,
            "BILLING_MILESTON__RECURRING_PAYMENT_URL": sandbox.address,
            "BILLING_RECONCILE__QUIET_SECONDS": "0",
            "BILLING_MAIL__TEMPLATES_DIR": str(ROOT / "templates"),
            **as_environment(settings),
        }
        self.toml = folder / "config.toml"
        self.toml.write_text("")

    @property
    def config(self) -> Config:
        return load_config(self.toml, self.environ)

    def run(self, as_of: str | date, hooks: Hooks | None = None, steps: Sequence[Any] = STEPS) -> Report:
        """One cycle in this process."""
        day = as_of if isinstance(as_of, date) else date.fromisoformat(as_of)
        return asyncio.run(run_once(self.config, day, hooks, steps))

    def run_days(self, first: date, days: int, steps: Sequence[Any] = STEPS) -> list[Report]:
        """A cycle for each of many days, with the store and the gateway opened once for all."""

        async def every_day() -> list[Report]:
            config, reports = self.config, []
            with open_store(config) as db:
                for offset in range(days):
                    day = first + timedelta(days=offset)
                    reports.append(await one_cycle(config, config.settings, db, day, Hooks(), steps))
            return reports

        return asyncio.run(every_day())

    def billing(self, *arguments: str, **environ: str) -> Finished:
        """The command line, as a process."""
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("BILLING_", "MILESTON_"))}
        given = {**inherited, **self.environ, "BILLING_CONFIG": str(self.toml), **environ}
        child = the_nursery().start(arguments, given, self.folder)
        return Finished(child.wait(120), child.out, child.err)

    def subscribe(self, *rows: str, header: str = HEADER) -> None:
        """Import CSV rows in this process; `header` names their columns."""
        text = "\n".join((header, *rows)) + "\n"
        config = self.config
        with open_store(config) as db:
            import_csv(db, io.BytesIO(text.encode()), config.settings, utc_now(), "person:test")

    @contextmanager
    def store(self) -> Iterator[Database]:
        with open_store(self.config) as db:
            yield db

    def payments(self) -> list[dict[str, Any]]:
        """What `billing payments list --json` shows."""
        with self.store() as db, db.read() as tx:
            return [payment_document(row) for row in payments.listing(tx)]

    def notices(self) -> list[dict[str, Any]]:
        with self.store() as db, db.read() as tx:
            return [notice_document(row) for row in notices.listing(tx)]

    def remote(self, live: bool = True) -> list[dict[str, Any]]:
        """The API's own records of this business."""
        records = self.sandbox.live() if live else self.sandbox.records()
        return [record for record in records if record["businessId"] == self.id]

    def due_dates(self, live: bool = True) -> list[tuple[str, str]]:
        """(plan's name without its marker, due date) of everything at the API, sorted."""
        return sorted(
            (r["data"]["subscriptionName"].partition("] ")[2], r["data"]["recurringDate"][:10])
            for r in self.remote(live)
        )

    def mails(self) -> list[EmailMessage]:
        """Every message in the outbox, by file name."""
        folder = self.folder / "var" / "outbox"
        return [
            email.message_from_bytes(path.read_bytes(), policy=default)
            for path in sorted(folder.glob("*.eml"))
        ]

    def mail_names(self) -> list[str]:
        return sorted(path.stem for path in (self.folder / "var" / "outbox").glob("*.eml"))
