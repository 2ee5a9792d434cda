"""What befalls the machines of a wide world: folders put back, standbys promoted, another tenant."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from random import Random
from typing import TYPE_CHECKING, Any

from billing.core.markers import marker_for, name_with_marker

from .clientele import Agreement
from .fates import CreateBody

if TYPE_CHECKING:
    from .world import World

_REPLICATED = 0.12
"""How often a commit reaches the standby before the next one: it lags."""
_JUMPS = (-3 * 3600.0, -600.0, 600.0, 3600.0, 5 * 3600.0)
_HORIZON = 40
"""For so many due dates the other tenant has payments."""


@dataclass
class Standby:
    """A copy of the database that lags behind by some commits."""

    image: Any
    agreements: dict[str, Agreement]


class Upheavals:
    """They have luck of their own, so that the narrow world stays what it was."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.traits = world.options.traits
        self.rng = Random(f"{world.options.seed} upheavals")
        self.standby: Standby | None = None
        self.folder: Standby | None = None
        self.remembered = 0

    async def strike(self) -> None:
        """Before the cycles of a step."""
        if self.traits.folder_restores:
            await self._folder()
        if self.traits.clock_jumps and self.rng.random() < 0.3:
            self._jump()
        if self.traits.failovers and self.rng.random() < 0.3:
            self.world.loop.outside_later(self.rng.uniform(0.0, self.rng.choice((2.0, 20.0))), self._promote)

    def _jump(self) -> None:
        """The machine's clock goes wrong, or is put right."""
        clock = self.world.trace
        clock.clock_is_off = 0.0 if clock.clock_is_off else self.rng.choice(_JUMPS)
        clock.note("world", "the clock jumps", f"it is off by {clock.clock_is_off:.0f} s now")
        clock.count("clock jumps")

    def days_back(self) -> int:
        """As of how many days ago the next cycle is run; 0: today."""
        if not self.traits.past_as_of or self.world.calm or self.rng.random() < 0.7:
            return 0
        return self.rng.choice((1, 3, 20, 45))

    # A whole folder

    async def _folder(self) -> None:
        world = self.world
        if world.is_any_running() or not self._remembers_its_home():
            return
        if self.folder is not None and world.may_be_restored() and self.rng.random() < 0.35:
            await self._put_back(self.folder)
        elif self.folder is None or self.rng.random() < 0.3:
            self.folder = Standby(world.store.image(), world.clientele.snapshot())
            self.remembered = world.lock.remembered

    def _remembers_its_home(self) -> bool:
        """Before its first run it does not: a copy from then is like a `snapshot`, of which the list alone
        can tell."""
        how = self.traits.folder_restores
        return how == "snapshot" or self.world.store.rows("SELECT home FROM identity") != [("",)]

    async def _put_back(self, folder: Standby) -> None:
        """The database, and whatever remembers beside it, as they were."""
        how, world = self.traits.folder_restores, self.world
        world.replace(folder.image, folder.agreements)
        world.lock.remembered = self.remembered
        world.place.put_back(how, world.trace.now())
        world.trace.note("world", "puts the whole folder back", how)
        world.trace.count(f"folders put back: {how}")
        if how == "snapshot":  # nothing tells of it but the list: and that must have had time to know
            await asyncio.sleep(2 * world.options.quiet_seconds)

    # A standby

    def committed(self) -> None:
        """A transaction was committed on the primary: it may have reached the standby, or not yet."""
        if self.traits.failovers and (self.standby is None or self.rng.random() < _REPLICATED):
            self.standby = Standby(self.world.store.image(), self.world.clientele.snapshot())

    def agreed(self, before: Standby | None) -> None:
        """A person has done something: if it reached the standby, so did what was agreed by it."""
        if self.standby is not None and self.standby is not before:
            self.standby.agreements = self.world.clientele.snapshot()

    def _promote(self) -> None:
        """The primary is gone; runs lose their connection, or get another one and never know."""
        world = self.world
        if self.standby is None or not world.may_be_restored():
            return
        lost = self.rng.random() < 0.5
        world.replace(self.standby.image, self.standby.agreements, kill=False)
        world.place.promoted()
        world.store.renew_connections()
        for run in world.runs.values():
            if run.process.running:
                run.survived_failover = True
                world.witness.bereft.add(run.run_id)
                run.connection_lost = lost
        self.standby = None
        world.trace.note("world", "promotes the standby", "connections are lost" if lost else "")
        world.trace.count("standbys promoted")

    # Another tenant

    def settle_in(self, agreement: Agreement) -> None:
        """Another database of this business has a subscription of the same reference."""
        if not self.traits.tenant:
            return
        for n in range(_HORIZON):
            due_on = agreement.due_on(n)
            if self.rng.random() < self.traits.tenant:
                self._at(due_on, self._tenant_charges, agreement.reference, due_on)

    def _at(self, day: date, act: Callable[..., None], *arguments: Any) -> None:
        """Some time around a day, if that is to come."""
        midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
        seconds = (midnight - self.world.trace.now()).total_seconds() + self.rng.uniform(-1.0, 2.0) * 86_400
        if seconds >= 0:
            self.world.loop.outside_later(seconds, act, *arguments)
        elif seconds > -3 * 86_400:
            act(*arguments)

    def _tenant_charges(self, reference: str, due_on: date) -> None:
        world = self.world
        if world.calm:
            return
        name = name_with_marker("Silver plan", marker_for(reference, due_on))
        amount = self.rng.choice((5_000_000, 42_000_000))
        body = CreateBody(name, f"tenant.{reference}@else.example", amount, due_on.isoformat())
        remote = world.api.store(body)
        remote.tenant = True
        world.trace.note("tenant", f"made {remote.remote_id}", f"{reference} {due_on}")
        world.trace.count("payments of another tenant with our marker")
        world.payer_comes(remote)

    def tenant_yields(self) -> None:
        """In the quiet tail the other tenant gives its records other markers, as a person arranges."""
        for remote in self.world.api.records.values():
            if remote.tenant:
                remote.name = "Silver plan"
