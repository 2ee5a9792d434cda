"""The loop that the worlds live in: time that jumps, and processes that sleep and die."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable

import pytest

from tests.campaigns.simulation.loop import Crash, Deadlock, Process, VirtualLoop


@pytest.fixture
def loop() -> VirtualLoop:
    return VirtualLoop()


def _run(loop: VirtualLoop, work: Awaitable[object]) -> None:
    try:
        loop.run_until_complete(work)
    finally:
        loop.close()


def test_a_year_of_sleep_takes_no_time(loop: VirtualLoop) -> None:
    began = time.monotonic()
    _run(loop, asyncio.sleep(365 * 86_400))
    assert loop.time() == 365 * 86_400
    assert time.monotonic() - began < 5


def test_timers_fire_in_their_order(loop: VirtualLoop) -> None:
    fired: list[tuple[str, float]] = []

    def fire(name: str) -> None:
        fired.append((name, loop.time()))

    async def work() -> None:
        for name, seconds in (("late", 3.0), ("soon", 1.0), ("also soon", 1.0)):
            loop.call_later(seconds, fire, name)
        await asyncio.sleep(5)

    _run(loop, work())
    assert fired == [("soon", 1.0), ("also soon", 1.0), ("late", 3.0)]


def test_waiting_for_nothing_is_told(loop: VirtualLoop) -> None:
    async def work() -> None:
        await loop.create_future()

    task = loop.create_task(work())
    with pytest.raises(Deadlock):
        loop.run_until_complete(task)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        _run(loop, task)


def test_a_stopped_process_does_nothing_until_it_is_woken(loop: VirtualLoop) -> None:
    at: list[float] = []

    async def life(process: Process) -> None:
        await asyncio.sleep(1)
        at.append(loop.time())
        process.stop(100)
        await asyncio.sleep(1)
        at.append(loop.time())

    async def work() -> None:
        process = Process(loop, "p")
        await process.start(life(process))

    _run(loop, work())
    assert at == [1.0, 101.0]


def test_a_killed_process_can_do_nothing_more(loop: VirtualLoop) -> None:
    done: list[str] = []

    async def life(process: Process) -> None:
        try:
            await asyncio.sleep(10)
        finally:
            done.append("unwound")
            process.point("write in a finally")
            done.append("written")

    async def work() -> None:
        process = Process(loop, "p")
        task = process.start(life(process))
        await asyncio.sleep(1)
        process.kill("a test")
        with pytest.raises(Crash):
            await task

    _run(loop, work())
    assert done == ["unwound"]


def test_points_are_counted_down_to_the_crash(loop: VirtualLoop) -> None:
    process = Process(loop, "p")
    process.crash_after = 2
    process.point("first")
    with pytest.raises(Crash):
        process.point("second")
    with pytest.raises(Crash):
        process.point("whatever comes then")
    assert process.died_at == "second"
    loop.close()
