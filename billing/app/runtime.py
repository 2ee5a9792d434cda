"""Opens what a command needs: the store, the payments API, the mail; and runs one cycle."""

from __future__ import annotations

import functools
import gc
import os
import secrets
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    AsyncExitStack,
    asynccontextmanager,
    contextmanager,
    nullcontext,
)
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

from billing.app.instrumentation import observed_renderer, observed_transport
from billing.app.logs import RUN_ID, log_events
from billing.app.sandbox_host import PORT, own_sandbox
from billing.config import Config, Settings
from billing.core.notices import Delivery, RenderedMail
from billing.cycle.context import Context, Gateway, Renderer, Transport, never, nothing
from billing.cycle.cycle import STEPS, Step, run_cycle
from billing.cycle.observe import observe
from billing.cycle.reconcile import reconcile
from billing.cycle.recover import recover
from billing.cycle.report import Report
from billing.errors import ConfigError, MailError, UsageError
from billing.lifecycle.restore import mark_restored
from billing.store import subscriptions
from billing.store.connection import Database as Database  # for those who ask the app alone
from billing.store.home import home_of, on_new_connection
from billing.store.identity import begin_generation, claim_identity, fixed_namespace
from billing.store.lock import CycleLock, cycle_lock
from billing.store.remote_checks import has_ever_sent
from billing.store.schema import migrate
from billing.store.tx import Tx

SANDBOX_KEY = "sandbox-key"
SANDBOX_BUSINESS = "sandbox-business"


RECONCILE_STEPS = (recover, observe, reconcile)


def utc_now() -> datetime:
    """The one clock that the program reads; everything below gets it as an argument."""
    return datetime.now(UTC)


def business_date(config: Config, now: datetime) -> date:
    """Today in the business's time zone."""
    return now.astimezone(config.zone).date()


def credentials(config: Config) -> tuple[str, str]:
    """The API key and the business id; the sandbox has defaults of its own."""
    key, business = (config.secrets.get(name) for name in ("MILESTON_API_KEY", "MILESTON_BUSINESS_ID"))
    return (
        key.reveal() if key else SANDBOX_KEY,
        business.reveal() if business else SANDBOX_BUSINESS,
    )


@contextmanager
def open_store(config: Config) -> Iterator[Database]:
    """The database, brought to this program's schema and checked to be this business's."""
    db = Database(config.database_url)
    log_events(db)
    _spare_the_collector()
    try:
        migrate(db)
        claim_identity(db, config.settings.mileston.environment, credentials(config)[1])
        yield db
    finally:
        db.close()


@functools.cache  # once a process: what is garbage at a later time would stay for good
def _spare_the_collector() -> None:
    """The modules stay: walking over them again and again is a seventh of a cycle's CPU."""
    gc.freeze()


@contextmanager
def look_only(config: Config, today: date) -> Iterator[Tx]:
    """A view of the database that changes nothing, not even by creating it.

    Where there is no database yet, it is what a first run would find.
    """
    path = config.sqlite_path
    if path is None or path.exists():
        with open_store(config) as db, db.read() as connection:
            yield connection
        return
    db = Database("sqlite:///:memory:")
    migrate(db)
    add_examples(config, db, today)
    with db.read() as connection:
        yield connection
    db.close()


def needs_own_sandbox(config: Config) -> bool:
    mileston = config.settings.mileston
    return mileston.environment == "sandbox" and not mileston.recurring_payment_url


@contextmanager
def api_settings(config: Config, db: Database) -> Iterator[Settings]:
    """The settings with the payments API's address; starts the local sandbox if none is set."""
    if not needs_own_sandbox(config):
        yield config.settings
        return
    with own_sandbox(sandbox_data(config)) as url:
        yield api_at(config.settings, url)


def sandbox_data(config: Config) -> Path:
    """Where the own sandbox keeps its records: beside the database."""
    path = config.sqlite_path
    return (path.parent if path is not None else config.resolve("var")) / "sandbox.jsonl"


def addressed(config: Config) -> Settings:
    """The settings with the API's address for making links only; nothing is started."""
    return (
        api_at(config.settings, f"http://127.0.0.1:{PORT}") if needs_own_sandbox(config) else config.settings
    )


