from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.support.business import Business
from tests.support.daemon import RunningDaemon
from tests.support.nursery import Nursery


@pytest.fixture
def start_daemon(nursery: Nursery) -> Iterator[Callable[..., RunningDaemon]]:
    """Starts daemons; those that still run when the test ends are killed."""
    started: list[RunningDaemon] = []

    def start(business: Business, **settings: str) -> RunningDaemon:
        started.append(RunningDaemon(nursery, business, **settings))
        return started[-1]

    yield start
    for daemon in started:
        daemon.child.kill()
