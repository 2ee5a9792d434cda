from __future__ import annotations

import logging
import sys
import threading
import warnings
from collections.abc import Callable, Iterator

import pytest

from tests.daemon.daemon_kit import RunningDaemon
from tests.processes.nursery import Nursery
from tests.world import Business, business, new_business, sandbox, shared_sandbox

__all__ = ["business", "new_business", "sandbox", "shared_sandbox"]


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    with Nursery() as forks:
        yield forks


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


@pytest.fixture
def own_logging() -> Iterator[None]:
    """Puts logging, and what catches uncaught exceptions, back as they were."""
    root = logging.getLogger()
    handlers, level, handle = root.handlers[:], root.level, logging.Logger.handle
    hooks = sys.excepthook, threading.excepthook, sys.unraisablehook
    yield
    logging.captureWarnings(False)
    root.handlers[:], root.level = handlers, level
    logging.Logger.handle = handle  # type: ignore[method-assign]
    sys.excepthook, threading.excepthook, sys.unraisablehook = hooks
    warnings.simplefilter("error")
