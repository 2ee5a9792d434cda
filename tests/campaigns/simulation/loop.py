"""Virtual time, and processes that can be stopped, woken and killed, on one asyncio loop."""

from __future__ import annotations

import asyncio
import contextvars
import heapq
from collections import deque
from collections.abc import Coroutine
from typing import Any

PROCESS: contextvars.ContextVar[Process | None] = contextvars.ContextVar("process", default=None)
"""The modelled process that a callback belongs to; None is the world outside of all processes."""


class Crash(BaseException):
    """The process is dead: every further use of its database, sockets or mail raises this."""


class Deadlock(RuntimeError):
    """Nothing is ready and no timer is left: whoever is still waiting waits for ever."""


class VirtualLoop(asyncio.BaseEventLoop):
    """An event loop without a selector, whose clock jumps to the next timer when nothing is ready.

    Callbacks run in the order in which they were scheduled, so a world is a function of its seed.
    Callbacks of a stopped process wait in that process until it goes on.
    """

    # Of the base class, which says nothing of them.
    _ready: deque[Any]
    _scheduled: list[Any]

    def __init__(self) -> None:
        super().__init__()
        self._virtual_now = 0.0
        self.set_debug(False)
        self.outside = contextvars.Context()

    def time(self) -> float:
        return self._virtual_now

    def outside_later(self, seconds: float, callback: Any, *args: Any) -> asyncio.TimerHandle:
        """A timer of the world: it fires whatever becomes of the process that set it."""
        return self.call_later(seconds, callback, *args, context=self.outside)

    def _run_once(self) -> None:
        ready, scheduled = self._ready, self._scheduled
        while scheduled and scheduled[0]._cancelled:
            heapq.heappop(scheduled)._scheduled = False
        if not ready:
            if not scheduled:
                raise Deadlock("nothing is ready, and no timer is left")
            self._virtual_now = max(self._virtual_now, scheduled[0]._when)
        while scheduled and scheduled[0]._when <= self._virtual_now:
            handle = heapq.heappop(scheduled)
            handle._scheduled = False
            if not handle._cancelled:
                ready.append(handle)
        for _ in range(len(ready)):
            handle = ready.popleft()
            if handle._cancelled:
                continue
            process = handle._context.get(PROCESS)
            if process is not None and process.stopped:
                process.backlog.append(handle)
            else:
                handle._run()


class Process:
    """One process of the modelled machines: it can be stopped (SIGSTOP), woken, and killed (SIGKILL).

    `point` is called wherever it may die: before and after every commit, at every named crash point
    and at every await of a socket. `crash_after` and `stall_after` count those points down.
    """

    def __init__(self, loop: VirtualLoop, name: str) -> None:
        self.loop = loop
        self.name = name
        self.dead = False
        self.died_at = ""
        self.stopped = False
        self.stalls = 0
        self.backlog: deque[asyncio.Handle] = deque()
        self.crash_after = 0
        self.stall_after = 0
        self.stall_only_at = ""
        self.stall_seconds = 0.0
        self.skew_seconds = 0.0
        self.task: asyncio.Task[None] | None = None
        self._context = contextvars.copy_context()
        self._context.run(PROCESS.set, self)

    def start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        self.task = self.loop.create_task(work, context=self._context)
        return self.task

    @property
    def running(self) -> bool:
        return self.task is not None and not self.task.done()

    def point(self, name: str) -> None:
        """A place where the process may die or be stopped. Raises `Crash` if it is or falls dead."""
        if self.dead:
            raise Crash(name)
        if self.crash_after:
            self.crash_after -= 1
            if not self.crash_after:
                self.kill(name)
                raise Crash(name)
        if self.stall_after and (not self.stall_only_at or self.stall_only_at == name):
            self.stall_after -= 1
            if not self.stall_after:
                self.stop(self.stall_seconds)

    async def wait_point(self, name: str) -> None:
        """A `point` at an await: a process that is stopped here goes on only when it is woken."""
        self.point(name)
        if self.stopped:
            await asyncio.sleep(0)
            if self.dead:
                raise Crash(name)

    def stop(self, seconds: float) -> None:
        """SIGSTOP, and SIGCONT so many seconds later: nothing of it runs in between."""
        self.stopped = True
        self.stalls += 1
        self.loop.outside_later(seconds, self.wake)

    def wake(self) -> None:
        self.stopped = False
        self.loop._ready.extend(self.backlog)
        self.backlog.clear()

    def kill(self, where: str) -> None:
        """SIGKILL. Python's tasks must still be unwound, but nothing that they touch works any more."""
        if self.dead or (self.task is not None and self.task.done()):
            return
        self.dead = True
        self.died_at = where
        self.wake()
        if self.task is not None:
            self.loop.call_soon(self.task.cancel, context=self._context)
