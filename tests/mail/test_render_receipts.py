"""A receipt that a bookkeeper accepts: numbers, both sides, the line, the tax, the total, the day."""

from __future__ import annotations

import re

from billing.config.schema import Business
from billing.core.states import NoticeKind
from tests.support.letters import say

RECEIVED = NoticeKind.PAYMENT_RECEIVED
SELLER = Business(
    name="Nordlicht Studios GmbH",
    address=["Sternstraße 1", "20357 Hamburg"],
    tax_id="DE123456789",
    tax_rate=19,
)


def test_a_receipt_has_everything_in_its_order() -> None:
    text = say(RECEIVED, SELLER).text
    start, end = text.index("Receipt number"), text.index("Your next payment")
    assert text[start:end].replace("\u2009", " ").split("\n") == [
        "Receipt number: 2026-000123",
        "Payment number: RB-K7WQ4T2M9XHC5PNA",
        "Paid: December 7, 2026",
        "Due: December 6, 2026",
        "",
        "Paid to: Nordlicht Studios GmbH",
        "    Sternstraße 1",
        "    20357 Hamburg",
        "    Tax ID: DE123456789",
        "Paid by: Okafor Studios Ltd",
        "    Amina Okafor",
        "    12 Harbour Road",
        "    Bristol BS1 5DB",
        "    Tax ID: GB123456789",
        "Wallet: 0x71C7…976F",
        "",
        "Plan: Gold plan",
        "Period: Dec 6, 2026 – Jan 5, 2027",
        "Reference: studio-0042",
        "",
        "Net: 41.93 USDC",
        "Tax (19%): 7.97 USDC",
        "Total: 49.90 USDC",
        "",
        "",
    ]


def test_the_page_has_the_same_rows() -> None:
    content = say(RECEIVED, SELLER)
    labels = re.findall(r'<th [^>]*scope="row"[^>]*>(.*?)</th>', content.html)
    assert labels == [
        "Receipt number",
        "Payment number",
        "Paid",
        "Due",
        "Paid to",
        "Paid by",
        "Wallet",
        "Plan",
        "Period",
        "Reference",
        "Net",
        "Tax (19%)",
        "Total",
    ]
    assert (
        "Okafor Studios Ltd<br>Amina Okafor<br>12 Harbour Road<br>Bristol BS1 5DB<br>Tax ID: GB1"
        in content.html
    )
    assert "<br>20357 Hamburg<br>Tax ID: DE123456789</td>" in content.html


def test_a_person_without_a_company_is_the_buyer() -> None:
    content = say(RECEIVED, case="a person")
    assert "Paid by: Amina Okafor\nWallet" in content.text
    assert "Tax ID" not in content.text + content.html


def test_without_a_rate_there_is_no_tax() -> None:
    content = say(RECEIVED)
    assert not re.search("Net|Tax \\(", content.text)
    assert "Total: 49.90 USDC" in content.text


def test_the_subject_has_both_numbers_as_far_as_there_are() -> None:
    assert say(RECEIVED).subject == "Receipt 2026-000123: 49.90 USDC, RB-K7WQ4T2M9XHC5PNA"
    assert say(RECEIVED, receipt_number="").subject == "Receipt: 49.90 USDC, RB-K7WQ4T2M9XHC5PNA"
    assert say(RECEIVED, receipt_number="", marker="").subject == "Receipt: 49.90 USDC for Gold plan"


def test_a_receipt_asks_for_nothing() -> None:
    content = say(RECEIVED, SELLER)
    for part in (content.text, content.html):
        assert "This email is your receipt; no payment is due with it." in part
        assert "Your next payment is due on January 6, 2027." in part
    assert 'class="button"' not in content.html
