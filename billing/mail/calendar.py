"""The due date of a payment as an iCalendar file (RFC 5545), and its withdrawal once it is paid."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from billing.core.notices import NoticeFacts
from billing.core.states import NoticeKind
from billing.mail.message import CalendarPart, digest_of

_ANNOUNCES = frozenset({NoticeKind.NEXT_PAYMENT_DUE, NoticeKind.PAYMENT_CREATED})
_LONGEST_LINE = 75  # in bytes, without the line end
_PRODUCT = "-//recurring-billing//notices//EN"


def calendar_part(letter: NoticeFacts, summary: str, organizer: str, now: datetime) -> CalendarPart | None:
    """The file to attach to a notice, or None where its kind has none or no due date is known.

    Reminders and the payment's own notice publish an all-day event on the due date; the receipt
    cancels it. All of one payment (`letter.thread`) share the event's UID, so a calendar holds it once.
    """
    if letter.due_on is None or not letter.thread:
        return None
    if letter.kind in _ANNOUNCES:
        method, status, sequence = "PUBLISH", "CONFIRMED", 0
    elif letter.kind == NoticeKind.PAYMENT_RECEIVED:
        method, status, sequence = "CANCEL", "CANCELLED", 1
    else:
        return None
    lines = [
        "BEGIN:VCALENDAR",
        "VERSION:2.0",
        f"PRODID:{_PRODUCT}",
        f"METHOD:{method}",
        "BEGIN:VEVENT",
        f"UID:{digest_of(f'thread:{letter.thread}')}@{organizer.rpartition('@')[2].lower()}",
        f"DTSTAMP:{now.astimezone(UTC):%Y%m%dT%H%M%SZ}",
        f"SEQUENCE:{sequence}",
        f"STATUS:{status}",
        f"ORGANIZER:mailto:{organizer}",
        f"DTSTART;VALUE=DATE:{letter.due_on:%Y%m%d}",
        f"DTEND;VALUE=DATE:{letter.due_on + timedelta(days=1):%Y%m%d}",
        f"SUMMARY:{escape_text(summary)}",
        *([f"URL:{letter.pay_url}"] if letter.pay_url and method == "PUBLISH" else []),
        "TRANSP:TRANSPARENT",
        "END:VEVENT",
        "END:VCALENDAR",
    ]
    return CalendarPart(method, "".join(f"{part}\r\n" for line in lines for part in fold(line)))


def escape_text(text: str) -> str:
    """A TEXT value: backslash, comma, semicolon and line ends escaped, other controls left out."""
    text = re.sub(r"([\\,;])", r"\\\1", text)
    text = re.sub(r"\r\n|\r|\n", r"\\n", text)
    return re.sub(r"[\x00-\x08\x0b-\x1f\x7f]", "", text)


def fold(line: str) -> Iterator[str]:
    """A content line in pieces of at most 75 bytes, no character split; all but the first indented."""
    start, size = 0, 0
    for position, character in enumerate(line):
        width = len(character.encode("utf-8", "replace"))
        if size + width > _LONGEST_LINE:
            yield (" " if start else "") + line[start:position]
            start, size = position, 1  # the space in front
        size += width
    yield (" " if start else "") + line[start:]
