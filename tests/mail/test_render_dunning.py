"""The mails about money that has not come: three tones, statements of what is open, and no empty threats."""

from __future__ import annotations

import html
import re
from typing import Any

import pytest

from billing.config.schema import Business
from billing.core.states import NoticeKind
from billing.mail.i18n import LANGUAGES
from billing.mail.render import LONGEST_SUBJECT
from billing.mail.samples import sample_letters
from tests.support.letters import say

OVERDUE = NoticeKind.PAYMENT_OVERDUE
THREE = {
    sample.case: sample.letter.open_payments
    for sample in sample_letters(OVERDUE)
}["several are open"]  # fmt: skip
FIRST, MIDDLE, LAST = (
    "Perhaps that just slipped through; it is easily put right.",
    "Please pay as soon as you can.",
    "This is our last reminder.",
)


def both(content: Any, words: str) -> bool:
    assert (words in content.text) == (words in content.html)
    return words in content.text


# -- tones ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("payments", [THREE[:1], THREE])
@pytest.mark.parametrize(
    ("step", "steps", "tone"),
    [(1, 4, FIRST), (2, 4, MIDDLE), (3, 4, MIDDLE), (4, 4, LAST), (1, 1, LAST), (None, None, MIDDLE)],
)
def test_each_step_has_its_tone(step: int | None, steps: int | None, tone: str, payments: Any) -> None:
    content = say(OVERDUE, step=step, steps=steps, open_payments=payments)
    assert [words for words in (FIRST, MIDDLE, LAST) if both(content, words)] == [tone]


def test_where_one_stands_is_said_line_by_line() -> None:
    text = say(OVERDUE).text
    assert (
        "Asked on: December 6, 2026\nLast reminded on: December 9, 2026\nPause on: December 27, 2026\n"
        in text
    )
    first = say(OVERDUE, case="the first").text
    assert "Asked on: December 6, 2026\nPause on: December 27, 2026\n" in first
    assert "Cancellation on: December 27, 2026\n" in say(OVERDUE, final_action="cancel").text


@pytest.mark.parametrize(
    ("action", "words"),
    [
        ("pause", "If the payment has not arrived by December 27, 2026, we will pause your subscription."),
        ("cancel", "If the payment has not arrived by December 27, 2026, we will cancel your subscription."),
        ("keep", "After December 27, 2026 we will not remind you again, but the payment stays open."),
    ],
)
def test_an_overdue_notice_says_what_happens_at_the_end(action: str, words: str) -> None:
    assert both(say(OVERDUE, final_action=action), words)
    plural = words.replace("the payment has", "the payments have").replace("payment stays", "payments stay")
    assert both(say(OVERDUE, final_action=action, open_payments=THREE), plural)


@pytest.mark.parametrize(
    ("action", "words"),
    [
        ("pause", "Gold plan then stops: no new period begins, and no new payment becomes due."),
        ("cancel", "Gold plan then ends: no new period begins, and no new payment becomes due."),
    ],
)
def test_the_last_one_says_what_exactly_will_stop(action: str, words: str) -> None:
    assert both(say(OVERDUE, case="the last", final_action=action), words)
    assert not both(say(OVERDUE, final_action=action), words)


@pytest.mark.parametrize("step", [1, 3, 4])
def test_where_nothing_will_be_done_nothing_is_promised(step: int) -> None:
    content = say(OVERDUE, step=step, final_action=None, final_on=None)
    assert not re.search("we will|then (stops|ends)|Pause on|Cancellation on|not remind", content.text)
    assert not re.search("we will|then (stops|ends)|Pause on|Cancellation on|not remind", content.html)


# -- subjects -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "subject"),
    [
        ({"step": 1}, "Overdue: 49.90 USDC, due Dec 6"),
        ({"step": 2}, "Overdue, reminder 2: 49.90 USDC, due Dec 6"),
        ({"step": 4}, "Last reminder: 49.90 USDC, due Dec 6"),
        ({"step": None}, "Overdue: 49.90 USDC, due Dec 6"),
        ({"step": 1, "open_payments": THREE}, "Overdue: 112.30 USDC in 3 payments"),
        ({"step": 3, "open_payments": THREE}, "Overdue, reminder 3: 112.30 USDC in 3 payments"),
        ({"step": 4, "open_payments": THREE}, "Last reminder: 112.30 USDC in 3 payments"),
    ],
)
def test_a_subject_says_how_far_it_has_come_and_how_much_it_is_about(
    changes: dict[str, Any], subject: str
) -> None:
    assert say(OVERDUE, **changes).subject == subject


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_step_has_a_subject_of_its_own(language: str) -> None:
    for payments in (THREE[:1], THREE):
        subjects = [
            say(OVERDUE, locale=language, step=step, steps=12, open_payments=payments).subject
            for step in range(1, 13)
        ]
        assert len(set(subjects)) == 12
        assert max(map(len, subjects)) <= LONGEST_SUBJECT


