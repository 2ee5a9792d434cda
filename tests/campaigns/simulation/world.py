"""One world: months of billing with faults, then a quiet tail in which everything has to settle."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from random import Random
from typing import Any

from billing.config.schema import Settings

from .api import ModelApi
from .checks import at_the_end, settled
from .clientele import ACTIVE, CANCELLED, ENDED, PAUSED, Clientele
from .letters import LetterReader
from .loop import Process, VirtualLoop
from .mailbox import ModelMailbox
from .options import Options, draw
from .persons import Persons
from .place import Place
from .records import Remote
from .store import shared_store
from .trace import Trace
from .upheavals import Upheavals
from .witness import Witness
from .worker import ModelLock, Run, live

DAY = 86_400.0
_MINUTES, _HOURS, _A_DAY = (30.0, 1200.0), (3600.0, 8 * 3600.0), (0.9 * DAY, 1.1 * DAY)
_GAPS = {
    "seconds": (((3.0, 30.0), 1.0),),
    "minutes": ((_MINUTES, 0.9), (_HOURS, 0.1)),
    "hours": ((_MINUTES, 0.4), (_HOURS, 0.4), (_A_DAY, 0.2)),
    "days": ((_MINUTES, 0.25), (_HOURS, 0.2), (_A_DAY, 0.4), ((2 * DAY, 9 * DAY), 0.15)),
    "weeks": ((_MINUTES, 0.25), (_HOURS, 0.1), (_A_DAY, 0.2), ((5 * DAY, 33 * DAY), 0.45)),
}
"""Seconds between two starts and how often they are so, by the world's tempo."""
_SPAN = {"seconds": 0.01, "minutes": 0.1, "hours": 2, "days": 15, "weeks": 60}
"""About how many days the faulty part of a world lasts."""
_SOON = 1300.0
_TAIL_GAPS = (_SOON, _SOON, DAY, _SOON, DAY, _SOON, 2 * DAY, _SOON, 4 * DAY, _SOON)
_LONGEST_TAIL = 30
_STALLS = ("", "create.before-send", "create.before-send", "list.answered", "delete.before-send")
"""Where a process is stopped; '' is anywhere."""
_POINTS = 70
"""About so many points where it may die has an ordinary run."""


@dataclass
class Copy:
    """A backup: the database, what was agreed then, and whether it is marked as a copy."""

    image: Any
    agreements: dict[str, Any]
    marked: bool


