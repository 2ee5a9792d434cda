"""Files that are ours alone: private from the start, never through a link, never somebody else's."""

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from billing.errors import StoreError
from billing.store.private_files import make_private_folder, open_private_file, real_path, refuse_foreign

only_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to somebody else")


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture(params=[0o000, 0o077])
def umask(request: pytest.FixtureRequest) -> object:
    """What the process takes from the modes of its files: nothing, or what others may do."""
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def opened(path: Path) -> None:
    os.close(open_private_file(path))


# -- folders -------------------------------------------------------------------------------------------


def test_missing_folders_are_made_for_us_alone(tmp_path: Path, umask: int) -> None:
    make_private_folder(tmp_path / "a" / "b" / "c")
    assert [mode_of(tmp_path / part) for part in ("a", "a/b", "a/b/c")] == [0o700] * 3


def test_a_folder_that_is_there_stays_as_it_is(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o755)
    make_private_folder(shared)
    make_private_folder(shared / "ours")
    assert (mode_of(shared), mode_of(shared / "ours")) == (0o755, 0o700)


def test_a_link_to_a_folder_is_a_folder(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "var").symlink_to(tmp_path / "disk")
    make_private_folder(tmp_path / "var" / "ours")
    assert (tmp_path / "disk" / "ours").is_dir()


def test_a_file_in_place_of_a_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "var").write_text("")
    with pytest.raises(OSError, match="var"):
        make_private_folder(tmp_path / "var")
    assert (tmp_path / "var").is_file()


# -- files ---------------------------------------------------------------------------------------------


def test_a_new_file_is_private_and_can_be_read_and_written(tmp_path: Path, umask: int) -> None:
    path = tmp_path / "var" / "billing.lock"
    descriptor = open_private_file(path)
    os.write(descriptor, b"7")
    os.lseek(descriptor, 0, os.SEEK_SET)
    assert os.read(descriptor, 9) == b"7"
    assert not os.get_inheritable(descriptor)
    os.close(descriptor)
    assert (mode_of(path), mode_of(path.parent)) == (0o600, 0o700)


@pytest.mark.parametrize("mode", [0o644, 0o660, 0o601])
def test_a_file_that_others_could_look_into_is_closed_to_them_and_kept(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "billing.lock"
    path.write_bytes(b"7")
    path.chmod(mode)
    opened(path)
    assert (mode_of(path), path.read_bytes()) == (0o600, b"7")


def a_link(path: Path) -> None:
    (path.parent / "victim").write_bytes(b"theirs")
    path.symlink_to(path.parent / "victim")


def a_link_that_leads_nowhere(path: Path) -> None:
    path.symlink_to(path.parent / "victim")


def a_second_name(path: Path) -> None:
    (path.parent / "victim").write_bytes(b"theirs")
    path.hardlink_to(path.parent / "victim")


def a_folder(path: Path) -> None:
    path.mkdir()


def a_pipe(path: Path) -> None:
    os.mkfifo(path)


@pytest.mark.parametrize(
    ("trap", "said"),
    [
        (a_link, "is a link; remove it, or name the file itself"),
        (a_link_that_leads_nowhere, "is a link; remove it, or name the file itself"),
        (a_second_name, r"has a second name \(a hard link\)"),
        (a_folder, "can't be opened: Is a directory; check its permissions"),
        (a_pipe, "is no ordinary file; remove it, or name another in database.url"),
    ],
)
def test_what_is_no_file_of_ours_is_refused_and_left_as_it_is(
    tmp_path: Path, trap: Callable[[Path], None], said: str
) -> None:
    path, victim = tmp_path / "billing.lock", tmp_path / "victim"
    trap(path)
    before = path.lstat().st_mode
    descriptors = len(os.listdir("/proc/self/fd"))
    with pytest.raises(StoreError, match=said) as refused:
        opened(path)
    assert str(path) in str(refused.value)
    assert len(os.listdir("/proc/self/fd")) == descriptors  # nothing stays open
    assert path.lstat().st_mode == before
    assert not victim.exists() or victim.read_bytes() == b"theirs"


def test_a_file_in_a_folder_that_cannot_be_made_is_told_with_its_path(tmp_path: Path) -> None:
    (tmp_path / "var").write_text("")
    with pytest.raises(StoreError, match=r"var/billing.lock can't be opened: .*; check its permissions"):
        opened(tmp_path / "var" / "billing.lock")


@only_root
def test_somebody_elses_file_is_refused_with_what_to_type(tmp_path: Path) -> None:
    path = tmp_path / "billing.lock"
    path.write_text("")
    os.chown(path, 4711, -1)
    with pytest.raises(StoreError, match=f"belongs to user 4711.*chown {os.geteuid()} {path}"):
        opened(path)
    with pytest.raises(StoreError, match="belongs to user 4711"):
        refuse_foreign(path, path.stat())


def test_a_file_of_ours_with_one_name_is_not_refused(tmp_path: Path) -> None:
    path = tmp_path / "billing.db"
    path.write_text("")
    refuse_foreign(path, path.stat())


# -- where a path leads --------------------------------------------------------------------------------


def test_a_path_is_followed_through_its_links_to_the_end(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "var").symlink_to("disk")
    (tmp_path / "billing.db").symlink_to("var/real.db")
    (tmp_path / "disk" / "real.db").write_text("")
    real = Path(os.path.realpath(tmp_path)) / "disk" / "real.db"
    assert real_path(tmp_path / "billing.db") == real
    assert real_path(tmp_path / "var" / "new" / "file.db") == real.parent / "new" / "file.db"


@pytest.mark.parametrize("below", ["var", "var/billing.db", "var/deep/billing.db"])
def test_a_link_that_leads_nowhere_hides_no_disk_that_is_not_mounted_yet(tmp_path: Path, below: str) -> None:
    (tmp_path / "var").symlink_to(tmp_path / "not mounted")
    with pytest.raises(StoreError, match=r"is a link to .*not mounted, which is not there; mount or make"):
        real_path(tmp_path / below)
    assert not (tmp_path / "not mounted").exists()


def test_links_that_lead_in_a_circle_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    with pytest.raises(StoreError, match="a"):
        real_path(tmp_path / "a")
