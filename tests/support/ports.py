"""Ports for servers that tests start, kill, and start again."""

from __future__ import annotations

import random
import socket
from contextlib import suppress

_CHANCE = random.SystemRandom()  # Hypothesis seeds the usual one alike in every worker


def free_port() -> int:
    """A free port of loopback. It is below those that the system gives to clients: while its server is down,
    none takes it.
    """
    while True:
        port = _CHANCE.randrange(12_000, 32_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
