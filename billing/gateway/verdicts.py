"""What an answer, or its absence, proves. The table of the design, as code.

Creates get a `CreateOutcome`. All other calls get their data, or raise `CallFailed`.
"""

from __future__ import annotations

import email.utils
import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import httpx

from billing.core import reasons
from billing.core.outcomes import CreateOutcome, OutcomeKind
from billing.gateway.errors import CallFailed, Unauthorized
from billing.gateway.faults import Fault
from billing.gateway.redact import clean_message
from billing.gateway.resources import F, Resource, usable_id
from billing.gateway.wire import Reply

# These statuses reject this one payment for certain. Every other one but 401 and 2xx leaves it
# uncertain whether the create took effect.
REFUSALS = frozenset({400, 403, 404, 422})
_SLOW_DOWN = frozenset({429, 503})
_SECONDS = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9})?", re.ASCII)


def outcome_of_fault(fault: Fault) -> CreateOutcome:
    """A create without a complete answer: not sent if that is proved, else unknown."""
    if fault.sent:
        return CreateOutcome(OutcomeKind.UNKNOWN, detail=fault.reason)
    return CreateOutcome(OutcomeKind.NOT_SENT, detail=fault.reason)


def outcome_of_reply(reply: Reply, resource: Resource[F], sent: F, now: datetime) -> CreateOutcome:
    """A create with a complete answer."""
    body = json_object(reply)
    if 200 <= reply.status < 300:
        return _outcome_of_success(reply, body, resource, sent)
    if reply.status == 401:
        kind = OutcomeKind.UNAUTHORIZED
    else:
        kind = OutcomeKind.REFUSED if reply.status in REFUSALS else OutcomeKind.UNKNOWN
    return CreateOutcome(
        kind,
        status=reply.status,
        detail=_described(reply, body, resource.personal(sent)),
        retry_after_seconds=retry_after(reply, now),
    )


def _outcome_of_success(
    reply: Reply, body: dict[str, Any] | None, resource: Resource[F], sent: F
) -> CreateOutcome:
    """Success is believed only where the answer repeats what was asked for."""
    if body is None:
        detail = reasons.NO_OBJECT.format(status=reply.status)
        return CreateOutcome(OutcomeKind.UNKNOWN, status=reply.status, detail=detail)
    data = body.get(resource.data_key)
    record = data if isinstance(data, dict) else {}
    remote_id = usable_id(record.get(resource.id_field))
    echo = resource.from_wire(record)
    wrong = list(resource.differences(sent, echo))
    if remote_id is None:
        wrong.insert(0, resource.id_field)
    if says_failure(body):
        wrong.insert(0, "statusCode")
    if not isinstance(data, dict):
        wrong = [resource.data_key]
    if not wrong:
        return CreateOutcome(OutcomeKind.CREATED, remote_id=remote_id, status=reply.status)
    return CreateOutcome(
        OutcomeKind.UNKNOWN,
        remote_id=remote_id,
        status=reply.status,
        detail=reasons.ECHO_DIFFERS.format(fields=", ".join(wrong)),
        mismatch=True,
        unmarked=resource.lost_its_marker(wrong, echo),
    )


def failure_of_fault(what: str, fault: Fault) -> CallFailed:
    return CallFailed(f"{what}: {fault.reason}")


def failure_of_reply(what: str, reply: Reply, personal: Sequence[str], now: datetime) -> CallFailed:
    """The error for a complete answer that is not a success."""
    described = _described(reply, json_object(reply), personal)
    if reply.status == 401:
        return Unauthorized(
            f"{what}: {described}; {reasons.CHECK_KEY}",
            status=401,
            permanent=True,
        )
    return CallFailed(
        f"{what}: {described}",
        status=reply.status,
        retry_after_seconds=retry_after(reply, now),
        permanent=reply.status in REFUSALS,
    )


def json_object(reply: Reply) -> dict[str, Any] | None:
    """The answer's JSON object, or None. Its content type is not checked: the content is the proof."""
    if reply.headers.get("content-encoding", "identity").strip().lower() != "identity":
        return None  # not what was asked for, and a packed body could unpack to any size
    try:
        body = json.loads(reply.body)
    except (ValueError, RecursionError):
        return None
    return body if isinstance(body, dict) else None


def says_failure(body: dict[str, Any]) -> bool:
    """Whether the body reports a failure, whatever the HTTP status says."""
    return is_failure(body.get("statusCode"))


def is_failure(status: object) -> bool:
    """Whether a `statusCode` within an answer is one of a failure."""
    return isinstance(status, int) and not isinstance(status, bool) and not 200 <= status < 300


def _described(reply: Reply, body: dict[str, Any] | None, personal: Sequence[str]) -> str:
    if 300 <= reply.status < 400:
        return f"HTTP {reply.status}: {reasons.NO_REDIRECT}"
    message = clean_message((body or {}).get("message"), reply.keys, personal)
    if not message:
        return reasons.NO_MESSAGE.format(status=reply.status)
    return f"HTTP {reply.status}: {message}"


def retry_after(reply: Reply, now: datetime) -> float | None:
    """How long a 429 or 503 asks us to wait, in seconds from `now`; None if it does not say."""
    if reply.status not in _SLOW_DOWN:
        return None
    return _parse_wait(reply.headers, now)


def _parse_wait(headers: httpx.Headers, now: datetime) -> float | None:
    text = headers.get("retry-after", "").strip()
    if _SECONDS.fullmatch(text):
        return float(text)
    try:
        until = email.utils.parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return None
    if until.tzinfo is None:
        until = until.replace(tzinfo=UTC)
    return max(0.0, (until - now).total_seconds())
