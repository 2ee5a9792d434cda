"""The sandbox as one server: its parts put together, its address, its start and its end."""

import errno
import ipaddress
import os
import sys
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from billing.sandbox.api import Api, now, read_body
from billing.sandbox.control import Control
from billing.sandbox.errors import Refusal, SandboxError
from billing.sandbox.faults import Dice, parse_script, parse_settings
from billing.sandbox.journal import Journal
from billing.sandbox.lock import Lock
from billing.sandbox.misbehave import failure
from billing.sandbox.pages import Pages
from billing.sandbox.renewal import Renewals
from billing.sandbox.resources import RESOURCES
from billing.sandbox.store import Store
from billing.sandbox.traffic import Traffic

SHUTDOWN_SECONDS = 1.0  # what answers under way get; a slow drip would take minutes
BACKLOG = 1024


class SandboxServer:
    """A simulated Mileston API on loopback; `async with SandboxServer() as server: server.url`.

    data: the file of records (None: memory only); port 0: a free one; faults and script are
    written as on the command line (see faults.py), renews too (see renewal.py); api_keys: the keys
    that are let in (none: any).
    Raises FaultError when constructed with a bad order, SandboxError when it cannot start.
    """

    def __init__(
        self,
        *,
        data: Path | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        faults: Mapping[str, object] | None = None,
        script: Iterable[str] = (),
        seed: int = 0,
        api_keys: Collection[str] = (),
        renews: str = "",
    ) -> None:
        self._data = data
        self._host, self._port = host, port
        self._settings, self._script, self._seed = parse_settings(faults or {}), parse_script(script), seed
        self._keys = frozenset(api_keys) or None
        Renewals(Store(), renews)  # a bad order is told before anything is started
        self._renews = renews
        self._lock: Lock | None = None
        self._store: Store | None = None
        self._runner: web.ServerRunner | None = None
        self.url = ""

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def start(self) -> None:
        """Load the records and listen; `url` is set and announced when this returns."""
        host = _loopback(self._host)
        try:
            if self._data is not None:
                self._lock = Lock(self._data)
            self._store = Store(Journal(self._data) if self._data is not None else None)
            self.api = Api(self._store, self._fresh_dice(), Traffic(), self._keys, self._renews)
            self._control = Control(self.api, self.reset)
            self._pages = Pages(self._store)
            self.url = await self._listen(host)
        except BaseException:
            await self.close()
            raise
        if self._lock is not None:
            self._lock.announce(self.url)

    async def _listen(self, host: str) -> str:
        self._runner = web.ServerRunner(
            web.Server(self._handle, access_log=None), shutdown_timeout=SHUTDOWN_SECONDS
        )
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, self._port, backlog=BACKLOG)
        try:
            await site.start()
        except OSError as error:
            taken = error.errno == errno.EADDRINUSE
            reason = "is already taken" if taken else f"cannot be used: {os.strerror(error.errno or 0)}"
            raise SandboxError(f"port {self._port} on {host} {reason}") from error
        return f"http://{f'[{host}]' if ':' in host else host}:{site.port}"

    async def close(self) -> None:
        """Stop listening, let late commits take effect at once, close the file, release the lock."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
        if self._store is not None:
            try:
                self.api.late.commit_now()
            finally:
                self._store.close()
                self._store = None
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def records(self) -> list[dict[str, Any]]:
        """Every record there ever was, deleted ones too, as `GET /_sandbox/records` shows them."""
        return [record.history() for record in self.api.store.everything()]

    def reset(self) -> None:
        """Forget all records and counters; faults, script, keys and dice are as they were at the start."""
        self.api.late.forget()
        self.api.store.clear()
        self.api.traffic.clear()
        self.api.dice = self._fresh_dice()
        self.api.keys = self._keys
        self.api.renewals.set(self._renews)
        self.api.renewals.today = None

    def _fresh_dice(self) -> Dice:
        return Dice(self._settings, self._script, self._seed)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            return await self._routed(request)
        except Refusal as refusal:
            return failure(refusal.status, refusal.message, refusal.headers)
        except ConnectionError:
            return web.Response()  # void: the client hung up in the middle of its request
        except OSError as error:  # the journal cannot be written; so nothing was stored
            print(f"sandbox: {request.method} {request.path} failed: {error}", file=sys.stderr)
            return failure(500, "Internal server error")

    async def _routed(self, request: web.BaseRequest) -> web.StreamResponse:
        path = request.path.removeprefix("/")
        first, _, rest = path.partition("/")
        body = await read_body(request)
        if first == "_sandbox":
            return self._control.handle(request.method, rest, body)
        if self.api.traffic.recording:
            self.api.traffic.record(request, body, now())
        resource = RESOURCES.get(first)
        if resource is not None:
            return await self.api.handle(request, resource, rest, body)
        return self._pages.handle(request, path)


def _loopback(host: str) -> str:
    """Return the address. Raises SandboxError if others could reach it: anybody there may pay and reset."""
    address = "127.0.0.1" if host == "localhost" else host
    try:
        if ipaddress.ip_address(address).is_loopback:
            return address
    except ValueError:
        pass
    raise SandboxError(f"host {host!r}: the sandbox listens only on loopback addresses, such as 127.0.0.1")
