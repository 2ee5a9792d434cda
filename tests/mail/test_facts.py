"""What templates are told: texts ready to print, one line each, and what is open in its order."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.config.schema import Business
from billing.core.notices import OpenPayment
from billing.core.states import NoticeKind as K
from billing.mail.facts import isolated, shortened, shortened_wallet, template_facts
from billing.mail.i18n import formats_for
from billing.mail.samples import sample_letter

FENCED = "\N{FIRST STRONG ISOLATE}نور\N{POP DIRECTIONAL ISOLATE}"
TODAY = date(2026, 12, 20)
DECEMBER = OpenPayment("RB-1", 49_900_000, date(2026, 12, 6), "https://pay.example.com/1")
JANUARY = OpenPayment("RB-2", 10_100_000, date(2027, 1, 6), "https://pay.example.com/2")


def facts(kind: K, business: Business | None = None, **changes: Any) -> dict[str, Any]:
    letter = replace(sample_letter(kind), **changes)
    return template_facts(letter, formats_for("en", "en"), business or Business(), TODAY)


# -- what is open ---------------------------------------------------------------------------------------


def test_several_payments_are_a_list_with_a_total() -> None:
    found = facts(K.PAYMENT_OVERDUE, marker="RB-1", open_payments=(DECEMBER, JANUARY))
    assert (found["several"], found["open_count"]) == (True, 2)
    assert (found["total"], found["total_number"]) == ("60.00\xa0USDC", "60.00")
    assert [(line.marker, line.amount) for line in found["open_payments"]] == [
        ("RB-1", "49.90\xa0USDC"),
        ("RB-2", "10.10\xa0USDC"),
    ]


def test_one_payment_alone_is_the_mails_own() -> None:
    found = facts(K.PAYMENT_OVERDUE, marker="RB-1", open_payments=(DECEMBER,))
    assert (found["several"], found["total"], found["pay_url"]) == (False, found["amount"], DECEMBER.pay_url)


def test_an_overdue_notice_is_about_its_own_payment_whatever_else_is_open() -> None:
    own: dict[str, Any] = {
        "marker": "RB-0",
        "due_on": date(2026, 12, 20),
        "amount_micros": 1_000_000,
        "pay_url": None,
    }
    found = facts(K.PAYMENT_OVERDUE, **own, open_payments=(DECEMBER, JANUARY))
    assert [line.marker for line in found["open_payments"]] == ["RB-1", "RB-0", "RB-2"]
    assert facts(K.PAYMENT_OVERDUE, **own, open_payments=())["open_count"] == 1


def test_a_pause_with_one_other_payment_open_lists_it() -> None:
    found = facts(K.SUBSCRIPTION_PAUSED, marker="RB-0", open_payments=(JANUARY,))
    assert found["several"]
    assert found["pay_url"] == JANUARY.pay_url
    found = facts(K.SUBSCRIPTION_PAUSED, marker="", due_on=None, pay_url=None, open_payments=(JANUARY,))
    assert not found["several"]
    assert (found["amount"], found["marker"]) == ("10.10\xa0USDC", "RB-2")


def test_what_was_paid_meanwhile_is_not_open() -> None:
    found = facts(K.SUBSCRIPTION_PAUSED, pay_url=None, open_payments=())
    assert (found["open_payments"], found["several"]) == ([], False)


@pytest.mark.parametrize("kind", [kind for kind in K if kind is not K.RUN_DIGEST])
def test_what_is_cancelled_has_no_link_to_cancel_it(kind: K) -> None:
    found = facts(kind, Business(cancel_url="https://n.example/{reference}"), reference="a b")
    assert found["cancel_url"] == ("" if kind is K.SUBSCRIPTION_CANCELLED else "https://n.example/a%20b")


def test_other_kinds_list_nothing() -> None:
    assert facts(K.PAYMENT_CREATED, open_payments=(DECEMBER, JANUARY))["open_payments"] == []


# -- where dunning stands -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("step", "steps", "last"), [(1, 4, False), (3, 4, False), (4, 4, True), (1, 1, True), (None, None, False)]
)
def test_the_last_step_is_the_last(step: int | None, steps: int | None, last: bool) -> None:
    assert facts(K.PAYMENT_OVERDUE, step=step, steps=steps)["is_last"] is last


# -- receipts -------------------------------------------------------------------------------------------


def test_tax_is_there_if_the_business_has_a_rate() -> None:
    found = facts(K.PAYMENT_RECEIVED, Business(tax_rate=8.1))
    assert (found["net"], found["tax"], found["tax_rate"]) == ("46.16\xa0USDC", "3.74\xa0USDC", "8.1%")
    assert facts(K.PAYMENT_RECEIVED)["tax"] is None


def test_a_buyer_is_company_name_and_address_or_nobody() -> None:
    found = facts(K.PAYMENT_RECEIVED, company=" A\x00B ", to_name="Ann", address="Street 1\n\n Town \r\n")
    assert found["buyer"] == ["A B", "Ann", "Street 1", "Town"]
    assert facts(K.PAYMENT_RECEIVED, company="", to_name="", address="Street 1")["buyer"] == []


# -- texts ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "shown"),
    [("Zoë", "Zoë"), ("plain", "plain"), ("نور", FENCED), ("", ""), ("日本", "日本")],
)
def test_only_right_to_left_writing_is_fenced_off(text: str, shown: str) -> None:
    assert isolated(text) == shown


@given(st.text(), st.integers(4, 80))
def test_a_shortened_text_is_never_longer_than_asked(text: str, length: int) -> None:
    assert len(shortened(text, length)) <= length
    if len(isolated(text)) <= length:
        assert shortened(text, length) == isolated(text)


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("0x71C7656EC7ab88b098defB751B7401B5f6d8976F", "0x71C7…976F"),
        ("ann.base.eth", "ann.base.eth"),
        ("", ""),
    ],
)
def test_a_wallet_is_shown_as_people_compare_it(address: str, shown: str) -> None:
    assert shortened_wallet(address) == shown
