"""Notices over SMTP, driven command by command, so that the phase of every failure is known.

    connect · EHLO · STARTTLS · EHLO · AUTH      fails: the channel (`MailError`), no notice is to blame
    MAIL FROM · RCPT TO · DATA · the body        refused: 4xx retry, 5xx failed; lost: not sent
    the final dot · the server's reply           refused: 4xx retry, 5xx failed; lost: unknown

A server must cancel a transaction whose connection ends before the final dot (RFC 5321, 4.1.1.10), so
what is lost before the dot was written is proved not sent. After it nothing is proved.
"""

from __future__ import annotations

import asyncio
import base64
import os
import re
import socket
import ssl
from collections.abc import Iterator
from typing import Self, cast

from aiosmtplib import (
    SMTP,
    SMTPAuthenticationError,
    SMTPException,
    SMTPResponse,
    SMTPResponseException,
    SMTPServerDisconnected,
)

from billing.config.schema import Mail, is_loopback
from billing.config.secrets import Secret
from billing.core.letters import Delivery, DeliveryKind, RenderedMail
from billing.errors import ConfigError, MailError
from billing.mail.pool import Busy, Pool

_MESSAGES_A_CONNECTION = 100  # many servers cut a client off somewhere above this
_LONGEST_WORDS = 260  # with the code and the phase around them: under 300
_FAULTS = (SMTPException, OSError)  # OSError includes TimeoutError, lost connections and TLS errors
_UNAVAILABLE = 421  # "closing transmission channel": allowed as the answer to anything
_OUT_OF_STEP = 503  # "bad sequence of commands": the conversation is at fault, and no message
_NOT_ALLOWED = (530, 534, 535, 538)  # wants a login or TLS first (RFC 4954): true of every message
_MAILBOX = re.compile(r"[!-;=?-~]+@[!-;=?-~]+")  # ASCII without space, < and >
_ADDRESS_IN_WORDS = re.compile(r"<?(?:\"[^\"]*\"|[^\s<>@\"]+)@[^\s<>@]+>?")


class SmtpTransport:
    """Hands notices to the mail server of `settings`, up to `settings.concurrency` at once.

    `send` answers for each message. It raises `MailError` when the server can't be used at all; from
    then on every `send` raises, until the transport is entered again. A kept connection that the server
    closed in the meantime is replaced once without the caller noticing: nothing was accepted on it.
    """

    def __init__(
        self, settings: Mail, password: Secret | None, tls_context: ssl.SSLContext | None = None
    ) -> None:
        if settings.smtp_tls == "none" and not is_loopback(settings.smtp_host):
            raise ConfigError(["mail.smtp_tls: 'none' is for a mail server on this machine; use 'starttls'"])
        if tls_context is None and settings.smtp_tls != "none":
            tls_context = ssl.create_default_context()
        self._server = Server(settings, password, tls_context)
        self._lanes = settings.concurrency
        self._pool = Pool(self._server.connect, self._lanes)

    async def __aenter__(self) -> Self:
        self._pool = Pool(self._server.connect, self._lanes)
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._pool.close()

    async def send(self, mail: RenderedMail) -> Delivery:
        if not _MAILBOX.fullmatch(mail.sender):
            raise MailError("the sender's address is not a plain ASCII one; mend mail.from_address")
        fault = _unfit(mail)
        if fault:
            return Delivery(DeliveryKind.FAILED, fault)
        connection = await self._pool.take()
        used_before = connection.handed > 0
        try:
            delivery = await connection.hand_over(mail)
            if delivery.kind is DeliveryKind.NOT_SENT and used_before:
                # The server closed a connection that it had kept open; the message may well be fine.
                connection = await self._pool.renew(connection)
                delivery = await connection.hand_over(mail)
        except MailError as error:
            self._pool.fail(error)
            raise
        finally:
            self._pool.give(connection)
        self._pool.note(lost=delivery.kind in (DeliveryKind.NOT_SENT, DeliveryKind.UNKNOWN))
        return delivery

    async def probe(self) -> str:
        """Connect, log in and part again; one line about the server. Raises `MailError`."""
        connection = await self._server.connect()
        try:
            return f"{self._server.place}: {connection.description()}"
        finally:
            await connection.quit()


