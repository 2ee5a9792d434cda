"""A nursery and a sandbox for all tests of a worker, and a fresh installation for each test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.processes.nursery import Nursery
from tests.processes.stage import Installation, SandboxProcess, quick_folder


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    with Nursery() as opened:
        yield opened


@pytest.fixture(scope="session")
def shared_sandbox() -> Iterator[SandboxProcess]:
    with quick_folder() as folder:
        server = SandboxProcess(folder / "records.jsonl")
        yield server
        server.stop()


@pytest.fixture
def sandbox(shared_sandbox: SandboxProcess) -> Iterator[SandboxProcess]:
    """Its faults, keys and records are gone after each test."""
    yield shared_sandbox
    shared_sandbox.ask("POST", "reset")


@pytest.fixture
def folder() -> Iterator[Path]:
    with quick_folder() as made:
        yield made


@pytest.fixture
def install(nursery: Nursery, sandbox: SandboxProcess, folder: Path) -> Callable[..., Installation]:
    """Makes the test's installation; keyword arguments are its settings."""

    def make(database_url: str = "", **settings: object) -> Installation:
        return Installation(nursery, folder, sandbox.address, database_url, **settings)

    return make
