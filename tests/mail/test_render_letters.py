"""What each kind of notice says, to whom, in which words."""

from __future__ import annotations

import email
import re
from dataclasses import replace
from datetime import UTC, date, datetime
from email.policy import default
from functools import lru_cache

import pytest

from billing.config.schema import Business, Mail, Settings
from billing.core.notices import DigestItem
from billing.core.states import NoticeKind
from billing.errors import TemplateError
from billing.mail.render import Renderer
from billing.mail.samples import SAMPLE_NOW, sample_letter

BUSINESS = Business(
    name="Nordlicht Studios",
    support_address="help@nordlicht.example",
    cancel_url="https://nordlicht.example/cancel/{reference}",
)
TO_SUBSCRIBERS = [kind for kind in NoticeKind if kind != NoticeKind.RUN_DIGEST]


@lru_cache
def renderer_of(business):
    return Renderer(Settings(business=business))


def say(kind, business=BUSINESS, now=SAMPLE_NOW, locale="en", **changes):
    """The content of a sample notice; its no-break spaces as plain ones, to compare sentences."""
    content = renderer_of(business).content(replace(sample_letter(kind, locale), **changes), now)
    return replace(content, text=content.text.replace("\xa0", " "), html=content.html.replace("\xa0", " "))


# --- what all of them say --------------------------------------------------------------------------


@pytest.mark.parametrize("kind", TO_SUBSCRIBERS)
def test_both_parts_say_who_writes_about_what_and_why(kind):
    content = say(kind)
    for part in (content.text, content.html):
        assert "Hello Amina Okafor," in part
        assert "You are receiving this email because you subscribe" in part
        assert "at Nordlicht Studios, reference studio-0042." in part
        assert "help@nordlicht.example" in part
    assert content.subject.startswith("Nordlicht Studios: ")


@pytest.mark.parametrize("kind", [kind for kind in TO_SUBSCRIBERS if kind.startswith(("payment", "next"))])
def test_both_parts_say_amount_due_date_period_plan_and_reference(kind):
    content = say(kind)
    for label, value in {
        "Amount": "49.90 USDC",
        "Due": "December 6, 2026",
        "Plan": "Gold plan",
        "Period": "Dec 6, 2026\u2009–\u2009Jan 5, 2027",
        "Reference": "studio-0042",
    }.items():
        assert f"{label}: {value}" in content.text
        row = re.search(
            rf'<th [^>]*scope="row"[^>]*>{label}</th><td [^>]*>(?:<span[^>]*>)?(.*?)<', content.html
        )
        assert row is not None
        assert row[1] == value


def test_subjects_say_merchant_what_amount_and_date():
    assert [say(kind).subject for kind in NoticeKind] == [
        "Nordlicht Studios: upcoming payment of 49.90 USDC due on December 6, 2026",
        "Nordlicht Studios: payment of 49.90 USDC due on December 6, 2026",
        "Nordlicht Studios: receipt for your payment of 49.90 USDC on December 7, 2026",
        "Nordlicht Studios: payment of 49.90 USDC due on December 6, 2026 is overdue",
        "Nordlicht Studios: subscription paused, payment of 49.90 USDC due on December 6, 2026 is open",
        "Nordlicht Studios: your subscription to Gold plan ends on January 5, 2027",
        "Nordlicht Studios: 3 things need your attention, billing run of December 3, 2026",
    ]


def test_the_subject_stays_the_same_through_dunning():
    kind = NoticeKind.PAYMENT_OVERDUE
    steps = {
        say(kind, days=days, final_action=action).subject
        for days in (1, 3, 14)
        for action in ("pause", "cancel")
    }
    assert len(steps) == 1
    assert say(NoticeKind.PAYMENT_CREATED).subject in steps.pop()


# --- paying ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind", [NoticeKind.PAYMENT_CREATED, NoticeKind.PAYMENT_OVERDUE, NoticeKind.SUBSCRIPTION_PAUSED]
)
def test_the_pay_link_is_a_button_and_can_be_copied(kind):
    url = "https://pay.example.com/checkout?id=1&kind=recurring"
    content = say(kind, pay_url=url)
    assert f"Pay 49.90 USDC here:\n{url}\n" in content.text
    links = re.findall(
        r'<a href="https://pay\.example\.com/checkout\?id=1&amp;kind=recurring"[^>]*>(.*?)</a>', content.html
    )
    assert links == ["Pay 49.90 USDC", "https://pay.example.com/checkout?id=1&amp;kind=recurring"]


@pytest.mark.parametrize("kind", TO_SUBSCRIBERS)
def test_without_a_pay_link_there_is_no_button_and_no_dead_link(kind):
    content = say(kind, pay_url=None)
    links = re.findall(r'<a href="([^"]*)"', content.html)
    assert set(links) <= {"https://nordlicht.example/cancel/studio-0042"}
    assert 'class="button"' not in content.html
    assert "here:" not in content.text


