"""The API's own clock, as its answers show it."""

from __future__ import annotations

import asyncio
from collections import deque
from datetime import datetime, timedelta

import pytest

from tests.support.scripted_api import (
    LATER,
    NOW,
    Connection,
    ScriptedApi,
    Step,
    answer,
    client,
    gateway,
    payment,
    reply,
)

AT_NOON = "Date: Sun, 01 Feb 2026 12:00:00 GMT\r\n"


def skew_after(*headers: str, ahead_seconds: float = 0) -> float | None:
    """The skew after a few refused creates, answered with these headers; our clock reads noon."""
    steps: deque[Step] = deque(reply(422, {}, each) for each in headers)

    def clock() -> datetime:
        return NOW + timedelta(seconds=ahead_seconds)

    async def scene() -> float | None:
        async with ScriptedApi(steps) as api, gateway(api.url, clock) as made:
            assert made.clock_skew_seconds is None
            for _ in headers:
                await made.create(payment(), LATER + timedelta(days=1))
            return made.clock_skew_seconds

    return asyncio.run(scene())


@pytest.mark.parametrize("ahead_seconds", [0, 95, -3600])
def test_the_difference_to_our_clock_is_kept(ahead_seconds: float) -> None:
    assert skew_after(AT_NOON, ahead_seconds=ahead_seconds) == pytest.approx(ahead_seconds, abs=1)


def test_the_latest_answer_counts() -> None:
    earlier = AT_NOON.replace("12:00:00", "11:58:00")
    assert skew_after(earlier, AT_NOON) == pytest.approx(0, abs=1)
    assert skew_after(AT_NOON, earlier) == pytest.approx(120, abs=1)
    assert skew_after(earlier, "") == pytest.approx(120, abs=1)


@pytest.mark.parametrize(
    "headers",
    [
        "",
        "Date: \r\n",
        "Date: yesterday\r\n",
        "Date: Sun, 99 Feb 2026 12:00:00 GMT\r\n",
        "Date: Sun, 01 Feb 99999999999 12:00:00 GMT\r\n",
        "Date: Sun, 01 Feb 2026 12:00:00 -0000\r\n",
        f"Date: {'9' * 5000}\r\n",
        AT_NOON.replace("12:00", "09:00") + "Age: 10800\r\n",
    ],
    ids=["none", "empty", "words", "day", "year", "no zone", "long", "cached"],
)
def test_an_answer_without_a_usable_time_tells_nothing(headers: str) -> None:
    assert skew_after(headers) is None


def test_half_the_round_trip_is_taken_off() -> None:
    async def slow(connection: Connection) -> None:
        await connection.request()
        await asyncio.sleep(2)
        await connection.send(answer(422, {}, AT_NOON))

    async def scene() -> float | None:
        async with ScriptedApi(deque([slow])) as api, gateway(api.url) as made:
            await made.create(payment(), LATER)
            return made.clock_skew_seconds

    assert asyncio.run(scene()) == pytest.approx(-1.5, abs=0.2)


def test_every_resource_s_answers_are_seen() -> None:
    async def scene() -> float | None:
        async with ScriptedApi(deque([reply(404, {}, AT_NOON)])) as api, client(api.url) as made:
            assert await made.invoices.get("i-1") is None
            return made.clock_skew_seconds

    assert asyncio.run(scene()) == pytest.approx(0, abs=1)
