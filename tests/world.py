"""A small business in a folder of its own: real database, real sandbox over a socket, real mail files."""

from __future__ import annotations

import asyncio
import email
import io
import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date, timedelta
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any

import pytest

from billing.app.importing import import_csv
from billing.app.runtime import Hooks, one_cycle, open_store, run_once, utc_now
from billing.cli.notices import document as notice_document
from billing.cli.payments import document as payment_document
from billing.config import Config, load_config
from billing.cycle.cycle import STEPS
from billing.cycle.report import Report
from billing.store import notices, payments

ROOT = Path(__file__).parent.parent
HEADER = "reference,plan,name,email,amount,interval,starts_on"


class Sandbox:
    """The sandbox in a process of its own, and its control paths."""

    def __init__(self, data: Path | None = None) -> None:
        command = [sys.executable, "-m", "billing.sandbox", "--port", "0", "--exit-with-parent"]
        self._process = subprocess.Popen(
            [*command, *(["--data", str(data)] if data else [])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=ROOT,
        )
        assert self._process.stdout is not None
        self.url: str = json.loads(self._process.stdout.readline())["url"]

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        data = json.dumps(body if body is not None else {}).encode()
        request = urllib.request.Request(f"{self.url}/_sandbox/{path}", data, method=method)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    def faults(self, **orders: Any) -> None:
        """Replace the faults: `faults(**{"500": 0.1, "stale_list": 1})`."""
        self.ask("PUT", "faults", orders)

    def script(self, *entries: str) -> None:
        self.ask("POST", "script", {"script": list(entries)})

    def records(self, business: str | None = None, live: bool = True) -> list[dict[str, Any]]:
        """Recurring payments as the API stored them, oldest first; only those not deleted if `live`."""
        found = [r for r in self.ask("GET", "records")["records"] if r["resource"] == "recurring-payment"]
        if business is not None:
            found = [r for r in found if r["businessId"] == business]
        return [r for r in found if not (live and r["deletedAt"])]

    def pay(self, remote_id: str) -> None:
        self.ask("POST", f"pay/{remote_id}")

    def delete(self, business: str, remote_id: str) -> None:
        """As a person would in Mileston's own pages."""
        request = urllib.request.Request(
            f"{self.url}/recurring-payment/delete/{remote_id}",
            b"{}",
            {"apikey": "a-person", "businessid": business, "Content-Type": "application/json"},
            method="DELETE",
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            assert answer.status == 200

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()


class Business:
    """One business: its folder, its configuration, and what the API and the mailbox saw of it."""

    def __init__(self, folder: Path, sandbox: Sandbox, name: str, **environ: str) -> None:
        self.folder = folder
        self.sandbox = sandbox
        self.id = f"business-{name}"
        self.environ = {
            "MILESTON_BUSINESS_ID": self.id,
            "BILLING_MILESTON__RECURRING_PAYMENT_URL": f"{sandbox.url}/recurring-payment",
            "BILLING_RECONCILE__QUIET_SECONDS": "0",
            "BILLING_MAIL__TEMPLATES_DIR": str(ROOT / "templates"),
            **environ,
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

    def billing(self, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        """The command line, as a process."""
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("BILLING_", "MILESTON_"))}
        return subprocess.run(
            [str(Path(sys.executable).with_name("billing")), *arguments],
            env={**inherited, **self.environ, "BILLING_CONFIG": str(self.toml), **environ},
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=120,
        )

    def subscribe(self, *rows: str, header: str = HEADER) -> None:
        """Import CSV rows in this process; `header` names their columns."""
        text = "\n".join((header, *rows)) + "\n"
        config = self.config
        with open_store(config) as db:
            import_csv(db, io.BytesIO(text.encode()), config.settings, utc_now(), "person:test")

    @contextmanager
    def store(self) -> Any:
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
        return self.sandbox.records(self.id, live)

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
            email.message_from_bytes(path.read_bytes(), policy=default)  # type: ignore[misc]
            for path in sorted(folder.glob("*.eml"))
        ]

    def mail_names(self) -> list[str]:
        return sorted(path.stem for path in (self.folder / "var" / "outbox").glob("*.eml"))


@pytest.fixture(scope="session")
def shared_sandbox() -> Iterator[Sandbox]:
    server = Sandbox()
    yield server
    server.close()


@pytest.fixture
def sandbox(shared_sandbox: Sandbox) -> Iterator[Sandbox]:
    """One server for the whole session; its faults are gone after each test."""
    yield shared_sandbox
    shared_sandbox.ask("POST", "reset")


@pytest.fixture
def new_business(tmp_path: Path, sandbox: Sandbox, request: pytest.FixtureRequest) -> Callable[..., Business]:
    """Makes a business; keyword arguments are settings: `cycle__concurrency="4"`."""
    count = 0

    def make(**settings: str) -> Business:
        nonlocal count
        count += 1
        folder = tmp_path / f"business{count}"
        folder.mkdir()
        environ = {f"BILLING_{key.upper()}": value for key, value in settings.items()}
        return Business(folder, sandbox, f"{request.node.name}-{count}", **environ)

    return make


@pytest.fixture
def business(new_business: Callable[..., Business]) -> Business:
    return new_business()
