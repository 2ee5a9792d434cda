"""Ticks on a frozen clock: every one comes, none comes twice, whatever the clock does."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from apscheduler.events import (  # type: ignore[import-untyped]
    EVENT_JOB_ERROR,
    EVENT_JOB_MAX_INSTANCES,
    EVENT_JOB_MISSED,
    JobExecutionEvent,
    JobSubmissionEvent,
)
from freezegun import freeze_time

from billing.config.schema import Schedule
from billing.daemon.scheduler import CycleScheduler, sooner_tick, trigger_for

START = datetime(2026, 3, 28, 12, 0, tzinfo=UTC)
TEN_MINUTES = Schedule(every_minutes=10)


class Ticks:
    """A scheduler whose waits take no time: each one moves the frozen clock instead."""

    def __init__(self, frozen: Any, schedule: Schedule, until: datetime) -> None:
        self.frozen = frozen
        self.until = until
        self.at: list[datetime] = []
        self.lost: list[str] = []
        self.on_tick: Callable[[], None] = lambda: None
        self.on_wait: Callable[[], None] = lambda: None
        self.heartbeat = 3600.0
        self.scheduler = CycleScheduler(schedule, self._tick, self._wait, self.lost.append)

    def run(self) -> list[datetime]:
        self.scheduler.start()
        return self.at

    def _tick(self) -> None:
        self.at.append(datetime.now(UTC))
        self.on_tick()

    def _wait(self, seconds: float) -> None:
        # Not a microsecond short: the scheduler would wait again.
        self.frozen.tick(timedelta(seconds=min(seconds, self.heartbeat)) + timedelta(microseconds=1))
        self.on_wait()
        if datetime.now(UTC) >= self.until:
            self.scheduler.shutdown(wait=False)


@pytest.fixture
def ticks(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Ticks]]:
    # pytest's own watch goes on; but what is called by pytest, as every test is, sees the frozen clock.
    monkeypatch.setattr("freezegun.api.call_stack_inspection_limit", 0)
    with freeze_time(START, ignore=["_pytest."]) as frozen:
        yield lambda schedule, **length: Ticks(frozen, schedule, START + timedelta(**length))


def gaps(at: list[datetime]) -> list[float]:
    return [round((b - a).total_seconds()) for a, b in pairwise(at)]


def test_one_run_at_start_and_then_every_ten_minutes_of_a_day(ticks: Callable[..., Ticks]) -> None:
    at = ticks(TEN_MINUTES, hours=24).run()

    assert at[0] == START
    assert set(gaps(at)) == {600}
    assert len(at) == 144


@pytest.mark.parametrize("schedule", [TEN_MINUTES, Schedule(cron="0 * * * *")])
def test_the_change_of_the_clocks_costs_no_run_and_doubles_none(
    ticks: Callable[..., Ticks], schedule: Schedule, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Berlin skips an hour on 29 March 2026, and has one twice on 25 October."""
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    try:
        spring = ticks(schedule, hours=30)
        at = spring.run()
        spring.frozen.move_to("2026-10-24 12:00")
        autumn = Ticks(spring.frozen, schedule, datetime(2026, 10, 25, 18, tzinfo=UTC)).run()
    finally:
        monkeypatch.undo()
        time.tzset()

    step = 3600 if schedule.cron else 600
    for found in (at, autumn):
        assert set(gaps(found)) == {step}
        assert len(found) == 30 * 3600 // step


def test_a_machine_that_slept_runs_once_when_it_wakes(ticks: Callable[..., Ticks]) -> None:
    run = ticks(TEN_MINUTES, hours=12)

    def sleep() -> None:
        run.on_wait = lambda: None
        run.frozen.tick(timedelta(hours=8))

    run.on_wait = sleep
    at = run.run()
    slept = [gap for gap in gaps(at) if gap != 600]
    # One tick on waking, and then the old rhythm again: neither 48 at once nor none.
    assert len(slept) <= 2
    assert max(slept) >= 8 * 3600
    assert len(at) == 1 + 1 + 22  # at 12:00, at 20:10, and from 20:20 to 23:50


