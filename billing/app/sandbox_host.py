"""Starts the program's own Mileston sandbox, as a process, for the length of a run."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from billing.errors import StoreError

PORT = 8788
"""Tried first, so that checkout links in yesterday's mail open when `make sandbox` runs today."""
_STOP_SECONDS = 10


@contextmanager
def own_sandbox(data: Path) -> Iterator[str]:
    """The URL of a sandbox that keeps its records in `data`; started here unless one is running.

    Raises `StoreError` if it can't start. It ends with this process, however that ends.
    """
    from billing.sandbox import running_url

    running = running_url(data)
    if running is not None:
        yield running
        return
    data.parent.mkdir(parents=True, exist_ok=True)
    process = _start(data, PORT if _is_free(PORT) else 0)
    url = _url_of(process)
    if url is None:  # perhaps another one took the port in this very moment
        _end(process)
        process = _start(data, 0)
        url = _url_of(process)
    try:
        if url is None:
            raise StoreError(
                "the local sandbox did not start; `billing sandbox serve --data var/sandbox.jsonl` says why"
            )
        yield url
    finally:
        _end(process)


def _end(process: subprocess.Popen[str]) -> None:
    # It ends when its stdin does, committing what is still under way.
    if process.stdin is not None:
        process.stdin.close()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()


def is_running(data: Path) -> bool:
    """Whether a sandbox serves these records at the moment."""
    from billing.sandbox import running_url

    return running_url(data) is not None


def _start(data: Path, port: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "billing.sandbox", "--port", str(port), "--data", str(data)]
    return subprocess.Popen(  # noqa: S603  (our own interpreter and module)
        [*command, "--exit-with-parent"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,  # Ctrl-C asks this process to finish; the sandbox must outlive that
    )


def _url_of(process: subprocess.Popen[str]) -> str | None:
    """Where it serves, as soon as it does; None if it ended instead."""
    line = process.stdout.readline() if process.stdout is not None else ""
    return str(json.loads(line)["url"]) if line else None


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
