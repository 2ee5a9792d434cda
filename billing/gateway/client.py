"""The typed client of the API: the same five calls for each of its three resources."""

from __future__ import annotations

import builtins
import json
import ssl
from collections.abc import Callable, Sequence
from datetime import datetime
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Any, Generic, TypeVar
from urllib.parse import quote

import httpx

from billing.config.schema import Mileston
from billing.core import reasons
from billing.core.clock import skew_seconds
from billing.core.outcomes import CreateOutcome, OutcomeKind
from billing.gateway.addresses import base_url
from billing.gateway.errors import CallFailed, Unauthorized
from billing.gateway.faults import Fault
from billing.gateway.listing import Listing, Malformed
from billing.gateway.resources import (
    INVOICES,
    PAYMENT_LINKS,
    RECURRING_PAYMENTS,
    F,
    Record,
    Resource,
    usable_id,
)
from billing.gateway.verdicts import (
    failure_of_fault,
    failure_of_reply,
    is_failure,
    json_object,
    outcome_of_fault,
    outcome_of_reply,
    says_failure,
)
from billing.gateway.wire import Call, Clock, Credentials, Observer, Reply, Wire, log_call

_LARGEST_RECORD_BYTES = 1024 * 1024
_LIST_BYTES_PER_RECORD = 2 * 1024
_MOST_FOR_ONE, _SPARE_RECORDS = 4, 1000
# An API that does not mind the limit may send more than that, but not without end.
T = TypeVar("T")
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_NOTHING = b"{}"


class ServerClock:
    """What the latest answer showed of the server's clock.

    `skew_seconds` is how far ours is ahead (behind: negative); None until an answer tells a time.
    """

    def __init__(self) -> None:
        self.skew_seconds: float | None = None

    def note(self, reply: Reply, clock: Clock) -> None:
        told = reply.headers.get("Date", "")
        if not told or "Age" in reply.headers:  # a cache's answer has the time when it was made
            return
        try:
            theirs = parsedate_to_datetime(told)
        except (ValueError, OverflowError):
            return
        if theirs.tzinfo is not None:
            self.skew_seconds = skew_seconds(theirs, clock(), reply.seconds)


