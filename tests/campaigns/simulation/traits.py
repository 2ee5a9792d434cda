"""The wide world: what an API, a disk, a clock and people may also be like, trait by trait.

Every trait is off in the narrow world. A wide world has some of them, each drawn by the seed and the
trait's own name alone, so that a new trait changes the luck of no other.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, fields, replace
from random import Random
from typing import Any

GATEWAY_RESETS = True
"""Whether the real client resets a connection that it gives up, so that nothing arrives later."""

LATER = {
    "clock_jumps": "nothing promised survives a jump yet: it needs the API's Date header as a second clock",
}
"""Traits and oracles whose mending belongs to later work, and why; `--later NAME` switches one on."""


@dataclass(frozen=True, slots=True)
class Traits:
    """What is unusual about a world. Everything off is the narrow world."""

    name_cut: int = 0
    """The API keeps so many characters of a name."""
    name_chars: str = ""
    """It can't store characters of four bytes: it `cut`s there, or `strip`s them."""
    name_escaped: bool = False
    """It stores a name as HTML."""
    name_case: str = ""
    """It stores a name in `lower`, `upper` or `title` case."""
    status_spelling: str = ""
    """`upper` or `title`: how it writes paid and unpaid."""
    status_words: float = 0.0
    """The share of records that show another word, or null, for a time."""
    deletes_ignored: float = 0.0
    """The share of deletes that it answers with 200, and does nothing."""
    gets_late: float = 0.0
    """For so many seconds a new record is not found by its id."""
    list_by: str = ""
    """The list stands in the order of `due` or `changed`, oldest or newest first."""
    plain_cap: int = 0
    """A round cap, whatever it hides."""
    stale_status: float = 0.0
    """For so many days the list goes on showing what a record's status was; a single get does not."""
    tenant: float = 0.0
    """The share of our due dates for which another database of this business has one of the same marker."""
    namespaced: bool = False
    """Ours has a namespace of its own: no marker of another database is ever ours."""
    late_bytes: float = 0.0
    """The share of creates that the kernel keeps and delivers after the client gave up."""
    folder_restores: str = ""
    """A whole folder is put back, what remembers beside the database included: see `place.py`."""
    failovers: bool = False
    """A standby that lacks the last commits is promoted."""
    changing_terms: bool = False
    """Imports change anchor, interval, price, plan and e-mail at any moment."""
    bare_imports: bool = False
    """Imports lack the optional columns."""
    mangled_imports: bool = False
    """A spreadsheet takes the leading zeros off the references."""
    past_as_of: bool = False
    """Now and then a cycle is run as of a past day."""
    read_committed: bool = False
    """A worker's commit may come between a person's read and write, as PostgreSQL allows."""
    shared_brakes: bool = False
    """Several workers, and a limit that they share."""
    throttle_per_second: float = 0.0
    """The API takes so many calls a second, and answers 429 or 503 beyond."""
    partial_payments: float = 0.0
    """The share of records whose amount somebody changes before it is paid."""
    renewals: str = ""
    """A record becomes unpaid by itself after its interval, and its date moves on: at `midnight` or `late`;
    `all`: not only the paid ones; `deaf`: whatever becomes of its interval; `moves`: its date moves on as
    soon as it is paid."""
    long_history: int = 0
    """So many records of years past stand in the list."""
    clock_jumps: bool = False
    """The machine's clock jumps by minutes to hours, and back."""
    ladder: bool = False
    """Oracle: nobody is paused or cancelled without an overdue notice before."""
    says: bool = False
    """Oracle: the report, its exit code and the needs are right."""
    wide: bool = False
    """Any trait is possible here: the oracles of the wide world hold."""

    @property
    def blurs(self) -> bool:
        """Whether what the API shows can keep a create from being proved, so that it may be parked."""
        blurred = self.bends_names or self.gets_late or self.changing_terms or self.partial_payments
        stranger = self.tenant and not self.namespaced
        return bool(blurred or self.status_words or self.status_spelling or stranger or self.plain_cap)

    @property
    def bends_names(self) -> bool:
        return bool(self.name_cut or self.name_chars or self.name_escaped or self.name_case)

    def named(self) -> dict[str, Any]:
        """Those that are on."""
        return {f.name: value for f in fields(self) if (value := getattr(self, f.name))}


