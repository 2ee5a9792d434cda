"""Notices looked at by people."""

from __future__ import annotations

import email
from dataclasses import dataclass, replace
from datetime import datetime
from email.policy import default

from billing.app.runtime import addressed, business_date, make_renderer, open_transport
from billing.config import Config
from billing.core.notices import Delivery, RenderedMail
from billing.core.states import NoticeKind
from billing.cycle.notice_facts import STATEMENTS, facts_for
from billing.errors import UsageError
from billing.gateway.mileston import MilestonGateway
from billing.store import notices
from billing.store.connection import Database
from billing.store.overdue import owed_by


@dataclass(frozen=True)
class Attachment:
    """A file that travels with a mail; `size` is in bytes."""

    filename: str
    content_type: str
    size: int


@dataclass(frozen=True)
class Preview:
    """A notice as mail, and what of it can be shown on a terminal."""

    mail: RenderedMail
    text: str
    attachments: list[Attachment]


def preview_notice(config: Config, db: Database, notice_id: int, now: datetime) -> Preview:
    """A notice as mail. Raises `UsageError` if there is none with that id."""
    with db.read() as connection:
        row = notices.with_rows(connection, notice_id)
        owed = owed_by(connection, [row.subscription_id or 0]) if row is not None else {}
    if row is None:
        raise UsageError(f"there is no notice {notice_id}; `billing notices list` shows them")
    settings = addressed(config)
    gateway = MilestonGateway(settings.mileston, settings.business.name, lambda: ("", ""), lambda: now)
    open_now = owed.get(row.subscription_id or 0, ()) if row.kind in STATEMENTS else ()
    letter = facts_for(row, settings, business_date(config, now), gateway.checkout_url, open_now)
    mail = make_renderer(config, settings).render(letter, row.rendered_at or now)
    message = email.message_from_bytes(mail.raw, policy=default)
    body = message.get_body(("plain",))
    attached = [
        Attachment(
            part.get_filename("") or "",
            part.get_content_type(),
            len(part.get_payload(decode=True) or b""),
        )
        for part in message.iter_attachments()
    ]
    return Preview(mail, body.get_content() if body is not None else "", attached)


async def send_sample(config: Config, kind: NoticeKind, to: str, locale: str, now: datetime) -> Delivery:
    """A sample of one kind, handed to the configured transport. Raises MailError, TemplateError."""
    from billing.mail.samples import sample_letter

    settings = config.settings
    # A key of its own each time: mail programs would hide the second of two equal messages.
    letter = replace(
        sample_letter(kind, locale), to_address=to, dedupe_key=f"test.{kind}.{now:%Y%m%dT%H%M%S%f}"
    )
    mail = make_renderer(config, settings).render(letter, now)
    async with open_transport(config, settings) as transport:
        return await transport.send(mail)
