"""The other ends, each in a process of its own: the payments API and the mail server."""

from __future__ import annotations

import asyncio
import json
import smtplib
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Self
from urllib.parse import quote

from benchmarks.contestants.script import HEADERS, body
from benchmarks.measure import ROOT, environment


class Server:
    """A process that prints its port and runs until its standard input ends."""

    module = ""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", self.module],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment(),
        )
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._process.communicate()


class ApiServer(Server):
    module = "benchmarks.api_server"

    def url(self, latency_ms: int = 0) -> str:
        """The base URL of recurring payments whose answers take so long."""
        return f"http://127.0.0.1:{self.port}/ms{latency_ms}/recurring-payment"

    def listing_url(self, file: Path) -> str:
        """The base URL where the records of a file are listed, one a line."""
        return f"http://127.0.0.1:{self.port}/from/{quote(str(file), safe='')}/recurring-payment"

    def _stats(self) -> tuple[int, float]:
        """How many creates it answered, and its CPU seconds."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/stats", timeout=30) as answer:
            found = json.load(answer)
        return found["creates"], found["cpu"]

    def creates(self) -> int:
        """How many creates it answered since it started."""
        return self._stats()[0]

    def capacity(self, seconds: float = 2.0, connections: int = 32) -> tuple[float, float]:
        """How many creates a second it answers if asked by next to nothing, and its CPU µs for each."""
        creates, cpu = self._stats()
        began = time.perf_counter()
        asyncio.run(self._ask_bluntly(connections, began + seconds))
        took = time.perf_counter() - began
        more_creates, more_cpu = self._stats()
        answered = more_creates - creates
        return answered / took, (more_cpu - cpu) / answered * 1e6

    async def _ask_bluntly(self, connections: int, until: float) -> None:
        content = body(1).encode()
        lines = [
            "POST /ms0/recurring-payment/create?businessName=Example HTTP/1.1",
            "Host: localhost",
            *(f"{name}: {value}" for name, value in HEADERS.items()),
            f"Content-Length: {len(content)}\r\n\r\n",
        ]
        request = "\r\n".join(lines).encode() + content

        async def lane() -> None:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            while time.perf_counter() < until:
                writer.write(request)
                await reader.readuntil(b"}}")
            writer.close()

        await asyncio.gather(*(lane() for _ in range(connections)))


class MailServer(Server):
    module = "benchmarks.smtp_server"

    def taken(self) -> int:
        """How many messages it has taken since it started."""
        with smtplib.SMTP("127.0.0.1", self.port, timeout=30) as client:
            return int(client.docmd("VRFY", "count")[1])
