"""What the sandbox's tests share: a server on a real socket, and the calls in words."""

import asyncio
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from billing.sandbox.server import SandboxServer
from tests.support.watchdog import watch

HEADERS = {"apikey": "test-key", "businessid": "biz-1"}
RECURRING, LINK, INVOICE = "recurring-payment", "payment-link", "invoice"
PAYLOADS: dict[str, dict[str, Any]] = {
    RECURRING: {
        "amount": "12.50",
        "subscriptionName": "Gold",
        "subscriberFullName": "Jane Doe",
        "subscriberEmail": "jane@example.com",
        "recurringDate": "2026-02-01T00:00:00.000Z",
        "recurringInterval": 30,
    },
    LINK: {"amount": "12.50", "title": "Gold"},
    INVOICE: {
        "amount": "12.50",
        "itemName": "Gold",
        "customerEmail": "jane@example.com",
        "dueDate": "2026-02-01T00:00:00.000Z",
    },
}
ID_FIELDS = {RECURRING: "recurringPaymentId", LINK: "paymentLinkId", INVOICE: "invoiceId"}
DATA_KEYS = {RECURRING: "recurringPaymentData", LINK: "paymentData", INVOICE: "invoiceData"}
LINK_KEYS = {LINK: "paymentLink", INVOICE: "invoiceLink"}


class Caller:
    """A client of one sandbox. `resource` is the recurring payment unless told otherwise."""

    def __init__(self, url: str) -> None:
        self.url = url
        # verify=False: there is no TLS here, and loading the certificates would take most of the time
        self.http = httpx.Client(base_url=url, headers=HEADERS, timeout=10, trust_env=False, verify=False)

    def create(self, resource: str = RECURRING, **changes: Any) -> httpx.Response:
        query = {} if resource == LINK else {"businessName": "Acme"}
        body = PAYLOADS[resource] | changes
        return self.http.post(f"/{resource}/create", params=query, json=body)

    def created(self, resource: str = RECURRING, **changes: Any) -> str:
        """Create a record and return its id."""
        answer = self.create(resource, **changes)
        assert answer.status_code == 201, answer.text
        return str(answer.json()[DATA_KEYS[resource]][ID_FIELDS[resource]])

    def get(self, record_id: str, resource: str = RECURRING) -> httpx.Response:
        return self.http.get(f"/{resource}/{record_id}")

    def listing(self, limit: int = 100, resource: str = RECURRING) -> httpx.Response:
        return self.http.get(f"/{resource}", params={"limit": limit})

    def listed_amounts(self, limit: int = 100) -> list[str]:
        return [row["amount"] for row in self.listing(limit).json()["recurringPaymentData"]]

    def update(self, record_id: str, resource: str = RECURRING, **changes: Any) -> httpx.Response:
        return self.http.patch(f"/{resource}/update", json={ID_FIELDS[resource]: record_id} | changes)

    def delete(self, record_id: str, resource: str = RECURRING) -> httpx.Response:
        return self.http.delete(f"/{resource}/delete/{record_id}")

    def control(self, method: str, path: str, body: Any = None) -> Any:
        """Use a control path and return its document."""
        answer = self.http.request(method, f"/_sandbox/{path}", json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def stored(self) -> list[dict[str, Any]]:
        records: list[dict[str, Any]] = self.control("GET", "records")["records"]
        return records

    def stored_amounts(self) -> list[str]:
        return [record["data"]["amount"] for record in self.stored()]

    def counts(self, resource: str = RECURRING) -> dict[str, dict[str, int]]:
        counts: dict[str, dict[str, int]] = self.control("GET", "requests")["counts"].get(resource, {})
        return counts


@contextmanager
def calling(url: str) -> Iterator[Caller]:
    caller = Caller(url)
    with caller.http:
        yield caller


@contextmanager
def serving(**options: Any) -> Iterator[Caller]:
    """Run a SandboxServer with these options in a thread of its own, for the length of the block."""
    started: list[SandboxServer | BaseException] = []
    ready = threading.Event()
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()

    async def serve() -> None:
        try:
            async with SandboxServer(**options) as server:
                started.append(server)
                ready.set()
                await stop.wait()
        except BaseException as error:
            started.append(error)
            ready.set()

    def run() -> None:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(serve())

    thread = threading.Thread(target=run)
    thread.start()
    ready.wait()
    try:
        if isinstance(started[0], BaseException):
            raise started[0]
        with calling(started[0].url) as caller:
            yield caller
    finally:
        if isinstance(started[0], SandboxServer):
            loop.call_soon_threadsafe(stop.set)
        thread.join()
    assert len(started) == 1, started[1]


@contextmanager
def process(*arguments: str, **options: Any) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """Run the sandbox as a process; gives it and what it printed when it was ready."""
    with subprocess.Popen(
        [sys.executable, "-m", "billing.sandbox", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    ) as child:
        watch(child.pid)
        try:
            assert child.stdout is not None
            yield child, json.loads(child.stdout.readline())
        finally:
            child.kill()


def eventually(holds: Callable[[], bool]) -> bool:
    """Wait, within reason, until it holds."""
    patience = time.monotonic() + 10
    while not holds():
        if time.monotonic() > patience:
            return False
        time.sleep(0.02)
    return True
