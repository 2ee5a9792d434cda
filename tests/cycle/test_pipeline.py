"""The pipeline: every item is worked on once, within lanes and window, whatever fails."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.cycle.pipeline import Pipeline


@dataclass
class Store:
    """A database of numbers; those in `slow` take longer than a flush, and turn number `broken` fails."""

    left: deque[int]
    slow: frozenset[int] = frozenset()
    broken: int = 0
    written: list[int] = field(default_factory=list)
    turns: int = 0
    working: int = 0
    most_at_work: int = 0
    most_taken: int = 0

    def turn(self, finished: list[int], room: int) -> list[int]:
        self.turns += 1
        if self.turns == self.broken:
            raise OSError("the disk is full")
        self.written += finished
        taken = [self.left.popleft() for _ in range(min(room, len(self.left)))]
        self.most_taken = max(self.most_taken, len(taken))
        return taken

    async def work(self, item: int) -> int:
        self.working += 1
        self.most_at_work = max(self.most_at_work, self.working)
        await asyncio.sleep(0.4 if item in self.slow else 0)
        self.working -= 1
        return item

    def run(self, lanes: int, window: int) -> None:
        asyncio.run(Pipeline(self.turn, self.work, lanes, window).run())


@given(st.integers(0, 40), st.integers(1, 8), st.integers(0, 12))
def test_every_item_is_worked_on_and_written_once(count: int, lanes: int, spare: int) -> None:
    store = Store(deque(range(count)))

    store.run(lanes, lanes + spare)

    assert sorted(store.written) == list(range(count))
    assert store.most_at_work <= lanes
    assert store.most_taken <= lanes + spare


@pytest.mark.parametrize(("lanes", "window"), [(2, 1), (3, 2), (8, 1)])
def test_nothing_is_left_behind_when_there_are_more_lanes_than_room(lanes: int, window: int) -> None:
    store = Store(deque(range(20)))

    store.run(lanes, window)

    assert sorted(store.written) == list(range(20))
    assert store.most_at_work <= window


def test_results_do_not_wait_for_a_slow_one() -> None:
    store = Store(deque(range(3)), slow=frozenset({0}))
    seen: list[list[int]] = []

    async def scene() -> None:
        running = asyncio.create_task(Pipeline(store.turn, store.work, 3, 3).run())
        await asyncio.sleep(0.32)
        seen.append(sorted(store.written))
        await running

    asyncio.run(scene())

    assert seen == [[1, 2]]
    assert sorted(store.written) == [0, 1, 2]


def test_when_a_turn_fails_what_was_done_is_still_written_and_the_failure_raised() -> None:
    store = Store(deque(range(10)), broken=3)

    with pytest.raises(OSError, match="the disk is full"):
        store.run(lanes=2, window=2)

    assert len(store.written) + len(store.left) == 10
    assert len(store.written) == len(set(store.written))


def test_when_the_work_fails_the_failure_is_raised_and_what_was_done_is_written() -> None:
    store = Store(deque(range(4)))

    async def work(item: int) -> int:
        if item == 3:
            raise ValueError("no such thing")
        return await store.work(item)

    with pytest.raises(ValueError, match="no such thing"):
        asyncio.run(Pipeline(store.turn, work, 1, 4).run())

    assert store.written == [0, 1, 2]