class Endpoint(Generic[F]):
    """The calls of one resource.

    `create` returns what is proved. The others raise `CallFailed` (`Unauthorized` for a 401) unless
    the API did what was asked.
    """

    def __init__(
        self,
        resource: Resource[F],
        wire: Wire,
        business_name: str,
        server_clock: ServerClock | None = None,
    ) -> None:
        self.resource = resource
        self.wire = wire
        self._server_clock = server_clock or ServerClock()
        # The same for every create of a run, so made once.
        query = f"?businessName={quote(business_name, safe='')}" if resource.names_business else ""
        self._create_url = self._url("/create" + query)
        self._create_path = self._url("/create").path
        self._create_name = f"create {resource.name}"

    async def create(self, values: F, send_by: datetime | None = None) -> CreateOutcome:
        """Create one record, unless `send_by` passes before the request can leave.

        Raises `ValueError` if a field is missing that the API requires, and nothing else but
        `CancelledError`, after which the outcome is as unknown as after a lost answer.
        """
        missing = self.resource.missing(values)
        if missing:
            raise ValueError(f"a {self.resource.name} needs {', '.join(missing)}")
        try:
            body = _encode(self.resource.to_wire(values)).encode()
        except UnicodeEncodeError:  # half a surrogate pair; sending it again can't help
            detail = f"{reasons.NOT_UNICODE}; {reasons.NOTHING_SENT}"
            return CreateOutcome(OutcomeKind.REFUSED, detail=detail)
        call = Call(
            self._create_name, "POST", self._create_url, self._create_path, body, _LARGEST_RECORD_BYTES
        )
        try:
            reply = await self._exchanged(call, send_by)
        except Fault as fault:
            return outcome_of_fault(fault)
        except Unauthorized as error:
            return CreateOutcome(OutcomeKind.UNAUTHORIZED, detail=f"{error}; {reasons.NOTHING_SENT}")
        outcome = outcome_of_reply(reply, self.resource, values, self.wire.clock())
        log_call(call, reply.status, reply.seconds, outcome.remote_id or outcome.kind)
        return outcome

    async def get(self, remote_id: str) -> Record[F] | None:
        """The record, or None if the API has none of that id (404)."""
        call = self._prepared("get", "GET", f"/{self._in_path(remote_id)}")
        reply = await self._made(call, remote_id, may_be_absent=True)
        return None if reply.status == 404 else self._one(call, reply, remote_id)

    async def list(self, limit: int) -> builtins.list[Record[F]]:
        """Up to `limit` records, in no promised order.

        As many as the API sent: a record without a usable id is there with an empty one, so that
        the length still says whether the list was cut off at its limit.
        """
        return await self._listed(limit, lambda data: self._record(data, data))

    async def list_as(self, limit: int, names: Sequence[str], make: Callable[..., T]) -> builtins.list[T]:
        """The same, and of each record only what `make(remote_id, *fields)` makes of these fields."""
        read, id_field = self.resource.reader(names), self.resource.id_field
        return await self._listed(limit, lambda data: make(usable_id(data.get(id_field)) or "", *read(data)))

    async def _listed(self, limit: int, make: Callable[[dict[str, Any]], T]) -> builtins.list[T]:
        if limit < 1:
            raise ValueError("limit must be positive")
        call = self._prepared("list", "GET", f"?limit={limit}", extra_bytes=limit * _LIST_BYTES_PER_RECORD)
        made: builtins.list[T] = []

        def take(row: object) -> None:
            made.append(make(row if isinstance(row, dict) else {}))

        listing = Listing(self.resource.data_key, take, _MOST_FOR_ONE * limit + _SPARE_RECORDS)
        reply = await self._made(call, f"limit {limit}", sink=listing.feed)
        packed = reply.headers.get("content-encoding", "identity").strip().lower() != "identity"
        try:
            listing.finish()
        except Malformed:
            packed = True
        if packed:
            raise self._failed(call, reply, reasons.BUT_NOT_JSON)
        if is_failure(listing.status_code):
            raise self._failed(call, reply, reasons.BUT_FAILURE)
        if not listing.has_array:
            raise self._failed(call, reply, reasons.BUT_NO_ARRAY.format(fields=self.resource.data_key))
        return made

    async def update(self, remote_id: str, changes: F) -> Record[F]:
        """Change the fields that are set in `changes`; the record as it is then."""
        self._in_path(remote_id)
        body = _encode({self.resource.id_field: remote_id, **self.resource.to_wire(changes)}).encode()
        call = self._prepared("update", "PATCH", "/update", body)
        reply = await self._made(call, remote_id, self.resource.personal(changes))
        return self._one(call, reply, remote_id)

    async def delete(self, remote_id: str) -> bool:
        """True if it was deleted, False if there was none of that id (404)."""
        call = self._prepared("delete", "DELETE", f"/delete/{self._in_path(remote_id)}")
        reply = await self._made(call, remote_id, may_be_absent=True)
        if reply.status == 404:
            return False
        if says_failure(json_object(reply) or {}):
            raise self._failed(call, reply, reasons.BUT_FAILURE)
        return True

    def _prepared(
        self, verb: str, method: str, path: str, body: bytes = _NOTHING, extra_bytes: int = 0
    ) -> Call:
        url = self._url(path)
        limit_bytes = _LARGEST_RECORD_BYTES + extra_bytes
        return Call(f"{verb} {self.resource.name}", method, url, url.path, body, limit_bytes)

    async def _made(
        self,
        call: Call,
        note: str,
        personal: Sequence[str] = (),
        *,
        may_be_absent: bool = False,
        sink: Callable[[bytes], None] | None = None,
    ) -> Reply:
        """Make a call that is not a create. Raises `CallFailed` but for 2xx, and 404 if that is allowed."""
        try:
            reply = await self._exchanged(call, sink=sink)
        except Fault as fault:
            raise failure_of_fault(call.name, fault) from None
        except Unauthorized as error:
            raise Unauthorized(f"{call.name}: {error}", permanent=error.permanent) from None
        log_call(call, reply.status, reply.seconds, note)
        if 200 <= reply.status < 300 or (reply.status == 404 and may_be_absent):
            return reply
        raise failure_of_reply(call.name, reply, personal, self.wire.clock())

    async def _exchanged(
        self, call: Call, send_by: datetime | None = None, sink: Callable[[bytes], None] | None = None
    ) -> Reply:
        reply = await self.wire.exchange(call, send_by, sink)
        self._server_clock.note(reply, self.wire.clock)
        return reply

    def _body(self, call: Call, reply: Reply) -> dict[str, Any]:
        body = json_object(reply)
        if body is None or says_failure(body):
            raise self._failed(call, reply, reasons.BUT_NOT_JSON)
        return body

    def _one(self, call: Call, reply: Reply, remote_id: str) -> Record[F]:
        body = self._body(call, reply)
        data = body.get(self.resource.data_key)
        record = self._record(data, body) if isinstance(data, dict) else None
        if record is None or record.remote_id != remote_id:
            raise self._failed(call, reply, reasons.BUT_NOT_SHOWN)
        return record

    def _record(self, data: dict[str, Any], holder: dict[str, Any]) -> Record[F]:
        """`holder` is the object that the pay link stands in: beside the record, or in it."""
        link = holder.get(self.resource.link_key)
        return Record(
            usable_id(data.get(self.resource.id_field)) or "",
            self.resource.from_wire(data),
            link if isinstance(link, str) else "",
        )

    def _failed(self, call: Call, reply: Reply, reason: str) -> CallFailed:
        return CallFailed(f"{call.name}: HTTP {reply.status}, {reason}", status=reply.status)

    def _in_path(self, remote_id: str) -> str:
        if usable_id(remote_id) is None:
            raise CallFailed(
                f"{self.resource.name}: this is not an id that the API could have given", permanent=True
            )
        return quote(remote_id, safe="")

    def _url(self, path: str) -> httpx.URL:
        return httpx.URL(f"{self.wire.base_url}{path}")


