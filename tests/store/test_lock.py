"""One cycle at a time on SQLite: a lock that nothing stale can hold."""

import os
import signal
import sqlite3
import stat
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
def another_process(database: Path, folder: Path | None = None) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the lock until its input ends; a relative path is one from `folder`."""
    command = [sys.executable, "-c", HOLD, str(database)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=folder)
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


# -- one database, several paths ------------------------------------------------------------------------


def refused(path: Path) -> bool:
    """Whether a cycle is told that another one is running."""
    try:
        with cycle_lock(path):
            return False
    except AlreadyRunning:
        return True


@pytest.mark.parametrize("removed", [False, True], ids=["lock file there", "lock file removed"])
def test_paths_to_one_database_exclude_each_other(database: Path, removed: bool) -> None:
    with cycle_lock(database):
        pass
    folder, file = database.parent.parent / "linked", database.parent.parent / "linked.db"
    folder.symlink_to(database.parent)
    file.symlink_to(database)
    paths = [database, folder / "billing.db", file, database.parent / ".." / "var" / "billing.db"]
    for held in [*paths, Path("billing.db")]:
        with another_process(held, database.parent):
            if removed:
                database.with_name("billing.db.lock").unlink()
            assert [refused(path) for path in paths] == [True] * 4
    assert [refused(path) for path in paths] == [False] * 4
    assert sorted(path.name for path in database.parent.parent.glob("**/*.lock")) == ["billing.db.lock"]


def test_a_database_that_was_replaced_in_mid_run_is_kept_by_the_lock_file(database: Path) -> None:
    with another_process(database):
        database.rename(database.with_name("old.db"))
        database.write_bytes(b"")
        assert refused(database)


def test_the_memory_outlives_a_lock_file_that_was_removed(database: Path) -> None:
    beside = database.with_name("billing.db.lock")
    with cycle_lock(database) as lock:
        lock.remember(5)
        beside.unlink()
        lock.remember(6)
        assert refused(database)
    with cycle_lock(database) as lock:
        assert lock.generation() == 6


def test_a_lock_file_that_another_database_took_over_is_left_alone(database: Path) -> None:
    with cycle_lock(database) as lock:
        database.with_name("billing.db.lock").unlink()
        database.unlink()
        with another_process(database), pytest.raises(StoreError, match="made it anew"):
            lock.remember(6)


def test_a_removed_database_can_be_locked_anew(database: Path) -> None:
    for _ in range(3):
        with cycle_lock(database):
            pass
        database.unlink()
    kept = [os.readlink(link) for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
    assert len([path for path in kept if path.startswith(str(database))]) <= 1


def test_the_locks_of_the_database_itself_stay_when_a_cycle_ends(database: Path) -> None:
    """Closing a descriptor of the file would take them away from another thread's transaction."""
    with cycle_lock(database):
        pass
    connection = sqlite3.connect(database, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    with cycle_lock(database):
        pass
    other = "import sqlite3, sys; sqlite3.connect(sys.argv[1], timeout=0).execute('BEGIN IMMEDIATE')"
    command = [sys.executable, "-c", other, str(database)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    connection.close()
    assert "database is locked" in done.stderr


FORK = """
import os, sys
from pathlib import Path
from billing.errors import AlreadyRunning
from billing.store.lock import cycle_lock
database = Path(sys.argv[1])
with cycle_lock(database):
    pass
ready, tell = os.pipe()
if os.fork():
    with cycle_lock(database):
        database.with_name(database.name + ".lock").unlink()
        os.write(tell, b"x")
        os.wait()
else:
    os.read(ready, 1)
    try:
        with cycle_lock(database):
            print("both hold it")
    except AlreadyRunning:
        print("refused")
"""


def test_a_child_has_to_lock_for_itself(database: Path) -> None:
    command = [sys.executable, "-c", FORK, str(database)]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "refused\n"


# -- files that are not ours alone ----------------------------------------------------------------------


def test_folders_and_files_are_made_for_us_alone(tmp_path: Path) -> None:
    database = tmp_path / "a" / "b" / "billing.db"
    with cycle_lock(database):
        files = [database, database.with_name("billing.db.lock")]
        assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
        assert {stat.S_IMODE(path.stat().st_mode) for path in list(tmp_path.glob("a/**/"))} == {0o700}


def test_a_lock_file_that_others_could_read_is_closed_to_them(database: Path) -> None:
    with cycle_lock(database):
        pass
    beside = database.with_name("billing.db.lock")
    beside.chmod(0o666)
    with cycle_lock(database):
        assert stat.S_IMODE(beside.stat().st_mode) == 0o600


def unlocked(database: Path) -> str:
    """Why it can't be locked."""
    with pytest.raises(StoreError) as refusal, cycle_lock(database):
        pass
    assert "\n" not in str(refusal.value)
    return str(refusal.value)


def test_a_lock_file_that_is_a_link_is_not_followed(database: Path) -> None:
    victim = database.parent.parent / "victim"
    victim.write_text("precious")
    with cycle_lock(database):
        pass
    beside = database.with_name("billing.db.lock")
    for make in (beside.symlink_to, beside.hardlink_to):
        beside.unlink()
        make(victim)
        assert str(beside) in unlocked(database)
        assert victim.read_text() == "precious"


def test_a_database_with_a_second_name_is_refused_by_both(database: Path) -> None:
    with cycle_lock(database):
        pass
    other = database.with_name("other.db")
    other.hardlink_to(database)
    for path in (database, other):
        assert unlocked(path).startswith(f"{path} has a second name (a hard link); remove that")
    other.unlink()
    assert not refused(database)


def test_a_link_that_leads_nowhere_makes_no_database(database: Path) -> None:
    away = database.parent.parent / "disk"
    database.parent.symlink_to(away)
    assert unlocked(database).startswith(f"{database.parent} is a link to {away}, which is not there; mount")
    database.parent.unlink()
    database.parent.mkdir()
    database.symlink_to(away)
    assert unlocked(database).startswith(f"{database} is a link to {away}, which is not there; mount")
    assert not away.exists()


@pytest.mark.parametrize("name", ["billing.db", "billing.db.lock"])
def test_what_is_no_ordinary_file_is_refused(database: Path, name: str) -> None:
    database.parent.mkdir()
    os.mkfifo(database.parent / name)
    assert unlocked(database).startswith(f"{database.parent / name} is no ordinary file")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize("name", ["billing.db", "billing.db.lock"])
def test_what_belongs_to_somebody_else_is_refused(database: Path, name: str) -> None:
    with cycle_lock(database):
        pass
    os.chown(database.parent / name, 12345, 12345)
    assert "belongs to user 12345, and this is user 0; run as that user" in unlocked(database)


# -- no locks to be had ---------------------------------------------------------------------------------

# The kernel itself refuses: a filter of system calls lets every call of flock fail.
WITHOUT_LOCKS = """
import ctypes, errno, struct, sys
from pathlib import Path
from billing.errors import BillingError
from billing.store.lock import cycle_lock

LOAD, EQUAL, RETURN, FLOCK = 0x20, 0x15, 0x06, 73
REFUSE, ALLOW = 0x00050000 | getattr(errno, sys.argv[2]), 0x7FFF0000
steps = [(LOAD, 0, 0, 0), (EQUAL, 0, 1, FLOCK), (RETURN, 0, 0, REFUSE), (RETURN, 0, 0, ALLOW)]
code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
program = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(steps), ctypes.addressof(code)))
libc = ctypes.CDLL(None)
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.prctl(22, 2, program, 0, 0) == 0
try:
    with cycle_lock(Path(sys.argv[1])):
        print("held")
except BillingError as error:
    print(type(error).__name__, error)
"""


@pytest.mark.skipif(
    (sys.platform, os.uname().machine) != ("linux", "x86_64"), reason="knows that machine's system calls"
)
@pytest.mark.parametrize("error", ["ENOLCK", "EOPNOTSUPP", "ENOSYS", "EIO", "EINVAL"])
def test_a_file_system_without_locks_is_refused_in_one_line(database: Path, error: str) -> None:
    command = [sys.executable, "-c", WITHOUT_LOCKS, str(database), error]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"StoreError {database}.lock: its file system grants no locks (")
    assert done.stdout.endswith("put the database on a local disk, or use PostgreSQL (database.url)\n")


def test_a_lock_that_cannot_be_made_is_told_with_its_path() -> None:
    nowhere = cycle_lock(Path("/proc/no/billing.db"))
    with pytest.raises(StoreError, match=r"can't be opened: .*; check its permissions"), nowhere:
        pass
