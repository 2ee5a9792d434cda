"""Imports that people make in a wide world: changed terms, missing columns, what a spreadsheet mangled.

What must follow from each is the second opinion in `clientele.Agreement.change`.
"""

from __future__ import annotations

import copy
import io
from collections.abc import Callable
from datetime import date, timedelta
from random import Random
from typing import TYPE_CHECKING

from billing.app.importing import import_csv
from billing.errors import ImportRejected, UsageError

from .clientele import ACTIVE, Agreement

if TYPE_CHECKING:
    from .world import World

_REQUIRED = ("reference", "plan", "name", "email", "amount", "interval", "starts_on")
_OPTIONAL = ("bill_from", "ends_on")
_INTERVALS = ((1, "month"), (30, "day"), (2, "week"), (10, "day"), (3, "month"), (1, "year"))
_CHARGED = ("planned", "sending", "open", "unknown", "parked", "held", "paid")


class TermsDesk:
    """Who exports, edits and imports. Imports go through the program's own reading of CSV."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.traits = world.options.traits
        self.rng = Random(f"{world.options.seed} terms")

    def acts(self) -> list[Callable[[], None]]:
        """What a person of this world may do besides all that people always do."""
        acts: list[Callable[[], None]] = []
        if self.traits.changing_terms:
            acts += [self.change_terms] * 8
        if self.traits.bare_imports:
            acts += [self.import_without_columns] * 5
        if self.traits.mangled_imports:
            acts += [self.import_mangled] * 5
        if self.traits.list_by:
            acts += [self.subscribe_back_dated] * 10
        if self.traits.read_committed:
            acts += [self.world.persons.cancel] * 20
        if self.traits.deletes_ignored:
            acts += [self.world.persons.void] * 30
        return acts

    def subscribe_back_dated(self) -> None:
        """Somebody joins with a first period that began long ago: one payment, with an old date."""
        agreement = self.world.persons.subscriber()
        agreement.count, agreement.unit = 1, "year"
        agreement.anchor_on = self.world.witness.today() - timedelta(days=self.rng.randint(30, 200))
        agreement.bill_from = agreement.ends_on = None
        self.world.persons.join(agreement)

    def change_terms(self) -> None:
        """The same reference with another price, day, interval, address or plan."""
        agreement = self._any()
        if agreement is None:
            return
        new = copy.deepcopy(agreement)
        what = self.rng.choice(("price", "price", "anchor", "interval", "interval", "address", "plan"))
        if what == "price":
            new.amount_micros = self.rng.choice((7_000_000, 12_000_000, 25_500_000))
        elif what == "anchor":
            new.anchor_on = agreement.anchor_on + timedelta(days=self.rng.choice((-3, 2, 5, 11)))
        elif what == "interval":
            new.count, new.unit = self.rng.choice(_INTERVALS)
        elif what == "address":
            new.domain = self.rng.choice(("new.example", "other.example"))
        else:
            new.plan = f"{self.rng.choice(('Silver', 'Iron'))} plan"
        today = self.world.witness.today()
        agreement.through(today, certain=False)
        if not self._import([new], _REQUIRED + _OPTIONAL, f"changes the {what}"):
            return
        if what in ("anchor", "interval"):
            charged = self._charged_through(agreement)
            agreement.recalendar(new, today, charged)
        agreement.amount_micros, agreement.domain, agreement.plan = new.amount_micros, new.domain, new.plan
        agreement.changed_at = self.world.trace.now()

    def import_without_columns(self) -> None:
        """A file that lacks the columns which some subscriptions need not have: nothing changes."""
        agreement = self._any()
        if agreement is not None:
            agreement.through(self.world.witness.today(), certain=False)
            self._import([agreement], _REQUIRED, "imports without the optional columns")

    def import_mangled(self) -> None:
        """The export went through a spreadsheet: the references lost their leading zeros."""
        agreement = self._any()
        if agreement is not None:
            mangled = copy.deepcopy(agreement)
            mangled.reference = agreement.reference.lstrip("0")
            self._import([mangled], _REQUIRED + _OPTIONAL, "imports what a spreadsheet mangled")

    def _any(self) -> Agreement | None:
        """One whose calendar goes on: changes of others have no rule that all would agree on."""
        found = [
            agreement
            for agreement in self.world.clientele.agreements.values()
            if agreement.status == ACTIVE and agreement.cancel_on is None and agreement.resumed_on is None
        ]
        return self.rng.choice(found) if found else None

    def _charged_through(self, agreement: Agreement) -> date | None:
        """The last day that is charged, by the payments' states and the terms that they were made by."""
        marks = ", ".join("?" for _ in _CHARGED)
        rows = self.world.store.rows(
            "SELECT p.due_on FROM payments p JOIN subscriptions s ON s.id = p.subscription_id "
            f"WHERE s.reference = ? AND p.state IN ({marks})",
            agreement.reference,
            *_CHARGED,
        )
        return max((agreement.last_day_of(date.fromisoformat(row[0])) for row in rows), default=None)

    def _import(self, agreements: list[Agreement], columns: tuple[str, ...], what: str) -> bool:
        """Whether the program took the file."""
        world = self.world
        lines = [",".join(columns), *(",".join(_cells(each, columns)) for each in agreements)]
        file = io.BytesIO("\n".join(lines).encode())
        try:
            import_csv(world.persons.db, file, world.settings, world.trace.now(), "person:import")
        except (ImportRejected, UsageError) as error:
            world.trace.note("person", f"{what}, in vain", f"{agreements[0].reference}: {error}")
            world.trace.count(f"person {what}: refused")
            return False
        world.trace.note("person", what, f"{agreements[0]}")
        world.trace.count(f"person {what}")
        return True


def _cells(agreement: Agreement, columns: tuple[str, ...]) -> list[str]:
    plural = "" if agreement.count == 1 else "s"
    cells = {
        "reference": agreement.reference,
        "plan": f'"{agreement.plan}"',
        "name": "Sam Subscriber",
        "email": agreement.address,
        "amount": f"{agreement.amount_micros // 1_000_000}.{agreement.amount_micros % 1_000_000:06}",
        "interval": f"{agreement.count} {agreement.unit}{plural}",
        "starts_on": agreement.anchor_on.isoformat(),
        "bill_from": agreement.bill_from.isoformat() if agreement.bill_from else "",
        "ends_on": agreement.ends_on.isoformat() if agreement.ends_on else "",
    }
    return [cells[column] for column in columns]
