"""The model of the program's client of the payments API: the protocol of billing.cycle.context.

It classifies as the real client does, and like that one it looks at the clock once more in the very
moment in which the bytes leave. What the real client does over real sockets is tested in tests/gateway.
"""

from __future__ import annotations

import asyncio
import builtins
from collections.abc import Callable
from datetime import date, datetime
from typing import TYPE_CHECKING

from billing.core.markers import name_with_marker
from billing.core.outcomes import CreateOutcome, OutcomeKind, PaymentRequest, RecordChange, RemotePayment
from billing.core.renewal import NEVER_DAYS
from billing.errors import GatewayError
from billing.gateway.errors import CallFailed
from billing.gateway.mileston import _as_payment
from billing.gateway.resources import RECURRING_PAYMENTS, Record, RecurringPayment

from . import traits as world_traits
from .api import Answer, ModelApi, Withdraw
from .fates import CreateBody, Reply, Shown
from .loop import Process
from .renewing import Change

if TYPE_CHECKING:
    from .witness import Witness

_REFUSALS = frozenset({400, 403, 404, 422})
_SILENCE = Reply(-1)


class ModelGateway:
    """One run's client. Every call passes points where its process may die or be stopped."""

    def __init__(
        self,
        api: ModelApi,
        process: Process,
        witness: Witness,
        run_id: str,
        timeout: float,
        clock: Callable[[], datetime],
    ) -> None:
        self._api = api
        self._process = process
        self._witness = witness
        self._run_id = run_id
        self._timeout = timeout
        self._clock = clock

    async def create(self, request: PaymentRequest, send_by: datetime) -> CreateOutcome:
        body = CreateBody(
            name=name_with_marker(request.plan, request.marker),
            email=request.email,
            amount_micros=request.amount_micros,
            due_on=request.due_on.isoformat(),
            interval_days=request.interval_days,
            charged_days=self._charged_days(request.interval_days, request.marker),
        )
        connected = await self._connect("create.before-send")
        if not connected:
            return CreateOutcome(OutcomeKind.NOT_SENT, detail="ConnectError: refused")
        if self.too_late(send_by):
            self._witness.trace.count("deadline passed before it was sent")
            return CreateOutcome(OutcomeKind.NOT_SENT, detail="its deadline had passed before it was sent")
        self._witness.leaving(request.marker, body, self._run_id, self._clock())
        reply = await self._exchange(
            lambda answer: self._api.receive_create(body, self._run_id, answer), "create"
        )
        return _outcome(reply, body)

    def _charged_days(self, interval_days: int, marker: str) -> int:
        """Its interval says how long a period is, unless that is over and must never come back."""
        return self._witness.days_of(marker) if interval_days == NEVER_DAYS else 0

    def too_late(self, send_by: datetime) -> bool:
        return self._clock() >= send_by

    @property
    def clock_skew_seconds(self) -> float | None:
        return None

    async def list(self, limit: int) -> builtins.list[RemotePayment]:
        reply = await self._read(lambda: self._api.list(limit), "list")
        if reply.status != 200 or reply.listed is None:
            raise _failed("list", reply)
        return [_remote_payment(shown) for shown in reply.listed]

    async def get(self, remote_id: str) -> RemotePayment | None:
        reply = await self._read(lambda: self._api.get(remote_id, self._run_id), "get")
        if reply.status == 404:
            return None
        if reply.status != 200 or reply.shown is None:
            raise _failed("get", reply)
        return _remote_payment(reply.shown)

    async def update(self, remote_id: str, change: RecordChange) -> RemotePayment | None:
        name = None if change.marker is None else name_with_marker(change.plan, change.marker)
        await self._reach("update.before-send")
        remote = self._api.records.get(remote_id)
        if change.marker is not None and name is not None and remote is not None:
            due_on = remote.due_on or remote.key[1]
            body = CreateBody(name, remote.email, change.amount_micros or 0, due_on, change.interval_days)
            self._witness.leaving(change.marker, body, self._run_id, self._clock())
        days = self._charged_days(change.interval_days, change.marker or "")
        said = Change(remote_id, change.interval_days, name, change.amount_micros, days)
        reply = await self._exchange(
            lambda answer: self._api.receive_update(said, self._run_id, answer), "update"
        )
        if reply.status == 404:
            return None
        if reply.status != 200 or reply.shown is None:
            raise _failed("update", reply)
        return _remote_payment(reply.shown)

    async def delete(self, remote_id: str) -> bool:
        await self._reach("delete.before-send")
        reply = await self._exchange(
            lambda answer: self._api.receive_delete(remote_id, self._run_id, answer), "delete"
        )
        if reply.status not in (200, 404):
            raise _failed("delete", reply)
        return reply.status == 200

    def checkout_url(self, remote_id: str) -> str:
        return f"pay:{remote_id}"

    async def _read(self, make: Callable[[], Reply], what: str) -> Reply:
        await self._reach(f"{what}.before-send")
        reply = await self._exchange(lambda answer: self._api.receive_read(make, answer), what)
        if reply.status <= 0:
            raise _failed(what, reply)
        return reply

    async def _reach(self, point: str) -> None:
        if not await self._connect(point):
            raise GatewayError("ConnectError: refused")

    async def _connect(self, point: str) -> bool:
        """Open the connection; False if it is refused. The process may be stopped meanwhile."""
        await asyncio.sleep(self._api.rng.uniform(0.0, 0.05))
        await self._process.wait_point(point)
        return self._api.spell() != "refused"

    async def _exchange(self, send: Callable[[Answer], Withdraw | None], what: str) -> Reply:
        """Put a request on the wire and wait for its answer, or for the time limit."""
        loop = self._process.loop
        arrived: asyncio.Future[Reply] = loop.create_future()

        def answer(reply: Reply) -> None:
            if not arrived.done():
                arrived.set_result(reply)

        withdraw = send(answer)
        limit = loop.call_later(self._timeout, answer, _SILENCE)
        reply = _SILENCE
        try:
            await self._process.wait_point(f"{what}.sent")
            reply = await arrived
        finally:
            limit.cancel()
            # A connection that is given up is reset, also that of a process that was killed.
            if reply is _SILENCE and withdraw is not None and world_traits.GATEWAY_RESETS:
                withdraw()
        await self._process.wait_point(f"{what}.answered")
        return reply


