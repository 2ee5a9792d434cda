"""What does the API's list prove absent?

The API promises neither an order nor that a list is whole: it may be cut at the limit that was asked
for or at a cap of its own, and it may be out of date by up to `quiet`. What holds is assumed to be
only this, for some number n and some order that nobody tells:

    The list is the first n, in that order, of the records as they were at most `quiet` before it was
    asked for. If n is a cap, it is a number that people choose for one (10, 20, 25, 50 and these
    times powers of ten). The order sorts by when records were made, by their due date or by when they
    last changed, upwards or downwards, ties anyhow; or it follows nothing of the kind, and then any
    two records stand either way round with equal chance. Instants that fall within one second of
    each other may be ties. Fewer than `UNSEEN` of our records were changed by others without its
    showing in their status.

**Theorem 1 (a whole list).** A list shorter than its limit is whole if it shows every record that we
know to have existed `quiet` before it was asked for, and if its length is no plausible cap or a
longer list has been seen. *Proof:* n is the limit, a cap or the number of records. It is not the
limit, which was not reached, and no cap: either its length is no number chosen for one, or the cap
lies beyond the longer list. That all of ours are there tells, besides, that it is not out of date by
more than `quiet`. ∎

**Theorem 2 (a place inside).** Say that an order *fits* if our records could stand in the list as
they do, and be absent as they are, were it sorted so. If a lost create took effect `quiet` before
the list was asked for, and under every order that fits one of our listed records surely stands
behind its place, then the list shows it. *Proof:* the true order fits. Under it the lost record comes
before a record that is among the first n, so it is among the first n. ∎

*Chance:* an order that follows nothing puts k of our records into a given order once in k! times. So
nothing is believed until, in one order that fits, `CHAIN` of them follow one another without a
break: once in 1.8 million times each way.
*Ties:* under an order by due date, those with one due date may stand in any order among themselves.
Where the last of ours has the due date of the lost create, the same theorem is applied once more, to
those of that due date alone.
*Changes:* a record of ours may have been changed by somebody else, and fewer than `UNSEEN` were. So an
order by last change is refuted only by `UNSEEN` pairs that stand the wrong way round and share no record,
as each would hold at least one that was so changed; and `UNSEEN` must stand behind the lost create, as
one of them at least was not.

A list in which a record that we know by its id bears no marker of ours proves nothing at all: the
API changes names, so a lost create could be there and not be recognised.
"""

from __future__ import annotations

import heapq
import math
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple, Protocol

from billing.core import reasons
from billing.core.outcomes import RemotePayment, RemoteStatus

CHAIN = 10
"""So many of our records must follow one another in one order before any order is believed."""
UNSEEN = 5
"""Fewer of our records than this were changed by others without its showing in their status."""
_SECOND = 1.0  # instants nearer than this may be ties for a server that stores whole seconds
_DAY = 1.0
_ANYWHERE = (-math.inf, math.inf)

Span = tuple[float, float]
"""Between which bounds a value lies, both included."""


@dataclass(frozen=True, slots=True)
class KnownRemote:
    """What we know of a remote record of ours, by our clock.

    It was made between `from_at` and `by_at`. The last change that we know of (it was made, paid, or
    changed by us) was surely not before `changed_from` and not after `changed_by`; without
    `changed_by` it may have been at any time since. `paid`: it is known as paid. `unpaid_at`: it was
    surely unpaid then (a list that showed it so may itself have been out of date). `marker` is ''
    where any will do.
    """

    from_at: datetime
    by_at: datetime
    due_on: date | None = None
    changed_from: datetime | None = None
    changed_by: datetime | None = None
    unpaid_at: datetime | None = None
    paid: bool = False
    marker: str = ""


class Lost(Protocol):
    """A create whose outcome is unknown: `reconciling.LostCreate` is one."""

    @property
    def started_at(self) -> datetime: ...
    @property
    def deadline_at(self) -> datetime: ...
    @property
    def due_on(self) -> date | None: ...