class Server:
    """How to get a connection to the configured server, ready for messages."""

    def __init__(self, settings: Mail, password: Secret | None, context: ssl.SSLContext | None) -> None:
        self._settings = settings
        self._password = password
        self._context = context
        self.place = f"mail server {settings.smtp_host}:{settings.smtp_port}"

    async def connect(self) -> Connection:
        """A connection after TLS and login. Raises `Busy` or another `MailError`."""
        mail = self._settings
        smtp = SMTP(
            hostname=mail.smtp_host,
            port=mail.smtp_port,
            timeout=mail.smtp_timeout_seconds,
            use_tls=mail.smtp_tls == "implicit",
            start_tls=False,  # done below: required, and never skipped because it isn't offered
            tls_context=self._context,
            local_hostname="localhost",  # unused; without it the library asks DNS for our name
        )
        phase = "connecting"
        try:
            await smtp.connect()
            self._check_peer(smtp)
            phase = "EHLO"
            await smtp.ehlo(hostname=_own_name(smtp))
            if mail.smtp_tls == "starttls":
                phase = "STARTTLS"
                await self._start_tls(smtp)
                phase = "EHLO"
                await smtp.ehlo(hostname=_own_name(smtp))  # what was said in the clear counts for nothing
            phase = "the login"
            await self._login(smtp)
            return Connection(smtp, mail.smtp_timeout_seconds)
        except _FAULTS as error:
            smtp.close()
            # A reply's exception holds the server's raw words, addresses and all: not to be chained.
            cause = None if isinstance(error, SMTPResponseException) else error
            raise self._failure(phase, error) from cause
        except BaseException:
            smtp.close()
            raise

    def _check_peer(self, smtp: SMTP) -> None:
        """Without TLS the peer itself must be this machine, whatever `localhost` resolved to."""
        peer = smtp.get_transport_info("peername")[0]
        if self._settings.smtp_tls == "none" and not is_loopback(peer):
            raise MailError(f"{self.place} is not this machine; set mail.smtp_tls to 'starttls'")

    async def _start_tls(self, smtp: SMTP) -> None:
        if not smtp.supports_extension("starttls"):
            raise MailError(
                f"{self.place} does not offer STARTTLS, and mail is not sent in the clear; "
                "set mail.smtp_tls to 'implicit' with its TLS port (often 465), or mend the server"
            )
        await smtp.starttls()

    async def _login(self, smtp: SMTP) -> None:
        """Log in with the first method that the server knows; a refused password is not tried again."""
        username = self._settings.smtp_username
        if not username:
            return
        if self._password is None:
            raise MailError(f"{self.place}: mail.smtp_username is set; set BILLING_SMTP_PASSWORD too")
        methods = {"plain": smtp.auth_plain, "login": smtp.auth_login, "cram-md5": smtp.auth_crammd5}
        offered = [methods[name] for name in methods if name in smtp.server_auth_methods]
        if not offered:
            raise MailError(
                f"{self.place} offers no login that this program knows (PLAIN, LOGIN, CRAM-MD5); "
                "empty mail.smtp_username to send without one, or use the server's submission port"
            )
        for authenticate in offered:
            try:
                await authenticate(username, self._password.reveal())
                return
            except SMTPAuthenticationError as error:
                # 504 and its like: offered but not implemented, so no password was judged.
                if error.code not in (500, 502, 504) or authenticate is offered[-1]:
                    raise

    def _failure(self, phase: str, error: SMTPException | OSError) -> MailError:
        """What went wrong before any message, and what to do about it."""
        if isinstance(error, SMTPResponseException):
            words = clean_words(self._without_secrets(error.message))
            said = f"{self.place} refused {phase}: {error.code} {words}"
            if phase == "the login":
                return MailError(f"{said}; check mail.smtp_username and BILLING_SMTP_PASSWORD")
            if 400 <= error.code < 500 and phase in ("connecting", "EHLO"):
                return Busy(f"{said}; the notices wait for the next run")
            return MailError(f"{said}; ask whoever runs the server to let this machine in")
        cause = error.__cause__ if isinstance(error, SMTPException) and error.__cause__ else error
        what = _explained(cause, self._settings.smtp_timeout_seconds)
        return MailError(f"{self.place}: {phase} failed: {what}")

    def _without_secrets(self, words: str) -> str:
        """Words without the login in any form, for a server may repeat the line it refuses."""
        password = self._password.reveal() if self._password else ""
        user = self._settings.smtp_username
        plain = [password, user, f"\0{user}\0{password}"]
        encoded = [base64.b64encode(form.encode()).decode() for form in plain]
        for form in sorted({*plain, *encoded} - {""}, key=len, reverse=True):  # the long ones hold the short
            words = words.replace(form, "****")
        return words


