"""However long the outbox is, no more than two pages of it are in memory."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import fields
from datetime import datetime
from typing import Any
from weakref import WeakSet

import pytest

from billing.app import runtime
from billing.core.notices import Delivery, DeliveryKind, NoticeFacts, RenderedMail
from billing.cycle import deliver
from tests.support.mailroom import Clock, Mailroom


class Alive(RenderedMail):
    """A rendered mail that can be watched."""


class Watch:
    """Counts the rendered mails that are in memory at once, as renderer and as transport."""

    def __init__(self, make_renderer: Callable[..., Any]) -> None:
        self._make_renderer = make_renderer
        self._alive: WeakSet[Alive] = WeakSet()
        self.most = 0
        self.handed = 0

    def renderer(self, *args: Any) -> Watch:
        self._inner = self._make_renderer(*args)
        return self

    @asynccontextmanager
    async def transport(self, *_args: Any) -> AsyncIterator[Watch]:
        yield self

    def render(self, letter: NoticeFacts, now: datetime) -> RenderedMail:
        mail = self._inner.render(letter, now)
        alive = Alive(**{field.name: getattr(mail, field.name) for field in fields(mail)})
        self._alive.add(alive)
        self._count()
        return alive

    async def send(self, mail: RenderedMail) -> Delivery:
        self.handed += 1
        kind = DeliveryKind.RETRY if self.handed % 7 == 0 else DeliveryKind.SENT
        self._count()
        await asyncio.sleep(0)
        return Delivery(kind)

    def _count(self) -> None:
        self.most = max(self.most, len(self._alive))


@pytest.mark.parametrize("concurrency", [1, 16])
def test_of_a_long_outbox_only_pages_are_in_memory(
    new_room: Callable[..., Mailroom], clock: Clock, monkeypatch: pytest.MonkeyPatch, concurrency: int
) -> None:
    watch = Watch(runtime.make_renderer)
    monkeypatch.setattr(runtime, "make_renderer", watch.renderer)
    monkeypatch.setattr(runtime, "open_transport", watch.transport)
    room = new_room(mail__concurrency=concurrency)
    page = deliver.window(concurrency)
    room.subscribe(5 * page)
    gc.disable()  # what is in memory must not depend on when cycles are collected
    try:
        asyncio.run(room.cycle())
    finally:
        gc.enable()
    assert watch.handed == 5 * page
    assert room.count() == {"sent": 5 * page - 5 * page // 7, "queued": 5 * page // 7}
    # A page that was sent, as it is written back, and the next one.
    assert page <= watch.most <= 2 * page