def api_at(settings: Settings, url: str) -> Settings:
    """The settings with every address of the API on one sandbox server."""
    mileston = settings.mileston.model_copy(
        update={
            "recurring_payment_url": f"{url}/recurring-payment",
            "payment_link_url": f"{url}/payment-link",
            "invoice_url": f"{url}/invoice",
            "checkout_url": settings.mileston.checkout_url or f"{url}/checkout",
        }
    )
    return settings.model_copy(update={"mileston": mileston})


@asynccontextmanager
async def open_gateway(
    config: Config, settings: Settings, on_call: Callable[[str, int | None, float], None] = nothing
) -> AsyncIterator[Gateway]:
    from billing.gateway.mileston import MilestonGateway

    gateway = MilestonGateway(
        settings.mileston, settings.business.name, lambda: credentials(config), utc_now, on_call=on_call
    )
    try:
        yield gateway
    finally:
        await gateway.close()


@asynccontextmanager
async def open_transport(config: Config, settings: Settings) -> AsyncIterator[Transport]:
    """The mail transport that the config names; one that can't be opened reports it when it should send."""
    transport: AbstractAsyncContextManager[Transport]
    if settings.mail.transport == "smtp":
        try:
            from billing.mail.smtp import SmtpTransport
        except ImportError as error:
            message = "mail.transport: 'smtp' needs aiosmtplib: pip install 'recurring-billing[smtp]'"
            raise ConfigError([message]) from error

        transport = SmtpTransport(settings.mail, config.secrets.get("BILLING_SMTP_PASSWORD"))
    elif settings.mail.transport == "console":
        from billing.mail.console import ConsoleTransport

        transport = ConsoleTransport(sys.stderr)
    else:
        from billing.mail.file import FileTransport

        transport = FileTransport(config.resolve(settings.mail.outbox_dir))
    async with AsyncExitStack() as stack:
        opened: Transport
        try:
            opened = await stack.enter_async_context(transport)
        except MailError as error:
            opened = _OutOfOrder(error)
        yield opened


class _OutOfOrder:
    """A transport that could not be opened: payments are created all the same, and every notice waits."""

    def __init__(self, fault: MailError) -> None:
        self._fault = fault

    async def send(self, mail: RenderedMail) -> Delivery:
        raise MailError(str(self._fault))


def templates_dir(config: Config) -> Path | None:
    """The user's own templates, if there are any."""
    path = config.resolve(config.settings.mail.templates_dir)
    return path if path.is_dir() else None


def new_run_id(now: datetime) -> str:
    """Sortable by time, and different on machines that start at the same moment."""
    return f"{now:%Y%m%dT%H%M%S}-{secrets.token_hex(4)}"


def cycle_guard(config: Config) -> AbstractContextManager[CycleLock | None]:
    """On SQLite the lock of the only cycle; nothing on PostgreSQL, where cycles share the work."""
    path = config.sqlite_path
    return cycle_lock(path) if path is not None else nullcontext(None)


@dataclass(frozen=True)
class Hooks:
    """What the caller of a run may observe or ask for; see `Context`.

    `on_call` receives each call to the API (name, HTTP status or None, seconds), `on_delivery` the
    result of each notice (its kind, a `DeliveryKind`'s value).
    """

    progress: Callable[[str, int, int], None] = nothing
    stopping: Callable[[], bool] = never
    checkpoint: Callable[[str], None] = nothing
    on_call: Callable[[str, int | None, float], None] = nothing
    on_delivery: Callable[[str, str], None] = nothing


