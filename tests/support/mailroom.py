"""A business whose subscribers are reminded by mail: real database, real SMTP, and a clock that stands.

    room.serve(server.port)
    room.subscribe(3)
    report = await room.cycle()
    assert room.states() == ["sent", "queued", "failed"]

Subscriber n is `u<n>@example.com` and gets one reminder. The cycle is the program's own; of its steps
those that write and deliver notices are run.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

from sqlalchemy import func, select, update

from billing.app.importing import import_csv
from billing.app.runtime import Hooks, open_store, run_once
from billing.config import Config, load_config
from billing.core.states import NoticeState
from billing.cycle.cycle import Step
from billing.cycle.deliver import deliver
from billing.cycle.recover import recover
from billing.cycle.remind import remind
from billing.cycle.report import Report
from billing.store import notices
from billing.store.connection import Database
from billing.store.models import notices as notice_table
from billing.store.models import subscriptions as subscription_table
from tests.support.business import as_environment
from tests.support.nursery import Child, Nursery

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
TODAY = NOON.date()
DUE = TODAY + timedelta(days=3)
RETRY_SECONDS = 60
STEPS: tuple[Step, ...] = (recover, remind, deliver)
QUEUE_ONLY: tuple[Step, ...] = (recover, remind)
NOBODY_LISTENS = "http://127.0.0.1:9/recurring-payment"
"""No step of these asks the API; one that did would fail."""
FINAL = {NoticeState.SENT, NoticeState.FAILED, NoticeState.UNKNOWN, NoticeState.SUPERSEDED}
# The shipped templates take 50 ms to compile, every cycle anew.
_SHORT_TEMPLATES = {
    "next_payment_due.subject.txt": "{{ plan }} on {{ due_date }}",
    "next_payment_due.txt": "{{ name }}, {{ amount }} will be due.",
    "next_payment_due.html": "<p>{{ name }}, {{ amount }} will be due.</p>",
}
_HEADER = "reference,plan,name,email,amount,interval,starts_on"


class Clock:
    """Real time as the program reads it; it moves when told to."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        return self.now

    def let_pass(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


def settings_for(folder: Path, database_url: str, **settings: object) -> dict[str, str]:
    """An environment that says everything a business needs to remind its subscribers over SMTP."""
    return as_environment(
        {
            "database__url": database_url,
            "mileston__recurring_payment_url": NOBODY_LISTENS,
            "reminders__days_before": "[3]",
            "mail__transport": "smtp",
            "mail__templates_dir": str(folder / "templates"),
            "mail__smtp_host": "127.0.0.1",
            "mail__smtp_tls": "none",
            "mail__smtp_timeout_seconds": "20",
            "mail__retry_seconds": str(RETRY_SECONDS),
            "mail__concurrency": "1",
            **settings,
        }
    )


def address(n: int) -> str:
    return f"u{n}@example.com"


def csv_lines(numbers: Iterable[int]) -> bytes:
    """Subscriptions whose next payment is due in three days, as a file to import."""
    rows = (f"u{n},Gold plan,Name {n},{address(n)},9.90,1 month,{DUE}" for n in numbers)
    return "\n".join((_HEADER, *rows, "")).encode()


class Mailroom:
    """One business; `settings` and `environ` may be changed between two cycles."""

    def __init__(self, folder: Path, database_url: str, **settings: object) -> None:
        self.folder = folder
        self.environ = settings_for(folder, database_url, **settings)
        self._db = Database(database_url)  # to look into, without all that a run does first

    def close(self) -> None:
        self._db.close()

    @property
    def config(self) -> Config:
        return load_config(None, self.environ)

    def set(self, **settings: object) -> None:
        """`room.set(mail__on_unknown="resend")`"""
        self.environ |= as_environment(settings)

    def serve(self, port: int) -> None:
        """Mail goes to this port of loopback from now on."""
        self.set(mail__smtp_port=port)

    def subscribe(self, count: int, first: int = 1) -> None:
        """Import so many subscribers, who are reminded in the next cycle."""
        config = self.config
        with open_store(config) as db:
            text = csv_lines(range(first, first + count))
            import_csv(db, BytesIO(text), config.settings, NOON, "person:test")

    def write_short_templates(self) -> None:
        for name, text in _SHORT_TEMPLATES.items():
            self.write_template(name, text)

    def write_template(self, name: str, text: str) -> None:
        """A template of the user's own."""
        path = self.folder / "templates" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")

    async def cycle(
        self, steps: Sequence[Step] = STEPS, today: date = TODAY, hooks: Hooks | None = None
    ) -> Report:
        report = await run_once(self.config, today, hooks, steps)
        self.account()
        return report

    def start(self, nursery: Nursery, **environ: str) -> Child:
        """A whole `billing run-once` as a process, in real time."""
        everything = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", **self.environ, **environ}
        arguments = ("run-once", "--json", "--as-of", TODAY.isoformat())
        return nursery.start(arguments, everything, self.folder)

    async def run(self, nursery: Nursery, **environ: str) -> Child:
        """`start`, to its end, while the servers of this loop go on."""
        child = self.start(nursery, **environ)
        await asyncio.to_thread(child.wait)
        return child

    def notices(self) -> list[Any]:
        """All notices, oldest first."""
        with self._db.read() as tx:
            return list(notices.listing(tx))

    def notice(self, n: int) -> Any:
        """The notice of one subscriber."""
        (found,) = (row for row in self.notices() if row.reference == f"u{n}")
        return found

    def states(self) -> list[str]:
        return [row.state for row in self.notices()]

    def count(self) -> Counter[str]:
        return Counter(self.states())

    def account(self) -> None:
        """Every notice is in exactly one state, and after a cycle none is left in the middle."""
        with self._db.read() as tx:
            states = notices.count_by_state(tx)
            total = tx.execute(select(func.count()).select_from(notice_table)).scalar_one()
        assert sum(states.values()) == total
        assert set(states) <= FINAL | {NoticeState.QUEUED}, states

    def change_subscriber(self, n: int, **values: object) -> None:
        """A record as it should not be, or as a person changed it."""
        self._update(subscription_table, subscription_table.c.reference == f"u{n}", values)

    def change_notice(self, notice_id: int, **values: object) -> None:
        self._update(notice_table, notice_table.c.id == notice_id, values)

    def end_leases(self) -> None:
        """Time passes for the leases of processes whose clock we don't hold."""
        self._update(
            notice_table, notice_table.c.state == "sending", {"lease_until": datetime(2000, 1, 1, tzinfo=UTC)}
        )

    def _update(self, table: Any, where: Any, values: dict[str, Any]) -> None:
        with self._db.transaction() as tx:
            tx.execute(update(table).where(where).values(**values))


async def until(holds: Callable[[], bool]) -> None:
    """Wait for a condition while the servers of this loop go on."""
    while not holds():  # noqa: ASYNC110 - whoever makes it true is another process
        await asyncio.sleep(0.002)


def message_ids(mailbox: Iterable[Any]) -> list[str]:
    """The Message-ID of each message that a scripted server took."""
    return [line for mail in mailbox for line in _id_lines(mail.raw)]


def _id_lines(raw: bytes) -> list[str]:
    head = raw.partition(b"\r\n\r\n")[0].decode("ascii").splitlines()
    return [line.partition(": ")[2] for line in head if line.startswith("Message-ID:")]
