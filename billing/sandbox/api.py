"""The five calls of the three resources, as a client sees them.

Each call is prepared first (everything that can be refused is refused), which gives a `commit`: the
act itself. Between the two an ordered fault may come in; so "did it happen?" and "what did they say?"
can come apart exactly as they do on a real network.
"""

import asyncio
import json
import re
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import uuid4

from aiohttp import web

from billing.sandbox.errors import Refusal
from billing.sandbox.faults import Dice
from billing.sandbox.misbehave import Answer, Commit, LateCommits, json_response, play
from billing.sandbox.renewal import Renewals
from billing.sandbox.resources import STATUS_FIELD, Resource, fields_of
from billing.sandbox.store import Record, Store, instant
from billing.sandbox.traffic import Traffic

DEFAULT_LIMIT = "10"
LIMIT = re.compile(r"[1-9][0-9]{0,8}")
METHODS = {"create": "POST", "list": "GET", "get": "GET", "update": "PATCH", "delete": "DELETE"}
PAST_TENSE = {
    "create": "created",
    "list": "retrieved",
    "get": "retrieved",
    "update": "updated",
    "delete": "deleted",
}


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


_decode = json.JSONDecoder(parse_constant=_no_constant).decode  # made once: json.loads would make one a call


class Turn(NamedTuple):
    """One request on its way through a call."""

    request: web.BaseRequest
    resource: Resource
    business_id: str
    record_id: str
    body: bytes

    def answer(self, call: str, record: Record | None) -> Answer:
        """The documented answer about one record, or about none after a delete."""
        resource, status = self.resource, 201 if call == "create" else 200
        noun = f"{resource.noun}s" if call == "list" else resource.noun
        message = f"{noun} {PAST_TENSE[call]} successfully"
        document: dict[str, Any] = {"statusCode": status, "message": message}
        if record is not None:
            if resource.link_key is not None:
                document[resource.link_key] = (
                    f"http://{self.request.host}/checkout/{resource.path}/{record.id}"
                )
            document[resource.data_key] = record.data()
        return Answer(status, document)


