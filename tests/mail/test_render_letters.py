"""What each kind of notice says, to whom, in which words."""

from __future__ import annotations

import email
import re
from dataclasses import replace
from datetime import UTC, datetime
from email.policy import default

import pytest

from billing.config.schema import Business, Mail, Settings
from billing.core.notices import DigestItem
from billing.core.states import NoticeKind
from billing.errors import TemplateError
from billing.mail.render import LONGEST_SUBJECT, Renderer
from billing.mail.samples import SAMPLE_NOW, sample_letter
from tests.support.letters import BUSINESS, TO_SUBSCRIBERS, renderer_of, say

# --- what all of them say --------------------------------------------------------------------------


@pytest.mark.parametrize("kind", TO_SUBSCRIBERS)
def test_both_parts_say_who_writes_about_what_and_why(kind: NoticeKind) -> None:
    content = say(kind)
    for part in (content.text, content.html):
        assert "Hello Amina Okafor," in part
        assert "You are receiving this email because you subscribe" in part
        assert "at Nordlicht Studios, reference studio-0042." in part
        assert "help@nordlicht.example" in part
    assert "Nordlicht" not in content.subject  # it stands in From


@pytest.mark.parametrize("kind", [kind for kind in TO_SUBSCRIBERS if kind.startswith(("payment", "next"))])
def test_both_parts_say_amount_due_date_period_plan_and_reference(kind: NoticeKind) -> None:
    content = say(kind)
    for label, value in {
        "Total" if kind == NoticeKind.PAYMENT_RECEIVED else "Amount": "49.90 USDC",
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


def test_subjects_say_the_status_what_amount_and_date() -> None:
    assert [say(kind).subject for kind in NoticeKind] == [
        "Coming up: 49.90 USDC for Gold plan, due Dec 6",
        "Due Dec 6: 49.90 USDC for Gold plan",
        "Receipt 2026-000123: 49.90 USDC, RB-K7WQ4T2M9XHC5PNA",
        "Overdue, reminder 3: 49.90 USDC, due Dec 6",
        "Paused: 99.80 USDC open for Gold plan",
        "Active again: Gold plan, next payment Jan 6",
        "Cancelled: Gold plan, ends Jan 5",
        "New price from Jan 6: 59.90 USDC for Gold plan",
        "Needs attention: 3 things, billing run of Dec 3",
    ]


@pytest.mark.parametrize("kind", [kind for kind in TO_SUBSCRIBERS if kind.startswith("payment")])
def test_both_parts_say_the_payment_number(kind: NoticeKind) -> None:
    content = say(kind)
    assert "Payment number: RB-K7WQ4T2M9XHC5PNA" in content.text
    assert re.search("Payment number</th><td [^>]*>RB-K7WQ4T2M9XHC5PNA<", content.html)
    without = say(kind, marker="", open_payments=())
    assert "number:" not in without.text.replace("Receipt number:", "")


# --- paying ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind", [NoticeKind.PAYMENT_CREATED, NoticeKind.PAYMENT_OVERDUE, NoticeKind.SUBSCRIPTION_PAUSED]
)
def test_the_pay_link_is_a_button_and_can_be_copied(kind: NoticeKind) -> None:
    url = "https://pay.example.com/checkout?id=1&kind=recurring"
    content = say(kind, pay_url=url, open_payments=())
    assert (
        f"Pay 49.90 USDC here:\n{url}\nOn the payment page you will see RB-K7WQ4T2M9XHC5PNA.\n"
        in content.text
    )
    links = re.findall(
        r'<a href="https://pay\.example\.com/checkout\?id=1&amp;kind=recurring"[^>]*>(.*?)</a>', content.html
    )
    assert links == ["Pay 49.90 USDC", "https://pay.example.com/checkout?id=1&amp;kind=recurring"]


@pytest.mark.parametrize("kind", TO_SUBSCRIBERS)
def test_without_a_pay_link_there_is_no_button_and_no_dead_link(kind: NoticeKind) -> None:
    content = say(kind, pay_url=None)
    links = re.findall(r'<a href="([^"]*)"', content.html)
    assert set(links) <= {"https://nordlicht.example/cancel/studio-0042"}
    assert 'class="button"' not in content.html
    assert "here:" not in content.text


@pytest.mark.parametrize("kind", [NoticeKind.PAYMENT_CREATED, NoticeKind.PAYMENT_OVERDUE])
def test_who_pays_from_a_wallet_reads_the_networks_the_exact_amount_and_the_wallet(kind: NoticeKind) -> None:
    business = Business(name="N", networks=["Base", "Polygon", "Arbitrum"])
    wallet = "0x71C7656EC7ab88b098defB751B7401B5f6d8976F"
    content = say(kind, business, amount_micros=12_345_678, open_payments=(), wallet_address=wallet)
    for part in (content.text, content.html):
        assert "Pay exactly 12.345678 USDC on Base, Polygon, or Arbitrum." in part
        assert "We know your wallet as 0x71C7…976F." in re.sub(
            "</?span[^>]*>", "", part.replace("&#8230;", "…")
        )
    plain = say(kind, wallet_address="").text
    assert "exactly" not in plain
    assert "wallet" not in plain


