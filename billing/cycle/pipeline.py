"""Keeps lanes of slow work full from a database that is read and written in groups."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Generic, Protocol, TypeVar

Item = TypeVar("Item")
Done = TypeVar("Done")

_FLUSH_SECONDS = 0.25


class Gate(Protocol):
    """Who may work now? `turn` waits until work may begin, or is not needed any more."""

    @property
    def at_once(self) -> int:
        """So many items may be taken up at once."""
        ...

    async def enter(self) -> None: ...
    def leave(self) -> None: ...
    async def turn(self, given_up: Callable[[], bool]) -> None: ...


class Pipeline(Generic[Item, Done]):
    """Runs `work` on items, `lanes` at a time, and never more than `window` taken up at once.

    With a `gate` each item is worked on when that lets a lane through, and taken up shortly before.

    `turn(finished, room)` writes finished work and takes up to `room` new items, in one transaction;
    an empty answer to a room above 0 means that there is nothing more. It is called when the lanes run
    dry, and at least every quarter of a second while results wait, so a slow item holds nothing back.
    If `turn` fails, work in flight is still awaited and its results are written if that is possible;
    then the failure is raised.
    """

    def __init__(
        self,
        turn: Callable[[list[Done], int], list[Item]],
        work: Callable[[Item], Awaitable[Done]],
        lanes: int,
        window: int,
        gate: Gate | None = None,
    ) -> None:
        self._turn = turn
        self._work = work
        self._lanes = min(lanes, window)
        self._window = window
        self._gate = gate
        self._ready: deque[Item] = deque()
        self._finished: list[Done] = []
        self._in_flight = 0
        self._dry = False
        self._failure: Exception | None = None

    async def run(self) -> None:
        flusher = asyncio.create_task(self._flush_now_and_then())
        try:
            async with asyncio.TaskGroup() as lanes:
                for _ in range(self._lanes):
                    lanes.create_task(self._lane())
        except BaseExceptionGroup as group:
            failure = group.exceptions[0]
            if not isinstance(failure, Exception):
                raise failure from None
            self._failure = failure  # what the other lanes had finished is written all the same
        finally:
            flusher.cancel()
            with suppress(asyncio.CancelledError):
                await flusher
        while self._finished:
            self._write(0)
        if self._failure is not None:
            raise self._failure

    async def _lane(self) -> None:
        while await self._work_on_one():
            pass

    async def _work_on_one(self) -> bool:
        """Whether there was one."""
        if self._gate is None:
            return await self._work_on_next()
        await self._gate.enter()
        try:
            await self._gate.turn(self._is_done)
            return await self._work_on_next()
        finally:
            self._gate.leave()

    def _is_done(self) -> bool:
        return self._dry and not self._ready

    async def _work_on_next(self) -> bool:
        item = self._next()
        if item is None:
            return False
        self._in_flight += 1
        try:
            done = await self._work(item)
        finally:
            self._in_flight -= 1
        self._finished.append(done)
        return True

    def _next(self) -> Item | None:
        if not self._ready and not self._dry:
            try:
                room = self._window - self._in_flight
                taken = self._write(min(room, self._gate.at_once) if self._gate else room)
            except Exception as failure:
                self._failure = failure
                self._dry = True
                return None
            self._ready.extend(taken)
            self._dry = not taken
        return self._ready.popleft() if self._ready else None

    def _write(self, room: int) -> list[Item]:
        finished, self._finished = self._finished, []
        try:
            return self._turn(finished, room)
        except BaseException:
            self._finished = finished + self._finished
            raise

    async def _flush_now_and_then(self) -> None:
        while True:
            await asyncio.sleep(_FLUSH_SECONDS)
            if self._finished and self._failure is None:
                try:
                    self._write(0)
                except Exception as failure:
                    self._failure = failure
                    self._dry = True
