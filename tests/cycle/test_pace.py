"""Calls at the pace that the API bears; what can be repeated is, when it says "slow down"."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from billing.core.outcomes import RecordChange
from billing.core.throttle import Throttle
from billing.cycle.pace import Pace, PacedGateway
from billing.errors import GatewayError
from billing.gateway.errors import CallFailed
from tests.support.fake_gateway import FakeGateway


class Unhurried(Throttle):
    """Nobody waits for a place in time; `test_throttle.py` is about those."""

    def place(self, now: float) -> float:
        return now


def pace(lanes: int = 4, *, stopping: Callable[[], bool] = lambda: False) -> Pace:
    return Pace(Unhurried(lanes), stopping)


def failing(*statuses: int | None) -> tuple[Callable[[], Awaitable[str]], list[int]]:
    """A call that fails so, one after the other, and then answers; and how often it was made."""
    left, made = list(statuses), [0]

    async def call() -> str:
        made[0] += 1
        if left:
            raise CallFailed("no", status=left.pop(0), retry_after_seconds=0.0)
        return "yes"

    return call, made


@pytest.mark.parametrize("status", [429, 503])
def test_a_read_is_tried_again_while_the_api_asks_to_slow_down(status: int) -> None:
    call, made = failing(status, status, status)
    assert asyncio.run(pace().ask(call)) == "yes"
    assert made == [4]


def test_it_is_given_up_after_some_tries() -> None:
    call, made = failing(*[429] * 9)
    with pytest.raises(CallFailed):
        asyncio.run(pace().ask(call))
    assert made == [5]


@pytest.mark.parametrize("status", [500, 404, 401, None])
def test_another_failure_is_not_repeated(status: int | None) -> None:
    call, made = failing(status)
    with pytest.raises(GatewayError):
        asyncio.run(pace().ask(call))
    assert made == [1]


def test_a_run_that_is_asked_to_end_repeats_nothing() -> None:
    call, made = failing(429)
    with pytest.raises(CallFailed):
        asyncio.run(pace(stopping=lambda: True).ask(call))
    assert made == [1]


def test_no_more_are_under_way_than_there_are_lanes_and_all_get_their_turn() -> None:
    limited = pace(3)
    under_way = most = done = 0

    async def call() -> None:
        nonlocal under_way, most, done
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0)
        under_way -= 1
        done += 1

    async def scene() -> None:
        await asyncio.gather(*(limited.ask(call) for _ in range(50)))

    asyncio.run(scene())
    assert (most, done) == (3, 50)


def test_a_call_that_fails_gives_its_lane_back() -> None:
    limited = pace(1)

    async def scene() -> None:
        call, _ = failing(500)
        with pytest.raises(GatewayError):
            await limited.ask(call)
        assert await limited.ask(call) == "yes"

    asyncio.run(asyncio.wait_for(scene(), 10))


def test_a_place_that_is_not_needed_any_more_is_not_waited_for() -> None:
    slow = Pace(Throttle(4, 0.01), lambda: False)

    async def scene() -> None:
        await slow.turn(lambda: False)
        await asyncio.wait_for(slow.turn(lambda: True), 5)

    asyncio.run(scene())


def test_every_call_of_the_gateway_goes_through() -> None:
    api = FakeGateway()
    gateway: Any = PacedGateway(api, pace())

    async def scene() -> None:
        assert await gateway.list(5) == []
        assert await gateway.get("r1") is None
        assert await gateway.update("r1", RecordChange(30)) is None
        assert not await gateway.delete("r1")

    asyncio.run(scene())
    assert api.asked == ["list", "get r1", "update r1", "delete r1"]
    assert gateway.checkout_url("r1") == api.checkout_url("r1")
    assert gateway.clock_skew_seconds is None
