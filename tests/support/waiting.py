"""Waiting for what another process does, however long a busy machine takes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def until(what: str, happened: Callable[[], T], seconds: float = 60.0) -> T:
    """Poll until it returns something true, and return that; fail with `what` if that never comes."""
    give_up = time.monotonic() + seconds
    while not (found := happened()):
        assert time.monotonic() < give_up, f"not within {seconds:g} s: {what}"
        time.sleep(0.01)
    return found
