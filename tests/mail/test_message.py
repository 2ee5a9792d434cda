"""The headers of a message: what the standard library reads back, and what can't be smuggled in."""

from __future__ import annotations

import email
import hashlib
import re
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from email.header import decode_header, make_header
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP, default
from email.utils import parseaddr

import pytest
from hypothesis import given, settings

from billing.config.schema import Business, Mail, Settings
from billing.core.notices import RenderedMail
from billing.errors import TemplateError
from billing.mail.message import CalendarPart, MessageBuilder, one_line
from tests.support.messages import (
    CONTENT,
    LETTER,
    LOGO,
    NASTY,
    NOW,
    SETTINGS,
    build,
    parse,
    parts_of,
)


def name_in(mail: RenderedMail, header: str) -> str:
    """A display name as RFC 2047 has it. The newer parser keeps the spaces between encoded words."""
    folded = email.message_from_bytes(mail.raw)[header]
    phrase, address = parseaddr(folded.replace("\r\n", ""))
    assert address
    return str(make_header(decode_header(phrase)))


# --- headers ---------------------------------------------------------------------------------------


def test_every_header_is_what_email_message_would_write() -> None:
    oracle = EmailMessage(policy=SMTP)
    oracle["From"] = Address("Nordlicht Studios", addr_spec="billing@nordlicht.example")
    oracle["Reply-To"] = "help@nordlicht.example"
    oracle["To"] = Address("Amina Okafor", addr_spec="amina@example.com")
    oracle["Subject"] = CONTENT.subject
    oracle["Date"] = NOW
    oracle["Auto-Submitted"] = "auto-generated"
    oracle.set_content(CONTENT.text)
    oracle.add_alternative(CONTENT.html.replace("\xa0", "&#160;"), subtype="html")
    oracle["Content-Language"] = "en"
    expected = email.message_from_bytes(oracle.as_bytes(), policy=default)

    message = parse(build())

    ours_alone = {"message-id", "in-reply-to", "references", "x-entity-ref-id"}
    assert {name.lower() for name in message} - ours_alone == {name.lower() for name in expected}
    for name in set(expected.keys()) - {"Content-Type"}:
        assert str(message[name]) == str(expected[name]), name
    assert message.get_content_type() == expected.get_content_type() == "multipart/alternative"
    for ours, theirs in zip(parts_of(message), parts_of(expected), strict=True):
        assert ours["Content-Type"] == theirs["Content-Type"]
        assert ours.get_content() == theirs.get_content()


def test_a_message_says_that_a_program_sent_it_and_nothing_of_mailing_lists() -> None:
    message = parse(build())
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["MIME-Version"] == "1.0"
    assert message["Content-Language"] == "en"
    for absent in ("List-Unsubscribe", "Precedence", "Sender", "Return-Path", "X-Mailer"):
        assert absent not in message


def test_the_date_is_the_given_instant_in_utc() -> None:
    berlin = timezone(timedelta(hours=1))
    assert (
        parse(build(now=datetime(2026, 12, 3, 9, 0, 5, tzinfo=berlin)))["Date"]
        == "Thu, 03 Dec 2026 08:00:05 +0000"
    )


def test_a_naive_time_is_refused() -> None:
    with pytest.raises(ValueError, match="aware"):
        build(now=datetime(2026, 12, 3))  # noqa: DTZ001


def test_the_message_id_follows_from_the_dedupe_key_alone() -> None:
    mail = build()
    again = build(replace(LETTER, to_name="Someone Else"), now=NOW + timedelta(days=2))
    other = build(replace(LETTER, dedupe_key="created:studio-0042:2027-01-06"))
    digest = hashlib.sha256(LETTER.dedupe_key.encode()).hexdigest()[:40]
    assert mail.message_id == again.message_id == f"<{digest}@nordlicht.example>"
    assert parse(mail)["Message-ID"] == mail.message_id
    assert other.message_id != mail.message_id


def test_all_notices_of_one_payment_share_a_thread() -> None:
    reminder, overdue = (parse(build(replace(LETTER, dedupe_key=key))) for key in ("a", "b"))
    other = parse(build(replace(LETTER, thread="another")))
    assert reminder["References"] == reminder["In-Reply-To"] == overdue["References"]
    assert reminder["X-Entity-Ref-ID"] == overdue["X-Entity-Ref-ID"]
    assert reminder["References"] not in (reminder["Message-ID"], overdue["Message-ID"])
    assert other["References"] != reminder["References"]
    assert other["X-Entity-Ref-ID"] != reminder["X-Entity-Ref-ID"]


def test_a_notice_without_a_thread_refers_to_nothing() -> None:
    message = parse(build(replace(LETTER, thread="")))
    assert not {"References", "In-Reply-To", "X-Entity-Ref-ID"} & set(message.keys())


def test_replies_go_to_the_sender_where_no_support_address_is_set() -> None:
    assert "Reply-To" not in parse(build(config=Settings(mail=SETTINGS.mail)))


def test_the_envelope_and_the_hash_describe_the_raw_bytes() -> None:
    mail = build()
    assert (mail.sender, mail.recipient) == ("billing@nordlicht.example", "amina@example.com")
    assert mail.sha256 == hashlib.sha256(mail.raw).hexdigest()
    assert (mail.dedupe_key, mail.subject) == (LETTER.dedupe_key, CONTENT.subject)
    assert mail == build()