async def run_once(
    config: Config,
    as_of: date | None = None,
    hooks: Hooks | None = None,
    steps: Sequence[Step] = STEPS,
) -> Report:
    """One billing cycle, or some of its steps.

    Raises `AlreadyRunning`, `ConfigError`, `StoreError`, `UsageError`.
    """
    now = utc_now()
    today = business_date(config, now)
    if as_of is not None and as_of > today and config.settings.mileston.environment == "live":
        raise UsageError(
            f"--as-of {as_of} is in the future; the live environment bills only today or earlier"
        )
    with cycle_guard(config) as lock, open_store(config) as db:
        refuse_another_namespace(db, config.settings.mileston.namespace)
        notice_restore(db, lock, today, now)
        with api_settings(config, db) as settings:
            add_examples(config, db, as_of or today)
            report = await one_cycle(config, settings, db, as_of or today, hooks or Hooks(), steps)
        remember(db, lock)
    return report


async def one_cycle(
    config: Config, settings: Settings, db: Database, as_of: date, hooks: Hooks, steps: Sequence[Step]
) -> Report:
    """A cycle on an open store; `run_once` is the way in for commands."""
    run_id = new_run_id(utc_now())
    RUN_ID.set(run_id)
    crash = crash_points(settings)

    def checkpoint(name: str) -> None:
        hooks.checkpoint(name)
        crash(name)

    async with (
        open_gateway(config, settings, hooks.on_call) as gateway,
        open_transport(config, settings) as transport,
    ):
        return await run_cycle(
            Context(
                db=db,
                gateway=gateway,
                transport=observed_transport(transport, hooks.on_delivery),
                renderer=observed_renderer(make_renderer(config, settings), hooks.on_delivery),
                settings=settings,
                run_id=run_id,
                as_of=as_of,
                clock=utc_now,
                report=Report(run_id, as_of),
                exclusive=db.is_sqlite,
                progress=hooks.progress,
                stopping=hooks.stopping,
                checkpoint=checkpoint,
            ),
            steps,
        )


def make_renderer(config: Config, settings: Settings) -> Renderer:
    from billing.mail import render

    return render.Renderer(settings, templates_dir(config), config.logo())


def refuse_another_namespace(db: Database, namespace: str) -> None:
    """Raises ConfigError if this database's payments bear another namespace."""
    with db.read() as tx:
        fixed = fixed_namespace(tx)
        if fixed is None and has_ever_sent(tx):
            fixed = ""  # it sent before there were namespaces
    if fixed is not None and fixed != namespace:
        raise ConfigError(
            [
                f"mileston.namespace: {namespace!r}, but the payments of this database were sent with "
                f"{fixed!r}; set that one again, for another would charge every period a second time"
            ]
        )


def notice_restore(db: Database, lock: CycleLock | None, today: date, now: datetime) -> None:
    """A database that is older than what this machine has seen, or a backup copy, was restored.

    What it forgot may exist at Mileston: from now on it checks Mileston before it charges.
    """
    with db.transaction() as tx:
        home = home_of(db, tx)
        seen = lock.generation() if lock is not None else 0
        mark_restored(tx, "program:restore", now, today, seen, home)
    if home is not None and home.strong:
        on_new_connection(db, home)
    # Before anything is sent, because a run that dies remembers nothing afterwards: a copy from before
    # it would pass for the newest.
    remember(db, lock)


def remember(db: Database, lock: CycleLock | None) -> None:
    """From here on every copy of the database that was made until now is known to be old."""
    with db.transaction() as tx:
        begun = begin_generation(tx)
    if lock is not None:
        lock.remember(begun)


def add_examples(config: Config, db: Database, today: date) -> None:
    """The own sandbox shows something at once: an empty store gets a dozen subscriptions."""
    if not needs_own_sandbox(config):
        return
    with db.read() as connection:
        if subscriptions.count(connection):
            return
    from billing.app.examples import example_rows
    from billing.app.importing import import_rows

    import_rows(db, example_rows(today), config.settings, utc_now(), "program:examples")


def crash_points(settings: Settings) -> Callable[[str], None]:
    """In the sandbox BILLING_CRASH_AT=name[:n] kills the process at the n-th passing of a checkpoint."""
    wanted = os.environ.get("BILLING_CRASH_AT", "")
    if not wanted or settings.mileston.environment != "sandbox":
        return nothing
    import signal

    name, _, count = wanted.partition(":")
    left = int(count or 1)

    def checkpoint(passed: str) -> None:
        nonlocal left
        if passed == name:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    return checkpoint
