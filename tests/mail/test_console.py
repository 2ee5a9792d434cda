"""Notices on the terminal: readable, and unable to play tricks on it."""

from __future__ import annotations

import asyncio
import io
from email.message import EmailMessage
from email.policy import SMTP

import pytest

from billing.core.notices import DeliveryKind, RenderedMail
from billing.errors import MailError
from billing.mail.console import ConsoleTransport


def a_notice(text: str = "Hello Zoë,\n50 USDC are due.\n", subject: str = "Due soon") -> RenderedMail:
    message = EmailMessage(policy=SMTP)
    message["Subject"] = "as rendered"
    message.set_content(text)
    message.add_alternative("<p>html</p>", subtype="html")
    return with_raw(message.as_bytes(), subject)


def with_raw(raw: bytes, subject: str = "Due soon") -> RenderedMail:
    return RenderedMail("k", "billing@example.com", "zoe@example.com", subject, "<k@example.com>", raw, "")


def printed(*notices: RenderedMail, encoding: str = "utf-8") -> str:
    buffer = io.BytesIO()
    stream = io.TextIOWrapper(buffer, encoding=encoding, newline="\n")

    async def main() -> None:
        async with ConsoleTransport(stream) as transport:
            for notice in notices:
                assert (await transport.send(notice)).kind is DeliveryKind.SENT

    asyncio.run(main())
    return buffer.getvalue().decode(encoding)


def test_a_notice_is_printed_with_its_text() -> None:
    lines = printed(a_notice()).splitlines()
    assert lines[1:] == [
        "From:    billing@example.com",
        "To:      zoe@example.com",
        "Subject: Due soon",
        "",
        "Hello Zoë,",
        "50 USDC are due.",
        "",
    ]


def test_control_characters_do_not_reach_the_terminal() -> None:
    text = printed(a_notice("evil \x1b]0;title\x07 \u202e name\n", subject="\x1b[31mred"))
    assert "evil ]0;title  name" in text
    assert "Subject: [31mred" in text
    assert all(character.isprintable() or character == "\n" for character in text)


def test_a_terminal_without_unicode_shows_question_marks() -> None:
    assert "Hello Zo?," in printed(a_notice(), encoding="ascii")


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        (b"Content-Type: text/html\r\n\r\n<p>x</p>\r\n", "no text part"),
        (b"Content-Type: text/plain; charset=klingon\r\n\r\nx\r\n", "x"),
        (b"", ""),
        (b"\xff\xfe\r\n\r\n\xff", ""),
    ],
)
def test_a_strange_message_stops_nothing(raw: bytes, shown: str) -> None:
    assert shown in printed(with_raw(raw), a_notice())


def test_a_closed_stream_is_the_channels_fault() -> None:
    stream = io.StringIO()
    stream.close()
    with pytest.raises(MailError, match=r"mail\.transport"):
        asyncio.run(ConsoleTransport(stream).send(a_notice()))