def test_a_clock_that_was_set_back_costs_no_run(ticks: Callable[..., Ticks]) -> None:
    """It said 2030 when the machine started, and was corrected: the next tick is not in 2030."""
    run = ticks(TEN_MINUTES, hours=3)
    run.frozen.move_to("2030-01-01 12:00")
    run.scheduler = CycleScheduler(TEN_MINUTES, run._tick, run._wait, run.lost.append)

    def correct() -> None:
        run.on_wait = lambda: None
        run.frozen.move_to(START)

    run.on_wait = correct
    run.until = datetime(2031, 1, 1, tzinfo=UTC)
    run.on_tick = lambda: setattr(run, "until", START + timedelta(hours=3)) if len(run.at) > 1 else None
    at = run.run()[1:]

    assert at[0] - START <= timedelta(minutes=10, seconds=1)
    assert set(gaps(at)) == {600}
    assert len(at) == 17


def test_a_long_cycle_delays_the_next_one_and_swallows_those_between(ticks: Callable[..., Ticks]) -> None:
    run = ticks(TEN_MINUTES, hours=3)

    def take_long() -> None:
        if len(run.at) == 2:
            run.frozen.tick(timedelta(minutes=35))

    run.on_tick = take_long
    at = run.run()
    assert gaps(at)[:4] == [600, 2100, 300, 600]  # at once when it ends, then the old rhythm
    assert run.lost == []


def test_what_a_tick_raises_is_told_and_the_next_one_comes(
    ticks: Callable[..., Ticks], caplog: pytest.LogCaptureFixture
) -> None:
    run = ticks(TEN_MINUTES, minutes=25)

    def fail() -> None:
        if len(run.at) == 1:
            raise SystemExit("even this one")

    run.on_tick = fail
    with caplog.at_level(logging.ERROR):
        assert len(run.run()) == 3
    assert run.lost == ["error"]
    assert "could not run a tick" in caplog.text


@pytest.mark.parametrize(
    ("event", "name"),
    [
        (JobExecutionEvent(EVENT_JOB_MISSED, "cycle", "default", START), "missed"),
        (JobExecutionEvent(EVENT_JOB_ERROR, "cycle", "default", START), "error"),
        (JobSubmissionEvent(EVENT_JOB_MAX_INSTANCES, "cycle", "default", [START]), "skipped"),
    ],
)
def test_every_event_that_means_lost_work_is_counted(
    ticks: Callable[..., Ticks], event: Any, name: str
) -> None:
    run = ticks(TEN_MINUTES, hours=1)
    run.scheduler._dispatch_event(event)
    assert run.lost == [name]


def test_another_schedule_is_followed_at_once(ticks: Callable[..., Ticks]) -> None:
    run = ticks(Schedule(every_minutes=600), hours=2)

    def follow() -> None:
        run.on_wait = lambda: None
        run.scheduler.follow(Schedule(every_minutes=30))

    run.on_wait = follow
    run.heartbeat = 60.0
    assert gaps(run.run()) == [1860, 1800, 1800]


def test_weekdays_count_as_cron_counts_them(ticks: Callable[..., Ticks]) -> None:
    run = ticks(Schedule(cron="30 6 * * 1-5"), days=15)
    run.heartbeat = 86_400.0
    at = run.run()[1:]
    assert [moment.strftime("%a %H:%M") for moment in at[:6]] == [
        "Mon 06:30", "Tue 06:30", "Wed 06:30", "Thu 06:30", "Fri 06:30", "Mon 06:30",
    ]  # fmt: skip


DAILY = trigger_for(Schedule(cron="0 6 * * *"))
AT_SIX = datetime(2026, 5, 10, 6, 0, tzinfo=UTC)
TOMORROW = AT_SIX + timedelta(days=1)


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (AT_SIX + timedelta(minutes=10), TOMORROW),  # nothing happened
        (AT_SIX - timedelta(minutes=5), TOMORROW),  # a small correction: today's run is done
        (AT_SIX - timedelta(days=1, minutes=5), AT_SIX - timedelta(days=1)),  # a day back: it runs again
        (AT_SIX.replace(year=2020), AT_SIX.replace(year=2020)),  # years back: not in 2026 only
    ],
)
def test_a_daily_run_after_the_clock_was_set_back(now: datetime, expected: datetime) -> None:
    assert sooner_tick(DAILY, TOMORROW, AT_SIX, now) == expected


def test_before_the_first_run_nothing_is_planned_anew() -> None:
    assert sooner_tick(DAILY, TOMORROW, None, AT_SIX.replace(year=2020)) == TOMORROW
    assert sooner_tick(DAILY, None, AT_SIX, AT_SIX) is None
