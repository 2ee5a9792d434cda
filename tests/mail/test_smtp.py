"""Real conversations with aiosmtpd: STARTTLS, implicit TLS, and logins, with a certificate made here."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import secrets
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from billing.config.secrets import Secret
from billing.core.notices import DeliveryKind
from billing.errors import MailError
from billing.mail.smtp import SmtpTransport
from tests.support.smtp_server import Cut, Fault, Say, SmtpServer, a_mail, mail_settings

# aiosmtpd doesn't count TLS that is there from the start, and so warns of logins without TLS.
pytestmark = pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS:UserWarning")

USER, PASSWORD = "billing@example.com", "correct horse"
RIGHT, WRONG = Secret(PASSWORD, "test"), Secret("battery staple", "test")


@dataclass
class Mailbox:
    """aiosmtpd's handler and authenticator; records what it took and who knocked."""

    port: int = 0
    taken: list[tuple[str, str]] = field(default_factory=list)
    over_tls: set[bool] = field(default_factory=set)
    logins: list[tuple[str, bool]] = field(default_factory=list)

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        self.taken += [(recipient, str(session.authenticated)) for recipient in envelope.rcpt_tos]
        self.over_tls.add(session.ssl is not None or _cipher(server) is not None)
        return "250 2.0.0 kept"

    def authenticate(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: LoginPassword
    ) -> AuthResult:
        well = (data.login, data.password) == (USER.encode(), PASSWORD.encode())
        self.logins.append((mechanism, well))
        return AuthResult(success=well, handled=well)  # not handled: refused with the usual words


def _cipher(server: SMTP) -> object:
    assert server.transport is not None
    return server.transport.get_extra_info("cipher")


@asynccontextmanager
async def aiosmtpd_server(*, implicit: bool = False, **options: Any) -> AsyncIterator[Mailbox]:
    """A server that takes mail only over TLS and after a login."""
    mailbox = Mailbox()
    tls = server_context()
    if not implicit:
        options |= {"tls_context": tls, "require_starttls": True}

    def protocol() -> SMTP:
        return SMTP(
            mailbox,
            hostname="mail.test",
            auth_required=True,
            auth_require_tls=not implicit,
            authenticator=mailbox.authenticate,
            loop=asyncio.get_running_loop(),
            **options,
        )

    loop = asyncio.get_running_loop()
    server = await loop.create_server(protocol, "127.0.0.1", 0, ssl=tls if implicit else None)
    mailbox.port = server.sockets[0].getsockname()[1]
    try:
        yield mailbox
    finally:
        server.close()
        await asyncio.sleep(0.02)


def smtp_transport(
    port: int, password: Secret | None = RIGHT, *, trusted: bool = True, **settings: object
) -> SmtpTransport:
    values = {"smtp_tls": "starttls", "smtp_username": USER, "concurrency": 4} | settings
    return SmtpTransport(mail_settings(port, **values), password, client_context() if trusted else None)


@pytest.mark.parametrize("implicit", [False, True])
@pytest.mark.parametrize("excluded", [[], ["PLAIN"]])
def test_messages_arrive_once_each_over_tls_and_after_a_login(implicit: bool, excluded: list[str]) -> None:
    async def main() -> None:
        async with aiosmtpd_server(implicit=implicit, auth_exclude_mechanism=excluded) as mailbox:
            tls = "implicit" if implicit else "starttls"
            async with smtp_transport(mailbox.port, smtp_tls=tls) as transport:
                deliveries = await asyncio.gather(*(transport.send(a_mail(n)) for n in range(40)))
            assert {delivery.kind for delivery in deliveries} == {DeliveryKind.SENT}
            assert sorted(mailbox.taken) == sorted((f"u{n}@example.com", "True") for n in range(40))
            assert mailbox.over_tls == {True}
            assert mailbox.logins == [("LOGIN" if excluded else "PLAIN", True)] * 4

    asyncio.run(main())


def test_a_large_message_arrives_over_tls() -> None:
    async def main() -> None:
        async with aiosmtpd_server() as mailbox, smtp_transport(mailbox.port) as transport:
            delivery = await transport.send(a_mail(size=3_000_000))
            assert (delivery.kind, len(mailbox.taken)) == (DeliveryKind.SENT, 1)

    asyncio.run(main())


def test_a_wrong_password_is_tried_once_and_never_shown() -> None:
    async def main() -> None:
        async with aiosmtpd_server() as mailbox:
            async with smtp_transport(mailbox.port, WRONG) as transport:
                outcomes = await asyncio.gather(
                    *(transport.send(a_mail(n)) for n in range(8)), return_exceptions=True
                )
            assert {type(outcome) for outcome in outcomes} == {MailError}
            assert "check mail.smtp_username and BILLING_SMTP_PASSWORD" in str(outcomes[0])
            assert not any(secret in str(outcomes) for secret in ("staple", USER))
            assert mailbox.logins == [("PLAIN", False)]
            assert mailbox.taken == []

    asyncio.run(main())


