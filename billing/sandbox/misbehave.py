"""How an ordered fault is played on the wire.

Every fault says whether the call took effect (`commit` was called) and what the client gets to see.
"""

import asyncio
import json
import socket
import struct
from collections.abc import Callable, Mapping
from contextlib import suppress
from decimal import Decimal
from typing import Any, NamedTuple

from aiohttp import web

from billing.sandbox.faults import Fault

CUT = "cut"  # the outcome in the counters when no answer was given
GARBAGE = b"<!doctype html><title>502</title><h1>It works, mostly</h1>"
CHUNK = b" " * 65_536

_dumps = json.JSONEncoder(separators=(",", ":")).encode


class Answer(NamedTuple):
    status: int
    document: dict[str, Any]


Commit = Callable[[], Answer]


def json_response(answer: Answer, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.Response(
        status=answer.status,
        body=_dumps(answer.document).encode(),
        headers=headers,
        content_type="application/json",
        charset="utf-8",
    )


def failure(status: int, message: str, headers: Mapping[str, str] | None = None) -> web.Response:
    return json_response(Answer(status, {"statusCode": status, "message": message}), headers)


class LateCommits:
    """Commits that take effect only after their answer, or at once when the sandbox shuts down."""

    def __init__(self) -> None:
        self._pending: dict[object, tuple[asyncio.TimerHandle, Commit]] = {}

    def schedule(self, seconds: float, commit: Commit) -> None:
        key = object()

        def run() -> None:
            del self._pending[key]
            commit()

        self._pending[key] = (asyncio.get_running_loop().call_later(seconds, run), commit)

    def commit_now(self) -> None:
        pending = list(self._pending.values())
        self.forget()
        for _, commit in pending:
            commit()

    def forget(self) -> None:
        for timer, _ in self._pending.values():
            timer.cancel()
        self._pending.clear()


async def play(
    fault: Fault, request: web.BaseRequest, commit: Commit, late: LateCommits
) -> tuple[web.StreamResponse, str]:
    """Play the fault. Return the response (spent or void, where it has been sent or cut) and the outcome."""
    match fault.name:
        case "500":
            return failure(500, "Internal server error"), "500"
        case "503" | "429" as status:
            message = "Service unavailable" if status == "503" else "Too many requests"
            return failure(int(status), message, {"Retry-After": f"{fault.parameter:.0f}"}), status
        case "cut_before_commit":
            return cut(request), CUT
        case "late_commit":
            late.schedule(fault.parameter, commit)
            return failure(504, "Gateway timeout"), "504"
    answer = commit()
    match fault.name:
        case "cut_after_commit":
            return cut(request), CUT
        case "garbage":
            return web.Response(body=GARBAGE, content_type="application/json"), "200"
        case "wrong_echo":
            return json_response(_with_another_amount(answer)), str(answer.status)
        case "slow_drip":
            return await _drip(request, answer, fault.parameter), str(answer.status)
        case "huge":
            return await _bloat(request, answer, int(fault.parameter) * 2**20), str(answer.status)
    raise AssertionError(f"nobody plays {fault.name}")


def cut(request: web.BaseRequest) -> web.Response:
    """Abort the connection. The response is void: aiohttp finds the connection gone and drops it."""
    if request.transport is not None:
        connection = request.transport.get_extra_info("socket")
        with suppress(OSError):  # the client was faster
            # Without lingering the kernel sends a reset, as when a process or a middlebox dies.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        request.transport.abort()
    return web.Response()


def _with_another_amount(answer: Answer) -> Answer:
    document = {
        key: value | {"amount": format(Decimal(value["amount"]) + 1, "f")}
        if isinstance(value, dict)
        else value
        for key, value in answer.document.items()
    }
    return answer._replace(document=document)


async def _started(request: web.BaseRequest, answer: Answer, length: int) -> web.StreamResponse:
    response = web.StreamResponse(
        status=answer.status, headers={"Content-Type": "application/json; charset=utf-8"}
    )
    response.content_length = length
    await response.prepare(request)
    return response


async def _drip(request: web.BaseRequest, answer: Answer, seconds: float) -> web.StreamResponse:
    body = _dumps(answer.document).encode()
    response = await _started(request, answer, len(body))
    with suppress(ConnectionError):  # the client has had enough
        for position in range(len(body)):
            await response.write(body[position : position + 1])
            await asyncio.sleep(seconds)
    return response


async def _bloat(request: web.BaseRequest, answer: Answer, length: int) -> web.StreamResponse:
    """Send the right answer, and then blanks: valid JSON for whoever reads all of it into memory."""
    body = _dumps(answer.document).encode()
    length = max(length, len(body))
    response = await _started(request, answer, length)
    with suppress(ConnectionError):  # the client has had enough
        await response.write(body)
        for position in range(len(body), length, len(CHUNK)):
            await response.write(CHUNK[: length - position])
    return response
