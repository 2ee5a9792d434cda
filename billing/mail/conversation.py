"""One conversation with a mail server, command by command, and what its replies mean for a message."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from typing import cast

from aiosmtplib import (
    SMTP,
    SMTPException,
    SMTPResponse,
    SMTPResponseException,
    SMTPServerDisconnected,
)

from billing.core import reasons
from billing.core.notices import Delivery, DeliveryKind, RenderedMail
from billing.errors import AccountRefused
from billing.mail.refusals import account_fault

FAULTS = (SMTPException, OSError)  # OSError includes TimeoutError, lost connections and TLS errors
_MESSAGES_A_CONNECTION = 100  # many servers cut a client off somewhere above this
_LONGEST_WORDS = 260  # with the code and the phase around them: under 300
_UNAVAILABLE = 421  # "closing transmission channel": allowed as the answer to anything
_OUT_OF_STEP = 503  # "bad sequence of commands": the conversation is at fault, and no message
_ADDRESS_IN_WORDS = re.compile(r"<?(?:\"[^\"]*\"|[^\s<>@\"]+)@[^\s<>@]+>?")


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
        """Give one message to the server. Raises `AccountRefused` if it takes none from us."""
        self.handed += 1
        phase, dotted = "MAIL FROM", False
        try:
            for phase, command in self._commands(mail):
                reply = await self._smtp.execute_command(*command)
                if not _goes_on(phase, reply.code):
                    return self._refused(phase, reply, mail)
            phase = reasons.THE_BODY
            ending = await self._write_body(mail.raw)
            if not self._protocol.is_connected:
                raise SMTPServerDisconnected("Connection lost")
            # The dot goes out in a write of its own, and only on a connection that still stands. From
            # here on, even if it may lie in a buffer, we can't prove that the server did not get it.
            phase, dotted = reasons.THE_FINAL_DOT, True
            self._protocol.write(ending)
            reply = await self._protocol.read_response(timeout=self._timeout_seconds)
        except FAULTS as error:
            self.drop()
            kind = DeliveryKind.UNKNOWN if dotted else DeliveryKind.NOT_SENT
            return Delivery(kind, _loss(phase, error))
        except BaseException:  # cancelled: the conversation can't continue where it stopped
            self.drop()
            raise
        return self._answered(reply, mail)

    async def quit(self) -> None:
        """Say QUIT, as far as the server lets us, and close."""
        try:
            await self._smtp.execute_command(b"QUIT", timeout=min(self._timeout_seconds, 5.0))
        except FAULTS:
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
        """The server's refusal before the body; the connection stays usable unless it says otherwise."""
        if phase != "RSET":
            _raise_if_of_account(phase, reply, mail)
        words = _words(phase, reply, mail)
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
        _raise_if_of_account(reasons.THE_FINAL_DOT, reply, mail)
        words = _words(reasons.THE_FINAL_DOT, reply, mail)
        if reply.code == _UNAVAILABLE or not _is_refusal(reply):
            self.drop()
        if not _is_refusal(reply):  # neither yes nor no
            return Delivery(DeliveryKind.UNKNOWN, words)
        return Delivery(DeliveryKind.RETRY if reply.code < 500 else DeliveryKind.FAILED, words)


def clean_words(text: str) -> str:
    """A server's reply as one line of at most 260 characters, without addresses and control characters."""
    if len(text) > 2000:
        text = text[:2000].rpartition(" ")[0]  # at the end of a word: half an address would not be recognised
    text = "".join(character if character.isprintable() else " " for character in text)
    return " ".join(_ADDRESS_IN_WORDS.sub("<address>", text).split())[:_LONGEST_WORDS]


def _raise_if_of_account(phase: str, reply: SMTPResponse, mail: RenderedMail) -> None:
    """Raises `AccountRefused` if the reply is a refusal that every other message would get as well."""
    if not _is_refusal(reply):
        return
    fault = account_fault(phase, reply.code, _without_recipient(reply, mail))
    if fault is not None:
        words = _words(phase, reply, mail)
        raise AccountRefused(f"the mail server takes no mail from this account: {words}; {fault.value}")


def _words(phase: str, reply: SMTPResponse, mail: RenderedMail) -> str:
    """`550 5.1.1 no such user (in reply to RCPT TO)`."""
    return f"{reply.code} {_without_recipient(reply, mail)} {reasons.IN_REPLY_TO.format(part=phase)}"


def _without_recipient(reply: SMTPResponse, mail: RenderedMail) -> str:
    text = reply.message
    name = mail.recipient.rpartition("@")[0]
    if len(name) > 2:  # some servers name the mailbox without its domain
        text = re.sub(rf"(?<![\w@]){re.escape(name)}(?!\w|@)", "<address>", text, flags=re.IGNORECASE)
    return clean_words(text)


def _goes_on(phase: str, code: int) -> bool:
    return code == 354 if phase == "DATA" else 200 <= code < 300


def _is_refusal(reply: SMTPResponse) -> bool:
    return 400 <= reply.code < 600


def _loss(phase: str, error: Exception) -> str:
    what = reasons.NO_REPLY if isinstance(error, TimeoutError) else reasons.LOST
    if isinstance(error, SMTPResponseException):
        what = reasons.NOT_SMTP
    return what.format(part=phase)