def test_a_certificate_from_nobody_we_trust_stops_the_channel() -> None:
    async def main() -> None:
        async with aiosmtpd_server() as mailbox, smtp_transport(mailbox.port, trusted=False) as transport:
            with pytest.raises(MailError, match="STARTTLS failed: its certificate is not valid: self"):
                await transport.send(a_mail())
            assert (mailbox.logins, mailbox.taken) == ([], [])

    asyncio.run(main())


def test_a_certificate_for_another_name_stops_the_channel() -> None:
    async def main() -> None:
        async with aiosmtpd_server(implicit=True) as mailbox:
            transport = smtp_transport(mailbox.port, smtp_host="localhost", smtp_tls="implicit")
            with pytest.raises(MailError, match=r"Hostname mismatch.*'localhost'.*mail\.smtp_host"):
                await transport.probe()

    asyncio.run(main())


@pytest.mark.parametrize(
    "faults",
    [[], [Fault("starttls", Say("220 go on", then_cut=True))], [Fault("starttls", Cut())]],
    ids=["refused", "cut in the handshake", "cut"],
)
def test_starttls_that_fails_never_goes_on_in_the_clear(faults: list[Fault]) -> None:
    async def main() -> None:
        async with SmtpServer(*faults, extensions=("STARTTLS", "AUTH PLAIN")) as server:
            async with smtp_transport(server.port) as transport:
                with pytest.raises(MailError, match="STARTTLS"):
                    await transport.send(a_mail())
            assert [command.split()[0] for command in server.commands] == ["EHLO", "STARTTLS"]

    asyncio.run(main())


def test_a_server_without_starttls_gets_neither_password_nor_mail() -> None:
    async def main() -> None:
        async with SmtpServer(extensions=("AUTH PLAIN",)) as server:
            async with smtp_transport(server.port) as transport:
                with pytest.raises(MailError, match=r"does not offer STARTTLS.*smtp_tls"):
                    await transport.send(a_mail())
            assert [command.split()[0] for command in server.commands] == ["EHLO"]

    asyncio.run(main())


def test_implicit_tls_to_a_server_that_speaks_in_the_clear_says_what_to_set() -> None:
    async def main() -> None:
        async with SmtpServer() as server:
            transport = smtp_transport(server.port, smtp_tls="implicit")
            with pytest.raises(MailError, match=r"TLS failed: .*smtp_tls and mail\.smtp_port"):
                await transport.probe()

    asyncio.run(main())


def test_a_login_method_that_is_only_advertised_gives_way_to_the_next() -> None:
    async def main() -> None:
        fault = Fault("auth", Say("504 5.5.4 not implemented"))
        async with SmtpServer(fault, extensions=("AUTH LOGIN PLAIN",)) as server:
            async with smtp_transport(server.port, smtp_tls="none") as transport:
                assert (await transport.send(a_mail())).kind is DeliveryKind.SENT
            assert [command[:10] for command in server.commands[1:3]] == ["AUTH PLAIN", "AUTH LOGIN"]

    asyncio.run(main())


@pytest.mark.parametrize("extensions", [(), ("AUTH GSSAPI",)])
def test_a_server_without_a_login_that_we_know_stops_the_channel(extensions: tuple[str, ...]) -> None:
    async def main() -> None:
        async with SmtpServer(extensions=extensions) as server:
            with pytest.raises(MailError, match="offers no login"):
                await smtp_transport(server.port, smtp_tls="none").probe()

    asyncio.run(main())


def test_a_user_name_without_a_password_stops_the_channel() -> None:
    async def main() -> None:
        async with SmtpServer(extensions=("AUTH PLAIN",)) as server:
            with pytest.raises(MailError, match="BILLING_SMTP_PASSWORD"):
                await smtp_transport(server.port, None, smtp_tls="none").probe()

    asyncio.run(main())


def test_a_server_that_repeats_the_login_gives_nothing_away() -> None:
    async def main() -> None:
        encoded = base64.b64encode(f"\0{USER}\0{PASSWORD}".encode()).decode()
        fault = Fault("auth", Say(f"501 5.5.2 bad: AUTH PLAIN {encoded} ({PASSWORD})"))
        async with SmtpServer(fault, extensions=("AUTH PLAIN",)) as server:
            with pytest.raises(MailError) as caught:
                await smtp_transport(server.port, smtp_tls="none").probe()
            assert r"501 5.5.2 bad: AUTH PLAIN **** (****)" in str(caught.value)
            assert caught.value.__cause__ is None

    asyncio.run(main())


