"""What a create's outcome is for every way that a server and a network can behave."""

import asyncio
import socket
import ssl
import time
from typing import Any

import pytest

from billing.core.outcomes import CreateOutcome, OutcomeKind
from billing.gateway import MilestonGateway
from tests.support.ports import free_port
from tests.support.scripted_api import (
    BUSINESS_ID,
    KEY,
    LATER,
    Connection,
    Step,
    answer,
    echo,
    gateway,
    hang_up,
    payment,
    raw,
    reply,
    run_script,
)

CREATED, REFUSED, UNAUTHORIZED, NOT_SENT, UNKNOWN = (
    OutcomeKind.CREATED,
    OutcomeKind.REFUSED,
    OutcomeKind.UNAUTHORIZED,
    OutcomeKind.NOT_SENT,
    OutcomeKind.UNKNOWN,
)
HEAD = b"HTTP/1.1 201 Created\r\nContent-Length: 20\r\n"


def outcome_of(*script: Step, **changes: Any) -> CreateOutcome:
    _, run = run_script(*script, **changes)
    return run(lambda gateway: gateway.create(payment(), LATER))


def create_at(url: str, **changes: Any) -> CreateOutcome:
    async def scene() -> CreateOutcome:
        async with gateway(url, **changes) as made:
            return await made.create(payment(), LATER)

    return asyncio.run(scene())


# Nothing left.


def test_refused_connection_is_not_sent() -> None:
    outcome = create_at(f"http://127.0.0.1:{free_port()}/recurring-payment")
    assert outcome.kind is NOT_SENT
    assert "refused" in outcome.detail.lower() or "connect" in outcome.detail.lower()


