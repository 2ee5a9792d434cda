"""One server a data file: a lock beside the file, which also tells others where that server listens."""

import fcntl
import json
import os
import time
from pathlib import Path

from billing.sandbox.errors import SandboxError

ATTEMPTS = 5
ATTEMPT_SECONDS = 0.05


def lock_path(data_file: Path) -> Path:
    return data_file.with_name(data_file.name + ".lock")


def running_url(data_file: Path) -> str | None:
    """Return the URL of the server that holds this data file, or None if none does (or it still starts)."""
    try:
        file = os.open(lock_path(data_file), os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        url = _announced(file)
        if url is None:
            return None
        # Whoever gets the lock proves that its writer is gone, whatever the file says.
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return url
    finally:
        os.close(file)
    return None


def _announced(file: int) -> str | None:
    try:
        url = json.loads(os.pread(file, 4096, 0))["url"]
    except (ValueError, KeyError, TypeError):
        return None
    return url if isinstance(url, str) else None


class Lock:
    """Holds the lock from construction to release. Raises SandboxError if another server has it."""

    def __init__(self, data_file: Path) -> None:
        path = lock_path(data_file)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise SandboxError(f"{path}: {error.strerror}") from error
        if not self._acquired():
            url = _announced(self._file)
            os.close(self._file)
            raise SandboxError(
                f"{data_file} is already in use by another sandbox" + (f" at {url}" if url else "")
            )
        os.ftruncate(self._file, 0)

    def _acquired(self) -> bool:
        # running_url() holds the lock for an instant; a start that meets it must not fail.
        for attempt in range(ATTEMPTS):
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if attempt + 1 < ATTEMPTS:
                    time.sleep(ATTEMPT_SECONDS)
            else:
                return True
        return False

    def announce(self, url: str) -> None:
        """Write where the server listens and its process id, for running_url() and for people."""
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, json.dumps({"url": url, "pid": os.getpid()}).encode() + b"\n", 0)

    def release(self) -> None:
        # The file stays: removing a lock file that somebody else may be opening would make two locks.
        os.ftruncate(self._file, 0)
        os.close(self._file)
