"""One cycle at a time on SQLite: a lock that nothing stale can hold."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from billing.errors import AlreadyRunning, StoreError
from billing.store.lock import cycle_lock

HOLD = """
import sys
from pathlib import Path
from billing.store.lock import cycle_lock
with cycle_lock(Path(sys.argv[1])) as lock:
    lock.remember(7)
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "var" / "billing.db"


@contextmanager
def another_process(database: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the lock until its input ends."""
    command = [sys.executable, "-c", HOLD, str(database)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "held\n"
        yield process
    finally:
        process.stdin.close()
        process.wait()
        process.stdout.close()


def test_a_second_process_is_told_at_once(database: Path) -> None:
    with another_process(database):
        with pytest.raises(AlreadyRunning, match="nothing was done") as refused, cycle_lock(database):
            pass
        assert (refused.value.exit_code, refused.value.permanent) == (75, False)
    with cycle_lock(database):
        pass


def test_a_process_that_is_killed_leaves_nothing_stale(database: Path) -> None:
    with another_process(database) as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
        with cycle_lock(database) as lock:
            assert lock.generation() == 7


def test_the_lock_is_free_again_after_an_error(database: Path) -> None:
    with pytest.raises(ZeroDivisionError), cycle_lock(database):
        _ = 1 / 0
    with cycle_lock(database):
        pass


def test_the_lock_is_not_taken_twice_by_one_process(database: Path) -> None:
    with cycle_lock(database), pytest.raises(AlreadyRunning), cycle_lock(database):
        pass


def test_databases_beside_each_other_have_locks_of_their_own(database: Path) -> None:
    with cycle_lock(database), cycle_lock(database.with_name("other.db")):
        pass


def test_the_generation_is_remembered_beside_the_database(database: Path) -> None:
    with cycle_lock(database) as lock:
        assert lock.generation() == 0
        lock.remember(41)
        lock.remember(9)
        assert lock.generation() == 9
    with cycle_lock(database) as lock:
        assert lock.generation() == 9
    beside = database.with_name("billing.db.lock")
    assert beside.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("content", [b"", b"\x00\x00", b"garbage", b"-5", b"\xff\xfe9", b"12 13"])
def test_a_memory_that_cannot_be_read_is_none(database: Path, content: bytes) -> None:
    database.parent.mkdir()
    database.with_name("billing.db.lock").write_bytes(content)
    with cycle_lock(database) as lock:
        assert lock.generation() == 0


def test_a_lock_that_cannot_be_made_is_told_with_its_path() -> None:
    nowhere = cycle_lock(Path("/proc/no/billing.db"))
    with pytest.raises(StoreError, match=r"can't be opened: .*; check its permissions"), nowhere:
        pass
