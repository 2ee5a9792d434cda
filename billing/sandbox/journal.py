"""The file of records: JSON lines, appended only.

A line is the whole state of one record, so the last line about an id wins, and replaying is one pass.
Every line is handed to the operating system in one write before the answer leaves; killing the
process therefore loses nothing that was answered.
"""

import json
import os
from pathlib import Path
from typing import Any

from billing.sandbox.errors import SandboxError

WORTH_COMPACTING = 1000  # superseded lines; below that a rewrite saves no noticeable time

_dumps = json.JSONEncoder(separators=(",", ":")).encode


class Journal:
    """Opens, replays and, if worthwhile, compacts the file. The caller holds its lock.

    Raises SandboxError if the file cannot be opened or a line other than the last one is damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = _open_private(path)
            self._replayed, lines, self._size = self._replay()
            os.ftruncate(self._file, self._size)
            if lines - len(self._replayed) >= max(WORTH_COMPACTING, len(self._replayed)):
                self._compact()
        except OSError as error:
            raise SandboxError(f"{path}: {error.strerror}") from error

    def __str__(self) -> str:
        return str(self.path)

    def take_replayed(self) -> list[dict[str, Any]]:
        """Return the latest state of every record, in order of creation. Works once, to free the memory."""
        entries, self._replayed = list(self._replayed.values()), {}
        return entries

    def append(self, entry: dict[str, Any]) -> None:
        """Write one line. Raises OSError, and then leaves the file as it was."""
        line = _dumps(entry).encode() + b"\n"
        try:
            written = os.write(self._file, line)
            while written < len(line):
                written += os.write(self._file, line[written:])
        except OSError:
            os.ftruncate(self._file, self._size)  # no half line may stay before the next one
            raise
        self._size += len(line)

    def clear(self) -> None:
        os.ftruncate(self._file, 0)
        self._size = 0

    def close(self) -> None:
        os.close(self._file)

    def _replay(self) -> tuple[dict[str, dict[str, Any]], int, int]:
        """Return the latest entries by id, how many lines there are, and how many bytes of them are whole."""
        latest: dict[str, dict[str, Any]] = {}
        lines = whole = 0
        with self.path.open("rb") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    break  # the writer died in the middle of its last line, which it never answered
                try:
                    entry = json.loads(line)
                    latest[entry["id"]] = entry
                except (ValueError, KeyError, TypeError) as error:
                    raise SandboxError(f"{self.path}, line {lines + 1}: not a record") from error
                lines += 1
                whole += len(line)
        return latest, lines, whole

    def _compact(self) -> None:
        """Replace the file by one with the latest lines only; a crash leaves the old or the new one."""
        fresh = self.path.with_name(self.path.name + ".new")
        fresh.unlink(missing_ok=True)
        file = _open_private(fresh)
        with os.fdopen(os.dup(file), "wb") as out:
            out.writelines(_dumps(entry).encode() + b"\n" for entry in self._replayed.values())
            out.flush()
            os.fsync(file)
        fresh.replace(self.path)
        os.close(self._file)
        self._file, self._size = file, os.fstat(file).st_size


def _open_private(path: Path) -> int:
    """Open for appending, readable by the owner alone: records carry names and addresses."""
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    os.fchmod(file, 0o600)
    return file