class Connection:
    """One conversation with the server: many messages, one after another."""

    def __init__(self, smtp: SMTP, timeout_seconds: float) -> None:
        if smtp.protocol is None or smtp.transport is None:
            raise SMTPServerDisconnected("the connection was closed after the login")
        self.handed = 0
        self._envelope_open = False  # whether the server still holds a refused message's envelope
        self._smtp = smtp
        self._protocol = smtp.protocol
        self._transport = cast(asyncio.WriteTransport, smtp.transport)
        self._timeout_seconds = timeout_seconds
        # Only for its public drain(): the library's protocol knows flow control, but offers no way in.
        self._writer = asyncio.StreamWriter(self._transport, self._protocol, None, asyncio.get_running_loop())
        # drain() then waits until the last byte of a body has left. Not 0: asyncio's TLS transport takes
        # an empty buffer for a full one with it, and a drain may never return.
        self._transport.set_write_buffer_limits(high=1, low=0)

    @property
    def usable(self) -> bool:
        return self._smtp.is_connected

    @property
    def worn_out(self) -> bool:
        return self.handed >= _MESSAGES_A_CONNECTION

    async def hand_over(self, mail: RenderedMail) -> Delivery:
        """Give one message to the server. Raises `MailError` if it takes none without login or TLS."""
        self.handed += 1
        phase, dotted = "MAIL FROM", False
        try:
            for phase, command in self._commands(mail):
                reply = await self._smtp.execute_command(*command)
                if not _goes_on(phase, reply.code):
                    return self._refused(phase, reply, mail)
            phase = "the body"
            ending = await self._write_body(mail.raw)
            if not self._protocol.is_connected:
                raise SMTPServerDisconnected("Connection lost")
            # The dot goes out in a write of its own, and only on a connection that still stands. From
            # here on, even if it may lie in a buffer, we can't prove that the server did not get it.
            phase, dotted = "the final dot", True
            self._protocol.write(ending)
            reply = await self._protocol.read_response(timeout=self._timeout_seconds)
        except _FAULTS as error:
            self.drop()
            kind = DeliveryKind.UNKNOWN if dotted else DeliveryKind.NOT_SENT
            return Delivery(kind, _loss(phase, error))
        except BaseException:  # cancelled: the conversation can't be taken up where it stopped
            self.drop()
            raise
        return self._answered(reply, mail)

    async def quit(self) -> None:
        """Part politely, as far as the server lets us, and close."""
        try:
            await self._smtp.execute_command(b"QUIT", timeout=min(self._timeout_seconds, 5.0))
        except _FAULTS:
            pass
        finally:
            self.drop()

    def drop(self) -> None:
        if self._protocol.transport is not None:  # asyncio breaks if a connection that ended is aborted
            self._transport.abort()  # close() alone would linger: over TLS it awaits a farewell
        self._smtp.close()

    def description(self) -> str:
        """The server's name, how the line is protected, and what it allows."""
        greeting = self._smtp.last_ehlo_response
        name = clean_words(greeting.message).partition(" ")[0] if greeting else "nobody"
        tls = self._transport.get_extra_info("ssl_object")
        size = self._smtp.esmtp_extensions.get("size", "")
        limit = f", messages up to {int(size) // 1024} KiB" if size.isdecimal() and int(size) else ""
        return f"answers as {name}, {tls.version() if tls else 'no TLS (this machine)'}{limit}"

    def _commands(self, mail: RenderedMail) -> Iterator[tuple[str, tuple[bytes, ...]]]:
        """The commands before the body, each with the name of its phase."""
        if self._envelope_open:  # RSET, or this message would join the refused one
            yield "RSET", (b"RSET",)
        options = []
        if self._smtp.supports_extension("size"):
            options.append(b"SIZE=%d" % len(mail.raw))
        if not mail.raw.isascii() and self._smtp.supports_extension("8bitmime"):
            options.append(b"BODY=8BITMIME")
        self._envelope_open = True
        yield "MAIL FROM", (b"MAIL", b"FROM:<%b>" % mail.sender.encode(), *options)
        yield "RCPT TO", (b"RCPT", b"TO:<%b>" % mail.recipient.encode())
        yield "DATA", (b"DATA",)

    async def _write_body(self, raw: bytes) -> bytes:
        """Write all of the body and wait until it has left; returns the bytes that end it."""
        body = raw.replace(b"\r\n.", b"\r\n..")
        self._protocol.write(b"." + body if body.startswith(b".") else body)
        async with asyncio.timeout(self._timeout_seconds):
            await self._writer.drain()
        return b".\r\n" if raw.endswith(b"\r\n") else b"\r\n.\r\n"

    def _refused(self, phase: str, reply: SMTPResponse, mail: RenderedMail) -> Delivery:
        """The server's no before the body; the connection stays good unless it says otherwise."""
        words = _words(phase, reply, mail)
        if reply.code in _NOT_ALLOWED:
            self.drop()
            raise MailError(
                f"the mail server takes no mail as it is configured: {words}; "
                "check mail.smtp_username, BILLING_SMTP_PASSWORD and mail.smtp_tls"
            )
        if phase == "RSET" or reply.code in (_UNAVAILABLE, _OUT_OF_STEP) or not _is_refusal(reply):
            self.drop()
            return Delivery(DeliveryKind.NOT_SENT, words)
        return Delivery(DeliveryKind.RETRY if reply.code < 500 else DeliveryKind.FAILED, words)

    def _answered(self, reply: SMTPResponse, mail: RenderedMail) -> Delivery:
        """What the reply to the final dot means.

        With either reply the server has to clear the envelope (RFC 5321, 4.1.1.4), but after a refusal by
        its policy Postfix keeps it: so only a 2xx spares the next message the RSET.
        """
        if 200 <= reply.code < 300:
            self._envelope_open = False
            return Delivery(DeliveryKind.SENT, f"{reply.code} {clean_words(reply.message)}")
        words = _words("the final dot", reply, mail)
        if reply.code == _UNAVAILABLE or not _is_refusal(reply):
            self.drop()
        if not _is_refusal(reply):  # a riddle instead of an answer
            return Delivery(DeliveryKind.UNKNOWN, words)
        return Delivery(DeliveryKind.RETRY if reply.code < 500 else DeliveryKind.FAILED, words)


