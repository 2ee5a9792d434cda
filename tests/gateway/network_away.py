"""The network goes away just after requests were written, and comes back. Run in a network of its own:

    unshare --net python tests/gateway/network_away.py

Prints, as JSON, who got through to the server before the network went and who after it came back.
`plain` is a socket closed in the usual way, `given up` and `killed` are gateways.
"""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
import threading
import time
from datetime import UTC, date, datetime, timedelta
from typing import Any

from billing.config.schema import Mileston
from billing.core.outcomes import PaymentRequest
from billing.gateway import MilestonGateway

WHO = ("plain", "given up", "killed")
SECONDS_TO_ARRIVE = 15
# What the kernel still tries to deliver was written at the same time, so it would come at the same time.
SECONDS_TO_ARRIVE_LATER = 4


def network(state: str) -> None:
    subprocess.run(["ip", "link", "set", "lo", state], check=True)


class Server:
    """Notes whose requests come in, and answers them with a refusal."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            threading.Thread(target=self._serve, args=[self._listener.accept()[0]], daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        while data := connection.recv(65_536):
            self.seen += [who for who in WHO if who.encode() in data]
            connection.sendall(b"HTTP/1.1 422 X\r\nContent-Length: 2\r\n\r\n{}")

    def wait_for(self, who: str, count: int) -> None:
        end = time.monotonic() + SECONDS_TO_ARRIVE
        while self.seen.count(who) < count and time.monotonic() < end:
            time.sleep(0.02)


def say(text: str) -> None:
    print(text, flush=True)


async def client(who: str, port: int, timeout_seconds: float) -> None:
    """Create once; when told, once more, over the same connection."""
    where = Mileston(
        recurring_payment_url=f"http://127.0.0.1:{port}/recurring-payment", timeout_seconds=timeout_seconds
    )
    request = PaymentRequest(
        "RB-0123456789ABCDEF", who, 1_000_000, "Zoe", "zoe@example.org", date(2026, 2, 1), 30, ""
    )
    keys = ("key", "business")
    async with MilestonGateway(where, "Example", lambda: keys, lambda: datetime.now(UTC)) as gateway:
        for _ in range(2):
            say((await gateway.create(request, datetime.now(UTC) + timedelta(seconds=60))).kind)
            sys.stdin.readline()


def start(who: str, port: int, timeout_seconds: float) -> subprocess.Popen[str]:
    command = [sys.executable, __file__, who, str(port), str(timeout_seconds)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def main() -> dict[str, Any]:
    network("up")
    server = Server()
    gives_up, killed = start("given up", server.port, 1), start("killed", server.port, 60)
    for process in (gives_up, killed):
        assert process.stdin
        assert process.stdout
        process.stdout.readline()
    plain = socket.create_connection(("127.0.0.1", server.port))
    plain.sendall(b"plain")
    plain.recv(1000)  # with something left unread it would be reset, too
    before = sorted(server.seen)

    network("down")
    for process in (gives_up, killed):
        assert process.stdin
        process.stdin.write("\n")
        process.stdin.flush()
    plain.sendall(b"plain")
    plain.close()
    assert gives_up.stdout
    outcome = gives_up.stdout.readline().strip()
    killed.kill()
    killed.wait()
    network("up")
    server.wait_for("plain", 2)
    time.sleep(SECONDS_TO_ARRIVE_LATER)
    gives_up.kill()
    gives_up.wait()
    return {"before": before, "outcome": outcome, "after": sorted(server.seen)}


if __name__ == "__main__":
    if len(sys.argv) > 1:
        asyncio.run(client(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))
    else:
        print(json.dumps(main()))
