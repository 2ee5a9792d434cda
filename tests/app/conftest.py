from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.monitor import Monitor, monitoring


@pytest.fixture
def monitor() -> Iterator[Monitor]:
    with monitoring() as listening:
        yield listening