@pytest.mark.parametrize("kind", [NoticeKind.PAYMENT_CREATED, NoticeKind.PAYMENT_OVERDUE])
def test_without_a_pay_link_it_says_how_to_get_one(kind: NoticeKind) -> None:
    content = say(kind, pay_url=None)
    for part in (content.text, content.html):
        assert "To pay, please reply to this email and we will send you a link." in part


@pytest.mark.parametrize(
    "url", ["javascript:alert(1)", "https://", "https://x/a b", "https://x/\n", "pay", "http://["]
)
def test_a_pay_link_that_is_no_web_address_is_refused(url: str) -> None:
    with pytest.raises(TemplateError, match="the pay link of studio-0042"):
        say(NoticeKind.PAYMENT_CREATED, pay_url=url)


def test_a_reminder_asks_for_nothing_yet() -> None:
    content = say(NoticeKind.NEXT_PAYMENT_DUE)
    for part in (content.text, content.html):
        assert "is due in 3 days, on December 6, 2026. There is nothing to do today" in part
        assert "On December 6, 2026 we will send you the link to pay" in part


def test_a_reminder_names_the_number_that_the_payment_page_will_show() -> None:
    content = say(NoticeKind.NEXT_PAYMENT_DUE)
    for part in (content.text, content.html):
        assert "and a receipt once your payment has arrived. On the payment page you will see RB-" in part
    assert "you will see" not in say(NoticeKind.NEXT_PAYMENT_DUE, marker="").text


def test_a_reminder_with_a_pay_link_offers_it() -> None:
    content = say(NoticeKind.NEXT_PAYMENT_DUE, pay_url="https://pay.example.com/1")
    assert "You can pay now, or wait until then." in content.text
    assert 'class="button"' in content.html


@pytest.mark.parametrize("days", [None, 0])
def test_without_a_count_of_days_only_the_date_is_said(days: int | None) -> None:
    assert "is due on December 6, 2026." in say(NoticeKind.NEXT_PAYMENT_DUE, days=days).text
    assert (
        "was due on December 6, 2026 and has not arrived." in say(NoticeKind.PAYMENT_OVERDUE, days=days).text
    )


def test_the_last_receipt_announces_no_next_payment() -> None:
    content = say(NoticeKind.PAYMENT_RECEIVED, next_due_on=None)
    assert "next payment" not in content.text + content.html


# --- subscriptions ---------------------------------------------------------------------------------


def test_a_pause_by_a_person_speaks_of_no_debt() -> None:
    content = say(NoticeKind.SUBSCRIPTION_PAUSED, case="by a person")
    assert content.subject == "Paused: your subscription to Gold plan"
    assert "49.90" not in content.text + content.html
    assert "Reply to this email, and we will start your subscription again." in content.text


def test_a_resumption_says_when_the_next_payment_is_due() -> None:
    content = say(NoticeKind.SUBSCRIPTION_RESUMED)
    for part in (content.text, content.html):
        assert "Your subscription to Gold plan is active again." in part
        assert "Your next payment is due on January 6, 2027. There is nothing to do until then." in part
    content = say(NoticeKind.SUBSCRIPTION_RESUMED, next_due_on=None)
    assert content.subject == "Active again: your subscription to Gold plan"
    assert "next payment" not in content.text + content.html


def test_a_cancellation_says_until_when_it_is_paid() -> None:
    content = say(NoticeKind.SUBSCRIPTION_CANCELLED)
    for part in (content.text, content.html):
        assert "It is paid until January 5, 2027 and ends after that day." in part
        assert "because you subscribed to" in part
        assert "Cancel the subscription" not in part


@pytest.mark.parametrize(
    ("support", "expected"),
    [("help@nordlicht.example", "help@nordlicht.example"), ("", "billing@example.com")],
)
def test_without_a_cancel_page_one_cancels_by_replying(support: str, expected: str) -> None:
    content = say(NoticeKind.PAYMENT_CREATED, business=Business(name="N", support_address=support))
    words = f"To cancel, or to ask anything, reply to this email or write to {expected}."
    assert words in content.text
    assert words in content.html


def test_the_reference_is_quoted_into_the_cancel_page() -> None:
    content = say(NoticeKind.PAYMENT_CREATED, reference="a/b?c&d é")
    assert "https://nordlicht.example/cancel/a%2Fb%3Fc%26d%20%C3%A9\n" in content.text


# --- the operator's digest -------------------------------------------------------------------------