class MilestonClient:
    """All three resources of one business. Close it, or use it as an async context manager.

    `credentials` returns (API key, business id) and is called for every request; `clock` returns aware
    instants. `ssl_context` replaces the usual trusted roots.
    """

    def __init__(
        self,
        settings: Mileston,
        business_name: str,
        credentials: Credentials,
        clock: Clock,
        on_call: Observer | None = None,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        def endpoint(resource: Resource[F]) -> Endpoint[F]:
            wire = Wire(
                base_url(settings, resource),
                timeout_seconds=settings.timeout_seconds,
                credentials=credentials,
                clock=clock,
                on_call=on_call,
                ssl_context=ssl_context,
            )
            return Endpoint(resource, wire, business_name, self._server_clock)

        self._server_clock = ServerClock()
        self.recurring_payments = endpoint(RECURRING_PAYMENTS)
        self.payment_links = endpoint(PAYMENT_LINKS)
        self.invoices = endpoint(INVOICES)

    @property
    def clock_skew_seconds(self) -> float | None:
        """How far our clock is ahead of the API's (behind: negative), as its latest answer showed.

        None if no answer has told a time.
        """
        return self._server_clock.skew_seconds

    async def close(self) -> None:
        for each in (self.recurring_payments, self.payment_links, self.invoices):
            await each.wire.close()

    async def __aenter__(self) -> MilestonClient:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()
