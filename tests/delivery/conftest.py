"""A mailroom for each test, under a clock that stands; on SQLite unless a module asks for both databases."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from billing.app import runtime
from tests.delivery.mailroom import Clock, Mailroom
from tests.processes.nursery import Nursery


@pytest.fixture
def dialect() -> str:
    return "sqlite"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The one clock that the program reads."""
    standing = Clock()
    monkeypatch.setattr(runtime, "utc_now", standing)
    return standing


@pytest.fixture
def new_room(tmp_path: Path, database_url: str) -> Iterator[Callable[..., Mailroom]]:
    """Makes the test's mailroom; keyword arguments are its settings."""
    rooms: list[Mailroom] = []

    def make(**settings: object) -> Mailroom:
        made = Mailroom(tmp_path, database_url, **settings)
        made.write_short_templates()  # what the mails say doesn't matter here
        rooms.append(made)
        return made

    yield make
    for made in rooms:
        made.close()


@pytest.fixture
def room(new_room: Callable[..., Mailroom], clock: Clock) -> Mailroom:
    return new_room()


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    with Nursery() as opened:
        yield opened
