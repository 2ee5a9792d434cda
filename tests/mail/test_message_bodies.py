"""The parts of a message: each comes back as it was, in the encoding that fits."""

from __future__ import annotations

from dataclasses import replace
from email.message import EmailMessage

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from billing.mail.message import CalendarPart, MessageBuilder, PdfPart
from tests.support.messages import (
    CONTENT,
    LETTER,
    LOGO,
    NOW,
    SETTINGS,
    build,
    content_of,
    parse,
    parts_of,
)


def test_text_comes_first_and_html_last() -> None:
    assert [part.get_content_type() for part in parts_of(parse(build()))] == ["text/plain", "text/html"]


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("Hello.\n", "7bit"),
        ("Pay 1\xa0USDC, please.\n" * 9, "quoted-printable"),
        ("مرحبا أمينة\n" * 9, "base64"),
        ("x" * 999 + "\n", "quoted-printable"),
        ("a\0b\n", "quoted-printable"),
        ("no line end, but ü", "base64"),
    ],
)
def test_the_encoding_that_fits_is_used(text: str, encoding: str) -> None:
    part = parts_of(parse(build(content=replace(CONTENT, text=text))))[0]
    assert part["Content-Transfer-Encoding"] == encoding
    assert content_of(part).replace("\r\n", "\n") == text


@settings(deadline=None)  # a busy machine is no failure
@given(st.text(max_size=3000), st.text(st.sampled_from("ab .=-\n\r\tü漢"), max_size=2500))
def test_any_text_comes_back(text: str, html: str) -> None:
    mail = build(content=replace(CONTENT, text=text, html=html))
    got = [content_of(part) for part in parts_of(parse(mail))]
    sent = [value.replace("\r\n", "\n").replace("\r", "\n").replace("\n", "\r\n") for value in (text, html)]
    assert got[0] == sent[0].encode("utf-8", "replace").decode()
    assert got[1] == sent[1].replace("ü", "&#252;").replace("漢", "&#28450;")
    assert mail.raw.count(b"\n") == mail.raw.count(b"\r") == mail.raw.count(b"\r\n")
    assert max(map(len, mail.raw.split(b"\r\n"))) <= 998
    assert mail.raw.isascii()


def test_html_is_plain_ascii_with_references() -> None:
    part = parts_of(parse(build(content=replace(CONTENT, html="<p title='ü'>漢</p>\n"))))[1]
    assert content_of(part) == "<p title='&#252;'>&#28450;</p>\r\n"


def test_a_style_sheet_keeps_its_characters_because_references_mean_nothing_there() -> None:
    html = "<style>li::before{content:'→'}</style>\n<p>ü</p>\n"
    part = parts_of(parse(build(content=replace(CONTENT, html=html))))[1]
    assert content_of(part) == html.replace("\n", "\r\n")


def test_a_text_that_holds_the_boundary_does_not_end_the_part() -> None:
    boundary = parse(build()).get_boundary()
    text = f"Hello\n--{boundary}--\nstill here\n"
    message = parse(build(content=replace(CONTENT, text=text)))
    assert [part.get_content_type() for part in parts_of(message)] == ["text/plain", "text/html"]
    assert content_of(parts_of(message)[0]) == text.replace("\n", "\r\n")


def test_a_calendar_is_attached_beside_the_alternatives() -> None:
    calendar = CalendarPart("PUBLISH", "BEGIN:VCALENDAR\r\nSUMMARY:Zahlung fällig\r\nEND:VCALENDAR\r\n")
    message = parse(build(content=replace(CONTENT, calendar=calendar)))
    assert message.get_content_type() == "multipart/mixed"
    body, attached = message.iter_parts()
    assert body.get_content_type() == "multipart/alternative"
    assert attached.get_content_type() == "text/calendar"
    assert attached["Content-Type"].params["method"] == "PUBLISH"
    assert attached.get_filename() == "payment.ics"
    assert content_of(attached) == calendar.text


PDF = PdfPart("receipt-2026-000123.pdf", b"%PDF-1.7\r\n--\n" + bytes(range(256)) * 9)


def test_a_pdf_is_attached_beside_the_alternatives() -> None:
    mail = build(content=replace(CONTENT, pdf=PDF))
    message = parse(mail)
    assert message.get_content_type() == "multipart/mixed"
    body, attached = message.iter_parts()
    assert body.get_content_type() == "multipart/alternative"
    assert attached.get_content_type() == "application/pdf"
    assert attached.get_content_disposition() == "attachment"
    assert attached.get_filename() == PDF.filename
    assert attached["Content-Transfer-Encoding"] == "base64"
    assert attached.get_payload(decode=True) == PDF.data
    assert max(map(len, mail.raw.split(b"\r\n"))) <= 78
    assert mail.raw.isascii()


def test_a_pdf_looks_as_the_standard_library_would_attach_it() -> None:
    theirs = EmailMessage()
    theirs.add_attachment(PDF.data, "application", "pdf", filename=PDF.filename)
    (wanted,) = theirs.iter_attachments()
    (attached,) = parse(build(content=replace(CONTENT, pdf=PDF))).iter_attachments()
    for header in ("Content-Type", "Content-Disposition", "Content-Transfer-Encoding"):
        assert attached[header] == wanted[header]
    assert "".join(str(attached.get_payload()).split()) == "".join(str(wanted.get_payload()).split())


def test_a_calendar_and_a_pdf_are_attached_side_by_side() -> None:
    message = parse(build(content=replace(CONTENT, calendar=CalendarPart("CANCEL", "BEGIN\r\n"), pdf=PDF)))
    names = [part.get_filename() for part in message.iter_attachments()]
    assert names == ["payment.ics", PDF.filename]


def test_a_logo_travels_inside_the_mail_beside_the_html_that_shows_it() -> None:
    builder = MessageBuilder(SETTINGS, LOGO)
    message = parse(builder.build(LETTER, CONTENT, NOW))
    assert message.get_content_type() == "multipart/alternative"
    text, related = message.iter_parts()
    assert (text.get_content_type(), related.get_content_type()) == ("text/plain", "multipart/related")
    assert related["Content-Type"].params["type"] == "text/html"
    assert isinstance(related, EmailMessage)
    html, image = related.iter_parts()
    assert html.get_content_type() == "text/html"
    assert image.get_content_type() == "image/png"
    assert image["Content-ID"] == f"<{builder.logo_id}>"
    assert image.get_content_disposition() == "inline"
    assert image.get_payload(decode=True) == LOGO.data
    assert message.get_body(("plain",)) is not None
    assert builder.logo_id.endswith("@nordlicht.example")


def test_without_a_logo_nothing_is_attached() -> None:
    assert MessageBuilder(SETTINGS).logo_id == ""
    assert [part.get_content_type() for part in parse(build()).iter_parts()] == ["text/plain", "text/html"]
