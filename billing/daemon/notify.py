"""Reports the daemon's state to systemd: sd_notify(3) is one datagram to a socket that systemd names."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping

_MICROS = 1_000_000
_PATIENCE_SECONDS = 0.5
"""The queue of such a socket is short; one that nobody reads must not delay billing."""


class Notifier:
    """Sends states to `$NOTIFY_SOCKET`; without one it does nothing.

    `watchdog_seconds` is the longest time that systemd accepts between two `watchdog()` calls; 0: none.
    """

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        name = environ.get("NOTIFY_SOCKET", "")
        # An @ stands for the zero byte of Linux's abstract names.
        self._address = f"\0{name[1:]}" if name.startswith("@") else name
        self.watchdog_seconds = _watchdog_seconds(environ)

    def ready(self) -> None:
        self._send("READY=1")

    def status(self, words: str) -> None:
        """One line for `systemctl status`."""
        self._send(f"STATUS={' '.join(words.split())}")

    def watchdog(self) -> None:
        self._send("WATCHDOG=1")

    def stopping(self) -> None:
        self._send("STOPPING=1")

    def _send(self, state: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
                channel.settimeout(_PATIENCE_SECONDS)
                channel.sendto(state.encode(), self._address)
        except OSError:
            pass  # the listener is gone or too busy; billing goes on


def _watchdog_seconds(environ: Mapping[str, str]) -> float:
    micros, pid = environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID", "")
    meant_for_us = not pid or pid == str(os.getpid())
    return int(micros) / _MICROS if micros.isdecimal() and meant_for_us else 0.0