@pytest.mark.parametrize("kind", [NoticeKind.PAYMENT_CREATED, NoticeKind.PAYMENT_OVERDUE])
def test_without_a_pay_link_it_says_how_to_get_one(kind):
    content = say(kind, pay_url=None)
    for part in (content.text, content.html):
        assert "To pay, please reply to this email and we will send you a link." in part


@pytest.mark.parametrize(
    "url", ["javascript:alert(1)", "https://", "https://x/a b", "https://x/\n", "pay", "http://["]
)
def test_a_pay_link_that_is_no_web_address_is_refused(url):
    with pytest.raises(TemplateError, match="the pay link of studio-0042"):
        say(NoticeKind.PAYMENT_CREATED, pay_url=url)


def test_a_reminder_asks_for_nothing_yet():
    content = say(NoticeKind.NEXT_PAYMENT_DUE)
    for part in (content.text, content.html):
        assert "is due in 3 days, on December 6, 2026. There is nothing to do today" in part
        assert "On December 6, 2026 we will send you the link to pay" in part


def test_a_reminder_with_a_pay_link_offers_it():
    content = say(NoticeKind.NEXT_PAYMENT_DUE, pay_url="https://pay.example.com/1")
    assert "You can pay now, or wait until then." in content.text
    assert 'class="button"' in content.html


@pytest.mark.parametrize("days", [None, 0])
def test_without_a_count_of_days_only_the_date_is_said(days):
    assert "is due on December 6, 2026." in say(NoticeKind.NEXT_PAYMENT_DUE, days=days).text
    assert "was due on December 6, 2026 and has not" in say(NoticeKind.PAYMENT_OVERDUE, days=days).text


def test_a_receipt_names_both_sides_and_both_dates():
    content = say(NoticeKind.PAYMENT_RECEIVED)
    for line in (
        "Paid: December 7, 2026",
        "Due: December 6, 2026",
        "Paid to: Nordlicht Studios",
        "Paid by: Amina Okafor",
    ):
        assert line in content.text
    for part in (content.text, content.html):
        assert "This email is your receipt; no payment is due with it." in part
        assert "Your next payment is due on January 6, 2027." in part


def test_the_last_receipt_announces_no_next_payment():
    content = say(NoticeKind.PAYMENT_RECEIVED, next_due_on=None)
    assert "next payment" not in content.text + content.html


@pytest.mark.parametrize(
    ("action", "words"),
    [
        ("pause", "If the payment has not arrived by December 27, 2026, we will pause your subscription."),
        ("cancel", "If the payment has not arrived by December 27, 2026, we will cancel your subscription."),
        ("keep", "After December 27, 2026 we will not remind you again, but the payment stays open."),
    ],
)
def test_an_overdue_notice_says_what_happens_at_the_end(action, words):
    content = say(NoticeKind.PAYMENT_OVERDUE, final_action=action)
    assert words in content.text
    assert words in content.html


# --- subscriptions ---------------------------------------------------------------------------------


def test_a_pause_for_an_unpaid_payment_says_so_and_how_to_go_on():
    text = say(NoticeKind.SUBSCRIPTION_PAUSED).text
    assert "because the payment of 49.90 USDC due on December 6, 2026 has not arrived." in text
    assert "Pay the open amount and reply to this email" in text


def test_a_pause_by_a_person_speaks_of_no_debt():
    content = say(NoticeKind.SUBSCRIPTION_PAUSED, due_on=None, pay_url=None)
    assert content.subject == "Nordlicht Studios: your subscription to Gold plan is paused"
    assert "49.90" not in content.text + content.html


def test_a_cancellation_says_until_when_it_is_paid():
    content = say(NoticeKind.SUBSCRIPTION_CANCELLED)
    for part in (content.text, content.html):
        assert "It is paid until January 5, 2027 and ends after that day." in part
        assert "because you subscribed to" in part
        assert "Cancel the subscription" not in part


def test_a_cancellation_for_an_unpaid_payment_says_so():
    unpaid = {"due_on": date(2026, 12, 6), "last_day": None, "pay_url": "https://pay.example.com/1"}
    content = say(NoticeKind.SUBSCRIPTION_CANCELLED, **unpaid)
    assert content.subject.endswith("payment of 49.90 USDC due on December 6, 2026 is open")
    for part in (content.text, content.html):
        assert "because the payment of 49.90 USDC due on December 6, 2026 has not arrived." in part
        assert "https://pay.example.com/1" in part


@pytest.mark.parametrize(
    ("support", "expected"),
    [("help@nordlicht.example", "help@nordlicht.example"), ("", "billing@example.com")],
)
def test_without_a_cancel_page_one_cancels_by_replying(support, expected):
    content = say(NoticeKind.PAYMENT_CREATED, business=Business(name="N", support_address=support))
    words = f"To cancel, or to ask anything, reply to this email or write to {expected}."
    assert words in content.text
    assert words in content.html