# -- statements -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "case"),
    [
        (OVERDUE, "several are open"),
        (NoticeKind.SUBSCRIPTION_CANCELLED, "several are open"),
        (NoticeKind.SUBSCRIPTION_PAUSED, "ordinary"),
    ],
)
def test_a_statement_lists_each_payment_with_its_own_link_and_the_total(kind: NoticeKind, case: str) -> None:
    payments = THREE[:2] if kind == NoticeKind.SUBSCRIPTION_PAUSED else THREE
    content = say(kind, case=case)
    links = re.findall(
        r'<a href="(https://pay[^"]*)" aria-label="([^"]*)"[^>]*>Pay</a>', html.unescape(content.html)
    )
    assert links == [
        (payment.pay_url, f"Pay {amount} USDC, {payment.marker}")
        for payment, amount in zip(payments, ("49.90", "49.90", "12.50"), strict=False)
    ]
    for payment in payments:
        assert re.search(rf"^{payment.marker}: .* USDC, due on .*\n{payment.pay_url}$", content.text, re.M)
        assert re.search(f">Due on [^<]*</span><br><span [^>]*>{payment.marker}</span></th>", content.html)
    total = "99.80" if len(payments) == 2 else "112.30"
    assert f"Total: {total} USDC\n" in content.text
    assert re.search(rf">Total</th><td [^>]*>{total} USDC</td>", content.html)
    assert f"{total} USDC in all." in content.text
    assert both(content, "Each payment has its own payment page, which shows its number.")


@pytest.mark.parametrize(
    ("kind", "case"),
    [
        (OVERDUE, "ordinary"),
        (NoticeKind.SUBSCRIPTION_PAUSED, "one open"),
        (NoticeKind.SUBSCRIPTION_CANCELLED, "unpaid"),
        (NoticeKind.SUBSCRIPTION_PAUSED, "by a person, one open"),
        (NoticeKind.SUBSCRIPTION_CANCELLED, "one open until the end"),
    ],
)
def test_one_open_payment_alone_reads_like_an_ordinary_mail(kind: NoticeKind, case: str) -> None:
    content = say(kind, case=case)
    assert content.html.count('class="button"') == 1
    assert "Total" not in content.text + content.html
    assert "On the payment page you will see RB-" in content.text
    assert 'On the payment page you will see <span style="white-space:nowrap">RB-' in content.html
    assert "None" not in content.text


def test_a_statement_without_links_says_how_to_get_one() -> None:
    content = say(OVERDUE, case="several are open", pay_url=None)
    assert both(content, "To pay, please reply to this email and we will send you a link.")
    assert "Each payment has its own" not in content.text


def test_a_statement_says_networks_and_wallet_once() -> None:
    content = say(OVERDUE, Business(networks=["Base", "Polygon"]), case="several are open")
    assert both(content, "Pay exactly the amount shown there, on Base or Polygon.")
    assert content.text.count("We know your wallet as 0x71C7…976F.") == 1


# -- pauses and cancellations ---------------------------------------------------------------------------


def test_a_pause_says_why_and_that_paying_ends_it_if_it_does() -> None:
    why = "because the payment of 49.90 USDC due on December 6, 2026 has not arrived."
    by_itself = "As soon as everything is paid, your subscription goes on by itself."
    asked = "Pay what is open and reply to this email, and we will start your subscription again."
    content = say(NoticeKind.SUBSCRIPTION_PAUSED)
    assert both(content, why)
    assert both(content, by_itself)
    assert not both(content, asked)
    content = say(NoticeKind.SUBSCRIPTION_PAUSED, case="goes on when asked")
    assert both(content, asked)
    assert "by itself" not in content.text + content.html


def test_a_cancellation_for_an_unpaid_payment_says_so() -> None:
    content = say(NoticeKind.SUBSCRIPTION_CANCELLED, case="unpaid")
    assert content.subject == "Cancelled: 49.90 USDC open for Gold plan"
    assert both(content, "because the payment of 49.90 USDC due on December 6, 2026 has not arrived.")
    assert both(content, "That payment is still open.")


def test_a_cancellation_at_the_periods_end_names_what_is_open() -> None:
    content = say(NoticeKind.SUBSCRIPTION_CANCELLED, case="one open until the end")
    assert both(content, "One payment is still open: 49.90 USDC, due on January 6, 2027.")
    assert "Last day: January 5, 2027" in content.text
