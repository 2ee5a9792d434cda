"""The model of the payments API: what it stores, what it answers, and everything it ever saw.

It knows nothing of billing.sandbox. How the API of a wide world bends names, statuses and the order of
its list stands in `storing.py`. What it promises is only this: a create takes effect, if at all,
less than `quiet_seconds` after its bytes left; a list is never older than `quiet_seconds`; a single
get is up to date.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from random import Random
from typing import TYPE_CHECKING

from . import traits as world_traits
from .fates import CREATE_FATES, RESET, CreateBody, Fate, Reply, Shown
from .loop import VirtualLoop
from .options import Options
from .records import BY_HAND, Key, Remote, Wire, person
from .renewing import Change, Renewals
from .storing import DAY, order_of, spelt, stored_name
from .trace import Trace

if TYPE_CHECKING:
    from .witness import Witness

Answer = Callable[[Reply], None]
Withdraw = Callable[[], None]
_KERNEL_SECONDS = 30.0
"""For so long a kernel tries to deliver what a process left to it, if the socket asks for that."""


@dataclass(slots=True)
class ModelApi:
    """The records, the faults, and the history. `calm` ends the faults for the quiet tail."""

    loop: VirtualLoop
    options: Options
    rng: Random
    trace: Trace
    spells: list[tuple[float, float, str]]
    witness: Witness = field(init=False)
    on_made: Callable[[Remote], None] = field(init=False)
    calm: bool = False
    records: dict[str, Remote] = field(default_factory=dict)
    by_key: dict[Key, list[Remote]] = field(default_factory=dict)
    wires: list[Wire] = field(default_factory=list)
    calls: tuple[float, int] = (-1.0, 0)
    """When the second began that calls are counted in, and how many came."""
    odd: Random = field(init=False)
    """The luck of the traits, apart from that of the narrow world."""
    renewals: Renewals = field(init=False)

    def __post_init__(self) -> None:
        self.odd = Random(f"{self.options.seed} odd")
        self.renewals = Renewals(self)

    def spell(self) -> str:
        """`unauthorized`, `refused` or `silent` if such a time has come over the API, else ''."""
        if self.calm:
            return ""
        now = self.loop.time()
        return next((kind for begins, ends, kind in self.spells if begins <= now < ends), "")

    def latency(self) -> float:
        return self.rng.uniform(0.02, 0.4) if self.rng.random() < 0.9 else self.rng.uniform(0.4, 3.0)

    def live(self, key: Key) -> list[Remote]:
        return [remote for remote in self.by_key.get(key, ()) if remote.live]

    def may_come(self, key: Key) -> bool:
        """Whether a create for this is stored and live, or will yet take effect."""
        return bool(self.live(key)) or any(w.commits_due for w in self.wires if w.key == key)

    def receive_create(self, body: CreateBody, run_id: str, answer: Answer) -> Withdraw | None:
        """The bytes of a create have left; decide its fate, and let it run its course.

        What the kernel still holds can be withdrawn by a reset of the connection.
        """
        name = self._draw_fate()
        key = (person(body.email), body.due_on)
        wire = Wire(len(self.wires) + 1, key, self.loop.time(), run_id, name)
        self.wires.append(wire)
        fate = CREATE_FATES[name](self, body)
        self.trace.note("api", f"wire {wire.number}", f"{body.email} {body.due_on} {name} by {run_id}")
        self.trace.count(f"create: {name}")
        if name == "kernel":
            return self._keep_in_kernel(wire, body, answer)
        if fate.commit_after is not None:
            self._commit_later(fate.commit_after, wire, fate.stored or body, fate, answer)
        if fate.twin_after is not None:
            self._commit_later(fate.twin_after, wire, body, None, answer)
        if fate.answer_after is not None and fate.reply is not None:
            self.loop.outside_later(fate.answer_after, answer, fate.reply)
        return None

    def _keep_in_kernel(self, wire: Wire, body: CreateBody, answer: Answer) -> Withdraw:
        """The network is away. A kernel that was told so gives up by itself after half a minute, any other
        delivers up to a minute after the client gave up."""
        if world_traits.GATEWAY_RESETS:
            after = self.odd.uniform(0.0, _KERNEL_SECONDS)
        else:
            after = self.options.settings.mileston.timeout_seconds + self.odd.uniform(0.0, 60.0)
        wire.commits_due += 1
        timer = self.loop.outside_later(after, self._commit, wire, body, None, answer)

        def withdraw() -> None:
            timer.cancel()
            wire.commits_due = 0

        return withdraw

    def _draw_fate(self) -> str:
        if self._is_odd(self.options.traits.late_bytes):
            return "kernel"
        if self.throttles():
            return "throttled"
        spell = self.spell()
        if spell:
            return {"unauthorized": "unauthorized", "silent": "silent"}.get(spell, "ok")
        if not self.calm:
            for name, share in self.options.create_faults.items():
                if self.rng.random() < share:
                    return name
        return "ok"

    def _commit_later(
        self, seconds: float, wire: Wire, body: CreateBody, fate: Fate | None, answer: Answer
    ) -> None:
        wire.commits_due += 1
        self.loop.outside_later(seconds, self._commit, wire, body, fate, answer)

    def _is_odd(self, share: float) -> bool:
        return bool(share) and not self.calm and self.odd.random() < share

    def throttles(self) -> bool:
        """Whether this call is one too many for its second."""
        most = self.options.traits.throttle_per_second
        if not most:
            return False
        now = self.loop.time()
        if now - self.calls[0] >= 1.0:
            self.calls = (now, 0)
        self.calls = (self.calls[0], self.calls[1] + 1)
        return self.calls[1] > most

    def _commit(self, wire: Wire, body: CreateBody, fate: Fate | None, answer: Answer) -> None:
        wire.commits_due -= 1
        remote = self.store(body, wire.number)
        self.trace.note(
            "api", f"made {remote.remote_id}", f"{body.email} {body.due_on} of wire {wire.number}"
        )
        self.witness.made(remote)
        self.on_made(remote)
        if fate is not None and fate.echo is not None:
            shown = self._bent(remote, remote.shown(self.loop.time()), self.loop.time())
            assert shown is not None
            echo = fate.echo(shown, self)
            self.loop.outside_later(fate.echo_after, answer, Reply(201, shown=echo))

    def store(self, body: CreateBody, wire: int = 0) -> Remote:
        remote = Remote(
            remote_id=f"{self.rng.getrandbits(40):010x}",
            key=(person(body.email), body.due_on),
            name=stored_name(body.name, self.options.traits),
            email=body.email,
            amount_micros=body.amount_micros,
            made_at=self.loop.time(),
            wire=wire,
            interval_days=body.interval_days,
            charged_days=body.charged_days or body.interval_days,
        )
        if self._is_odd(self.options.traits.status_words / 2):
            remote.word = (remote.made_at, remote.made_at + self.odd.uniform(3600.0, 5 * DAY), None)
        self.records[remote.remote_id] = remote
        self.renewals.made(remote)
        self.by_key.setdefault(remote.key, []).append(remote)
        return remote

    def _read_fault(self) -> Fate | None:
        """What goes wrong with a call that is not a create, or None."""
        spell = self.spell()
        if spell == "unauthorized":
            return Fate(answer_after=self.latency(), reply=Reply(401))
        if spell == "silent":
            return Fate()
        if self.throttles():
            return Fate(answer_after=self.latency(), reply=Reply(429, retry_after=1.0))
        if self.calm or self.rng.random() >= self.options.read_faults:
            return None
        kind = self.rng.choice(("error", "silent", "reset", "throttled"))
        self.trace.count(f"read fault: {kind}")
        if kind == "silent":
            return Fate()
        if kind == "reset":
            return Fate(answer_after=self.latency(), reply=RESET)
        status = 429 if kind == "throttled" else self.rng.choice((500, 503, 403))
        return Fate(answer_after=self.latency(), reply=Reply(status))

    def receive_read(self, make: Callable[[], Reply], answer: Answer) -> None:
        """A list, get or delete: `make` does it when it has arrived."""
        fault = self._read_fault()
        if fault is None:
            self.loop.outside_later(self.latency(), lambda: answer(make()))
        elif fault.answer_after is not None and fault.reply is not None:
            self.loop.outside_later(fault.answer_after, answer, fault.reply)

    def receive_delete(self, remote_id: str, by: str, answer: Answer) -> None:
        """A delete may also take effect and lose its answer."""
        lost = not self.calm and self.rng.random() < self.options.read_faults / 2

        def act() -> Reply:
            reply = self._delete(remote_id, by)
            return RESET if lost else reply

        self.receive_read(act, answer)

    def receive_update(self, change: Change, by: str, answer: Answer) -> None:
        """So may a change of a record."""
        lost = not self.calm and self.rng.random() < self.options.read_faults / 2

        def act() -> Reply:
            reply = self.renewals.update(change, by)
            return RESET if lost else reply

        self.receive_read(act, answer)

    def _delete(self, remote_id: str, by: str, *, ignorable: bool = True) -> Reply:
        remote = self.records.get(remote_id)
        if remote is None or not remote.live:
            return Reply(404)
        if ignorable and self._is_odd(self.options.traits.deletes_ignored):
            self.trace.note("api", f"says that it deleted {remote_id}, and did not", f"by {by}")
            self.trace.count("deletes ignored")
            return Reply(200)
        remote.deleted_at = self.loop.time()
        remote.deleted_by = by
        self.trace.note("api", f"deleted {remote_id}", f"{remote.key[0]} {remote.key[1]} by {by}")
        self.witness.deleted(remote)
        return Reply(200)

    def get(self, remote_id: str, by: str = "") -> Reply:
        now = self.loop.time()
        remote = self.records.get(remote_id)
        shown = remote.shown(now) if remote is not None else None
        if remote is None or shown is None:
            return Reply(404)
        if not self.calm and now < remote.made_at + self.options.traits.gets_late:
            self.trace.count("get: not found yet")
            return Reply(404)
        remote.looked_at[by] = now
        if not shown.paid:
            remote.seen_unpaid_at = now
        return Reply(200, shown=self._bent(remote, shown, now))

    def _bent(self, remote: Remote, shown: Shown | None, at: float) -> Shown | None:
        """As this API says it: in its spelling, and for a time in another word."""
        traits = self.options.traits
        if shown is None or not traits.wide:
            return shown
        status: str | None = shown.status
        if remote.word is not None and remote.word[0] <= at < remote.word[1]:
            status = remote.word[2]
        return replace(shown, status=spelt(status, traits))

    def list(self, limit: int) -> Reply:
        """The list as of some instant before now, in this API's order, cut at its cap."""
        at = self.loop.time()
        if not self.calm and self.rng.random() < self.options.stale_lists:
            at -= self.rng.uniform(0.0, 0.95 * self.options.quiet_seconds)
            self.trace.count("list: stale")
        if self.options.traits.wide:
            rows = self._odd_rows(at)
        else:
            rows = [shown for r in self.records.values() if (shown := r.shown(at)) is not None]
        if self.options.traits.list_by:
            pass
        elif self.options.list_order == "newest":
            rows.reverse()
        elif self.options.list_order == "random":
            self.rng.shuffle(rows)
        cap = min(limit, self._cap(limit))
        self.witness.listed(rows, cap, limit)
        return Reply(200, listed=tuple(rows[:cap]))

    def _odd_rows(self, at: float) -> builtins.list[Shown]:
        """The records in the order of this API, with the statuses of the past if those lag."""
        traits, records = self.options.traits, [*self.records.values()]
        if traits.list_by == "random":
            self.odd.shuffle(records)
        elif traits.list_by:
            key, largest_first = order_of(traits.list_by)
            records.sort(key=key, reverse=largest_first)
        rows = []
        for remote in records:
            shown = remote.shown(at)
            if shown is None:
                continue
            if traits.stale_status and not self.calm:
                paid = remote.was_paid(at - traits.stale_status * DAY)
                shown = replace(shown, paid=paid, status="paid" if paid else "unpaid")
            rows.append(self._bent(remote, shown, at) or shown)
        return rows

    def _cap(self, limit: int) -> int:
        """A cap that is not documented. It hides some payment that the program knows of.

        One that hid exactly the payments whose creates were lost could not be told from their
        absence by anybody: `blind_cap` shows what that costs.
        """
        if self.options.traits.plain_cap and not self.calm:
            self.trace.count("list: capped, whatever it hides")
            return min(limit, self.options.traits.plain_cap)
        cap = self.options.list_cap
        if not cap or self.calm:
            return limit
        if self.options.blind_cap or len(self.witness.counted_on()) > cap:
            self.trace.count("list: capped")
            return cap
        return limit

    def pay(self, remote: Remote) -> None:
        now = self.loop.time()
        if self._is_odd(self.options.traits.partial_payments):
            remote.part_paid = remote.amount_micros > 1
            remote.amount_micros = max(1, remote.amount_micros // 10)
            self.trace.note("person", f"changes the amount of {remote.remote_id}", f"{remote.amount_micros}")
        remote.paid_at, remote.unpaid_again_at = now, None
        self.renewals.paid(remote)
        if self._is_odd(self.options.traits.status_words):
            later = now + self.odd.uniform(3600.0, 5 * DAY)
            remote.word = self.odd.choice(((now, later, "processing"), (later, float("inf"), "refunded")))
        self.trace.note("payer", f"pays {remote.remote_id}", f"{remote.key[0]} {remote.key[1]}")
        self.trace.count("paid by payers")

    def unpay(self, remote: Remote) -> None:
        remote.unpaid_again_at = self.loop.time()
        self.trace.note("api", f"{remote.remote_id} is unpaid again")
        self.trace.count("paid, then unpaid again")

    def delete_by_hand(self, remote: Remote) -> None:
        self._delete(remote.remote_id, BY_HAND, ignorable=False)
        self.trace.count("deleted by hand at the API")
