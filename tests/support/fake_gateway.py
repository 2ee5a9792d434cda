"""A Mileston of a few lines, whose time, lies and deaths are scripted."""

from __future__ import annotations

import builtins
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

from billing.core.outcomes import (
    CreateOutcome,
    OutcomeKind,
    PaymentRequest,
    RecordChange,
    RemotePayment,
    RemoteStatus,
)
from billing.errors import GatewayError

START = datetime(2026, 2, 1, 12, 0, tzinfo=UTC)


class Died(BaseException):
    """The process is gone: nothing in it may catch this."""


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now

    def to(self, seconds: float) -> None:
        """Go to so many seconds after the start."""
        self.now = START + timedelta(seconds=seconds)


def _changed(remote: RemotePayment, change: RecordChange) -> RemotePayment:
    return replace(
        remote,
        interval_days=change.interval_days,
        marker=change.marker or remote.marker,
        amount_micros=remote.amount_micros if change.amount_micros is None else change.amount_micros,
    )


@dataclass
class Made:
    """A create that took effect, or will at `at`."""

    remote: RemotePayment
    at: datetime
    deleted: bool = False


@dataclass
class FakeGateway:
    """Plays Mileston for what knows it as the protocol `Gateway`.

    `script` tells what befalls the next creates: `ok`; `lost` (it took effect, the answer got lost);
    `never` (no answer and no effect); `late:60` (no answer, and it takes effect 60 s later); `died`
    (it took effect, and our process died); `strange` (it took effect, and the answer repeats something
    else); `refused` (a definite no, and no effect). The list shows what is `lag_seconds` old.
    """

    clock: Clock = field(default_factory=Clock)
    script: deque[str] = field(default_factory=deque)
    made: builtins.list[Made] = field(default_factory=list)
    lag_seconds: float = 0.0
    frozen_at: datetime | None = None
    """The list goes on showing what there was at that instant."""
    newest_first: bool = False
    hidden: bool = False
    """The list is answered from a place that knows none of our payments."""
    believed_unpaid: bool = False
    """The list shows nothing as paid."""
    creates: builtins.list[tuple[PaymentRequest, datetime]] = field(default_factory=list)
    """Every request that arrived, with its `send_by`."""
    ids: builtins.list[str] = field(default_factory=list)
    """The ids that the next records get, instead of new ones."""
    on_create: Callable[[PaymentRequest], None] = lambda _request: None
    deleted: builtins.list[str] = field(default_factory=list)
    broken: bool = False
    """Nothing can be read or deleted."""
    deaf: bool = False
    """It says that it changed a record, and did not."""
    dies_after_update: bool = False
    """A record is changed, and our process dies."""
    listed: builtins.list[RemotePayment] | None = None
    """What the list shows, whatever is so."""
    meanwhile: Callable[[], None] = lambda: None
    """Happens while something is being read or deleted."""
    clock_skew_seconds: float | None = None
    asked: builtins.list[str] = field(default_factory=list)
    """What was read or deleted, in words: `get r1`, `list`, `delete r1`."""

    @classmethod
    def showing(cls, *remotes: RemotePayment, **scripted: Any) -> FakeGateway:
        """One at which these exist already; keyword arguments are fields."""
        gateway = cls(**scripted)
        gateway.made.extend(Made(remote, gateway.clock()) for remote in remotes)
        return gateway

    async def create(self, request: PaymentRequest, send_by: datetime) -> CreateOutcome:
        if self.clock() >= send_by:
            return CreateOutcome(OutcomeKind.NOT_SENT, detail="its deadline had passed")
        self.creates.append((request, send_by))
        self.on_create(request)
        word, _, seconds = (self.script.popleft() if self.script else "ok").partition(":")
        if word == "refused":
            return CreateOutcome(OutcomeKind.REFUSED, status=422, detail="the amount is too small")
        if word != "never":
            self.add(request, float(seconds or 0))
        if word == "died":
            raise Died
        if word not in ("ok", "strange"):
            return CreateOutcome(OutcomeKind.UNKNOWN, detail="no answer")
        kind = OutcomeKind.CREATED if word == "ok" else OutcomeKind.UNKNOWN
        remote_id = self.made[-1].remote.remote_id
        return CreateOutcome(kind, remote_id=remote_id, status=201, mismatch=word == "strange")

    def add(self, request: PaymentRequest, late_seconds: float = 0.0) -> str:
        """Let a create take effect; answers its id."""
        remote_id = self.ids.pop(0) if self.ids else f"remote-{len(self.made) + 1}"
        remote = RemotePayment(
            remote_id,
            request.marker,
            request.amount_micros,
            request.email,
            RemoteStatus.UNPAID,
            request.due_on,
            request.interval_days,
        )
        self.made.append(Made(remote, self.clock() + timedelta(seconds=late_seconds)))
        return remote_id

    def pay(self, remote_id: str) -> None:
        for made in self.made:
            if made.remote.remote_id == remote_id:
                made.remote = replace(made.remote, status=RemoteStatus.PAID)

    @property
    def live(self) -> builtins.list[RemotePayment]:
        """What payers could pay now."""
        return [made.remote for made in self.made if made.at <= self.clock() and not made.deleted]

    async def list(self, limit: int) -> builtins.list[RemotePayment]:
        """The oldest first unless told otherwise: nobody promised an order."""
        self._ask("list")
        if self.hidden:
            return []
        if self.listed is not None:
            return self.listed[:limit]
        moment = self.frozen_at or self.clock() - timedelta(seconds=self.lag_seconds)
        shown = [made.remote for made in self.made if made.at <= moment and not made.deleted]
        if self.believed_unpaid:
            shown = [replace(remote, status=RemoteStatus.UNPAID) for remote in shown]
        if self.newest_first:
            shown.reverse()
        return shown[:limit]

    async def get(self, remote_id: str) -> RemotePayment | None:
        self._ask(f"get {remote_id}")
        return next((remote for remote in self.live if remote.remote_id == remote_id), None)

    async def update(self, remote_id: str, change: RecordChange) -> RemotePayment | None:
        self._ask(f"update {remote_id}")
        for made in self.made:
            if made.remote.remote_id == remote_id and not made.deleted:
                if not self.deaf:
                    made.remote = _changed(made.remote, change)
                if self.dies_after_update:
                    raise Died
                return made.remote
        return None

    def renew(self, remote_id: str, due_on: date) -> None:
        """A record comes back by itself: unpaid, for a later date."""
        for made in self.made:
            if made.remote.remote_id == remote_id:
                made.remote = replace(made.remote, status=RemoteStatus.UNPAID, due_on=due_on)

    async def delete(self, remote_id: str) -> bool:
        self._ask(f"delete {remote_id}")
        self.deleted.append(remote_id)
        found = [made for made in self.made if made.remote.remote_id == remote_id and not made.deleted]
        for made in found:
            made.deleted = True
        return bool(found)

    def checkout_url(self, remote_id: str) -> str:
        return f"https://checkout.example/{remote_id}"

    def _ask(self, what: str) -> None:
        self.asked.append(what)
        self.meanwhile()
        if self.broken:
            raise GatewayError("the API can't be reached")