def test_the_reference_is_quoted_into_the_cancel_page():
    content = say(NoticeKind.PAYMENT_CREATED, reference="a/b?c&d é")
    assert "https://nordlicht.example/cancel/a%2Fb%3Fc%26d%20%C3%A9\n" in content.text


# --- the operator's digest -------------------------------------------------------------------------


def test_the_digest_lists_each_thing_with_its_command():
    content = say(NoticeKind.RUN_DIGEST, items=(DigestItem("A <b>", "two\nlines", "billing void '<x>'"),))
    assert "1. A <b>\n   two lines\n\n       billing void '<x>'\n" in content.text
    assert "A &lt;b&gt;" in content.html
    assert re.search("<code [^>]*monospace[^>]*>", content.html)
    assert content.subject.startswith("Nordlicht Studios: one thing needs your attention")


def test_a_digest_without_items_says_that_all_is_well():
    content = say(NoticeKind.RUN_DIGEST, items=())
    assert content.subject == "Nordlicht Studios: all is well, billing run of December 3, 2026"
    assert "Nothing needs your attention." in content.text


def test_the_run_has_the_date_of_the_business_not_of_utc():
    berlin = Business(name="N", timezone="Europe/Berlin")
    late = datetime(2026, 12, 3, 23, 30, tzinfo=UTC)
    assert "December 4, 2026" in say(NoticeKind.RUN_DIGEST, business=berlin, now=late).subject


# --- locales, names, and bad letters ---------------------------------------------------------------


def test_a_subscriber_without_a_locale_is_written_to_in_the_business_language():
    german = Business(name="Nordlicht", locale="de")
    content = say(NoticeKind.PAYMENT_CREATED, business=german, locale=None)
    assert content.language == "de"
    assert content.subject == "Nordlicht: Zahlung von 49,90 USDC, fällig am 6. Dezember 2026"
    assert '<html lang="de" dir="ltr">' in content.html
    assert say(NoticeKind.PAYMENT_CREATED, business=german, locale="fr-CA").language == "fr"


def test_right_to_left_names_are_fenced_off_and_others_are_not():
    content = say(NoticeKind.PAYMENT_CREATED, to_name="נועה", plan="Gold")
    for part in (content.text, content.html):
        assert "Hello \u2068נועה\u2069," in part
        assert "\u2068Gold" not in part


def test_a_right_to_left_name_is_fenced_off_in_the_subject_that_travels():
    letter = replace(sample_letter(NoticeKind.SUBSCRIPTION_CANCELLED), plan="זהב")
    mail = renderer_of(BUSINESS).render(letter, SAMPLE_NOW)
    assert mail.subject == "Nordlicht Studios: your subscription to \u2068זהב\u2069 ends on January 5, 2027"
    assert email.message_from_bytes(mail.raw, policy=default)["Subject"] == mail.subject


def test_nobody_is_greeted_without_a_name():
    assert say(NoticeKind.PAYMENT_CREATED, to_name="  ").text.startswith("Hello,\n")


def test_values_are_escaped_in_html_and_left_alone_in_text():
    content = say(NoticeKind.PAYMENT_CREATED, plan="<script>R&D</script>")
    assert "&lt;script&gt;R&amp;D&lt;/script&gt;" in content.html
    assert "<script" not in content.html
    assert "for <script>R&D</script> is due" in content.text


def test_a_value_stays_on_its_line():
    content = say(NoticeKind.PAYMENT_CREATED, plan="Gold\r\nBcc: all\u2028x", to_name="A\x00B")
    assert "Plan: Gold Bcc: all x\n" in content.text
    assert "Hello A B," in content.text


def test_a_long_plan_is_shortened_in_a_subject():
    content = say(NoticeKind.SUBSCRIPTION_CANCELLED, plan="x" * 300)
    assert len(content.subject) < 130
    assert "x" * 300 in content.text


@pytest.mark.parametrize("kind", [kind for kind in NoticeKind if kind.startswith(("payment", "next"))])
def test_a_payment_notice_without_a_due_date_is_refused(kind):
    with pytest.raises(
        TemplateError, match=f"a {kind} notice needs a due date; the one for studio-0042 has none"
    ):
        say(kind, due_on=None)


def test_the_same_letter_gives_the_same_bytes():
    letter = sample_letter(NoticeKind.PAYMENT_OVERDUE, "fr")
    settings = Settings(business=BUSINESS, mail=Mail(calendar_attachment=True))
    renderer = Renderer(settings)
    assert renderer.render(letter, SAMPLE_NOW) == renderer.render(letter, SAMPLE_NOW)
    assert renderer.render(letter, SAMPLE_NOW) == Renderer(settings).render(letter, SAMPLE_NOW)
