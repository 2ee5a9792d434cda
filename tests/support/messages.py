"""A message as the tests of its bytes build it, and as the standard library reads it."""

from __future__ import annotations

import email
from datetime import UTC, date, datetime
from email.message import EmailMessage, MIMEPart
from email.policy import default
from typing import cast

from hypothesis import strategies as st

from billing.config.logo import Logo
from billing.config.schema import Business, Mail, Settings
from billing.core.notices import NoticeFacts, RenderedMail
from billing.core.states import NoticeKind
from billing.mail.message import Content, MessageBuilder

NOW = datetime(2026, 12, 3, 8, 0, 5, tzinfo=UTC)
SETTINGS = Settings(
    business=Business(name="Nordlicht Studios", support_address="help@nordlicht.example"),
    mail=Mail(from_address="billing@nordlicht.example"),
)
LETTER = NoticeFacts(
    kind=NoticeKind.PAYMENT_CREATED,
    dedupe_key="created:studio-0042:2026-12-06",
    to_address="amina@example.com",
    to_name="Amina Okafor",
    locale="en",
    reference="studio-0042",
    plan="Gold",
    amount_micros=49_900_000,
    thread="studio-0042:2026-12-06",
    due_on=date(2026, 12, 6),
)
CONTENT = Content(
    "en", "Nordlicht: payment of 49.90 USDC", "Hello Amina,\n\nplease pay.\n", "<p>Hello\xa0Amina</p>\n"
)

LOGO = Logo("png", b"\x89PNG" + bytes(range(256)) * 3, 120, 40)

# Every character, and often the ones that headers and MIME are made of.
NASTY = st.text(
    st.one_of(st.characters(), st.sampled_from('\r\n\t "\\<>@,;:()=?_%.\0\x1b\u2028\u202eéß漢🎉')),
    max_size=400,
)


def build(
    letter: NoticeFacts = LETTER, content: Content = CONTENT, config: Settings = SETTINGS, now: datetime = NOW
) -> RenderedMail:
    return MessageBuilder(config).build(letter, content, now)


def parse(mail: RenderedMail) -> EmailMessage:
    message = email.message_from_bytes(mail.raw, policy=default)
    assert not message.defects
    for part in message.walk():
        assert not part.defects
        for value in part.values():
            assert not value.defects, value
    return message


def parts_of(message: EmailMessage) -> list[MIMEPart]:
    parts = [part for part in message.walk() if not part.is_multipart()]
    assert all(isinstance(part, MIMEPart) for part in parts)
    return cast("list[MIMEPart]", parts)


def content_of(part: MIMEPart) -> str:
    payload = part.get_payload(decode=True)
    assert isinstance(payload, bytes)
    return payload.decode("utf-8")
