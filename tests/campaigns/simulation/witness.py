"""The witness sees every commit, every request and every remote payment, and speaks up at once."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from .api import ModelApi
from .clientele import ACTIVE, Agreement, Clientele
from .fates import CreateBody, Shown
from .options import Options
from .records import Key, Remote, person
from .store import SharedStore
from .trace import Trace

# Written down apart from billing.core.states, from the design's table; with the two ways back to
# unknown of what turned up at the API, or of a database that was restored.
LEGAL = frozenset(
    f"{old}>{new}"
    for old, news in {
        "": "planned held unknown",
        "planned": "sending held void unknown",
        "sending": "open rejected planned unknown",
        "open": "paid uncollectible void",
        "rejected": "planned void unknown",
        "unknown": "open planned parked",
        "held": "planned void unknown",
        "parked": "open planned void",
        "uncollectible": "paid",
    }.items()
    for new in news.split()
)
_LEAST_PARKING_TIME = timedelta(days=5)
_LEAST_LOOKS = 7
_REMOTE_ID = re.compile(r"\b[0-9a-f]{10}\b")
_PLAIN_LENGTHS = frozenset((10, 20, 25, 50, 100, 200, 250, 500))
"""A list of such a length may have been capped, for all that anybody knows."""


@dataclass(slots=True)
class Witness:
    """Checks what can be checked in the moment in which it happens."""

    trace: Trace
    options: Options
    store: SharedStore
    clientele: Clientele
    api: ModelApi
    last_transition: int = 0
    markers: dict[Key, str] = field(default_factory=dict)
    keys: dict[str, Key] = field(default_factory=dict)
    unwhole_lists: list[datetime] = field(default_factory=list)
    unpaid_in_lists: set[str] = field(default_factory=set)
    """What the lists of the quiet tail showed as unpaid."""
    doubles_shown: set[Key] = field(default_factory=set)
    """Of which a list of the quiet tail showed more than one."""
    raced: set[Key] = field(default_factory=set)
    """Of which a duplicate was paid in the moment between the last look at it and its delete."""
    bereft: set[str] = field(default_factory=set)
    """Runs that go on though a standby took the place of their database: what they sent, it forgot."""
    cleared: set[Key] = field(default_factory=set)
    """For which a person found out that there is nothing at the API, and said so."""

    overtaken: set[Key] = field(default_factory=set)
    """Held by a pause that lasted longer than their periods."""

    def today(self) -> date:
        return self.trace.now().astimezone(ZoneInfo(self.options.zone)).date()

    # What the program puts on the wire

    def leaving(self, marker: str, body: CreateBody, run_id: str, now: datetime) -> None:
        """The bytes of a create leave now: its intent must be committed, its lease not over."""
        key = (person(body.email), body.due_on)
        if self.options.traits.mangled_imports:
            self._is_the_subscription_itself(key, marker)
        if self.markers.setdefault(key, marker) != marker or self.keys.setdefault(marker, key) != key:
            self.trace.violated(f"{body.email} {body.due_on} and marker {marker} are not one and the same")
        rows = self.store.rows(
            """SELECT p.state, p.run_id, p.lease_until, p.due_on, p.amount_micros,
                 s.reference || '@example.com',
                 (SELECT count(*) FROM attempts a
                  WHERE a.payment_id = p.id AND a.run_id = ? AND a.outcome IS NULL)
               FROM payments p JOIN subscriptions s ON s.id = p.subscription_id WHERE p.marker = ?""",
            run_id,
            marker,
        )
        fault = "" if run_id in self.bereft else self._intent_fault(rows, body, run_id, now)
        if fault:
            self.trace.violated(f"a create left for {body.email} {body.due_on} by {run_id}, but {fault}")
        agreement = self.clientele.by_email(body.email)
        if agreement is not None and self.options.traits.wide:
            self._says_what_is_agreed(agreement, body, key, marker)
        if agreement is not None and agreement.status == ACTIVE:
            agreement.through(self.today(), certain=False)
        if agreement is None or date.fromisoformat(body.due_on) not in agreement.mays:
            self.trace.violated(f"{body.email} was charged for {body.due_on}, when nothing was due")

    def days_of(self, marker: str) -> int:
        """How many days the period of a payment has; 0 if the database does not know it any more."""
        rows = self.store.rows("SELECT due_on, period_end_on FROM payments WHERE marker = ?", marker)
        return (date.fromisoformat(rows[0][1]) - date.fromisoformat(rows[0][0])).days + 1 if rows else 0

    def _is_the_subscription_itself(self, key: Key, marker: str) -> None:
        rows = self.store.rows(
            "SELECT s.reference FROM payments p JOIN subscriptions s ON s.id = p.subscription_id "
            "WHERE p.marker = ?",
            marker,
        )
        if rows and f"{rows[0][0]}@example.com" != key[0]:
            self.trace.violated(f"a second subscription {rows[0][0]!r} charges {key[0]}")

    def _says_what_is_agreed(self, agreement: Agreement, body: CreateBody, key: Key, marker: str) -> None:
        """What did not exist at the API when the terms were changed takes the new ones."""
        if agreement.changed_at is None or any(w.key == key for w in self.api.wires):
            return
        rows = self.store.rows(
            "SELECT max(a.started_at), (SELECT count(*) FROM sim_transitions t WHERE t.payment_id = p.id "
            "AND t.new IN ('unknown', 'parked')) "
            "FROM payments p JOIN attempts a ON a.payment_id = p.id WHERE p.marker = ?",
            marker,
        )
        started_at, doubted = rows[0]
        if started_at is None or doubted:
            return
        latest = timedelta(seconds=abs(self.options.skew))  # a run writes down its own clock's time
        if _instant(started_at) <= agreement.changed_at + latest:
            return
        if body.amount_micros != agreement.amount_micros:
            self.trace.violated(
                f"{key[0]} {key[1]} is charged the old price {body.amount_micros}, though it was not sent "
                f"when that became {agreement.amount_micros}"
            )
        if body.email != agreement.address:
            self.trace.violated(f"{key[0]} {key[1]} goes to the old address, though it was not sent then")

    def _intent_fault(self, rows: list[tuple[Any, ...]], body: CreateBody, run_id: str, now: datetime) -> str:
        if not rows:
            return "its payment is not in the database"
        state, owner, lease, due_on, amount, email, attempts = rows[0]
        if state == "unknown" and self.options.skew:
            self.trace.count("recovered by a clock that is ahead while its sender was still at it")
            return ""  # no harm: it's looked for only a quiet window after
        if state != "sending":
            return f"its row is {state}"
        if owner != run_id:
            return f"its row is held by {owner}"
        if _instant(lease) <= now:
            return "its lease is over"
        if attempts != 1:
            return f"it has {attempts} open attempts of this run"
        if (due_on, amount, email) != (body.due_on, body.amount_micros, person(body.email)):
            return "it says something else than its row"
        return ""

    # What the API does

    def made(self, remote: Remote) -> None:
        """A create took effect. Only the network's own doubles may be the second of their kind."""
        for other in self.api.by_key[remote.key]:
            if other is remote:
                continue
            if other.wire == remote.wire:
                self.trace.count("remote payments made twice by the network")
            elif self.options.restores and self._is_deleted_by_hand(other):
                self.trace.count("deleted by hand, forgotten by a restore, made anew (residual)")
            elif remote.key not in self.cleared:
                self.trace.violated(
                    f"{remote.key[0]} {remote.key[1]} was charged twice: {other.remote_id} of wire "
                    f"{other.wire} and {remote.remote_id} of wire {remote.wire}"
                )
        if self.options.traits.wide and not self.options.restores:
            self._overlaps(remote)

    def taken(self, remote: Remote) -> None:
        """A record that came back stands for the period that it shows: no other may."""
        for other in self.api.live(remote.key):
            if other is not remote and other.wire and remote.key not in self.cleared:
                self.trace.violated(
                    f"{remote.key[0]} {remote.key[1]} was charged twice: {other.remote_id} was made, "
                    f"and {remote.remote_id} was taken"
                )

    def stopped(self, remote: Remote) -> None:
        """The interval of a record was changed alone: it is booked as paid, or its period ends.

        (A worker that read it before another one took it for the next period does no harm.)
        """
        rows = self.store.rows(
            "SELECT p.state, s.status, p.period_end_on FROM payments p "
            "JOIN subscriptions s ON s.id = p.subscription_id WHERE p.remote_id = ?",
            remote.remote_id,
        )
        tomorrow = (self.today() + timedelta(days=1)).isoformat()
        if not remote.taken and not any(
            state == "paid" or status in ("cancelled", "ended") or ends_on <= tomorrow
            for state, status, ends_on in rows
        ):
            self.trace.violated(f"{remote.remote_id} was stopped, and it is neither paid nor over: {rows}")

    def was_let_go(self, remote: Remote) -> bool:
        """Whether a person was told that a record came back, and let the next period be sent beside it."""
        return bool(
            self.store.rows(
                "SELECT 1 FROM payments WHERE remote_id = ? AND attention LIKE ?",
                remote.remote_id,
                "its record at Mileston renewed%",
            )
        )

    def _is_deleted_by_hand(self, remote: Remote) -> bool:
        """It, or the double of it that had stayed when the program deleted it."""
        twins = (other for other in self.api.by_key[remote.key] if other.wire == remote.wire)
        return not remote.live and any(other.deleted_by.startswith("person") for other in twins)

    def _overlaps(self, remote: Remote) -> None:
        """No day of a subscription is charged twice, whatever became of its terms."""
        first, last = _span(remote)
        for key, others in self.api.by_key.items():
            if key[0] != remote.key[0] or key[1] == remote.key[1]:
                continue
            for other in others:
                begins, ends = _span(other)
                if other.wire and other.live and begins <= last and first <= ends and self._is_charged(key):
                    self.trace.violated(
                        f"{key[0]} is charged for {first} to {last}, though {begins} to {ends} was charged"
                    )

    def _is_charged(self, key: Key) -> bool:
        rows = self.store.rows(
            "SELECT p.state, p.paid_at, EXISTS (SELECT 1 FROM sim_transitions t WHERE t.payment_id = p.id "
            "AND t.new = 'uncollectible') FROM payments p "
            "JOIN subscriptions s ON s.id = p.subscription_id "
            "WHERE s.reference || '@example.com' = ? AND p.due_on = ?",
            *key,
        )
        if not rows or rows[0][0] in ("rejected", "void", "uncollectible"):
            return False
        _, paid_at, was_given_up = rows[0]
        agreement = self.clientele.by_email(key[0])
        changed_at = agreement.changed_at if agreement is not None else None
        # When the terms were changed it was given up, so its days were free; it was paid after that.
        return not (was_given_up and paid_at and changed_at and changed_at < _instant(paid_at))

    def deleted(self, remote: Remote) -> None:
        """A run may delete unpaid extras only, and never the last one."""
        by = remote.deleted_by
        who = f"{by} deleted {remote.remote_id} ({remote.key[0]} {remote.key[1]})"
        looked_at = remote.looked_at.get(by)
        if remote.tenant:
            self.trace.violated(f"{who}, which another tenant made")
            return
        if self.options.traits.wide and remote.paid and looked_at is not None and remote.was_paid(looked_at):
            self.trace.violated(f"{who}, which it had seen paid")
            return
        if by.startswith("person"):
            return
        self.trace.count("duplicates swept")
        if remote.seen_unpaid_at < 0:
            self.trace.violated(f"{who}, and never looked whether it was paid")
        elif remote.paid:
            self.trace.count("paid between the last look and the delete (residual)")
            self.raced.add(remote.key)
        elif not self.api.live(remote.key) and not self._done_with(remote.key):
            self.trace.violated(f"{who}, and no other is left")

    def _done_with(self, key: Key) -> bool:
        """Whether nothing more is owed: it was paid, or a person voided it."""
        if any(remote.paid for remote in self.api.by_key[key]):
            return True
        return ("void",) in self.store.rows(
            "SELECT p.state FROM payments p JOIN subscriptions s ON s.id = p.subscription_id "
            "WHERE s.reference || '@example.com' = ? AND p.due_on = ?",
            *key,
        )

    def listed(self, rows: list[Shown], cap: int, limit: int) -> None:
        """Note the lists that prove nothing: stale, capped, cut at the limit, or lacking some of ours."""
        shown = {row.remote_id for row in rows[:cap]}
        if self.api.calm:
            self.unpaid_in_lists |= {row.remote_id for row in rows[:cap] if not row.paid}
            keys = Counter(self.api.records[remote_id].key for remote_id in shown)
            self.doubles_shown |= {key for key, count in keys.items() if count > 1}
        live = {r.remote_id for r in self.api.records.values() if r.live}
        plain = len(shown) in _PLAIN_LENGTHS
        if plain or len(rows) >= limit or not live <= shown or not self.counted_on() <= shown:
            self.unwhole_lists.append(self.trace.now())
            self.trace.count("list: not whole")

    def counted_on(self) -> set[str]:
        """The remote payments that the program knows of."""
        rows = self.store.rows(
            "SELECT remote_id FROM payments WHERE remote_id IS NOT NULL AND attention = '' "
            "AND state IN ('open', 'paid', 'uncollectible')"
        )
        return {row[0] for row in rows}

    # What the program commits

    def committed(self, who: str) -> None:
        """A transaction of `who` was committed: look at each transition of a payment in it."""
        rows = self.store.rows(
            """SELECT t.id, t.old, t.new, t.cause, s.reference || '@example.com', p.due_on, p.deadline_at
               FROM sim_transitions t JOIN payments p ON p.id = t.payment_id
               JOIN subscriptions s ON s.id = p.subscription_id WHERE t.id > ? ORDER BY t.id""",
            self.last_transition,
        )
        for number, old, new, cause, email, due_on, deadline in rows:
            self.last_transition = number
            move = f"{old}>{new}"
            self.trace.note(who, f"{email} {due_on} {move}", cause)
            self.trace.count(f"payment {move}")
            if move not in LEGAL:
                self.trace.violated(f"{email} {due_on} went from {old or 'nothing'} to {new}")
            elif move in ("unknown>planned", "sending>planned") and not who.startswith("person"):
                if self.api.may_come((email, due_on)):
                    self.trace.violated(f"{email} {due_on} {move}, though it exists or will")
            elif new == "parked":
                self._parked((email, due_on), cause, deadline)
            elif move == "held>void" and cause.startswith("its period was over"):
                self._passed((email, due_on))

    def _passed(self, key: Key) -> None:
        """A pause held it, and its last day came before the pause ended: it is charged no more."""
        agreement = self.clientele.by_email(key[0])
        day = date.fromisoformat(key[1])
        if agreement is not None and agreement.last_day_of(day) < self.today():
            self.overtaken.add(key)

    def _parked(self, key: Key, cause: str, deadline: str) -> None:
        """Is there a cause in the world for which nothing could be proved?"""
        self.trace.count(f"parked: {_REMOTE_ID.sub('…', cause.partition(';')[0])}")
        if self.options.traits.blurs:
            return
        if cause.startswith("proved not to exist"):
            fine = self.options.settings.reconcile.when_absent == "park"
        elif cause.startswith("Mileston made the record") and self.options.traits.renewals:
            fine = True  # it came back meanwhile
        elif "bears its marker" in cause or cause.startswith("Mileston made the record"):
            fine = "stored_wrong" in self.options.create_faults
        else:
            ended = _instant(deadline)
            fine = sum(at >= ended for at in self.unwhole_lists) >= _LEAST_LOOKS
            if self.trace.now() - ended < _LEAST_PARKING_TIME:
                self.trace.violated(f"{key[0]} {key[1]} was parked only {self.trace.now() - ended} after")
        if not fine:
            self.trace.violated(f"{key[0]} {key[1]} was parked without a cause in the world: {cause}")


def _span(remote: Remote) -> tuple[date, date]:
    """The first and the last day that a remote payment charges."""
    first = date.fromisoformat(remote.key[1])
    return first, first + timedelta(days=remote.charged_days - 1)


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)