def test_the_digest_lists_each_thing_with_its_command() -> None:
    content = say(NoticeKind.RUN_DIGEST, items=(DigestItem("A <b>", "two\nlines", "billing void '<x>'"),))
    assert "1. A <b>\n   two lines\n\n       billing void '<x>'\n" in content.text
    assert "A &lt;b&gt;" in content.html
    assert re.search("<code [^>]*monospace[^>]*>", content.html)
    assert content.subject == "Needs attention: one thing, billing run of Dec 3"


def test_a_digest_without_items_says_that_all_is_well() -> None:
    content = say(NoticeKind.RUN_DIGEST, items=())
    assert content.subject == "All is well: billing run of Dec 3"
    assert "Nothing needs your attention." in content.text


def test_the_run_has_the_date_of_the_business_not_of_utc() -> None:
    berlin = Business(name="N", timezone="Europe/Berlin")
    late = datetime(2026, 12, 3, 23, 30, tzinfo=UTC)
    assert say(NoticeKind.RUN_DIGEST, business=berlin, now=late).subject.endswith("Dec 4")


# --- locales, names, and bad letters ---------------------------------------------------------------


def test_a_subscriber_without_a_locale_is_written_to_in_the_business_language() -> None:
    german = Business(name="Nordlicht", locale="de")
    content = say(NoticeKind.PAYMENT_CREATED, business=german, locale=None)
    assert content.language == "de"
    assert content.subject == "Fällig am 6. Dez.: 49,90 USDC für Gold plan"
    assert '<html lang="de" dir="ltr">' in content.html
    assert say(NoticeKind.PAYMENT_CREATED, business=german, locale="fr-CA").language == "fr"


def test_right_to_left_names_are_fenced_off_and_others_are_not() -> None:
    content = say(NoticeKind.PAYMENT_CREATED, to_name="נועה", plan="Gold")
    for part in (content.text, content.html):
        assert "Hello \u2068נועה\u2069," in part
        assert "\u2068Gold" not in part


def test_a_right_to_left_name_is_fenced_off_in_the_subject_that_travels() -> None:
    letter = replace(sample_letter(NoticeKind.SUBSCRIPTION_CANCELLED), plan="זהב")
    mail = renderer_of(BUSINESS).render(letter, SAMPLE_NOW)
    assert mail.subject == "Cancelled: \u2068זהב\u2069, ends Jan 5"
    assert email.message_from_bytes(mail.raw, policy=default)["Subject"] == mail.subject


def test_nobody_is_greeted_without_a_name() -> None:
    assert say(NoticeKind.PAYMENT_CREATED, to_name="  ").text.startswith("Hello,\n")


def test_values_are_escaped_in_html_and_left_alone_in_text() -> None:
    content = say(NoticeKind.PAYMENT_CREATED, plan="<script>R&D</script>")
    assert "&lt;script&gt;R&amp;D&lt;/script&gt;" in content.html
    assert "<script" not in content.html
    assert "for <script>R&D</script> is due" in content.text


def test_a_value_stays_on_its_line() -> None:
    content = say(NoticeKind.PAYMENT_CREATED, plan="Gold\r\nBcc: all\u2028x", to_name="A\x00B")
    assert "Plan: Gold Bcc: all x\n" in content.text
    assert "Hello A B," in content.text


@pytest.mark.parametrize("plan", ["x" * 300, "Gold plan " * 12, "זהב" * 60])
def test_a_long_plan_is_cut_in_a_subject_and_nothing_else_is(plan: str) -> None:
    content = say(NoticeKind.NEXT_PAYMENT_DUE, plan=plan)
    assert len(content.subject) <= LONGEST_SUBJECT
    assert content.subject.startswith("Coming up: 49.90 USDC for ")
    assert re.search("…\u2069?, due Dec 6$", content.subject)
    assert content.subject.count("\u2068") == content.subject.count("\u2069") <= 1
    assert plan.strip() in content.text


@pytest.mark.parametrize("kind", [kind for kind in NoticeKind if kind.startswith(("payment", "next"))])
def test_a_payment_notice_without_a_due_date_is_refused(kind: NoticeKind) -> None:
    with pytest.raises(
        TemplateError, match=f"a {kind} notice needs a due date; the one for studio-0042 has none"
    ):
        say(kind, due_on=None)


def test_the_same_letter_gives_the_same_bytes() -> None:
    letter = sample_letter(NoticeKind.PAYMENT_OVERDUE, "fr")
    settings = Settings(business=BUSINESS, mail=Mail(calendar_attachment=True))
    renderer = Renderer(settings)
    assert renderer.render(letter, SAMPLE_NOW) == renderer.render(letter, SAMPLE_NOW)
    assert renderer.render(letter, SAMPLE_NOW) == Renderer(settings).render(letter, SAMPLE_NOW)