def test_failed_name_lookup_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    def lookup(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    outcome = create_at("http://localhost:9/recurring-payment")
    assert outcome == CreateOutcome(NOT_SENT, detail="ConnectError: Name or service not known")


def test_a_name_that_no_lookup_can_hold_is_not_sent() -> None:
    assert create_at(f"https://{'a' * 70}.example/recurring-payment").kind is NOT_SENT


def test_failed_tls_handshake_is_not_sent() -> None:
    async def plaintext(connection: Connection) -> None:
        await connection.reader.read(100)
        await connection.send(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        await connection.close()

    api, run = run_script(plaintext)

    async def scene(_: object) -> CreateOutcome:
        async with gateway(api.url.replace("http:", "https:")) as secured:
            return await secured.create(payment(), LATER)

    outcome = run(scene)
    assert outcome.kind is NOT_SENT
    assert outcome.detail.startswith("ConnectError: TLS ")


def test_silence_during_the_tls_handshake_is_not_sent() -> None:
    async def silent(connection: Connection) -> None:
        await connection.reader.read()

    api, run = run_script(silent)

    async def scene(_: object) -> CreateOutcome:
        async with gateway(api.url.replace("http:", "https:"), timeout_seconds=0.2) as secured:
            return await secured.create(payment(), LATER)

    assert run(scene) == CreateOutcome(NOT_SENT, detail="no connection within 0.2 s")


def test_a_text_that_is_no_unicode_is_refused_before_sending() -> None:
    api, run = run_script()
    outcome = run(lambda gateway: gateway.create(payment(name="half \ud83d"), LATER))
    assert outcome.kind is REFUSED
    assert (outcome.status, api.connections) == (None, 0)


@pytest.mark.parametrize(
    "key", ["", " key", "key ", "key\r\nX-Evil: 1", "key\x00", "key\x85", "schlüßel€", "🔑"]
)
@pytest.mark.parametrize("which", [0, 1])
def test_a_key_that_no_header_carries_is_unauthorized(key: str, which: int) -> None:
    api, run = run_script(echo())

    async def scene(made: MilestonGateway) -> CreateOutcome:
        made._payments.wire._credentials = lambda: (key, BUSINESS_ID) if which == 0 else (KEY, key)
        return await made.create(payment(), LATER)

    outcome = run(scene)
    assert outcome.kind is UNAUTHORIZED
    assert "nothing was sent" in outcome.detail
    assert api.connections == 0


def test_a_key_that_cannot_be_read_is_unauthorized() -> None:
    def unreadable() -> tuple[str, str]:
        raise PermissionError(13, "Permission denied", "/etc/secret/place")

    api, run = run_script(echo())

    async def scene(made: MilestonGateway) -> CreateOutcome:
        made._payments.wire._credentials = unreadable
        return await made.create(payment(), LATER)

    assert run(scene) == CreateOutcome(
        UNAUTHORIZED, detail="the API key could not be read (PermissionError); nothing was sent"
    )
    assert api.connections == 0


def test_closed_before_anything_was_read_is_never_more_than_unknown() -> None:
    """If the close is noticed before the request leaves it is not sent; the race decides."""
    assert outcome_of(hang_up).kind in (NOT_SENT, UNKNOWN)


# Something may have left.


async def drip_head(connection: Connection) -> None:
    await connection.request()
    for byte in answer(201, {"statusCode": 201}):
        await connection.send(bytes([byte]))
        await asyncio.sleep(0.02)


async def drip_body(connection: Connection) -> None:
    await connection.request()
    await connection.send(b"HTTP/1.1 201 Created\r\nContent-Length: 100000\r\n\r\n")
    while True:
        await connection.send(b" ")
        await asyncio.sleep(0.02)


async def endless_body(connection: Connection) -> None:
    await connection.request()
    await connection.send(b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        await connection.send(b"10000\r\n" + b" " * 0x10000 + b"\r\n")
        await asyncio.sleep(0)


async def endless_hints(connection: Connection) -> None:
    await connection.request()
    while True:
        await connection.send(b"HTTP/1.1 103 Early Hints\r\n\r\n")
        await asyncio.sleep(0.01)


async def never_answer(connection: Connection) -> None:
    await connection.request()
    await connection.reader.read()


async def reset_without_reading(connection: Connection) -> None:
    await connection.reset()


@pytest.mark.parametrize(
    ("step", "detail"),
    [
        (raw(b""), "RemoteProtocolError"),
        (raw(b"", then="reset"), "ReadError: Connection reset by peer"),
        (reset_without_reading, "ReadError: Connection reset by peer"),
        (raw(b"HTTP/1.1 20"), "RemoteProtocolError"),
        (raw(b"HTTP/1.1 201 Created\r\nContent-Le"), "RemoteProtocolError"),
        (raw(b"\x00\xffnot http at all\r\n\r\n"), "RemoteProtocolError"),
        (raw(b"SSH-2.0-OpenSSH_9.6\r\n"), "RemoteProtocolError"),
        (
            raw(b"HTTP/1.1 201 Created\r\nContent-Length: 9" + b"9" * 5000 + b"\r\n\r\n"),
            "RemoteProtocolError",
        ),
        (raw(b"HTTP/1.1 201 Created\r\nContent-Length: -1\r\n\r\n"), "RemoteProtocolError"),
        (raw(b"HTTP/1.1 201 Created\r\nX: " + b"y" * 200_000), "RemoteProtocolError"),
        (raw(b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"), "RemoteProtocolError"),
        (raw(b"HTTP/2 201\r\n\r\n"), "RemoteProtocolError"),
        (raw(HEAD + b"\r\n" + b'{"cut":'), "RemoteProtocolError"),
        (raw(HEAD + b"\r\n" + b'{"cut":', then="reset"), "ReadError: Connection reset by peer"),
        (raw(HEAD + b"Content-Length: 21\r\n\r\n" + b" " * 21), "RemoteProtocolError"),
        (raw(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 9\r\n\r\n{"), "RemoteProtocolError"),
        (raw(answer(201, b" " * (1024 * 1024 + 1)), then="stay"), "the answer is too large"),
        (raw(answer(400, b" " * (1024 * 1024 + 1)), then="stay"), "the answer is too large"),
        (endless_body, "the answer is too large"),
        (drip_head, "no complete answer within 0.3 s"),
        (drip_body, "no complete answer within 0.3 s"),
        (endless_hints, "no complete answer within 0.3 s"),
        (never_answer, "no complete answer within 0.3 s"),
        (raw(b"HTTP/1.1 201 Created\r\n\r\n", then="stay"), "no complete answer within 0.3 s"),
    ],
)
def test_without_a_complete_answer_it_is_unknown(step: Step, detail: str) -> None:
    began = time.monotonic()
    limit = 0.3 if "0.3" in detail else 5.0
    assert outcome_of(step, timeout_seconds=limit) == CreateOutcome(UNKNOWN, detail=detail)
    assert time.monotonic() - began < 3


@pytest.mark.parametrize(
    ("step", "detail"),
    [
        (reply(201, b""), "HTTP 201 without a JSON object"),
        (reply(200, b"<html>ok</html>"), "HTTP 200 without a JSON object"),
        (reply(201, [1, 2]), "HTTP 201 without a JSON object"),
        (reply(201, "text"), "HTTP 201 without a JSON object"),
        (reply(201, b"\xff\xfe\x00"), "HTTP 201 without a JSON object"),
        (reply(201, b'{"a":' * 50_000), "HTTP 201 without a JSON object"),
        (reply(201, b"[" * 500_000), "HTTP 201 without a JSON object"),
        (reply(201, b'{"n":' + b"9" * 10_000 + b"}"), "HTTP 201 without a JSON object"),
        (reply(201, {}, "Content-Encoding: gzip\r\n"), "HTTP 201 without a JSON object"),
        (raw(b"HTTP/1.1 204 No Content\r\n\r\n", then="stay"), "HTTP 204 without a JSON object"),
        (raw(b"HTTP/1.1 201 Created\r\n\r\n{cut"), "HTTP 201 without a JSON object"),
        (
            raw(b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
            "HTTP 201 without a JSON object",
        ),
    ],
)
def test_success_that_is_not_json_is_unknown(step: Step, detail: str) -> None:
    status = int(detail.split()[1])
    assert outcome_of(step) == CreateOutcome(UNKNOWN, status=status, detail=detail)


# Every status.


def expected_kind(status: int) -> OutcomeKind:
    return {400: REFUSED, 401: UNAUTHORIZED, 403: REFUSED, 404: REFUSED, 422: REFUSED}.get(status, UNKNOWN)


def test_every_status_has_its_outcome() -> None:
    statuses = list(range(200, 600))
    bodiless = (204, 304)
    _, run = run_script(
        *(reply(status, b"" if status in bodiless else {"message": "Because."}) for status in statuses)
    )

    async def scene(made: Any) -> dict[int, CreateOutcome]:
        return {status: await made.create(payment(), LATER) for status in statuses}

    for status, outcome in run(scene).items():
        assert (status, outcome.kind) == (status, expected_kind(status))
        assert outcome.status == status
        assert outcome.remote_id is None
        if status >= 400:
            assert outcome.detail == f"HTTP {status}: Because."
        elif status >= 300:
            assert outcome.detail == f"HTTP {status}: redirects are not followed"


def test_early_hints_are_not_the_answer() -> None:
    async def hint_first(connection: Connection) -> None:
        await connection.send(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n")
        await echo()(connection)

    assert outcome_of(hint_first).kind is CREATED


def test_switching_protocols_is_unknown() -> None:
    outcome = outcome_of(
        raw(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n")
    )
    assert outcome.kind is UNKNOWN


def test_redirects_are_not_followed() -> None:
    async def elsewhere(connection: Connection) -> None:
        await connection.request()
        port = connection.writer.get_extra_info("sockname")[1]
        await connection.send(answer(307, {}, f"Location: http://127.0.0.1:{port}/other\r\n"))

    api, run = run_script(elsewhere, echo())
    assert run(lambda gateway: gateway.create(payment(), LATER)).kind is UNKNOWN
    assert len(api.requests) == 1


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120.0),
        ("0", 0.0),
        ("1.5", 1.5),
        ("Sun, 01 Feb 2026 12:01:30 GMT", 90.0),
        ("Sun, 01 Feb 2026 11:00:00 GMT", 0.0),
        ("Sun, 01 Feb 2026 14:01:30 +0200", 90.0),
        ("-5", None),
        ("1e9", None),
        ("9" * 400, None),
        ("soon", None),
        ("Sun, 99 Feb 2026 12:01:30 GMT", None),
    ],
)
def test_retry_after(status: int, value: str, seconds: float | None) -> None:
    outcome = outcome_of(reply(status, {}, f"Retry-After: {value}\r\n"))
    assert (outcome.kind, outcome.status, outcome.retry_after_seconds) == (UNKNOWN, status, seconds)


def test_retry_after_counts_for_no_other_status() -> None:
    assert outcome_of(reply(500, {}, "Retry-After: 5\r\n")).retry_after_seconds is None


def test_ssl_errors_are_network_faults() -> None:
    assert issubclass(ssl.SSLError, OSError)  # what NETWORK_FAULTS and start_tls rely on