@dataclass(frozen=True)
class Trait:
    """How often a wide world has a trait, and how its strength is drawn."""

    share: float
    draw: Callable[[Random], Any]
    finding: str = ""


def _yes(_rng: Random) -> bool:
    return True


def _one_of(*values: Any) -> Callable[[Random], Any]:
    return lambda rng: rng.choice(values)


_RENEWALS = ("midnight", "midnight all", "late", "late all", "deaf", "deaf all", "moves", "moves deaf")
_ORDERS = ("due_newest", "due_oldest", "changed_newest", "changed_oldest", "random")

TRAITS: dict[str, Trait] = {
    "name_cut": Trait(0.08, lambda rng: rng.choice((64, 64, 32, rng.randint(4, 90))), "1"),
    "name_chars": Trait(0.06, _one_of("cut", "strip"), "1"),
    "name_escaped": Trait(0.06, _yes, "1"),
    "name_case": Trait(0.06, _one_of("lower", "upper", "title"), "1"),
    "status_spelling": Trait(0.08, _one_of("upper", "title"), "5"),
    "status_words": Trait(0.08, _one_of(0.2, 0.6), "5"),
    "deletes_ignored": Trait(0.08, _one_of(0.3, 0.9), "20"),
    "gets_late": Trait(0.08, _one_of(20.0, 60.0), "20"),
    "list_by": Trait(0.12, _one_of(*_ORDERS), "6"),
    "plain_cap": Trait(0.12, _one_of(10, 10, 20, 25, 50), "6"),
    "stale_status": Trait(0.06, _one_of(2.0, 9.0, 30.0), "21"),
    "tenant": Trait(0.08, _one_of(0.3, 0.8), "4"),
    "namespaced": Trait(0.2, _yes, "4"),
    "late_bytes": Trait(0.06, _one_of(0.2, 0.5), "10"),
    "folder_restores": Trait(0.08, _one_of("inode", "ctime", "snapshot"), "2"),
    "failovers": Trait(0.08, _yes, "3"),
    "changing_terms": Trait(0.12, _yes, "7, 8, 16"),
    "bare_imports": Trait(0.06, _yes, "17"),
    "mangled_imports": Trait(0.06, _yes, "9"),
    "past_as_of": Trait(0.06, _yes, "22"),
    "read_committed": Trait(0.06, _yes, "23"),
    "shared_brakes": Trait(0.06, _yes, "24"),
    "throttle_per_second": Trait(0.1, _one_of(2.0, 5.0), "14"),
    "partial_payments": Trait(0.1, _one_of(0.2, 0.6), "15"),
    "renewals": Trait(0.1, _one_of(*_RENEWALS), "-"),
    "long_history": Trait(0.05, _one_of(300, 2000), "25"),
    "clock_jumps": Trait(0.1, _yes, "-"),
    "ladder": Trait(1.0, _yes, "11"),
    "says": Trait(1.0, _yes, "13, 26"),
}


def draw_traits(
    seed: int, *, wide: bool, only: Collection[str] = (), later: Collection[str] = (), **fixed: Any
) -> Traits:
    """The traits of a seed: those of `only`, and in a `wide` world some of the others.

    `later` adds to the wide world what is not expected to hold yet; `fixed` sets a trait's strength.
    """
    drawn: dict[str, Any] = {}
    for name, trait in TRAITS.items():
        rng = Random(f"{seed} {name}")
        chance = rng.random()
        possible = wide and (name not in LATER or name in later)
        if name in only or (possible and chance < trait.share):
            drawn[name] = trait.draw(rng)
    chosen = Traits(**drawn | fixed)
    return replace(chosen, wide=wide or bool(chosen.named()))
