"""The model of the payments API: what it stores, what it answers, and everything it ever saw.

It knows nothing of billing.sandbox. What it promises is only this: a create takes effect, if at all,
less than `quiet_seconds` after its bytes left; a list is never older than `quiet_seconds`; a single
get is up to date.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import date
from random import Random
from typing import TYPE_CHECKING

from .fates import CREATE_FATES, RESET, CreateBody, Fate, Reply, Shown
from .loop import VirtualLoop
from .options import Options
from .trace import Trace

if TYPE_CHECKING:
    from .witness import Witness

_MARKER = re.compile(r"\[(RB-[0-9A-Z]{16})\]")
Answer = Callable[[Reply], None]
Key = tuple[str, str]
"""What a create is for, without the program's marker: the subscriber's e-mail and the due date."""


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
    unpaid_again_at: float | None = None
    deleted_at: float | None = None
    deleted_by: str = ""
    seen_unpaid_at: float = -1.0
    """When a single get last showed it as unpaid."""

    @property
    def live(self) -> bool:
        return self.deleted_at is None

    @property
    def paid(self) -> bool:
        return self.paid_at is not None and self.unpaid_again_at is None

    @property
    def marker(self) -> str:
        found = _MARKER.findall(self.name)
        return str(found[-1]) if found else ""

    def shown(self, at: float) -> Shown | None:
        """How it looked at an instant, or None if it was not there."""
        if self.made_at > at or (self.deleted_at is not None and self.deleted_at <= at):
            return None
        paid = self.paid_at is not None and self.paid_at <= at
        if self.unpaid_again_at is not None and self.unpaid_again_at <= at:
            paid = False
        return Shown(
            self.remote_id, self.name, self.email, self.amount_micros, paid, date.fromisoformat(self.key[1])
        )


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

    def receive_create(self, body: CreateBody, run_id: str, answer: Answer) -> None:
        """The bytes of a create have left; decide its fate, and let it run its course."""
        name = self._draw_fate()
        key = (body.email, body.due_on)
        wire = Wire(len(self.wires) + 1, key, self.loop.time(), run_id, name)
        self.wires.append(wire)
        fate = CREATE_FATES[name](self, body)
        self.trace.note("api", f"wire {wire.number}", f"{body.email} {body.due_on} {name} by {run_id}")
        self.trace.count(f"create: {name}")
        if fate.commit_after is not None:
            self._commit_later(fate.commit_after, wire, fate.stored or body, fate, answer)
        if fate.twin_after is not None:
            self._commit_later(fate.twin_after, wire, body, None, answer)
        if fate.answer_after is not None and fate.reply is not None:
            self.loop.outside_later(fate.answer_after, answer, fate.reply)

    def _draw_fate(self) -> str:
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

    def _commit(self, wire: Wire, body: CreateBody, fate: Fate | None, answer: Answer) -> None:
        wire.commits_due -= 1
        remote = self.store(body, wire.number)
        self.trace.note(
            "api", f"made {remote.remote_id}", f"{body.email} {body.due_on} of wire {wire.number}"
        )
        self.witness.made(remote)
        self.on_made(remote)
        if fate is not None and fate.echo is not None:
            shown = Shown(
                remote.remote_id,
                body.name,
                body.email,
                body.amount_micros,
                False,
                date.fromisoformat(body.due_on),
            )
            echo = fate.echo(shown, self)
            self.loop.outside_later(fate.echo_after, answer, Reply(201, shown=echo))

    def store(self, body: CreateBody, wire: int = 0) -> Remote:
        remote = Remote(
            remote_id=f"{self.rng.getrandbits(40):010x}",
            key=(body.email, body.due_on),
            name=body.name,
            email=body.email,
            amount_micros=body.amount_micros,
            made_at=self.loop.time(),
            wire=wire,
        )
        self.records[remote.remote_id] = remote
        self.by_key.setdefault(remote.key, []).append(remote)
        return remote

    def _read_fault(self) -> Fate | None:
        """What goes wrong with a call that is not a create, or None."""
        spell = self.spell()
        if spell == "unauthorized":
            return Fate(answer_after=self.latency(), reply=Reply(401))
        if spell == "silent":
            return Fate()
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

    def _delete(self, remote_id: str, by: str) -> Reply:
        remote = self.records.get(remote_id)
        if remote is None or not remote.live:
            return Reply(404)
        remote.deleted_at = self.loop.time()
        remote.deleted_by = by
        self.trace.note("api", f"deleted {remote_id}", f"{remote.key[0]} {remote.key[1]} by {by}")
        self.witness.deleted(remote)
        return Reply(200)

    def get(self, remote_id: str) -> Reply:
        remote = self.records.get(remote_id)
        shown = remote.shown(self.loop.time()) if remote is not None else None
        if remote is None or shown is None:
            return Reply(404)
        if not shown.paid:
            remote.seen_unpaid_at = self.loop.time()
        return Reply(200, shown=shown)

    def list(self, limit: int) -> Reply:
        """The list as of some instant before now, in this API's order, cut at its cap."""
        at = self.loop.time()
        if not self.calm and self.rng.random() < self.options.stale_lists:
            at -= self.rng.uniform(0.0, 0.95 * self.options.quiet_seconds)
            self.trace.count("list: stale")
        rows = [shown for r in self.records.values() if (shown := r.shown(at)) is not None]
        if self.options.list_order == "newest":
            rows.reverse()
        elif self.options.list_order == "random":
            self.rng.shuffle(rows)
        cap = min(limit, self._cap(limit))
        self.witness.listed(rows, cap, limit)
        return Reply(200, listed=tuple(rows[:cap]))

    def _cap(self, limit: int) -> int:
        """A cap that is not documented. It hides some payment that the program knows of.

        One that hid exactly the payments whose creates were lost could not be told from their
        absence by anybody: `blind_cap` shows what that costs.
        """
        cap = self.options.list_cap
        if not cap or self.calm:
            return limit
        if self.options.blind_cap or len(self.witness.counted_on()) > cap:
            self.trace.count("list: capped")
            return cap
        return limit

    def pay(self, remote: Remote) -> None:
        remote.paid_at = self.loop.time()
        self.trace.note("payer", f"pays {remote.remote_id}", f"{remote.key[0]} {remote.key[1]}")
        self.trace.count("paid by payers")

    def unpay(self, remote: Remote) -> None:
        remote.unpaid_again_at = self.loop.time()
        self.trace.note("api", f"{remote.remote_id} is unpaid again")
        self.trace.count("paid, then unpaid again")

    def delete_by_hand(self, remote: Remote) -> None:
        self._delete(remote.remote_id, "person")
        self.trace.count("deleted by hand at the API")


def with_wrong(shown: Shown, rng: Random) -> Shown:
    """An echo that repeats something else than what was sent."""
    what = rng.choice(("amount", "email", "name", "id"))
    if what == "amount":
        return replace(shown, amount_micros=shown.amount_micros + 1)
    if what == "email":
        return replace(shown, email="somebody@else.example")
    if what == "name":
        return replace(shown, name="another plan")
    return replace(shown, remote_id="")