class _Facts(NamedTuple):
    """Between which bounds a record was made, is due, and was last changed: seconds, days, seconds."""

    made: Span
    due: Span
    changed: Span


class _Order:
    """One order that the list may have, and what our records say of it. Memory: a few numbers.

    Places are numbers that grow along the list; a record's is only known within bounds.
    """

    def __init__(self, name: str, key: str, sign: int, tie: float, unseen: int, wanted: str) -> None:
        self.name, self.wanted, self.unseen = name, wanted, unseen
        self._key, self._sign, self._tie = key, sign, tie
        self._against = 0
        self._floor = -math.inf  # no record from here on can stand before this place
        self._last: list[float] = []  # the `unseen` records that surely stand furthest behind
        self._run, self._run_end, self._end_before = 0, -math.inf, -math.inf
        self.chain = 0

    @property
    def fits(self) -> bool:
        return self._against < self.unseen

    def place(self, facts: _Facts) -> Span:
        low, high = getattr(facts, self._key)
        return (low, high) if self._sign > 0 else (-high, -low)

    def show(self, facts: _Facts) -> None:
        """The next of our records in the list."""
        low, high = self.place(facts)
        heapq.heappush(self._last, low)
        if len(self._last) > self.unseen:
            heapq.heappop(self._last)
        if high < self._floor:
            self._run = 0
            if self._floor - high >= self._tie:  # no tie: it contradicts this order
                self._against += 1
                self._floor = -math.inf  # the next contradiction is to share no record with this one
                return
        self._floor = max(self._floor, low)
        self._follow(low, high)

    def _follow(self, low: float, high: float) -> None:
        """The longest run of records that surely stand one behind the other, taken greedily."""
        if self._run == 0 or low > self._run_end:
            self._end_before = self._run_end if self._run else -math.inf
            self._run_end = high
            self._run += 1
            self.chain = max(self.chain, self._run)
        elif high < self._run_end and low > self._end_before:
            self._run_end = high  # it takes the last one's place, and leaves more room behind it

    def missing(self, facts: _Facts) -> None:
        """One of our records that the list lacks: had it a place before one that is shown, it would be there.

        That needs no second one: `behind` allows for changes of the others, and a change of its own
        would bring it forward, or, in an order of earliest changes, might put it anywhere.
        """
        if self.behind(facts):
            self._against = self.unseen

    def behind(self, facts: _Facts) -> bool:
        """Whether one of our listed records surely stands behind a record (of `unseen`, one at least)."""
        return len(self._last) == self.unseen and self._last[0] - self.place(facts)[1] >= self._tie


class _ByDueDate(_Order):
    """An order by due date, in which those of one date may follow another order among themselves."""

    def __init__(self, name: str, sign: int, wanted: str) -> None:
        super().__init__(name, "due", sign, _DAY, 1, wanted)
        self._ties = _Orders(_by_instant())

    def show(self, facts: _Facts) -> None:
        before = self._floor
        super().show(facts)
        if self._floor > before:
            self._ties = _Orders(_by_instant())
        if self._at_the_end(facts):
            self._ties.show(facts)

    def missing(self, facts: _Facts) -> None:
        super().missing(facts)
        if self._at_the_end(facts):
            self._ties.missing(facts)

    def behind(self, facts: _Facts) -> bool:
        return super().behind(facts) or (self._at_the_end(facts) and self._ties.cover(facts))

    def _at_the_end(self, facts: _Facts) -> bool:
        low, high = self.place(facts)
        return low == high == self._floor


class _Orders:
    """All orders that a list, or a part of one, may have."""

    def __init__(self, orders: list[_Order]) -> None:
        self._all = orders

    def show(self, facts: _Facts) -> None:
        for order in self._all:
            order.show(facts)

    def missing(self, facts: _Facts) -> None:
        for order in self._all:
            order.missing(facts)

    def fitting(self) -> list[_Order]:
        return [order for order in self._all if order.fits]

    def is_believed(self) -> bool:
        """Whether it is no chance that our records stand as they do."""
        return any(order.chain >= CHAIN for order in self.fitting())

    def cover(self, facts: _Facts) -> bool:
        return self.is_believed() and all(order.behind(facts) for order in self.fitting())

    def open_for(self, facts: _Facts) -> list[_Order]:
        """The orders that fit and under which a record could be beyond the list's end."""
        return [order for order in self.fitting() if not order.behind(facts)]


