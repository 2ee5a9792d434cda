"""What is wrong with the mode or the owner of a file or a directory, and what mends it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from billing.app.permissions import directory_faults, private_file_faults, same_owner_faults


@pytest.fixture
def file(tmp_path: Path) -> Path:
    made = tmp_path / "billing.db"
    made.touch(0o600)
    return made


def test_a_private_file_of_ours_is_well(file: Path) -> None:
    assert list(private_file_faults(file)) == []


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o660, 0o606, 0o400, 0o200, 0o000])
def test_what_is_said_about_a_file_mends_it(file: Path, mode: int) -> None:
    file.chmod(mode)

    ((what, advice),) = private_file_faults(file)

    assert f"mode {mode:04o}" in what
    subprocess.run(advice.split(), check=True)
    assert list(private_file_faults(file)) == []


def test_what_is_only_read_need_not_be_writable(file: Path) -> None:
    file.chmod(0o400)
    assert list(private_file_faults(file, written=False)) == []


@pytest.mark.parametrize("faults", [private_file_faults, lambda path: directory_faults(path / "below")])
def test_what_is_no_file_or_no_directory_is_named(
    tmp_path: Path, file: Path, faults: Callable[[Path], Iterator[tuple[str, str]]]
) -> None:
    path = tmp_path if faults is private_file_faults else file
    ((what, advice),) = faults(path)
    assert str(path) in what
    assert advice == "name another in the configuration"


@pytest.mark.parametrize(("mode", "advice"), [(0o500, "chmod u+rwx"), (0o777, "chmod o-w")])
def test_what_is_said_about_a_directory_mends_it(tmp_path: Path, mode: int, advice: str) -> None:
    folder = tmp_path / "var"
    folder.mkdir(mode=0o700)
    folder.chmod(mode)

    ((what, said),) = directory_faults(folder / "not yet" / "there")

    assert f"mode {mode:04o}" in what
    assert said == f"{advice} {folder}"
    subprocess.run(said.split(), check=True)
    assert list(directory_faults(folder)) == []


def test_a_directory_that_everybody_shares_with_the_sticky_bit_is_well(tmp_path: Path) -> None:
    tmp_path.chmod(0o1777)
    assert list(directory_faults(tmp_path)) == []


def test_files_of_one_owner_go_together_and_missing_ones_do_not_count(file: Path, tmp_path: Path) -> None:
    beside = tmp_path / "billing.db.lock"
    beside.touch()
    assert list(same_owner_faults(file, [beside, tmp_path / "missing"])) == []
