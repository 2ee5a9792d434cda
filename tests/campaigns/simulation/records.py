"""What the model of the API keeps: remote payments, and the requests that made them."""

from __future__ import annotations

from dataclasses import dataclass, field

from .fates import Shown

Key = tuple[str, str]
"""What a create is for, without the program's marker: whose it is (`person`) and the due date."""


BY_HAND = "person, by hand"
"""Who deletes on the API's own page, and not through the program."""


def person(email: str) -> str:
    """Who that is at every address: what stands before the @ is a subscription's reference."""
    return f"{email.partition('@')[0]}@example.com"


@dataclass(slots=True)
class Remote:
    """A remote payment. The times are the loop's."""

    remote_id: str
    key: Key
    name: str
    email: str
    amount_micros: int
    made_at: float
    wire: int
    """The number of the request that made it; 0: not made by the program."""
    paid_at: float | None = None
    part_paid: bool = False
    """Somebody changed its amount there, and paid that."""
    unpaid_again_at: float | None = None
    deleted_at: float | None = None
    deleted_by: str = ""
    seen_unpaid_at: float = -1.0
    """When a single get last showed it as unpaid."""
    tenant: bool = False
    """Another database of the same business made it."""
    interval_days: int = 30
    charged_days: int = 30
    """How long the period is that it charges."""
    due_on: str = ""
    """What it shows as its date: moved on if it renewed itself."""
    earlier: list[tuple[float, str, int, str]] = field(default_factory=list)
    """What it was: until when, its name, amount and date."""
    patched_at: float = 0.0
    timer: int = 0
    """The number of the timer that may renew it: a changed interval sets another one."""
    taken: bool = False
    """It stood for an earlier period before."""
    handed_on: bool = False
    """The history of a record that stands for a later period now."""
    word: tuple[float, float, str | None] | None = None
    """From when until when it shows another word than paid or unpaid, and which."""
    looked_at: dict[str, float] = field(default_factory=dict)
    """When each run last asked for it by its id."""

    @property
    def live(self) -> bool:
        return self.deleted_at is None

    @property
    def paid(self) -> bool:
        return self.paid_at is not None and self.unpaid_again_at is None

    def shown(self, at: float) -> Shown | None:
        """How it looked at an instant, or None if it was not there."""
        if self.made_at > at or (self.deleted_at is not None and self.deleted_at <= at):
            return None
        paid = self.was_paid(at)
        status = "paid" if paid else "unpaid"
        now = (float("inf"), self.name, self.amount_micros, self.due_on or self.key[1])
        _, name, amount, due_on = next(was for was in (*self.earlier, now) if was[0] > at)
        return Shown(self.remote_id, name, self.email, amount, paid, status, due_on, self.interval_days)

    def changes(self, at: float) -> None:
        """What it shows until now is its past; a list that lags goes on showing that."""
        self.earlier.append((at, self.name, self.amount_micros, self.due_on or self.key[1]))

    def was_paid(self, at: float) -> bool:
        if self.unpaid_again_at is not None and self.unpaid_again_at <= at:
            return False
        return self.paid_at is not None and self.paid_at <= at

    @property
    def changed_at(self) -> float:
        return max(self.made_at, self.paid_at or 0.0, self.unpaid_again_at or 0.0, self.patched_at)


@dataclass(slots=True)
class Wire:
    """One create request whose bytes left a process."""

    number: int
    key: Key
    sent_at: float
    run_id: str
    fate: str
    commits_due: int = 0
    """How many times it will yet take effect."""
