"""The lanes to a mail server: a limited number, opened when first needed, then reused."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, Protocol, TypeVar

from billing.errors import MailError


class Connection(Protocol):
    @property
    def usable(self) -> bool:
        """Whether one more message may be tried on it."""
        ...

    @property
    def worn_out(self) -> bool:
        """Whether it has carried as many messages as one connection should."""
        ...

    async def quit(self) -> None:
        """Say QUIT and close; never raises for a server that does not reply."""
        ...

    def drop(self) -> None:
        """Close at once, without QUIT."""
        ...


class Busy(MailError):
    """The server has no room for one more connection just now."""


C = TypeVar("C", bound=Connection)


class Pool(Generic[C]):
    """At most `lanes` connections made by `open_one`, each lent to one task at a time.

    The first connection is opened alone: a wrong password is then tried once and not once a lane,
    which could lock the account. If the server has no room for so many connections, the pool makes do
    with those it got. Once the channel has failed it stays failed, and every `take` raises `MailError`.
    """

    def __init__(self, open_one: Callable[[], Awaitable[C]], lanes: int) -> None:
        self._open_one = open_one
        # Each entry is a lane: an idle connection, or None for one yet to be opened. Last in, first
        # out, so that connections are used again before new ones are opened.
        self._lanes: asyncio.LifoQueue[C | None] = asyncio.LifoQueue()
        for _ in range(lanes):
            self._lanes.put_nowait(None)
        self._open: set[C] = set()  # lent or idle
        self._proved = False  # whether any connection could be opened yet
        self._first = asyncio.Lock()
        self._failure: str | None = None
        self._closed = False
        self._losses = 0
        # A server that restarts takes every lane's message with it, perhaps twice; more in a row than
        # that, without one answer in between, and the channel itself has failed.
        self._most_losses = 2 * lanes + 3

    async def take(self) -> C:
        """Lend a usable connection; it must come back through `renew` or `give`."""
        self._check()
        lane = await self._lanes.get()
        if lane is not None and lane.usable and not lane.worn_out and self._failure is None:
            return lane
        return await self._fill(lane)

    async def renew(self, connection: C) -> C:
        """A fresh connection in place of a lent one, which is closed, also if there is no fresh one."""
        return await self._fill(connection)

    def give(self, connection: C) -> None:
        """Take a lent connection back, to be used again if it can be; one that `renew` took is ignored.

        Nothing is awaited here: a task that is cancelled keeps what it has learned about its message.
        """
        if connection not in self._open:
            return
        if connection.usable and not self._closed:
            self._lanes.put_nowait(connection)
        else:
            self._retire(connection)
            self._lanes.put_nowait(None)

    async def _fill(self, old: C | None) -> C:
        """A fresh connection for a lane that is the caller's; the lane goes back empty on an error."""
        try:
            if old is not None:
                await self._part_with([old])
            self._check()
            return await self._connect_first_alone()
        except Busy as error:
            if not self._open:
                self._lanes.put_nowait(None)
                self.fail(error)
                raise
        except BaseException:
            self._lanes.put_nowait(None)
            raise
        # Others are being served, so the channel works: go on with one lane fewer.
        return await self.take()

    def note(self, *, lost: bool) -> None:
        """Record whether the server replied about a message or the connection was lost over it."""
        self._losses = self._losses + 1 if lost else 0

    def fail(self, error: MailError) -> None:
        """Mark the channel as failed: from now on every `take` raises the first such error's message."""
        if self._failure is None:
            self._failure = str(error)

    async def close(self) -> None:
        """Close the idle connections; lent ones are closed when they come back."""
        self._closed = True
        lanes = [self._lanes.get_nowait() for _ in range(self._lanes.qsize())]
        await self._part_with([lane for lane in lanes if lane is not None])
        await asyncio.sleep(0)  # the loop closes the sockets in its next turn

    def _check(self) -> None:
        if self._closed:
            raise MailError("the mail transport was closed; enter it again to send")
        if self._losses >= self._most_losses and self._failure is None:
            self._failure = (
                f"the mail server cut the connection {self._losses} times in a row without accepting "
                "or refusing one message; check the mail server's log, then run again"
            )
        if self._failure is not None:
            raise MailError(self._failure)

    async def _connect_first_alone(self) -> C:
        if self._proved:
            return await self._connect()
        async with self._first:
            self._check()
            return await self._connect()

    async def _connect(self) -> C:
        try:
            connection = await self._open_one()
        except Busy:
            raise  # whether that is a failure depends on the other lanes
        except MailError as error:
            self.fail(error)
            raise
        self._proved = True
        self._open.add(connection)
        return connection

    async def _part_with(self, connections: list[C]) -> None:
        try:
            await asyncio.gather(*(connection.quit() for connection in connections if connection.usable))
        finally:
            for connection in connections:
                self._retire(connection)

    def _retire(self, connection: C) -> None:
        connection.drop()
        self._open.discard(connection)
