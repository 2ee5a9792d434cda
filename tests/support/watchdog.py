"""A process that outlives a killed test run by a moment, and ends what the run had started.

    watch(process.pid)   # ends, when we are gone
    watch_folder(path)   # is removed then

Whoever is killed with SIGKILL can't clean up, so another process must: it reads a pipe of which we alone
hold the other end, and the kernel closes that end whatever we die of. As a script this module is that
process; it runs in a session of its own, so that a signal to our whole group does not reach it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
import signal
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

_PATIENCE_SECONDS = 10.0
_lock = threading.Lock()
_pipes: dict[int, int] = {}
"""The pipe of each process: a fork has to have one of its own."""


@dataclass(frozen=True)
class Started:
    """A process, or the leader of a group, and how it is to be ended."""

    pid: int
    number: int
    group: bool
    born: str

    def signal(self, number: int) -> bool:
        """Whether it was still there to be signalled."""
        if not self.born or _born(self.pid) != self.born:
            return False
        with contextlib.suppress(ProcessLookupError, PermissionError):
            (os.killpg if self.group else os.kill)(self.pid, number)
        return True


def watch(pid: int, number: signal.Signals = signal.SIGKILL, group: bool = False) -> None:
    """Send `number` to a process, or to the group that it leads, as soon as we are gone."""
    _tell({"started": dataclasses.asdict(Started(pid, number, group, _born(pid)))})


def watch_folder(path: Path) -> None:
    """Remove a folder as soon as we, and then whatever was watched, are gone."""
    _tell({"folder": str(path)})


def _tell(order: dict[str, object]) -> None:
    with _lock:
        if os.getpid() not in _pipes:
            reads, writes = os.pipe()
            # It is never waited for: it ends after us.
            command = [sys.executable, "-S", "-E", __file__]
            os.posix_spawn(
                sys.executable,
                command,
                {},
                file_actions=[(os.POSIX_SPAWN_DUP2, reads, 0)],
                setsid=True,
            )
            os.close(reads)
            _pipes[os.getpid()] = writes
        os.write(_pipes[os.getpid()], json.dumps(order).encode() + b"\n")


def _born(pid: int) -> str:
    """When a process was started, as its number may be another's later on; '' if it has ended."""
    with contextlib.suppress(OSError):
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return "" if state == "Z" else fields[18]
    return ""


def _serve() -> None:
    orders = [json.loads(line) for line in sys.stdin]
    started = [Started(**order["started"]) for order in orders if "started" in order]
    for process in started:
        process.signal(process.number)
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while left := [process for process in started if process.signal(0)]:
        if time.monotonic() > deadline:
            for process in left:
                process.signal(signal.SIGKILL)
            break
        time.sleep(0.02)
    for order in orders:
        if "folder" in order:
            shutil.rmtree(order["folder"], ignore_errors=True)


if __name__ == "__main__":
    _serve()
