from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.daemon.daemon_kit import RunningDaemon, billing, nursery
from tests.processes.nursery import Nursery
from tests.world import Business, business, new_business, sandbox, shared_sandbox

__all__ = ["billing", "business", "new_business", "nursery", "sandbox", "shared_sandbox"]


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