def _by_instant() -> list[_Order]:
    return [
        _Order(reasons.NEWEST_FIRST, "made", -1, _SECOND, 1, reasons.MADE_BEFORE),
        _Order(reasons.OLDEST_FIRST, "made", 1, _SECOND, 1, reasons.MADE_AFTER),
        _Order(reasons.LATEST_CHANGE_FIRST, "changed", -1, _SECOND, UNSEEN, reasons.CHANGED_BEFORE),
        _Order(reasons.EARLIEST_CHANGE_FIRST, "changed", 1, _SECOND, UNSEEN, reasons.OTHER_ORDER),
    ]


def is_plausible_cap(length: int) -> bool:
    """Whether a server's own limit could be this: 10, 20, 25, 50, or one of these times a power of ten."""
    while length >= 100 and length % 10 == 0:
        length //= 10
    return length in (10, 20, 25, 50)


class CoverageProof:
    """What one reading of the list proves: is it fed record by record, then asked.

    First `show` for every record in the list's order, then `missing` for every record of ours that
    the list lacks and should show, then `covers`. Where the caller has seen for
    itself that nothing is missing and every number stands, `also_listed` spares the rest of a long list.
    `limit` is what was asked for, `asked_at` the instant before it was; `longest_seen` the length of the
    longest list ever read from this API.
    """

    def __init__(self, limit: int, asked_at: datetime, quiet: timedelta, longest_seen: int = 0) -> None:
        self._limit, self._longest_seen = limit, longest_seen
        self._asked, self._quiet = asked_at.timestamp(), quiet.total_seconds()
        self._settled = self._asked - self._quiet
        self._newest_first, *others = _by_instant()
        by_due_date = (
            _ByDueDate(reasons.LATEST_DUE_FIRST, -1, reasons.DUE_BEFORE),
            _ByDueDate(reasons.EARLIEST_DUE_FIRST, 1, reasons.DUE_AFTER),
        )
        self._orders = _Orders([self._newest_first, *others, *by_due_date])
        self._lacking = 0
        self._unmarked = ""
        self.listed = 0

    def show(self, remote: RemotePayment, known: KnownRemote | None = None) -> None:
        """The list's next record; `known` if it is one whose id we know, whatever became of it."""
        if self._lacking:
            raise ValueError("show comes before missing")
        self.listed += 1
        if known is None:
            return
        if remote.marker is None or (known.marker and remote.marker != known.marker):
            self._unmarked = self._unmarked or remote.remote_id
        self._orders.show(self._facts(remote, known))

    def also_listed(self, count: int) -> None:
        """So many further records: none of ours lacks its number, and the list lacks none of ours."""
        self.listed += count

    def may_be_whole(self, count: int) -> bool:
        """Whether a list of so many records is whole, if it lacks none of ours (theorem 1)."""
        is_cut = is_plausible_cap(count) and self._longest_seen <= count
        return count < self._limit and not is_cut

    @property
    def knows_an_order(self) -> bool:
        """Whether what is missing could tell anything: else only that there is something tells."""
        return self.listed < self._limit or self._orders.is_believed()

    def missing(self, known: KnownRemote) -> None:
        """A live record of ours that the list does not show. One that is too new says nothing."""
        if known.by_at.timestamp() > self._settled:
            return
        self._lacking += 1
        first, last = _days(known.due_on, None)
        due = (first, math.inf if known.paid else last)  # a paid one may have renewed itself
        self._orders.missing(_Facts(_made(known), due, (self._changed_since(known), self._asked)))

    @property
    def complete(self) -> bool:
        """Whether the list shows every record there is, so that what is not in it does not exist."""
        return not self._unmarked and not self._may_be_cut()

    @property
    def newest_first(self) -> bool:
        """How our records stand, as far as they tell: a hint, and no proof."""
        return self._newest_first.fits and self._newest_first.chain > 1

    def covers(self, lost: Lost) -> bool:
        """Whether the list would show this create, had it taken effect `quiet` before it was asked for."""
        return self.complete or (not self._unmarked and self._orders.cover(self._facts_of(lost)))

    def why_not(self, lost: Lost) -> str:
        """Why the list does not cover a lost create, and what would; '' if it does."""
        if self.covers(lost):
            return ""
        if self._unmarked:
            return reasons.NUMBER_IS_LACKING.format(remote_id=self._unmarked)
        return f"{self._may_be_cut()}, {self._why_no_order(lost)}"

    def _may_be_cut(self) -> str:
        """Why the list may lack something, or ''."""
        if self.listed >= self._limit:
            return reasons.LIST_IS_FULL.format(count=self.listed)
        if self._lacking:
            return reasons.LIST_LACKS.format(count=self._lacking)
        if is_plausible_cap(self.listed) and self._longest_seen <= self.listed:
            return reasons.LIST_IS_CUT.format(count=self.listed)
        return ""

    def _why_no_order(self, lost: Lost) -> str:
        if not self._orders.fitting():
            return f"{reasons.AND_NO_ORDER}; {reasons.WHOLE_LIST}"
        if not self._orders.is_believed():
            return f"{reasons.AND_TOO_FEW.format(count=CHAIN)}; {reasons.WHOLE_LIST}"
        order = self._orders.open_for(self._facts_of(lost))[0]
        made_by = lost.deadline_at + timedelta(seconds=self._quiet)
        wanted = order.wanted.format(
            made=_minute(lost.started_at),
            made_by=_minute(made_by),
            due=lost.due_on or reasons.ITS_DUE_DATE,
            count=UNSEEN,
        )
        return reasons.AND_BEYOND.format(part=order.name, wanted=wanted)

    def _facts_of(self, lost: Lost) -> _Facts:
        made = (lost.started_at.timestamp(), lost.deadline_at.timestamp() + self._quiet)
        changed = (made[0], max(self._asked, made[1]))  # somebody may have paid it at once
        return _Facts(made, _days(lost.due_on, lost.due_on), changed)

    def _facts(self, remote: RemotePayment, known: KnownRemote) -> _Facts:
        return _Facts(_made(known), _days(known.due_on, remote.due_on), self._changed(remote, known))

    def _changed(self, remote: RemotePayment, known: KnownRemote) -> Span:
        """When a listed record was last changed.

        Where it does not show what we know, the list is behind, or it was changed since.
        """
        word = RemoteStatus.PAID if known.paid else RemoteStatus.UNPAID
        as_known = remote.status is word and known.due_on in (None, remote.due_on)
        low = self._changed_since(known)
        if remote.paid and known.unpaid_at is not None:
            low = max(low, known.unpaid_at.timestamp())
        if as_known and known.changed_by is not None:
            return low, max(low, known.changed_by.timestamp())
        return low, max(low, self._asked)

    def _changed_since(self, known: KnownRemote) -> float:
        """What is not `quiet` old yet, the list need not know."""
        made = known.from_at.timestamp()
        changes = [known.changed_from, known.unpaid_at if known.paid else None]
        instants = [change.timestamp() for change in changes if change is not None]
        return max([made, *(at for at in instants if at <= self._settled)])


def _made(known: KnownRemote) -> Span:
    return known.from_at.timestamp(), known.by_at.timestamp()


def _days(ours: date | None, shown: date | None) -> Span:
    """What the list sorts by is the date that it shows; where that differs from ours, either may be."""
    days = [float(day.toordinal()) for day in (ours, shown) if day is not None]
    return (min(days), max(days)) if days else _ANYWHERE


def _minute(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
