"""A small HTTP server for monitoring the daemon: GET and HEAD only, on loopback."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from billing.config.schema import host_and_port, is_loopback
from billing.errors import ConfigError

logger = logging.getLogger("billing.web")

_AT_ONCE = 8
_REQUEST_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    content_type: str
    body: bytes


Pages = Mapping[str, Callable[[], Answer]]


@contextmanager
def serving(listen: str, pages: Pages) -> Iterator[str]:
    """Serve `pages`, by path, on `host:port` for the length of the `with`; the server's address.

    Raises `ConfigError` if nothing can listen there. Each request is a thread of its own, which ends
    with the process.
    """
    host, port = host_and_port(listen)
    if not is_loopback(host):
        raise ConfigError([f"watch.listen: {listen!r}: only loopback addresses are allowed"])
    try:
        server = _Server((host, port), pages)
    except OSError as error:
        raise ConfigError([f"watch.listen: {listen!r} can't be listened on: {error.strerror}"]) from error
    thread = threading.Thread(target=server.serve_forever, name="billing-web", daemon=True)
    thread.start()
    try:
        shown = f"[{host}]" if ":" in host else host
        url = f"http://{shown}:{server.server_address[1]}"
        logger.info("serving %s", " ".join(url + path for path in pages))
        yield url
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, address: tuple[str, int], pages: Pages) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.pages = pages
        self.room = threading.BoundedSemaphore(_AT_ONCE)
        super().__init__(address, _Request)

    def handle_error(self, request: object, client_address: object) -> None:
        logger.debug("a client ended its request early", exc_info=True)


class _Request(BaseHTTPRequestHandler):
    server: _Server
    server_version = "billing"
    sys_version = ""
    timeout = _REQUEST_SECONDS

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        page = self.server.pages.get(path)
        if page is None:
            known = " ".join(sorted(self.server.pages))
            self._give(
                Answer(404, "text/plain; charset=utf-8", f"no such page; there are {known}\n".encode())
            )
            return
        if not self.server.room.acquire(blocking=False):
            self._give(Answer(503, "text/plain; charset=utf-8", b"too many requests at once; try again\n"))
            return
        try:
            answer = page()
        except Exception:
            logger.exception("the page %s failed", path)
            answer = Answer(500, "text/plain; charset=utf-8", b"this page failed; the log says why\n")
        finally:
            self.server.room.release()
        self._give(answer)

    do_HEAD = do_GET  # noqa: N815  (the base class requires this name)

    def _give(self, answer: Answer) -> None:
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(answer.body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    def log_message(self, format: str, *args: object) -> None:
        logger.debug(format, *args)
