"""One run of the real cycle in a modelled process, as billing.app.runtime.run_once makes it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from billing.app.runtime import notice_restore, remember
from billing.cycle.context import Context
from billing.cycle.cycle import run_cycle
from billing.cycle.report import Report
from billing.errors import StoreError
from billing.store.lock import CycleLock

from .gateway import ModelGateway
from .loop import Crash, Process
from .mailbox import ModelTransport, PlainRenderer
from .store import InjectedFault, ProcessDatabase

if TYPE_CHECKING:
    from .world import World


@dataclass
class ModelLock(CycleLock):
    """The lock beside the SQLite file: who holds it, and the generation that it remembers.

    The kernel gives the lock back when its process dies; what is remembered stays.
    """

    holder: Process | None = None
    remembered: int = 0

    def taken(self) -> bool:
        return self.holder is not None and self.holder.running

    def generation(self) -> int:
        return self.remembered

    def remember(self, generation: int) -> None:
        self.remembered = generation


@dataclass
class Run:
    """One start of the program: how it ended, and what may have gone wrong with it."""

    run_id: str
    process: Process
    stop_after: int = 0
    """After so many questions it is told that it was asked to end; 0: never."""
    days_back: int = 0
    """It is started as of a day that is so long past."""
    began: float = 0.0
    ended: float = float("inf")
    survived_failover: bool = False
    """It began before a standby was promoted, and went on."""
    connection_lost: bool = False
    """Its next use of the database fails."""
    report: Report | None = None
    failed: bool = False

    @property
    def troubled(self) -> bool:
        """Whether it died, slept, failed, or has not ended: what it left behind may be unknown."""
        return (
            self.process.dead
            or self.process.stalls > 0
            or self.failed
            or self.report is None
            or self.survived_failover
        )

    @property
    def was_stopped(self) -> bool:
        return self.stop_after == 1

    def loses_connection(self) -> bool:
        lost, self.connection_lost = self.connection_lost, False
        return lost

    def stopping(self) -> bool:
        """Whether it was asked to end: from the `stop_after`-th question on."""
        if self.stop_after > 1:
            self.stop_after -= 1
            return False
        return self.stop_after == 1


async def live(world: World, run: Run) -> None:
    """The life of one process. Returns when it ends or has died."""
    run.began = world.loop.time()
    try:
        await _live(world, run)
    finally:
        run.ended = world.loop.time()


async def _live(world: World, run: Run) -> None:
    trace, process = world.trace, run.process
    try:
        run.report = await _cycle(world, run)
    except (Crash, asyncio.CancelledError):
        if not process.dead:
            raise
        trace.note(run.run_id, "died", f"at {process.died_at}")
        trace.count(f"crash at {_kind(process.died_at)}")
        return
    except StoreError as error:
        run.failed = True
        if isinstance(error, InjectedFault):
            trace.count("runs that the database failed")
        elif run.survived_failover:
            trace.count("runs that noticed another database")
        else:
            trace.violated(f"run {run.run_id} failed with {error}")
        trace.note(run.run_id, "failed", str(error))
        return
    except Exception as error:
        run.failed = True
        trace.violated(f"run {run.run_id} failed with {type(error).__name__}: {error}")
        return
    _finished(world, run, run.report)


async def _cycle(world: World, run: Run) -> Report:
    process, options = run.process, world.options
    timeout = options.settings.mileston.timeout_seconds
    db = ProcessDatabase(world.store, process, world.witness, world.rng_store, world.store_faults())
    db.is_connection_lost = run.loses_connection
    lock = world.lock if options.exclusive else None
    skew = timedelta(seconds=process.skew_seconds)

    def clock() -> datetime:
        return world.trace.now() + skew

    today = world.witness.today()
    as_of = today - timedelta(days=run.days_back)
    notice_restore(db, lock, today, world.trace.now())

    def checkpoint(name: str) -> None:
        if name == "plan.done" and not process.dead and not run.was_stopped:
            world.planned(as_of)
        process.point(name)

    ctx = Context(
        db=db,
        gateway=ModelGateway(world.api, process, world.witness, run.run_id, timeout, clock),
        transport=ModelTransport(world.mailbox, process),
        renderer=PlainRenderer(),
        settings=world.settings,
        run_id=run.run_id,
        as_of=as_of,
        clock=clock,
        report=Report(run.run_id, as_of),
        exclusive=options.exclusive,
        stopping=run.stopping,
        checkpoint=checkpoint,
    )
    report = await run_cycle(ctx)
    remember(db, lock)
    return report


def _finished(world: World, run: Run, report: Report) -> None:
    from .says import heard

    trace = world.trace
    counts = {
        name: getattr(report, name)
        for name in ("due", "created", "adopted", "not_sent", "rejected", "unknown", "held", "paid")
    }
    shown = " ".join(f"{name}={count}" for name, count in counts.items() if count)
    problems = "; ".join(report.problems)
    trace.note(run.run_id, f"ended {report.outcome}", f"{shown} {report.stopped} {problems}".strip())
    trace.count(f"runs ended {report.outcome}")
    for name, count in counts.items():
        trace.count(f"reported {name}", count)
    if run.process.stalls:
        trace.count("runs that slept and went on")
    heard(world, run)
    if not report.conserved():
        trace.violated(f"the counts of run {run.run_id} do not add up: {shown}")


def _kind(where: str) -> str:
    """The crash point without its step."""
    return where.rpartition(".")[2] if where.endswith(".done") else where
