"""A monitoring service in the style of healthchecks.io, which notes what it hears."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Monitor:
    """A monitoring service that notes every ping, and answers as it is told."""

    url: str = ""
    status: int = 200
    location: str = ""
    pings: list[tuple[str, str]] = field(default_factory=list)

    @property
    def paths(self) -> list[str]:
        return [path.removeprefix("/0c6a8f3e") for path, _ in self.pings]


@contextmanager
def monitoring() -> Iterator[Monitor]:
    """A monitor that listens on this machine."""
    noted = Monitor()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            noted.pings.append((self.path, body))
            self.send_response(noted.status)
            if noted.location:
                self.send_header("Location", noted.location)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    noted.url = f"http://127.0.0.1:{server.server_address[1]}/0c6a8f3e"
    try:
        yield noted
    finally:
        server.shutdown()
        server.server_close()
