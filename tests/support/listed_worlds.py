"""Records as they truly are, and what a server of some order and cap shows of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from billing.core.coverage import CoverageProof, KnownRemote
from billing.core.outcomes import RemotePayment, RemoteStatus
from billing.core.reconciling import LostCreate

T0 = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
DAY0 = date(2026, 3, 1)
SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
QUIET = 5 * MINUTE
MARKER = "RB-0123456789ABCDEF"
ASKED = T0 + 10_000 * MINUTE
SETTLED = ASKED - QUIET


@dataclass(frozen=True)
class Real:
    """A record as it truly is. Times are minutes after T0, `due` days after DAY0.

    `ours`: its id is known. `booked`: so is that it was paid. `touched`: somebody changed it, silently.
    `paid_lately`: it was paid a minute before the list was asked for, which shows nothing of it yet.
    """

    name: str
    made: float
    due: int = 0
    paid: float | None = None
    touched: float | None = None
    paid_lately: bool = False
    ours: bool = True
    booked: bool = True
    slack: float = 0.0

    @property
    def changed(self) -> float:
        return max(self.made, self.paid or 0, self.touched or 0)

    @property
    def remote(self) -> RemotePayment:
        status = RemoteStatus.UNPAID if self.paid is None else RemoteStatus.PAID
        due_on = DAY0 + timedelta(days=self.due)
        return RemotePayment(self.name, MARKER if self.ours else None, 1, "z@example.org", status, due_on)

    @property
    def known(self) -> KnownRemote:
        """What an honest database holds of it. Of a change by others it holds nothing."""
        from_at, by_at = T0 + (self.made - self.slack) * MINUTE, T0 + (self.made + self.slack) * MINUTE
        due_on = DAY0 + timedelta(days=self.due)
        if self.paid_lately:
            seen = ASKED - 2 * MINUTE
            return KnownRemote(from_at, by_at, due_on, seen, ASKED - MINUTE, unpaid_at=seen, paid=True)
        if self.paid is None or not self.booked:
            unpaid_at = None if self.paid is None else T0 + max(self.made, self.paid - 1) * MINUTE
            return KnownRemote(from_at, by_at, due_on, from_at, by_at, unpaid_at=unpaid_at)
        seen, paid_at = T0 + max(self.made, self.paid - 1) * MINUTE, T0 + (self.paid + 1) * MINUTE
        return KnownRemote(from_at, by_at, due_on, seen, paid_at, unpaid_at=seen, paid=True)


Key = Callable[[Real], float]
SortKey = Key | Callable[[Real], tuple[float, float]]
ORDERS: dict[str, Key] = {
    "newest first": lambda real: -real.made,
    "oldest first": lambda real: real.made,
    "latest due date first": lambda real: -real.due,
    "earliest due date first": lambda real: real.due,
    "latest change first": lambda real: -real.changed,
    "earliest change first": lambda real: real.changed,
}


def lost_create(real: Real) -> LostCreate:
    began = T0 + real.made * MINUTE
    return LostCreate(
        1, "z@example.org", began, began + MINUTE, 0, None, 0, due_on=DAY0 + timedelta(days=real.due)
    )


def read(
    world: Iterable[Real], key: SortKey, limit: int, cap: int | None = None, lost: Real | None = None
) -> tuple[CoverageProof, list[Real]]:
    """What a server with this order and this cap shows, and what is concluded from it."""
    records = [*world, *([lost] if lost is not None else [])]
    listed = sorted(records, key=key)[: min(limit, cap or limit)]
    proof = CoverageProof(limit, ASKED, QUIET)
    for real in listed:
        proof.show(real.remote, real.known if real.ours and real is not lost else None)
    shown = {real.name for real in listed}
    for real in records:
        if real.ours and real is not lost and real.name not in shown:
            proof.missing(real.known)
    return proof, listed


def history(size: int, apart: float = 10, days: int = 1) -> list[Real]:
    """Records made one after the other, `days` of them to each due date."""
    return [Real(f"r{n}", n * apart, due=n // days) for n in range(size)]
