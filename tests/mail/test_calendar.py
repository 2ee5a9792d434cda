"""The due date as an iCalendar file: one event a payment, withdrawn when it is paid."""

from __future__ import annotations

import email
from dataclasses import replace
from datetime import UTC, datetime
from email.policy import default
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from billing.config.schema import Mail, Settings
from billing.core.states import NoticeKind
from billing.mail.calendar import calendar_part, escape_text, fold
from billing.mail.message import CalendarPart
from billing.mail.render import Renderer
from billing.mail.samples import SAMPLE_NOW, sample_letter

SENDER = "billing@nordlicht.example"
WITH_CALENDAR = Settings(mail=Mail(calendar_attachment=True))


def lines_of(part: CalendarPart | None) -> list[str]:
    assert part is not None
    assert part.text.endswith("\r\n")
    return part.text.replace("\r\n ", "").split("\r\n")[:-1]


def calendar(kind: NoticeKind, **changes: Any) -> CalendarPart | None:
    return calendar_part(replace(sample_letter(kind), **changes), "Pay, please", SENDER, SAMPLE_NOW)


def test_a_due_payment_is_an_all_day_event() -> None:
    part = calendar(NoticeKind.PAYMENT_CREATED)
    lines = lines_of(part)
    assert part is not None
    assert part.method == "PUBLISH"
    assert lines[0] == "BEGIN:VCALENDAR"
    assert lines[-1] == "END:VCALENDAR"
    for line in (
        "METHOD:PUBLISH",
        "SEQUENCE:0",
        "DTSTAMP:20261203T080000Z",
        "DTSTART;VALUE=DATE:20261206",
        "DTEND;VALUE=DATE:20261207",
        r"SUMMARY:Pay\, please",
        "ORGANIZER:mailto:billing@nordlicht.example",
        "URL:https://pay.example.com/checkout/recurring-payment/b7c0a1e4-52f9-4c38-9a1d-6f2e8d90c413",
    ):
        assert line in lines


def test_the_receipt_cancels_the_event_that_the_reminder_made() -> None:
    reminder, receipt = (
        lines_of(calendar(kind)) for kind in (NoticeKind.NEXT_PAYMENT_DUE, NoticeKind.PAYMENT_RECEIVED)
    )
    uid = next(line for line in reminder if line.startswith("UID:"))
    assert uid in receipt
    assert {"METHOD:CANCEL", "STATUS:CANCELLED", "SEQUENCE:1"} <= set(receipt)
    assert uid not in lines_of(calendar(NoticeKind.PAYMENT_CREATED, thread="another"))


@pytest.mark.parametrize(
    "kind", [kind for kind in NoticeKind if kind.startswith(("subscription", "run", "payment_overdue"))]
)
def test_other_kinds_have_none(kind: NoticeKind) -> None:
    assert calendar(kind) is None


@pytest.mark.parametrize("missing", [{"due_on": None}, {"thread": ""}])
def test_without_a_date_or_a_payment_there_is_no_event(missing: dict[str, None]) -> None:
    assert calendar(NoticeKind.PAYMENT_CREATED, **missing) is None


def test_it_is_off_by_default() -> None:
    mail = Renderer(Settings()).render(sample_letter(NoticeKind.PAYMENT_CREATED), SAMPLE_NOW)
    assert b"text/calendar" not in mail.raw


def test_switched_on_it_travels_with_the_mail() -> None:
    mail = Renderer(WITH_CALENDAR).render(sample_letter(NoticeKind.PAYMENT_CREATED, "de"), SAMPLE_NOW)
    message = email.message_from_bytes(mail.raw, policy=default)
    attached = next(message.iter_attachments())
    assert attached["Content-Type"].params["method"] == "PUBLISH"
    raw = attached.get_payload(decode=True)
    assert isinstance(raw, bytes)
    text = raw.decode()
    assert f"SUMMARY:{escape_text(mail.subject)}" in text.replace("\r\n ", "")
    digest = Renderer(WITH_CALENDAR).render(sample_letter(NoticeKind.RUN_DIGEST), SAMPLE_NOW)
    assert b"text/calendar" not in digest.raw


def test_the_stamp_is_in_utc() -> None:
    letter = sample_letter(NoticeKind.PAYMENT_CREATED)
    part = calendar_part(letter, "x", SENDER, datetime.fromisoformat("2026-12-03T09:00:00+01:00"))
    assert "DTSTAMP:20261203T080000Z" in lines_of(part)
    assert datetime(2026, 12, 3, 8, tzinfo=UTC) == SAMPLE_NOW


def test_text_values_are_escaped() -> None:
    assert escape_text("a,b;c\\d\ne\r\nf\x07") == r"a\,b\;c\\d\ne\nf"


@settings(deadline=None)  # a busy machine is no failure
@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=400))
def test_folded_lines_are_short_and_unfold_to_what_they_were(text: str) -> None:
    lines = list(fold(text))
    assert all(len(line.encode()) <= 75 for line in lines)
    assert all(line.startswith(" ") for line in lines[1:])
    assert lines[0] + "".join(line[1:] for line in lines[1:]) == text