def _remote_payment(shown: Shown) -> RemotePayment:
    """As the real client reads it."""
    return _as_payment(Record(shown.remote_id, _fields(shown)))


def _fields(shown: Shown | CreateBody) -> RecurringPayment:
    return RecurringPayment(
        subscription_name=shown.name,
        subscriber_email=shown.email,
        amount_micros=shown.amount_micros,
        payment_status=shown.status if isinstance(shown, Shown) else "unpaid",
        recurring_on=date.fromisoformat(shown.due_on),
        interval_days=shown.interval_days,
    )


def _failed(call: str, reply: Reply) -> CallFailed:
    status = reply.status if reply.status > 0 else None
    slow_down = reply.retry_after if reply.status in (429, 503) else None
    return CallFailed(f"{call}: {_words(reply)}", status=status, retry_after_seconds=slow_down)


def _words(reply: Reply) -> str:
    return {-1: "no answer in time", 0: "the connection broke"}.get(reply.status, f"HTTP {reply.status}")


def _outcome(reply: Reply, sent: CreateBody) -> CreateOutcome:
    """As billing.gateway.verdicts: success is believed only where the answer repeats what was sent."""
    if reply.status <= 0:
        return CreateOutcome(OutcomeKind.UNKNOWN, detail=_words(reply))
    if 200 <= reply.status < 300:
        return _of_success(reply, sent)
    kind = OutcomeKind.UNKNOWN
    if reply.status == 401:
        kind = OutcomeKind.UNAUTHORIZED
    elif reply.status in _REFUSALS:
        kind = OutcomeKind.REFUSED
    slow_down = reply.retry_after if reply.status in (429, 503) else None
    return CreateOutcome(kind, status=reply.status, detail=_words(reply), retry_after_seconds=slow_down)


def _of_success(reply: Reply, sent: CreateBody) -> CreateOutcome:
    shown = reply.shown
    if shown is None:
        return CreateOutcome(OutcomeKind.UNKNOWN, status=reply.status, detail="no JSON object")
    wrong = list(RECURRING_PAYMENTS.differences(_fields(sent), _fields(shown)))
    if not wrong and shown.remote_id:
        return CreateOutcome(OutcomeKind.CREATED, remote_id=shown.remote_id, status=reply.status)
    return CreateOutcome(
        OutcomeKind.UNKNOWN,
        remote_id=shown.remote_id or None,
        status=reply.status,
        detail="the answer differs from what was sent",
        mismatch=True,
        unmarked=RECURRING_PAYMENTS.lost_its_marker(wrong, _fields(shown)),
    )