class Api:
    """`keys` are the API keys that are let in; None lets everybody in who brings one."""

    def __init__(
        self, store: Store, dice: Dice, traffic: Traffic, keys: frozenset[str] | None, renews: str = ""
    ) -> None:
        self.store = store
        self.renewals = Renewals(store, renews)
        self.dice = dice
        self.traffic = traffic
        self.keys = keys
        self.late = LateCommits()
        self._second = (0, 0)
        self._prepare: dict[str, Callable[[Turn], Commit]] = {
            "create": self._create,
            "get": self._get,
            "list": self._list,
            "update": self._update,
            "delete": self._delete,
        }

    async def handle(
        self, request: web.BaseRequest, resource: Resource, rest: str, body: bytes
    ) -> web.StreamResponse:
        """Answer a request below the resource's base URL; `rest` is what follows it in the path.

        Raises Refusal for what is refused.
        """
        call, record_id = called(request.method, rest)
        self.renewals.come_due()
        outcome = "500"
        try:
            business_id = self._authorised(request)
            self._count_this_second()
            if self.dice.settings.latency_ms is not None:
                await asyncio.sleep(self.dice.latency_seconds())
            commit = self._prepare[call](Turn(request, resource, business_id, record_id, body))
            fault = self.dice.draw(call)
            if fault is None:
                answer = commit()
                response: web.StreamResponse = json_response(answer)
                outcome = str(answer.status)
            else:
                response, outcome = await play(fault, request, commit, self.late)
        except Refusal as refusal:
            outcome = str(refusal.status)
            raise
        finally:
            self.traffic.count(resource.path, call, outcome)
        return response

    def _count_this_second(self) -> None:
        """Raises Refusal (429) for whatever comes beyond the limit of calls in a second."""
        most = self.dice.settings.per_second
        if most is None:
            return
        second = int(time.monotonic())
        self._second = (second, self._second[1] + 1 if second == self._second[0] else 1)
        if self._second[1] > most:
            raise Refusal(429, "Too many requests", {"Retry-After": "1"})

    def _authorised(self, request: web.BaseRequest) -> str:
        key = request.headers.get("apikey")
        if not key:
            raise Refusal(401, "API key is missing")
        if self.keys is not None and key not in self.keys:
            raise Refusal(401, "Invalid API key")
        business_id = request.headers.get("businessid")
        if not business_id:
            raise Refusal(401, "Business ID is missing")
        return business_id

    def _create(self, turn: Turn) -> Commit:
        resource = turn.resource
        business_name = turn.request.rel_url.query.get("businessName", "").strip() or None
        if resource.wants_business_name and business_name is None:
            raise Refusal(400, "businessName is required in the query")
        fields = fields_of(resource, json_object(turn.request, turn.body), creating=True)
        status = fields.pop(STATUS_FIELD, "unpaid")

        def commit() -> Answer:
            at = now()
            record = Record(
                resource.path, str(uuid4()), turn.business_id, business_name, fields, status, at, at
            )
            self.store.put(record)
            return turn.answer("create", record)

        return commit

    def _get(self, turn: Turn) -> Commit:
        record = self._found(turn, turn.record_id)
        return lambda: turn.answer("get", record)

    def _list(self, turn: Turn) -> Commit:
        given = turn.request.rel_url.query.get("limit", DEFAULT_LIMIT)
        if LIMIT.fullmatch(given) is None:
            raise Refusal(400, "limit must be a positive whole number")
        limit = min(int(given), self.dice.settings.list_cap or sys.maxsize)

        def commit() -> Answer:
            staleness = self.dice.staleness_seconds()
            moment = None if staleness is None else instant(datetime.now(UTC) - timedelta(seconds=staleness))
            records = self.store.listed(
                (turn.resource.path, turn.business_id),
                limit,
                self.dice.settings.list_order,
                self.dice.order_rng,
                moment,
            )
            answer = turn.answer("list", None)
            answer.document[turn.resource.data_key] = [record.data() for record in records]
            return answer

        return commit

    def _update(self, turn: Turn) -> Commit:
        resource, body = turn.resource, json_object(turn.request, turn.body)
        record_id = body.get(resource.id_field)
        if not isinstance(record_id, str) or not record_id:
            raise Refusal(400, f"{resource.id_field} is required: it must be a non-empty string")
        changes = fields_of(resource, body, creating=False)
        record = self._found(turn, record_id)
        status = changes.pop(STATUS_FIELD, record.status)

        def commit() -> Answer:
            updated = record._replace(fields=record.fields | changes, status=status, changed_at=now())
            self.store.put(updated)
            return turn.answer("update", updated)

        return commit

    def _delete(self, turn: Turn) -> Commit:
        record = self._found(turn, turn.record_id)

        def commit() -> Answer:
            at = now()
            self.store.put(record._replace(changed_at=at, deleted_at=at))
            return turn.answer("delete", None)

        return commit

    def _found(self, turn: Turn, record_id: str) -> Record:
        record = self.store.find(turn.resource.path, record_id, turn.business_id)
        if record is None:
            raise Refusal(404, f"{turn.resource.noun} not found")
        return record


def now() -> str:
    return instant(datetime.now(UTC))


def called(method: str, rest: str) -> tuple[str, str]:
    """Return the call and the record id that a path below a base URL means. Raises Refusal (404, 405)."""
    first, slash, record_id = rest.partition("/")
    if slash and (first != "delete" or not record_id or "/" in record_id):
        raise Refusal(404, "Not found")
    if slash:
        call = "delete"
    elif first in ("create", "update"):
        call, record_id = first, ""
    else:
        call, record_id = "get" if first else "list", first
    if method != METHODS[call]:
        raise Refusal(405, "Method not allowed", {"Allow": METHODS[call]})
    return call, record_id


async def read_body(request: web.BaseRequest) -> bytes:
    """Read it whole, for GET and DELETE too.

    Raises Refusal (400, or 413 over aiohttp's limit of 1 MiB), ConnectionError if the client hangs up.
    """
    if not request.body_exists:
        return b""
    if "Expect" in request.headers and request.transport is not None:
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    try:
        return await request.read()
    except web.HTTPRequestEntityTooLarge:
        raise Refusal(413, "Request entity too large") from None
    except web.RequestPayloadError:
        raise Refusal(400, "The request body cannot be decoded") from None


def json_object(request: web.BaseRequest, body: bytes) -> dict[str, Any]:
    """Raises Refusal (400) if the request does not carry a JSON object, or does not say so."""
    if request.content_type != "application/json":
        raise Refusal(400, "Content-Type must be application/json")
    try:
        document = _decode(body.decode())
    except (ValueError, RecursionError):
        raise Refusal(400, "Invalid JSON in the request body") from None
    if not isinstance(document, dict):
        raise Refusal(400, "The request body must be a JSON object")
    return document
