"""What all tests share: databases on both dialects, and how Hypothesis looks for examples."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from billing.store.connection import Database
from tests.databases import DIALECTS, PostgresqlServer, SqliteFiles, postgresql_server, sqlite_files

# A slow machine is no failure: nothing here asserts a time.
settings.register_profile("billing", deadline=None, suppress_health_check=[HealthCheck.too_slow])
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
def database_url(dialect: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of a migrated database, for tests that open it several times or from other processes."""
    with _server(dialect, request).migrated() as url:
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
