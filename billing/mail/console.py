"""Notices printed for a person to read: nothing leaves this machine."""

from __future__ import annotations

from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Self, TextIO

from billing.core.notices import Delivery, DeliveryKind, RenderedMail
from billing.errors import MailError

_RULE = "─" * 72


class ConsoleTransport:
    """Prints sender, recipient, subject and the text part of each notice to `stream`.

    Raises `MailError` if the stream can't be written to, such as a closed pipe.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        return None

    async def send(self, mail: RenderedMail) -> Delivery:
        # One write and no await: notices of several lanes never mix.
        try:
            self._stream.write(self._encodable(readable(mail)))
            self._stream.flush()
        except (OSError, ValueError) as error:  # ValueError: the stream was closed
            raise MailError(
                f"the console can't be written to: {error}; set mail.transport to file or smtp"
            ) from error
        return Delivery(DeliveryKind.SENT)

    def _encodable(self, text: str) -> str:
        """The text with `?` for what the terminal's encoding has no character for."""
        encoding = self._stream.encoding or "utf-8"
        return text.encode(encoding, "replace").decode(encoding)


def readable(mail: RenderedMail) -> str:
    """A notice as a person reads it; control characters are left out."""
    heading = [f"From:    {mail.sender}", f"To:      {mail.recipient}", f"Subject: {mail.subject}"]
    lines = [_RULE, *heading, "", *_text_part(mail.raw).splitlines(), ""]
    return "".join(_printable(line) + "\n" for line in lines)


def _text_part(raw: bytes) -> str:
    message = message_from_bytes(raw, _class=EmailMessage, policy=policy.default)
    part = message.get_body(("plain",))
    if part is None:
        return "(this notice has no text part)"
    try:
        return str(part.get_content())
    except (LookupError, ValueError):  # a charset that Python does not know
        return "(the text part can't be read)"


def _printable(line: str) -> str:
    """A line that can't move the cursor or recolour the terminal, whatever a customer's name holds."""
    return "".join(character for character in line.expandtabs() if character.isprintable())
