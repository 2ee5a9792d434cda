"""Processes of the program, born quickly: the imports are done once, then every run is a fork.

A child is a process of its own, with its own environment, sockets and connections, and is killed for
real. Only the second that Python needs to import the program is saved. `serve` is what the process
that forks does; `Nursery` is its client.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import json
import os
import pkgutil
import queue
import resource
import selectors
import signal
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Self

ROOT = Path(__file__).parent.parent.parent
_NOT_OURS = ("billing.sandbox.", "billing.store.migrations.", "billing.__main__.")


class Child:
    """A process of the program. `code` is its exit code, or minus the signal that ended it; None: alive."""

    def __init__(self, out: Path, err: Path) -> None:
        self.pid = 0
        self.code: int | None = None
        self._out, self._err = out, err
        self._ended = threading.Event()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, unless it has ended."""
        with contextlib.suppress(ProcessLookupError):
            if self.code is None:
                os.kill(self.pid, number)

    def kill(self) -> None:
        self.signal(signal.SIGKILL)

    def wait(self, seconds: float = 60.0) -> int:
        """Its exit code. Raises `TimeoutError`, after killing it, if it takes longer than `seconds`."""
        if not self._ended.wait(seconds):
            self.kill()
            raise TimeoutError(f"process {self.pid} did not end within {seconds:g} s: {self.err}")
        assert self.code is not None
        return self.code

    def ends_within(self, seconds: float) -> bool:
        return self._ended.wait(max(0.0, seconds))

    @property
    def out(self) -> str:
        return self._out.read_text(encoding="utf-8")

    @property
    def err(self) -> str:
        return self._err.read_text(encoding="utf-8")

    def has_said(self, words: str) -> bool:
        """Whether its standard error holds these words by now."""
        return self._err.exists() and words in self.err

    @property
    def document(self) -> dict[str, Any]:
        """What a command printed with `--json`."""
        found: dict[str, Any] = json.loads(self.out)
        return found

    def note_end(self, code: int) -> None:
        self.code = code
        self._ended.set()


@dataclass(frozen=True)
class Finished:
    """A command that ended, as `subprocess.run` would report it."""

    returncode: int
    stdout: str
    stderr: str


class Nursery:
    """Starts processes of the program. Safe to use from many threads; close it, or use `with`."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", "from tests.support.nursery import serve; serve()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            text=True,
        )
        self._said = tempfile.TemporaryDirectory(prefix="nursery-")
        self._lock = threading.Lock()
        self._expected: queue.Queue[tuple[Child, threading.Event]] = queue.Queue()
        self._alive: dict[int, Child] = {}
        self._count = 0
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def start(
        self,
        arguments: Sequence[str],
        environ: Mapping[str, str],
        folder: Path,
        largest_file: int | None = None,
    ) -> Child:
        """Start `billing ARGUMENTS` with this environment alone.

        With `largest_file` every write beyond so many bytes of a file fails, as on a full disk.
        """
        with self._lock:
            self._count += 1
            out, err = (Path(self._said.name) / f"{self._count}.{end}" for end in ("out", "err"))
            child, born = Child(out, err), threading.Event()
            self._expected.put((child, born))
            order = {
                "argv": list(arguments),
                "environ": dict(environ),
                "folder": str(folder),
                "out": str(out),
                "err": str(err),
                "largest_file": largest_file,
            }
            assert self._process.stdin is not None
            self._process.stdin.write(json.dumps(order) + "\n")
            self._process.stdin.flush()
        while not born.wait(0.5):
            if self._process.poll() is not None:
                raise RuntimeError("the nursery is gone; its stderr says why")
        return child

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            said = json.loads(line)
            if "born" in said:
                child, born = self._expected.get()
                child.pid = said["born"]
                self._alive[child.pid] = child
                born.set()
            else:
                self._alive.pop(said["ended"]).note_end(said["code"])

    def close(self) -> None:
        """Kill what still runs."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.wait(30)
        self._reader.join(30)
        self._process.stdout.close()
        self._said.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@cache
def the_nursery() -> Nursery:
    """The one of this process, until it ends."""
    opened = Nursery()
    atexit.register(opened.close)
    return opened


def _import_the_program() -> None:
    import alembic.command
    import psycopg
    import sqlalchemy.dialects.postgresql.psycopg
    import sqlalchemy.dialects.sqlite.pysqlite

    import billing

    assert alembic.command
    assert psycopg
    assert sqlalchemy
    for module in pkgutil.walk_packages(billing.__path__, "billing."):
        if not f"{module.name}.".startswith(_NOT_OURS):
            with contextlib.suppress(ImportError):  # of an extra; who needs it will say so
                importlib.import_module(module.name)


def _become(order: dict[str, Any]) -> int:
    """In the child: take on the order's environment and be the program; answers the exit code."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.chdir(order["folder"])
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(order[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), number)
    os.environ.clear()
    os.environ.update(order["environ"])
    if order["largest_file"] is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (order["largest_file"], resource.RLIM_INFINITY))
    sys.argv = ["billing", *order["argv"]]
    from billing.cli.main import main

    try:
        main()
    except SystemExit as ending:
        return ending.code if isinstance(ending.code, int) else int(ending.code is not None)
    return 0


def _fork(order: dict[str, Any]) -> int:
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        code = _become(order)
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _say(**words: int) -> None:
    os.write(1, json.dumps(words).encode() + b"\n")


def serve() -> None:
    """Fork what stdin orders, report every birth and every end; kill what is left when stdin ends."""
    _import_the_program()
    gc.freeze()  # no collection in a child touches, and so copies, what all of them share
    wakeup, woken = os.pipe()
    for end in (wakeup, woken):
        os.set_blocking(end, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(woken, warn_on_full_buffer=False)
    selector = selectors.DefaultSelector()
    selector.register(0, selectors.EVENT_READ)
    selector.register(wakeup, selectors.EVENT_READ)
    alive: set[int] = set()
    rest = b""
    while True:
        ready = {key.fd for key, _ in selector.select()}
        if wakeup in ready:
            os.read(wakeup, 4096)
            _bury(alive)
        if 0 in ready:
            data = os.read(0, 1 << 16)
            if not data:
                break
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                pid = _fork(json.loads(line))
                alive.add(pid)
                _say(born=pid)
            _bury(alive)
    for pid in alive:
        os.kill(pid, signal.SIGKILL)


def _bury(alive: set[int]) -> None:
    for pid in list(alive):
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            alive.discard(pid)
            _say(ended=pid, code=os.waitstatus_to_exitcode(status))
