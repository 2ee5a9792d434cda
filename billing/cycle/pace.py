"""Calls to the API at the pace that it bears: few at first, fewer when it says so, and reads tried again."""

from __future__ import annotations

import asyncio
import builtins
from collections import deque
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TYPE_CHECKING, TypeVar

from billing.core.outcomes import CreateOutcome, PaymentRequest, RecordChange, RemotePayment
from billing.core.throttle import SLOW_DOWN, Throttle
from billing.errors import GatewayError

if TYPE_CHECKING:
    from billing.cycle.context import Gateway

_TRIES = 5
"""So often a read is tried that is answered 429 or 503; it changes nothing, or may be repeated."""
_LONGEST_NAP_SECONDS = 0.25
_Answer = TypeVar("_Answer")


def now() -> float:
    """The loop's clock: it only goes forward, and tells no time of day."""
    return asyncio.get_running_loop().time()


class Pace:
    """Who may call now? One for all calls of a run."""

    def __init__(self, throttle: Throttle, stopping: Callable[[], bool]) -> None:
        self.throttle = throttle
        self._stopping = stopping
        self._under_way = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def at_once(self) -> int:
        """So many calls may be made ready."""
        return self.throttle.at_once

    def begin_carefully(self) -> None:
        self.throttle.begin_carefully(now())

    async def enter(self) -> None:
        """Wait until one more call may be under way."""
        while self._under_way >= self.throttle.lanes:
            free: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(free)
            await free
        self._under_way += 1

    def leave(self) -> None:
        self._under_way -= 1
        self._wake()

    async def turn(self, given_up: Callable[[], bool]) -> None:
        """Wait for the next place in time, or until `given_up`: then it is not needed."""
        cuts, at = self.throttle.cuts, self.throttle.place(now())
        while (left := at - now()) > 0 and not given_up():
            await asyncio.sleep(min(left, _LONGEST_NAP_SECONDS))
            if cuts != self.throttle.cuts:
                cuts, at = self.throttle.cuts, self.throttle.place(now())

    def note(self, status: int | None, began: float, retry_after: float | None = None) -> None:
        """What a call was answered that began at this instant of the loop's clock."""
        if status in SLOW_DOWN:
            self.throttle.throttled(now(), began, retry_after)
        elif status is not None:
            self.throttle.succeeded(now())
            self._wake()

    def _wake(self) -> None:
        free = self.throttle.lanes - self._under_way
        while free > 0 and self._waiting:
            waiting = self._waiting.popleft()
            if not waiting.done():
                waiting.set_result(None)
                free -= 1

    async def ask(self, call: Callable[[], Awaitable[_Answer]]) -> _Answer:
        """Make a call that may be repeated; while it is answered 429 or 503 it is, a few times."""
        for left in reversed(range(_TRIES)):
            await self.enter()
            try:
                await self.turn(self._stopping)
                began = now()
                answer = await call()
            except GatewayError as error:
                self.note(error.status, began, getattr(error, "retry_after_seconds", None))
                if error.status not in SLOW_DOWN or not left or self._stopping():
                    raise
            else:
                self.note(200, began)
                return answer
            finally:
                self.leave()
        raise AssertionError("the last try returns or raises")


class PacedGateway:
    """The payments API at a run's pace. Creates are paced by who makes them: they can't be repeated."""

    def __init__(self, gateway: Gateway, pace: Pace) -> None:
        self._gateway, self._pace = gateway, pace

    async def create(self, request: PaymentRequest, send_by: datetime) -> CreateOutcome:
        return await self._gateway.create(request, send_by)

    async def list(self, limit: int) -> builtins.list[RemotePayment]:
        return await self._pace.ask(lambda: self._gateway.list(limit))

    async def get(self, remote_id: str) -> RemotePayment | None:
        return await self._pace.ask(lambda: self._gateway.get(remote_id))

    async def update(self, remote_id: str, change: RecordChange) -> RemotePayment | None:
        return await self._pace.ask(lambda: self._gateway.update(remote_id, change))

    async def delete(self, remote_id: str) -> bool:
        return await self._pace.ask(lambda: self._gateway.delete(remote_id))

    def checkout_url(self, remote_id: str) -> str:
        return self._gateway.checkout_url(remote_id)

    @property
    def clock_skew_seconds(self) -> float | None:
        return self._gateway.clock_skew_seconds