def clean_words(text: str) -> str:
    """A server's words as one line of at most 260 characters, without addresses and control characters."""
    if len(text) > 2000:
        text = text[:2000].rpartition(" ")[0]  # at a word's end: half an address would not be recognised
    text = "".join(character if character.isprintable() else " " for character in text)
    return " ".join(_ADDRESS_IN_WORDS.sub("<address>", text).split())[:_LONGEST_WORDS]


def _words(phase: str, reply: SMTPResponse, mail: RenderedMail) -> str:
    """`550 5.1.1 no such user (in reply to RCPT TO)`."""
    text = reply.message
    name = mail.recipient.rpartition("@")[0]
    if len(name) > 2:  # some servers name the mailbox without its domain
        text = re.sub(rf"(?<![\w@]){re.escape(name)}(?!\w|@)", "<address>", text, flags=re.IGNORECASE)
    return f"{reply.code} {clean_words(text)} (in reply to {phase})"


def _goes_on(phase: str, code: int) -> bool:
    return code == 354 if phase == "DATA" else 200 <= code < 300


def _is_refusal(reply: SMTPResponse) -> bool:
    return 400 <= reply.code < 600


def _loss(phase: str, error: Exception) -> str:
    what = "no answer in time" if isinstance(error, TimeoutError) else "the connection was lost"
    if isinstance(error, SMTPResponseException):
        what = "an answer that is not SMTP"
    return f"{what} (at {phase})"


def _unfit(mail: RenderedMail) -> str:
    """Why this message can't be put on any wire, or nothing."""
    if not _MAILBOX.fullmatch(mail.recipient):
        return "the recipient's address is not a plain ASCII one; no server was asked"
    # A lone CR or LF lets one server see the end of a message where another sees none: smuggling.
    if not mail.raw.count(b"\r\n") == mail.raw.count(b"\r") == mail.raw.count(b"\n"):
        return "the message has line ends other than CRLF; no server was asked"
    return ""


def _explained(error: BaseException, timeout_seconds: float) -> str:
    """A failure below SMTP in plain words, and what to do about it."""
    match error:
        case ssl.SSLCertVerificationError():
            advice = "mail.smtp_host must be the name in it, and this system must trust who issued it"
            return f"its certificate is not valid: {error.verify_message}; {advice}"
        case ssl.SSLError():
            advice = "check mail.smtp_tls and mail.smtp_port: usually 'starttls' on 587, 'implicit' on 465"
            return f"TLS failed: {error.reason or error}; {advice}"
        case socket.gaierror():
            return "its name can't be found; check mail.smtp_host"
        case TimeoutError():
            advice = "check mail.smtp_host, mail.smtp_port, and mail.smtp_tls ('implicit' on port 465)"
            return f"no answer within {timeout_seconds:g} s; {advice}"
        case OSError() if not isinstance(error, SMTPException):
            what = os.strerror(error.errno) if error.errno else "it can't be reached"
            return f"{what}; check that it runs, and mail.smtp_host and mail.smtp_port"
    return "the connection was lost; look into its log, and check mail.smtp_port and mail.smtp_tls"


def _own_name(smtp: SMTP) -> str:
    """Our address as EHLO's argument (RFC 5321, 4.1.3): true without asking DNS who we are."""
    address = str(smtp.get_transport_info("sockname")[0]).partition("%")[0]
    return f"[IPv6:{address}]" if ":" in address else f"[{address}]"
