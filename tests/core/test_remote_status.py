"""What a remote record may tell: only what can mean one thing alone is believed."""

from dataclasses import replace
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.core.outcomes import RemotePayment, RemoteStatus
from billing.core.remote_status import (
    OurPayment,
    may_delete,
    read_status,
    same_address,
    status_for,
    why_keep,
)

PAID, UNPAID, UNCLEAR = RemoteStatus
DAY = date(2026, 2, 1)
MARKER = "RB-0123456789ABCDEF"
OURS = OurPayment(MARKER, 19_900_000, "zoe@bücher.example", DAY)
DOUBLE = RemotePayment("r2", MARKER, 19_900_000, "Zoe@XN--bcher-kva.example", UNPAID, DAY)


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        ("paid", PAID),
        ("PAID", PAID),
        (" Paid\t", PAID),
        ("unpaid", UNPAID),
        ("UnPaid", UNPAID),
        ("processing", UNCLEAR),
        ("partially paid", UNCLEAR),
        ("un paid", UNCLEAR),
        ("refunded", UNCLEAR),
        ("", UNCLEAR),
        (None, UNCLEAR),
        (True, UNCLEAR),
        (0, UNCLEAR),
        (["paid"], UNCLEAR),
        ({"status": "paid"}, UNCLEAR),
    ],
)
def test_a_status_is_one_of_two_words_or_unclear(raw: object, status: RemoteStatus) -> None:
    assert read_status(raw) is status


def test_an_invoice_has_a_word_of_its_own_for_unpaid() -> None:
    words = {word: read_status(word, unpaid_word="pending") for word in ("Paid", "PENDING", "unpaid")}
    assert words == {"Paid": PAID, "PENDING": UNPAID, "unpaid": UNCLEAR}


def test_an_unpaid_record_whose_date_moved_is_unclear() -> None:
    moved = replace(DOUBLE, due_on=DAY + timedelta(days=30))
    assert status_for(DOUBLE, DAY) is UNPAID
    assert status_for(moved, DAY) is UNCLEAR
    assert status_for(replace(moved, status=PAID), DAY) is PAID
    assert status_for(replace(DOUBLE, due_on=None), DAY) is UNPAID
    assert status_for(replace(DOUBLE, status=UNCLEAR), DAY) is UNCLEAR


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("Zoe@Example.org", "zoe@example.ORG "),
        ("zoe@bücher.example", "zoe@xn--bcher-kva.example"),
        ("zoe@BÜCHER.example", "ZOE@XN--BCHER-KVA.EXAMPLE"),
        ("zoe@bu\u0308cher.example", "zoe@bücher.example"),  # u and its dots, or one letter
        ("zoe@straße.example", "zoe@xn--strae-oqa.example"),
        ("zoe@shop。example", "zoe@shop.example"),
        ("zoe@example.org.", "zoe@example.org"),
    ],
)
def test_one_address_written_in_two_ways(ours: str, theirs: str) -> None:
    assert same_address(ours, theirs)
    assert same_address(theirs, ours)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("zoe@example.org", "zoe@example.com"),
        ("zoe@example.org", "chloe@example.org"),
        ("zoe@straße.example", "zoe@strasse.example"),  # two hosts, whatever the IDNA of 2003 says
        ("zoé@example.org", "zoe@example.org"),
        ("zoe@example.org", ""),
        ("zoe@example.org", "zoe"),
        ("zoe@xn--\u00e9.example", "zoe@é.example"),  # no punycode at all
    ],
)
def test_two_addresses(ours: str, theirs: str) -> None:
    assert not same_address(ours, theirs)


@given(st.text(), st.text())
def test_any_two_texts_compare_alike_from_both_sides(one: str, other: str) -> None:
    assert same_address(one, other) == same_address(other, one)
    assert same_address(one, one)


def test_a_proved_double_may_be_deleted() -> None:
    assert may_delete(DOUBLE, OURS, "r1", known_paid=False)
    assert why_keep(DOUBLE, OURS, "r1", known_paid=False) == ""


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"marker": None}, "payment number"),
        ({"marker": "RB-ZZZZZZZZZZZZZZZZ"}, "payment number"),
        ({"amount_micros": 19_900_001}, "amount"),
        ({"amount_micros": None}, "amount"),
        ({"email": "chloe@bücher.example"}, "subscriberEmail"),
        ({"email": ""}, "subscriberEmail"),
        ({"due_on": DAY + timedelta(days=1)}, "recurringDate"),
        ({"due_on": None}, "recurringDate"),
        ({"status": PAID}, "paid"),
        ({"status": UNCLEAR}, "unclear"),
        ({"remote_id": ""}, "id"),
        ({"remote_id": "r1"}, "no other record"),
    ],
)
def test_whatever_is_not_proved_keeps_a_record(changes: dict[str, object], why: str) -> None:
    shown = replace(DOUBLE, **changes)  # type: ignore[arg-type]
    assert why in why_keep(shown, OURS, "r1", known_paid=False)
    assert not may_delete(shown, OURS, "r1", known_paid=False)


@pytest.mark.parametrize("kept_id", [None, ""])
def test_the_last_record_of_a_payment_is_kept(kept_id: str | None) -> None:
    assert not may_delete(DOUBLE, OURS, kept_id, known_paid=False)


def test_what_was_ever_paid_is_kept_whatever_it_says_now() -> None:
    assert why_keep(DOUBLE, OURS, "r1", known_paid=True) == "it was paid once"
