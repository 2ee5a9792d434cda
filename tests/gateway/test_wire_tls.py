"""TLS: whom the client trusts, and what is proved when it does not."""

import asyncio
import shutil
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from billing.core.outcomes import CreateOutcome, OutcomeKind
from billing.gateway import MilestonGateway
from billing.gateway.wire import _trusted_context
from tests.support.scripted_api import BUSINESS_ID, KEY, LATER, NOW, payment, settings

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="makes its certificates with openssl")


class Certificate:
    """A self-signed certificate for `name`, made anew."""

    def __init__(self, folder: Path, name: str) -> None:
        self.certificate, key = folder / "cert.pem", folder / "key.pem"
        kind = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=test"
        files = ["-keyout", str(key), "-out", str(self.certificate)]
        subprocess.run(
            ["openssl", *kind.split(), "-addext", f"subjectAltName={name}", *files],
            check=True,
            capture_output=True,
        )
        self.server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.server.load_cert_chain(self.certificate, key)

    @property
    def trusting(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.certificate)


class TlsServer(asyncio.Protocol):
    """Echoes creates, or cuts them off; keeps what it decrypted."""

    def __init__(self, seen: list[bytes], cut: bool) -> None:
        self.seen = seen
        self.cut = cut

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.seen.append(data)
        if self.cut:
            self.transport.abort()
            return
        body = (
            b'{"recurringPaymentData":{"recurringPaymentId":"rp_1",' + data.partition(b"\r\n\r\n{")[2] + b"}"
        )
        self.transport.write(b"HTTP/1.1 201 X\r\nContent-Length: %d\r\n\r\n" % len(body) + body)


def creates(
    certificate: Certificate,
    context: ssl.SSLContext | None,
    cut: bool = False,
    clock: Callable[[], Any] = lambda: NOW,
) -> tuple[list[CreateOutcome], list[bytes]]:
    """Two creates, one after the other; and what the server saw."""
    seen: list[bytes] = []

    async def scene() -> list[CreateOutcome]:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(
            lambda: TlsServer(seen, cut), "127.0.0.1", 0, ssl=certificate.server
        )
        where = settings(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/recurring-payment")
        keys = (KEY, BUSINESS_ID)
        try:
            async with MilestonGateway(where, "Example", lambda: keys, clock, ssl_context=context) as made:
                return [await made.create(payment(), LATER) for _ in range(2)]
        finally:
            server.close()
            await asyncio.sleep(0.02)

    return asyncio.run(scene()), seen


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return Certificate(tmp_path_factory.mktemp("tls"), "IP:127.0.0.1")


def test_a_trusted_server(certificate: Certificate) -> None:
    outcomes, seen = creates(certificate, certificate.trusting)
    assert {outcome.kind for outcome in outcomes} == {OutcomeKind.CREATED}
    assert len(seen) == 2


def test_an_unknown_issuer_is_not_sent(certificate: Certificate, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does a variable of the environment make it trusted."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate.certificate))
    outcomes, seen = creates(certificate, None)
    assert {outcome.kind for outcome in outcomes} == {OutcomeKind.NOT_SENT}
    assert outcomes[0].detail.startswith("ConnectError: TLS self")
    assert seen == []


def test_another_server_s_certificate_is_not_sent(tmp_path: Path) -> None:
    other = Certificate(tmp_path, "DNS:else.example")
    outcomes, seen = creates(other, other.trusting)
    assert {outcome.kind for outcome in outcomes} == {OutcomeKind.NOT_SENT}
    assert "mismatch" in outcomes[0].detail
    assert seen == []


def test_a_cut_after_the_request_is_unknown(certificate: Certificate) -> None:
    outcomes, seen = creates(certificate, certificate.trusting, cut=True)
    assert {outcome.kind for outcome in outcomes} == {OutcomeKind.UNKNOWN}
    assert len(seen) == 2


def test_a_deadline_that_passes_during_the_handshake_is_not_sent(certificate: Certificate) -> None:
    looks = iter([NOW])
    outcomes, seen = creates(certificate, certificate.trusting, clock=lambda: next(looks, LATER))
    assert {outcome.kind for outcome in outcomes} == {OutcomeKind.NOT_SENT}
    assert seen == []


def test_the_usual_context_verifies_and_is_made_once() -> None:
    context = _trusted_context("https")
    assert context is _trusted_context("https")
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.cert_store_stats()["x509_ca"] > 50
    assert _trusted_context("http").cert_store_stats()["x509_ca"] == 0
