"""For the tests of delivery: a mailroom under a clock that stands."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from billing.app import runtime
from tests.support.mailroom import Clock, Mailroom


@pytest.fixture
def room_dialect() -> str:
    """A mailroom is on SQLite unless a module asks for more."""
    return "sqlite"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The one clock that the program reads."""
    standing = Clock()
    monkeypatch.setattr(runtime, "utc_now", standing)
    return standing


@pytest.fixture
def new_room(
    tmp_path: Path, room_dialect: str, migrated: Callable[[str], AbstractContextManager[str]]
) -> Iterator[Callable[..., Mailroom]]:
    """Makes the test's mailroom; keyword arguments are its settings."""
    rooms: list[Mailroom] = []
    with migrated(room_dialect) as database_url:

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
