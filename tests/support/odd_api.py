"""A Mileston over a real socket whose habits a test sets: what nobody ruled out of the real one."""

from __future__ import annotations

import itertools
import json
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

Data = dict[str, Any]


class OddApi:
    """Its records, its habits, and what it was asked. Habits may be changed between two calls."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.records: dict[str, Data] = {}
        self.gone: list[Data] = []
        """What was deleted."""
        self.calls: list[str] = []
        """Each call as `POST`, `GET <id>`, `LIST`, `DELETE <id>`."""
        self.stored_name: Callable[[str], str] = str
        self.status: Callable[[str], str] = str
        """How `paid` and `unpaid` are written."""
        self.sort_key: Callable[[Data], Any] | None = None
        """None: the newest first."""
        self.cap: int | None = None
        self.frozen_list: list[Data] | None = None
        """What the list goes on showing, as `freeze_list` took it."""
        self.deletes = True
        """False: a delete answers 200, and the record stays."""
        self.not_found = 0
        """So many reads of one record answer 404 though it is there."""
        self.answers: deque[str] = deque()
        """What befalls the next creates: `ok`, or `lost` (it took effect, and the answer is cut)."""
        self.on_call: Callable[[str], None] = lambda _call: None
        self._numbers = itertools.count(1)

    def shown(self, data: Data) -> Data:
        return data | {"currentPaymentStatus": self.status(data["currentPaymentStatus"])}

    def listed(self, limit: int) -> list[Data]:
        if self.frozen_list is not None:
            return self.frozen_list[:limit]
        all_ = list(self.records.values())[::-1]
        if self.sort_key is not None:
            all_.sort(key=self.sort_key)
        return [self.shown(data) for data in all_[: min(limit, self.cap or limit)]]

    def freeze_list(self) -> None:
        self.frozen_list = self.listed(10**9)

    def create(self, data: Data) -> Data:
        number = next(self._numbers)
        data = {"recurringPaymentId": f"r-{number}", "currentPaymentStatus": "unpaid"} | data
        data["subscriptionName"] = self.stored_name(data["subscriptionName"])
        data["createdAt"] = f"2026-01-01T00:00:00.{number:03d}Z"
        self.records[data["recurringPaymentId"]] = data
        return data

    def pay(self, *remote_ids: str) -> None:
        for remote_id in remote_ids or list(self.records):
            self.records[remote_id]["currentPaymentStatus"] = "paid"

    def charges(self) -> list[tuple[str, str, str]]:
        """(e-mail, due date, amount) of everything that payers could pay now, sorted."""
        return sorted(
            (data["subscriberEmail"], data["recurringDate"][:10], data["amount"])
            for data in self.records.values()
        )


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    api: OddApi

    def _answer(self, status: int, document: Data) -> None:
        body = json.dumps({"statusCode": status, "message": "so it is", **document}).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _begin(self) -> str:
        self.body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        path = urlsplit(self.path).path.partition("/recurring-payment")[2]
        remote_id = path.removeprefix("/delete").removeprefix("/create").strip("/")
        call = "LIST" if self.command == "GET" and not remote_id else f"{self.command} {remote_id}".strip()
        self.api.calls.append(call)
        self.api.on_call(call)
        return remote_id

    def do_POST(self) -> None:
        self._begin()
        data = self.api.create(json.loads(self.body))
        if self.api.answers and self.api.answers.popleft() == "lost":
            self.close_connection = True
            self.connection.close()
            return
        self._answer(201, {"recurringPaymentData": self.api.shown(data)})

    def do_GET(self) -> None:
        remote_id = self._begin()
        if not remote_id:
            limit = int(parse_qs(urlsplit(self.path).query).get("limit", ["10"])[0])
            return self._answer(200, {"recurringPaymentData": self.api.listed(limit)})
        data = self.api.records.get(remote_id)
        if data is None or self.api.not_found > 0:
            self.api.not_found -= 1
            return self._answer(404, {})
        return self._answer(200, {"recurringPaymentData": self.api.shown(data)})

    def do_DELETE(self) -> None:
        remote_id = self._begin()
        if remote_id not in self.api.records:
            return self._answer(404, {})
        if self.api.deletes:
            self.api.gone.append(self.api.records.pop(remote_id))
        return self._answer(200, {})

    def log_message(self, *_: object) -> None: ...

    def handle(self) -> None:
        with suppress(OSError):  # the program resets its connections
            super().handle()

    def finish(self) -> None:
        with suppress(OSError):
            super().finish()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None: ...


@contextmanager
def odd_api() -> Iterator[OddApi]:
    """One that listens until the block ends."""
    handler = type("Handler", (_Handler,), {})
    with _Server(("127.0.0.1", 0), handler) as server:
        api = OddApi(f"http://127.0.0.1:{server.server_address[1]}/recurring-payment")
        handler.api = api  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, args=[0.02])
        thread.start()
        try:
            yield api
        finally:
            server.shutdown()
            thread.join()
