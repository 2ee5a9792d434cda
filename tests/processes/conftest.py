"""A fresh installation for each test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.folders import quick_folder
from tests.support.installation import Installation
from tests.support.nursery import Nursery
from tests.support.sandbox import Sandbox


@pytest.fixture
def folder() -> Iterator[Path]:
    with quick_folder() as made:
        yield made


@pytest.fixture
def install(nursery: Nursery, sandbox: Sandbox, folder: Path) -> Callable[..., Installation]:
    """Makes the test's installation; keyword arguments are its settings."""

    def make(database_url: str = "", **settings: object) -> Installation:
        return Installation(nursery, folder, sandbox.address, database_url, **settings)

    return make
