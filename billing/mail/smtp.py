"""Notices over SMTP, driven command by command, so that the phase of every failure is known.

    connect · EHLO · STARTTLS · EHLO · AUTH      fails: the channel (`MailError`), no notice is at fault
    MAIL FROM · RCPT TO · DATA · the body        refused: 4xx retry, 5xx failed; lost: not sent
    the final dot · the server's reply           refused: 4xx retry, 5xx failed; lost: unknown
    any of them, and it is about the account     the channel (`AccountRefused`; see refusals.py)

A server must cancel a transaction whose connection ends before the final dot (RFC 5321, 4.1.1.10), so
what is lost before the dot was written is proved not sent. After it nothing is proved.
"""

from __future__ import annotations

import base64
import os
import re
import socket
import ssl
from typing import Self

from aiosmtplib import (
    SMTP,
    SMTPAuthenticationError,
    SMTPException,
    SMTPResponseException,
)

from billing.config.schema import Mail, is_loopback
from billing.config.secrets import Secret
from billing.core import reasons
from billing.core.notices import Delivery, DeliveryKind, RenderedMail
from billing.errors import ConfigError, MailError
from billing.mail.conversation import FAULTS, Connection, clean_words
from billing.mail.pool import Busy, Pool

_NEW_PASSWORD = 432  # RFC 4954: "a password transition is needed": temporary in its number alone
_MAILBOX = re.compile(r"[!-;=?-~]+@[!-;=?-~]+")  # ASCII without space, < and >


class SmtpTransport:
    """Hands notices to the mail server of `settings`, up to `settings.concurrency` at once.

    `send` returns what happened to a message. It raises `MailError` when the server can't be used at all;
    from then on every `send` raises, until the transport is entered again. A kept connection that the server
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
            raise MailError("the sender's address is not a plain ASCII address; correct mail.from_address")
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
        """Connect, log in and disconnect; returns one line about the server. Raises `MailError`."""
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
            await smtp.ehlo(hostname=mail.helo_name or _own_name(smtp))
            if mail.smtp_tls == "starttls":
                phase = "STARTTLS"
                await self._start_tls(smtp)
                phase = "EHLO"
                await smtp.ehlo(
                    hostname=mail.helo_name or _own_name(smtp)
                )  # what was said in the clear counts for nothing
            phase = "the login"
            await self._login(smtp)
            return Connection(smtp, mail.smtp_timeout_seconds)
        except FAULTS as error:
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
                "set mail.smtp_tls to 'implicit' with its TLS port (often 465), or correct the server"
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
                "clear mail.smtp_username to send without one, or use the server's submission port"
            )
        for authenticate in offered:
            try:
                await authenticate(username, self._password.reveal())
                return
            except SMTPAuthenticationError as error:
                # 504 and similar: offered but not implemented, so no password was checked.
                if error.code not in (500, 502, 504) or authenticate is offered[-1]:
                    raise

    def _failure(self, phase: str, error: SMTPException | OSError) -> MailError:
        """What went wrong before any message, and what to do about it."""
        if isinstance(error, SMTPResponseException):
            words = clean_words(self._without_secrets(error.message))
            said = f"{self.place} refused {phase}: {error.code} {words}"
            if 400 <= error.code < 500 and error.code != _NEW_PASSWORD:
                return Busy(f"{said}; the notices wait for the next run")
            if phase == "the login":
                return MailError(f"{said}; check mail.smtp_username and BILLING_SMTP_PASSWORD")
            if phase == "EHLO":
                name = "set mail.helo_name to the name by which the server knows this machine"
                return MailError(f"{said}; {name}, or ask the server's administrator to let it in")
            return MailError(f"{said}; ask the server's administrator to let this machine in")
        cause = error.__cause__ if isinstance(error, SMTPException) and error.__cause__ else error
        what = _explained(cause, self._settings.smtp_timeout_seconds)
        return MailError(f"{self.place}: {phase} failed: {what}")

    def _without_secrets(self, words: str) -> str:
        """The text without the login in any form, because a server may repeat the line it refuses."""
        password = self._password.reveal() if self._password else ""
        user = self._settings.smtp_username
        plain = [password, user, f"\0{user}\0{password}"]
        encoded = [base64.b64encode(form.encode()).decode() for form in plain]
        for form in sorted({*plain, *encoded} - {""}, key=len, reverse=True):  # the long ones hold the short
            words = words.replace(form, "****")
        return words


def _unfit(mail: RenderedMail) -> str:
    """Why this message can't be put on any wire, or nothing."""
    if not _MAILBOX.fullmatch(mail.recipient):
        return reasons.NOT_AN_ADDRESS
    # A lone CR or LF lets one server see the end of a message where another sees none: smuggling.
    if not mail.raw.count(b"\r\n") == mail.raw.count(b"\r") == mail.raw.count(b"\n"):
        return reasons.WRONG_LINE_ENDS
    return ""


def _explained(error: BaseException, timeout_seconds: float) -> str:
    """A failure below SMTP in plain words, and what to do about it."""
    match error:
        case ssl.SSLCertVerificationError():
            advice = "mail.smtp_host must be the name in it, and this system must trust its issuer"
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
    return "the connection was lost; check the server's log, and mail.smtp_port and mail.smtp_tls"


def _own_name(smtp: SMTP) -> str:
    """Our address as EHLO's argument (RFC 5321, 4.1.3): true without asking DNS who we are."""
    address = str(smtp.get_transport_info("sockname")[0]).partition("%")[0]
    return f"[IPv6:{address}]" if ":" in address else f"[{address}]"
