"""APScheduler, kept on a short lead: one job, in UTC, run by the very thread that waits for it.

Due-ness comes from the database alone, so the scheduler only has to start cycles:
never two at once, and never none.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from apscheduler.events import (  # type: ignore[import-untyped]
    EVENT_JOB_ERROR,
    EVENT_JOB_MAX_INSTANCES,
    EVENT_JOB_MISSED,
)
from apscheduler.executors.debug import DebugExecutor  # type: ignore[import-untyped]
from apscheduler.schedulers.base import STATE_STOPPED  # type: ignore[import-untyped]
from apscheduler.schedulers.blocking import BlockingScheduler  # type: ignore[import-untyped]
from apscheduler.triggers.cron import CronTrigger  # type: ignore[import-untyped]
from apscheduler.triggers.interval import IntervalTrigger  # type: ignore[import-untyped]

from billing.config.cron import Cron, parse_cron
from billing.config.schema import Schedule

logger = logging.getLogger("billing.daemon")

_JOB = "cycle"
_LOST = {
    EVENT_JOB_ERROR: ("error", "the scheduler could not run a tick"),
    EVENT_JOB_MISSED: ("missed", "the scheduler missed a tick"),
    EVENT_JOB_MAX_INSTANCES: ("skipped", "the scheduler skipped a tick: the previous one is still running"),
}


def trigger_for(schedule: Schedule) -> Any:
    """The trigger of a schedule; in UTC, where no hour is missing and none occurs twice."""
    if not schedule.cron:
        return IntervalTrigger(seconds=schedule.every_minutes * 60, timezone=UTC)
    cron: Cron = parse_cron(schedule.cron)

    def listed(numbers: tuple[int, ...]) -> str:
        return ",".join(map(str, numbers))

    # Numbers of weekdays mean different days to APScheduler (0 is Monday) than to cron (0 is Sunday).
    weekdays = ",".join(_WEEKDAYS[number] for number in cron.weekdays)
    return CronTrigger(
        minute=listed(cron.minutes),
        hour=listed(cron.hours),
        day=listed(cron.days),
        month=listed(cron.months),
        day_of_week=weekdays,
        timezone=UTC,
    )


_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")


class CycleScheduler(BlockingScheduler):  # type: ignore[misc]
    """Runs `tick` at once and then by the schedule, in the thread that called `start`.

    `wait(seconds)` is called in between, and may return early as often as it likes: the
    clock is checked again each time, so that a jump of it is noticed. `on_lost(event)` is called for every
    scheduler event that means lost work: missed, skipped or error.

    A tick that is due while another runs runs right after it, and several that were slept through run
    as one.
    """

    def __init__(
        self,
        schedule: Schedule,
        tick: Callable[[], None],
        wait: Callable[[float], None],
        on_lost: Callable[[str], None],
    ) -> None:
        super().__init__(timezone=UTC, executors={"default": DebugExecutor()})
        self._wait = wait
        self._on_lost = on_lost
        self._last_at: datetime | None = None
        self._tick = tick
        self._job = self.add_job(
            self._run,
            trigger_for(schedule),
            id=_JOB,
            next_run_time=datetime.now(UTC),
            misfire_grace_time=None,
            coalesce=True,
            max_instances=1,
        )
        self.add_listener(self._lost, EVENT_JOB_ERROR | EVENT_JOB_MISSED | EVENT_JOB_MAX_INSTANCES)

    def follow(self, schedule: Schedule) -> None:
        """Use another schedule from now on."""
        self._job.reschedule(trigger_for(schedule))

    @property
    def next_at(self) -> datetime | None:
        """When the next tick is planned, aware UTC."""
        planned: datetime | None = getattr(self._job, "next_run_time", None)
        return planned

    def _main_loop(self) -> None:
        while self.state != STATE_STOPPED:
            self._mind_the_clock()
            seconds = self._process_jobs()
            if self.state != STATE_STOPPED:
                self._wait(seconds if seconds is not None else 60.0)

    def _run(self) -> None:
        self._last_at = datetime.now(UTC)
        self._tick()

    def _mind_the_clock(self) -> None:
        """If the clock was set back, the planned time may be absurdly far ahead: plan again."""
        planned = self.next_at
        sooner = sooner_tick(self._job.trigger, planned, self._last_at, datetime.now(UTC))
        if sooner != planned:
            logger.warning("the system clock was set back; the next tick is now planned for %s", sooner)
            self._job.modify(next_run_time=sooner)

    def _lost(self, event: Any) -> None:
        name, words = _LOST[event.code]
        self._on_lost(name)
        logger.error("%s", words)


def sooner_tick(
    trigger: Any, planned: datetime | None, last_at: datetime | None, now: datetime
) -> datetime | None:
    """When the next tick should come: as planned, unless the clock was set back since; pure.

    A tick is never further away than one step of its trigger. One that already ran before a small
    correction of the clock does not run again.
    """
    if planned is None or last_at is None or planned <= now:
        return planned
    if isinstance(trigger, IntervalTrigger):
        step: timedelta = trigger.interval
        return min(planned, now + step)
    first: datetime = trigger.get_next_fire_time(None, now)
    if first >= planned:
        return planned
    second: datetime = trigger.get_next_fire_time(first, first + timedelta(microseconds=1))
    return second if first <= last_at < second else first
