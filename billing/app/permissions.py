"""Whether files and directories are as billing needs them, told by their modes and owners.

Trying would not do: root may do everything, and doctors are often run as root.
"""

from __future__ import annotations

import os
import pwd
import stat
from collections.abc import Iterator
from pathlib import Path

_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_OWNER_READS_AND_WRITES = stat.S_IRUSR | stat.S_IWUSR


def private_file_faults(path: Path, *, written: bool = True) -> Iterator[tuple[str, str]]:
    """What is wrong with a file that holds personal data or a secret, and what to type about it."""
    found = os.stat(path)
    if not stat.S_ISREG(found.st_mode):
        yield f"{path} is no ordinary file", "name another in the configuration"
        return
    needed = _OWNER_READS_AND_WRITES if written else stat.S_IRUSR
    if found.st_mode & needed != needed:
        verb = "read and write" if written else "read"
        yield f"{path} (mode {_mode(found)}): its owner may not {verb} it", f"chmod 600 {path}"
    elif found.st_mode & _OTHERS:
        yield f"{path} (mode {_mode(found)}): others may use it too", f"chmod 600 {path}"
    yield from _owner_faults(path, found)


def directory_faults(path: Path) -> Iterator[tuple[str, str]]:
    """What is wrong with a directory in which files are made."""
    if not path.exists():
        above = next(parent for parent in path.parents if parent.exists())
        if above.is_dir():
            yield from directory_faults(above)
        else:
            yield f"{above} is a file, so {path} can't be made", "name another in the configuration"
        return
    found = os.stat(path)
    if not stat.S_ISDIR(found.st_mode):
        yield f"{path} is no directory", "name another in the configuration"
    elif found.st_mode & stat.S_IRWXU != stat.S_IRWXU:
        yield f"{path} (mode {_mode(found)}): its owner may not write in it", f"chmod u+rwx {path}"
    elif not os.access(path, os.W_OK | os.X_OK):
        yield (
            f"{path} belongs to {_name(found.st_uid)}, and {_name(os.geteuid())} may not write in it",
            (f"run as {_name(found.st_uid)}, or: chown {_name(os.geteuid())} {path}"),
        )
    elif found.st_mode & stat.S_IWOTH and not found.st_mode & stat.S_ISVTX:
        yield f"{path} (mode {_mode(found)}): anybody may put files there", f"chmod o-w {path}"


def same_owner_faults(path: Path, others: list[Path]) -> Iterator[tuple[str, str]]:
    """Files that go with `path` but belong to somebody else: one run as root leaves such behind."""
    owner = os.stat(path).st_uid
    for other in others:
        if other.exists() and os.stat(other).st_uid != owner:
            theirs = _name(os.stat(other).st_uid)
            yield (
                f"{other} belongs to {theirs}, but {path.name} to {_name(owner)}",
                f"chown {_name(owner)} {other}",
            )


def _owner_faults(path: Path, found: os.stat_result) -> Iterator[tuple[str, str]]:
    # Root may look after anybody's files; whose they are is what billing must be run as.
    if os.geteuid() not in (0, found.st_uid):
        owner, we = _name(found.st_uid), _name(os.geteuid())
        yield f"{path} belongs to {owner}, and you are {we}", f"run as {owner}, or: chown {we} {path}"


def _mode(found: os.stat_result) -> str:
    return f"{stat.S_IMODE(found.st_mode):04o}"


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