class World:
    """Everything that one seed makes. `run` lives it through and answers the violations."""

    def __init__(self, options: Options, rng: Random) -> None:
        self.options = options
        self.settings: Settings = options.settings
        self.loop = VirtualLoop()
        self.loop.set_exception_handler(self._unhandled)
        self.trace = Trace(self.loop, options.began)
        # One stream of chance for each part, all from the one seed: a part that is changed does not
        # change the luck of the others.
        streams = [Random(rng.getrandbits(64)) for _ in range(6)]
        self.rng, rng_api, rng_mail, self.rng_people, self.rng_store, self.rng_payers = streams
        self.store = shared_store()
        self.store.clear()
        self.clientele = Clientele()
        self.api = ModelApi(self.loop, options, rng_api, self.trace, self._spells())
        self.witness = Witness(self.trace, options, self.store, self.clientele, self.api)
        self.api.witness = self.witness
        resends = options.settings.mail.on_unknown == "resend"
        self.mailbox = ModelMailbox(rng_mail, self.trace, options.mail_faults, resends)
        self.mailbox.bereft = self.witness.bereft
        self.lock = ModelLock()
        self.persons = Persons(self)
        self.runs: dict[str, Run] = {}
        self.copies: list[Copy] = []
        self.calm = False
        self.restored_at: list[float] = []
        self.api.on_made = self.payer_comes
        self.place = Place(options.exclusive)
        self.upheavals = Upheavals(self)
        self.store.on_commit = lambda: None
        if options.traits.wide:
            self.letters = letters = LetterReader(self)
            self.store.on_commit = self._committed
            self.mailbox.on_accepted, self.mailbox.on_refused = letters.read, letters.refused

    def _committed(self) -> None:
        self.upheavals.committed()
        self.letters.committed()

    # Living

    def run(self) -> list[str]:
        try:
            with self.place.is_where_it_lives():
                self.loop.run_until_complete(self._live())
                self.loop.run_until_complete(self._end())
        finally:
            self.loop.close()
        return self.trace.violations

    async def _live(self) -> None:
        for number in range(self.options.foreign_records):
            self._foreign(number)
        for _ in range(self.options.subscriptions):
            self.persons.subscribe()
        for _ in range(self.options.steps):
            await asyncio.sleep(self._gap())
            await self._step()
            if self.trace.violations:
                return
        await self._quiet_tail()
        if not self.trace.violations:
            at_the_end(self)

    async def _end(self) -> None:
        """Nobody lives on: a world that ends with a violation may stop in the middle of runs."""
        for run in self.runs.values():
            run.process.kill("the end of the world")
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        if others:
            await asyncio.wait(others)

    async def _step(self) -> None:
        """A person may act, a backup may be made or come back, and then cycles are started."""
        await self.upheavals.strike()
        if self.rng.random() < 0.3:
            self._copy(marked=self.rng.random() < 0.5)
        if self.options.restores and self.rng.random() < 0.15:
            self._restore()
        if self.options.loses_all and self.may_be_restored() and self.rng.random() < 0.3:
            await self._lose_all()
        if self.rng.random() < self.options.people:
            self.loop.outside_later(self.rng.choice((0.0, 0.3, 2.0, 600.0)), self.persons.act)
        if self.options.unpaid_flips and self.rng.random() < 0.2:
            self._flip()
        for _ in range(self.rng.randint(1, self.options.processes)):
            self._start(self._fated)
            await asyncio.sleep(self.rng.choice((0.0, 0.05, 0.7, 5.0)))
        if self.options.restores and self.rng.random() < 0.3:
            self.loop.outside_later(self.rng.uniform(0, 10), self._copy, True)
        if self.options.restores and self.rng.random() < 0.15:
            self.loop.outside_later(self.rng.uniform(0, 30), self._restore)

    async def _quiet_tail(self) -> None:
        """No more faults, and time enough: what is not settled at the end never will be."""
        self.calm = self.api.calm = self.mailbox.calm = True
        self.trace.clock_is_off = 0.0
        self.trace.note("world", "the quiet tail begins")
        # An API that takes a call a second goes on doing so.
        longest = _LONGEST_TAIL * (4 if self.options.traits.throttle_per_second else 1)
        for n in range(longest):
            await asyncio.sleep(_TAIL_GAPS[n if n < len(_TAIL_GAPS) else 8 + n % 2])
            await self.persons.settle_everything()
            await asyncio.sleep(2.0)
            run = self._start(lambda _process, _run: None)
            if run is not None and run.process.task is not None:
                await asyncio.wait([run.process.task])
            if self.trace.violations or (n >= 2 and settled(self)):
                return
        self.trace.violated(f"it does not settle: {settled(self, say=True)}")

    def _gap(self) -> float:
        ranges, shares = zip(*_GAPS[self.options.tempo], strict=True)
        return self.rng.uniform(*self.rng.choices(ranges, shares)[0])

    # Starting processes

    def _start(self, fate: Callable[[Process, Run], None]) -> Run | None:
        """Start the program once; None if another cycle runs and this one ends with 75."""
        if self.options.exclusive and self.lock.taken():
            self.trace.count("runs refused: another is running (75)")
            return None
        run_id = f"r{len(self.runs) + 1}"
        process = Process(self.loop, run_id)
        run = self.runs[run_id] = Run(run_id, process)
        if not self.options.exclusive and self.options.skew:
            process.skew_seconds = self.rng.uniform(-self.options.skew, self.options.skew)
        fate(process, run)
        run.days_back = self.upheavals.days_back()
        past = f", {run.days_back} days ago" if run.days_back else ""
        self.trace.note(run_id, "starts", f"as of {self.witness.today()}{past}")
        self.trace.count("runs started")
        if self.options.exclusive:
            self.lock.holder = process
        process.start(live(self, run))
        return run

    def _fated(self, process: Process, run: Run) -> None:
        """Whether, where and how it will die, sleep, or be asked to end."""
        rng = self.rng
        if rng.random() < self.options.crashes:
            process.crash_after = rng.randint(1, rng.choice((20, _POINTS, 2 * _POINTS)))
        if rng.random() < self.options.stalls:
            process.stall_seconds = rng.choice((5.0, 40.0, 600.0, 3600.0, 20_000.0))
            process.stall_only_at = rng.choice(_STALLS)
            most = _POINTS if not process.stall_only_at else 3
            process.stall_after = rng.randint(1, most)
        if rng.random() < 0.05:
            run.stop_after = rng.randint(1, 25)

    def store_faults(self) -> float:
        return 0.0 if self.calm else self.options.store_faults

    def planned(self, as_of: date) -> None:
        """A run has planned everything that is due: from now on those periods must be charged."""
        self.follow_the_program()
        for agreement in self.clientele.agreements.values():
            if agreement.status == ACTIVE:
                agreement.through(as_of, certain=True)

    def follow_the_program(self) -> None:
        """Take over the ends that the program itself put to subscriptions, if it had to or might."""
        today = self.witness.today()
        for reference, status in self.store.rows("SELECT reference, status FROM subscriptions"):
            agreement = self.clientele.agreements.get(reference)
            if agreement is None or status == agreement.status:
                continue
            fine = False
            agreement.through(today, certain=False)
            if agreement.status == PAUSED and status in (ACTIVE, ENDED):
                fine = agreement.paused_by_program and self._paid_up(reference)
                agreement.resumed_on = today
            elif agreement.status == ACTIVE and status == ENDED:
                fine = agreement.is_over(today)
            elif agreement.status == ACTIVE and status in (PAUSED, CANCELLED):
                over = agreement.cancel_on is not None and agreement.cancel_on <= today
                fine = (status == CANCELLED and over) or self._dunned(reference)
            if not fine:
                self.trace.violated(f"{reference} became {status}, and nobody had a reason for it")
            agreement.status, agreement.paused_by_program = status, status == PAUSED

    def _dunned(self, reference: str) -> bool:
        rows = self.store.rows(
            "SELECT 1 FROM payments p JOIN subscriptions s ON s.id = p.subscription_id "
            "WHERE s.reference = ? AND p.state IN ('uncollectible', 'paid') AND p.dunning_policy IS NOT NULL",
            reference,
        )
        return bool(rows)

    def _paid_up(self, reference: str) -> bool:
        """Whether anything that dunning gave up has been paid; which of it led to the pause, stories tell."""
        rows = self.store.rows(
            "SELECT p.due_on FROM payments p JOIN subscriptions s ON s.id = p.subscription_id "
            "WHERE s.reference = ? AND p.dunning_policy IS NOT NULL AND p.state = 'paid'",
            reference,
        )
        return any(r.paid for (day,) in rows for r in self.api.by_key[f"{reference}@example.com", day])

    # Backups

    def _copy(self, marked: bool) -> None:
        """Back the database up; an unmarked copy (of the file) is only made between two runs."""
        between = not self.is_any_running()
        if not self.options.restores or not (marked or between or self.options.mid_run_copies):
            return
        self.copies.append(Copy(self.store.image(), self.clientele.snapshot(), marked))

    def is_any_running(self) -> bool:
        return any(run.process.running for run in self.runs.values())

    def _restore(self) -> None:
        """Every process is killed, and an old copy takes the database's place."""
        usable = [c for c in self.copies if c.marked or self.options.exclusive]
        if self.options.loses_all or not usable or not self.may_be_restored():
            return
        copy = self.rng.choice(usable[-4:])
        self.replace(copy.image, copy.agreements)
        if self.options.exclusive:
            self.place.file_put_back(self.trace.now())
        else:
            self.place.dump_restored()
        if copy.marked:
            self.store.raw.execute("UPDATE identity SET copied_at = '2020-01-01 00:00:00.000000'")
        self.trace.note("world", "restores a backup", "marked" if copy.marked else "known by its generation")
        self.trace.count(f"restores, {'marked' if copy.marked else 'by generation'}")

    async def _lose_all(self) -> None:
        """Nothing is left of the database and its lock; all agreements are imported into a new one.

        That takes a person longer than the API takes to show what was under way.
        """
        self.replace(None, {})
        self.lock.remembered = 0
        self.trace.note("world", "loses the database", "and what is beside it")
        self.trace.count("databases lost")
        await asyncio.sleep(2 * self.options.quiet_seconds)
        self.persons.subscribe_again()

    def may_be_restored(self) -> bool:
        return not self.calm and len(self.restored_at) < self.options.restores

    def replace(self, image: Any, agreements: dict[str, Any], *, kill: bool = True) -> None:
        """Kill every process, and put another database (None: a new one) in the place of this."""
        for run in self.runs.values():
            if kill:
                run.process.kill("the restore")
        if image is None:
            self.store.clear()
        else:
            self.store.load(image)
        self.clientele.restore(agreements)
        self.witness.last_transition = self.store.rows("SELECT coalesce(max(id), 0) FROM sim_transitions")[0][
            0
        ]
        self.mailbox.before_restore |= set(self.mailbox.accepted)
        self.restored_at.append(self.loop.time())

    # The world outside

    def _spells(self) -> list[tuple[float, float, str]]:
        spells = []
        for _ in range(self.options.spells):
            begins = self.rng.uniform(0, _SPAN[self.options.tempo] * DAY)
            lasts = self.rng.choice((600.0, 3 * 3600.0, 1.5 * DAY, 5 * DAY))
            kind = self.rng.choice(("unauthorized", "refused", "refused", "silent"))
            spells.append((begins, begins + lasts, kind))
        return spells

    def _foreign(self, number: int) -> None:
        """A recurring payment that somebody else made at the same API; one looks almost like ours."""
        from .fates import CreateBody

        name = "[RB-0000000000000000] Gold plan" if number == 0 else f"another tool's {number}"
        self.api.store(CreateBody(name, f"foreign{number}@else.example", 5_000_000, "2020-01-01"))

    def payer_comes(self, remote: Remote) -> None:
        """Most people pay, sooner or later, and one of the remote payments only."""
        if self.rng_payers.random() < self.options.payers:
            after = self.rng_payers.choice((5.0, 3600.0, DAY, 6 * DAY, 25 * DAY)) * self.rng_payers.random()
            self.loop.outside_later(after, self._pay, remote)

    def _pay(self, remote: Remote) -> None:
        live_ones = self.api.live(remote.key)
        if live_ones and not any(r.paid_at is not None for r in self.api.by_key[remote.key]):
            self.api.pay(self.rng_payers.choice(live_ones))

    def _flip(self) -> None:
        paid = [r for r in self.api.records.values() if r.live and r.paid]
        if paid:
            self.api.unpay(self.rng.choice(paid))

    def _unhandled(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if error is not None and "never retrieved" not in context.get("message", ""):
            self.trace.violated(f"unhandled: {context['message']}: {error!r}")


def make(seed: int, steps: int, **fixed: Any) -> World:
    """The world of a seed; `fixed` replaces some of its options."""
    rng = Random(seed)
    return World(draw(seed, steps, rng, **fixed), rng)


@dataclass(frozen=True)
class Outcome:
    """What a world came to. `counts` say what was really exercised in it."""

    seed: int
    violations: tuple[str, ...]
    counts: dict[str, int]
    fingerprint: str
    seconds_lived: float


def live_through(seed: int, steps: int, **fixed: Any) -> Outcome:
    """Make a world, run it, and forget it."""
    world = make(seed, steps, **fixed)
    violations = world.run()
    return Outcome(seed, tuple(violations), dict(world.trace.counts), fingerprint(world), world.loop.time())


def fingerprint(world: World) -> str:
    """Of everything that happened, and of how the database ended."""
    store = world.store
    return world.trace.fingerprint(
        store.rows("SELECT marker, state, cause, attention, remote_id, attempts FROM payments ORDER BY id"),
        store.rows("SELECT dedupe_key, state, tries FROM notices ORDER BY id"),
        sorted(world.mailbox.accepted.items()),
    )


def quick_collection() -> None:
    """Worlds make few cycles of references: collect rarely."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
