"""Folders for databases and journals, gone when their test is over, or when the next run finds them."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.watchdog import watch_folder

_ROOMY_BYTES = 2 * 1024**3
_PREFIX = "billing-tests-"


@contextmanager
def quick_folder() -> Iterator[Path]:
    """A temporary folder, in memory if the system has room there.

    The waits for the disk that databases and journals ask for would be most of the tests' time, and show
    nothing here: what a process has written outlives its death anyway, and no test cuts the power.

    It is not pytest's own: that one is closed to the user whom PostgreSQL runs as under root.
    """
    memory = Path("/dev/shm")
    roomy = os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > _ROOMY_BYTES
    place = memory if roomy else Path(tempfile.gettempdir())
    _sweep(place)
    base = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=place))
    watch_folder(base)
    try:
        yield base
    finally:
        shutil.rmtree(base)


def _sweep(place: Path) -> None:
    """Remove what killed test runs left. A server of theirs ends by itself when its files are gone."""
    for left in place.glob(f"{_PREFIX}*-*"):
        owner = left.name.removeprefix(_PREFIX).partition("-")[0]
        if owner.isdecimal() and not _is_running(int(owner)):
            shutil.rmtree(left, ignore_errors=True)


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
