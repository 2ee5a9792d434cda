"""What all tests share: databases on both dialects, a sandbox, a business, and processes."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest
from hypothesis import HealthCheck, settings

from billing.store.connection import Database
from tests.support.business import Business
from tests.support.databases import DIALECTS, PostgresqlServer, SqliteFiles, postgresql_server, sqlite_files
from tests.support.folders import quick_folder
from tests.support.nursery import Finished, Nursery, the_nursery
from tests.support.sandbox import Sandbox

# A slow machine is no failure: nothing here asserts a time.
settings.register_profile("billing", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("fast", settings.get_profile("billing"), max_examples=10)
settings.load_profile("billing")

_LEVELLED = ("billing", "httpx", "httpcore", "asyncio", "apscheduler", "aiosmtplib", "alembic")


@pytest.fixture(autouse=True)
def _logging_stays_as_it_was() -> Iterator[None]:
    """Puts logging, and what catches uncaught exceptions, back as a test found them."""
    root = logging.getLogger()
    handlers, handle = root.handlers[:], logging.Logger.handle
    levels = {logger: logger.level for logger in (root, *map(logging.getLogger, _LEVELLED))}
    hooks = sys.excepthook, threading.excepthook, sys.unraisablehook
    yield
    logging.captureWarnings(False)
    root.handlers[:] = handlers
    for logger, level in levels.items():
        logger.setLevel(level)
    logging.Logger.handle = handle  # type: ignore[method-assign]
    sys.excepthook, threading.excepthook, sys.unraisablehook = hooks


@pytest.fixture(scope="session")
def sqlite() -> Iterator[SqliteFiles]:
    with sqlite_files() as files:
        yield files


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgresqlServer]:
    """The PostgreSQL server of this test process, started when a test first asks for it."""
    with postgresql_server() as server:
        yield server


@pytest.fixture(params=DIALECTS)
def dialect(request: pytest.FixtureRequest) -> str:
    """Runs a test once on each; `parametrize("dialect", ["sqlite"], indirect=True)` picks one."""
    return str(request.param)


@pytest.fixture
def empty_database_url(dialect: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of a database without any table."""
    with _server(dialect, request).empty() as url:
        yield url


@pytest.fixture
def migrated(request: pytest.FixtureRequest) -> Callable[[str], AbstractContextManager[str]]:
    """Makes a migrated database on the dialect that is named; its URL."""
    return lambda dialect: _server(dialect, request).migrated()


@pytest.fixture
def database_url(dialect: str, migrated: Callable[[str], AbstractContextManager[str]]) -> Iterator[str]:
    """The URL of a migrated database, for tests that open it several times or from other processes."""
    with migrated(dialect) as url:
        yield url


@pytest.fixture
def db(database_url: str) -> Iterator[Database]:
    """A migrated database, once on SQLite and once on PostgreSQL."""
    database = Database(database_url)
    yield database
    database.close()


def _server(dialect: str, request: pytest.FixtureRequest) -> SqliteFiles | PostgresqlServer:
    server: SqliteFiles | PostgresqlServer = request.getfixturevalue(dialect)
    return server


@pytest.fixture(scope="session")
def nursery() -> Nursery:
    return the_nursery()


@pytest.fixture(scope="session")
def shared_sandbox() -> Iterator[Sandbox]:
    with quick_folder() as folder:
        server = Sandbox(folder / "records.jsonl")
        yield server
        server.stop()


@pytest.fixture
def sandbox(shared_sandbox: Sandbox) -> Iterator[Sandbox]:
    """One server for the whole session; its faults, keys and records are gone after each test."""
    yield shared_sandbox
    shared_sandbox.ask("POST", "reset")


@pytest.fixture
def new_business(sandbox: Sandbox, request: pytest.FixtureRequest) -> Iterator[Callable[..., Business]]:
    """Makes a business; keyword arguments are settings: `cycle__concurrency="4"`."""
    count = 0

    def make(**settings: str) -> Business:
        nonlocal count
        count += 1
        folder = place / f"business{count}"
        folder.mkdir()
        return Business(folder, sandbox, f"{request.node.name}-{count}", **settings)

    with quick_folder() as place:
        yield make


@pytest.fixture
def business(new_business: Callable[..., Business]) -> Business:
    return new_business()


@pytest.fixture
def billing() -> Callable[..., Finished]:
    """Runs `billing ARGUMENTS` for a business as a process of its own; keywords are its environment."""
    return Business.billing