@pytest.mark.parametrize("domain", ["n.example", "billing.nordlicht-studios.example"])
@pytest.mark.parametrize(
    "name", ["", "Amina Okafor", "Maximiliane Freifrau von Wittgenstein " * 3, "漢字" * 40]
)
def test_every_line_of_a_header_fits_into_78_columns(domain: str, name: str) -> None:
    config = Settings(
        business=Business(name=name or "N", support_address=f"customer-support@{domain}"),
        mail=Mail(from_address=f"billing@{domain}"),
    )
    calendar = CalendarPart("PUBLISH", "BEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n")
    letter = replace(LETTER, to_name=name, to_address=f"amina.okafor@{domain}")
    subject = "Overdue: 1,234,567.89 USDC, due Dec 6, " + "and more " * 20
    content = replace(CONTENT, subject=subject, calendar=calendar)
    mail = MessageBuilder(config, LOGO).build(letter, content, NOW)
    message = parse(mail)
    heads = [block for block in mail.raw.split(b"\r\n\r\n") if b"Content-Type:" in block]
    assert len(heads) == 7  # mixed, alternative, text, related, html, image, calendar
    lines = [line for head in heads for line in head.split(b"\r\n") if not line.startswith((b"<", b"Hello"))]
    assert max(map(len, lines)) <= 78
    assert message["Message-ID"].strip() == mail.message_id
    assert message["Reply-To"].addresses[0].addr_spec == f"customer-support@{domain}"
    assert message["To"].addresses[0].addr_spec == letter.to_address


def test_the_recipients_name_stands_in_to() -> None:
    assert str(parse(build())["To"]) == "Amina Okafor <amina@example.com>"


# --- names and subjects ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "Amina",
        'Amina "Mina" O\\Kafor, Ltd. (Berlin)',
        "amina@example.org",
        "Jürgen Groß",
        "أمينة عبد الرحمن",
        "漢字太郎" * 20,
        "=?utf-8?q?fake?=",
        "a" * 120,
        "Zoë \N{WOMAN}\N{ZERO WIDTH JOINER}\N{PERSONAL COMPUTER}",
        ".",
    ],
)
def test_a_name_comes_back_as_it_was(name: str) -> None:
    mail = build(replace(LETTER, to_name=name))
    assert name_in(mail, "To") == name[:120]
    assert parse(mail)["To"].addresses[0].addr_spec == "amina@example.com"


@settings(deadline=None)  # a busy machine is no failure
@given(NASTY)
def test_no_name_can_break_a_header(name: str) -> None:
    mail = build(replace(LETTER, to_name=name))
    message = parse(mail)
    assert len(message["To"].addresses) == 1
    assert message["To"].addresses[0].addr_spec == "amina@example.com"
    assert name_in(mail, "To") == one_line(name)[:120].strip()
    assert message.keys() == parse(build()).keys()


@settings(deadline=None)  # a busy machine is no failure
@given(NASTY)
def test_no_subject_can_break_a_header(subject: str) -> None:
    mail = build(content=replace(CONTENT, subject=subject))
    message = parse(mail)
    assert message["Subject"] == mail.subject
    assert one_line(mail.subject) == one_line(subject)
    assert len(mail.subject.splitlines()) <= 1
    assert message.keys() == parse(build()).keys()


@settings(deadline=None)  # a busy machine is no failure
@given(NASTY)
def test_a_business_name_can_be_anything_that_the_configuration_allows(name: str) -> None:
    config = Settings.model_construct(business=Business.model_construct(name=name, support_address=""))
    message = parse(build(config=config))
    assert message["From"].addresses[0].addr_spec == "billing@example.com"


@pytest.mark.parametrize(
    "smuggled", ["x\r\nBcc: all@example.com", "x\nBcc: a@b.example", "x\rBcc: a@b.example", "x\0y"]
)
def test_line_ends_become_spaces(smuggled: str) -> None:
    mail = build(replace(LETTER, to_name=smuggled), replace(CONTENT, subject=smuggled))
    message = parse(mail)
    assert "Bcc" not in message
    assert b"\nBcc" not in mail.raw
    assert message["Subject"] == one_line(smuggled) == re.sub(r"[\r\n\0]+", " ", smuggled)


def test_marks_that_turn_the_writing_direction_are_left_out() -> None:
    assert one_line("a\u202eb\u2066c") == "abc"
    assert one_line("نا\u200cم") == "نا\u200cم"  # a joiner belongs to the word


def test_spaces_are_counted_once() -> None:
    assert one_line("  a \n  b ") == "a b"


@settings(deadline=None)  # a busy machine is no failure
@given(NASTY)
def test_one_line_is_one_line_and_says_so_twice(text: str) -> None:
    line = one_line(text)
    assert len(line.splitlines()) <= 1
    assert one_line(line) == line
    line.encode("utf-8")


# --- addresses -------------------------------------------------------------------------------------


def test_an_international_domain_travels_as_punycode() -> None:
    mail = build(replace(LETTER, to_address="amina@bücher.example"))
    assert mail.recipient == "amina@xn--bcher-kva.example"
    assert parse(mail)["To"].addresses[0].addr_spec == mail.recipient


@pytest.mark.parametrize(
    "address",
    [
        "jürgen@example.com",
        "a b@example.com",
        "a@b@example.com",
        "amina",
        "@example.com",
        "amina@",
        "amina@example.com\r\nBcc: x@example.com",
        "amina@example.com\n",
        "<amina@example.com>",
        "a..b@example.com",
        "amina@-example.com",
        "amina@" + "a" * 250 + ".com",
        "",
    ],
)
def test_an_address_that_no_server_would_take_is_refused_without_repeating_it(address: str) -> None:
    with pytest.raises(TemplateError, match="studio-0042") as caught:
        build(replace(LETTER, to_address=address))
    assert not address or address not in str(caught.value)


def test_an_unusable_from_address_names_its_key() -> None:
    with pytest.raises(TemplateError, match=r"mail\.from_address"):
        MessageBuilder(Settings(mail=Mail(from_address="a..b@example.com")))