def test_the_probe_describes_the_server_and_sends_nothing() -> None:
    async def main() -> None:
        async with aiosmtpd_server() as mailbox:
            line = await smtp_transport(mailbox.port).probe()
            facts = "answers as mail.test, TLSv1.3, messages up to 32768 KiB"
            assert line == f"mail server 127.0.0.1:{mailbox.port}: {facts}"
            assert mailbox.taken == []

    asyncio.run(main())


# --- A self-signed certificate for 127.0.0.1, without a tool that the machine may not have and without a
# private key in the repository: 40 lines of P-256 (FIPS 186-4) and DER (X.690), good for tests alone.

P = 2**256 - 2**224 + 2**192 + 2**96 - 1
N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
G = (
    0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
    0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
)
Point = tuple[int, int] | None


def add(one: Point, other: Point) -> Point:
    if one is None or other is None:
        return one or other
    (x, y), (u, v) = one, other
    if x == u and (y + v) % P == 0:
        return None
    slope = (3 * x * x - 3) * pow(2 * y, -1, P) if one == other else (v - y) * pow(u - x, -1, P)
    third = (slope * slope - x - u) % P
    return third, (slope * (x - third) - y) % P


def times(factor: int, point: Point) -> tuple[int, int]:
    total: Point = None
    while factor:
        total = add(total, point) if factor & 1 else total
        point, factor = add(point, point), factor >> 1
    assert total is not None
    return total


def der(tag: int, *parts: bytes) -> bytes:
    content = b"".join(parts)
    if len(content) < 128:
        return bytes([tag, len(content)]) + content
    return bytes([tag, 0x82]) + len(content).to_bytes(2, "big") + content


def integer(value: int) -> bytes:
    return der(2, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def oid(encoded: str) -> bytes:
    return der(6, bytes.fromhex(encoded))


def extension(encoded_oid: str, value: bytes, *, critical: bool = False) -> bytes:
    return der(0x30, oid(encoded_oid), der(1, b"\xff") if critical else b"", der(4, value))


def bits(content: bytes) -> bytes:
    return der(3, b"\0", content)


def self_signed() -> tuple[bytes, bytes]:
    """A certificate and its key, in DER."""
    key = secrets.randbelow(N - 1) + 1
    public = b"\4" + b"".join(half.to_bytes(32, "big") for half in times(key, G))
    curve, algorithm = oid("2a8648ce3d030107"), der(0x30, oid("2a8648ce3d040302"))
    name = der(0x30, der(0x31, der(0x30, oid("550403"), der(12, b"test"))))
    validity = der(0x30, der(0x17, b"200101000000Z"), der(0x17, b"491231235959Z"))
    extensions = der(
        0x30,
        extension("551d13", der(0x30, der(1, b"\xff")), critical=True),  # may sign: itself
        extension("551d0f", der(3, b"\2\x84"), critical=True),  # digital signature, certificates
        extension("551d0e", der(4, hashlib.sha1(public).digest())),
        extension("551d11", der(0x30, der(0x87, bytes([127, 0, 0, 1])))),
    )
    subject_key = der(0x30, der(0x30, oid("2a8648ce3d0201"), curve), bits(public))
    body = der(
        0x30,
        *(der(0xA0, integer(2)), integer(secrets.randbits(64)), algorithm, name, validity, name),
        *(subject_key, der(0xA3, extensions)),
    )
    nonce = secrets.randbelow(N - 1) + 1
    r = times(nonce, G)[0] % N
    digest = int.from_bytes(hashlib.sha256(body).digest(), "big")
    signature = der(0x30, integer(r), integer(pow(nonce, -1, N) * (digest + r * key) % N))
    private = der(
        0x30, integer(1), der(4, key.to_bytes(32, "big")), der(0xA0, curve), der(0xA1, bits(public))
    )
    return der(0x30, body, algorithm, bits(signature)), private


@cache
def certificate() -> tuple[str, str]:
    """The certificate and the key as PEM."""
    public, private = self_signed()
    begin, end = (f"-----{edge} EC PRIVATE KEY-----\n" for edge in ("BEGIN", "END"))
    return ssl.DER_cert_to_PEM_cert(public), begin + base64.encodebytes(private).decode() + end


@cache
def server_context() -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    with TemporaryDirectory() as directory:
        path = Path(directory) / "both.pem"
        path.write_text("".join(certificate()))
        context.load_cert_chain(path)
    return context


@cache
def client_context() -> ssl.SSLContext:
    return ssl.create_default_context(cadata=certificate()[0])
