"""What the fields of a subscription may hold, wherever they come from."""

import re
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.core.addresses import mailable, on_the_wire, same_mailbox
from billing.core.fields import read_field, written_amount
from billing.core.money import MAX_AMOUNT_MICROS
from billing.core.wrecked import date_readings
from billing.mail.message import wire_address


@given(st.integers(1, MAX_AMOUNT_MICROS))
def test_a_written_amount_is_read_again_and_never_has_two_readings(micros: int) -> None:
    assert read_field("amount", written_amount(micros)) == micros


@given(st.integers(1, 999), st.integers(0, 999), st.sampled_from(".,"))
def test_three_places_after_one_mark_are_never_read(whole: int, places: int, mark: str) -> None:
    with pytest.raises(ValueError, match=rf"may mean {whole}{places:03d} or {whole}"):
        read_field("amount", f"{whole}{mark}{places:03d}")


@given(st.text("0123456789.,' ", min_size=1, max_size=14).map(str.strip).filter(bool))
def test_what_a_refused_amount_is_told_to_write_is_read(text: str) -> None:
    try:
        read_field("amount", text)
    except ValueError as error:
        _, told, advice = str(error).rpartition("; write ")
        if told and not advice.startswith("a plain"):
            for written in advice.split(" or "):
                assert advised_is_fine(written)


def advised_is_fine(written: str) -> bool:
    """Whether an advice is read; one that is zero or too large is told so, and nothing else."""
    try:
        return bool(read_field("amount", written))
    except ValueError as error:
        return any(reason in str(error) for reason in ("is zero", "too large", "more than six", "a plain"))


@given(st.dates(date(1970, 1, 1), date(2100, 12, 31)))
def test_a_date_that_a_spreadsheet_rewrote_has_the_true_one_among_its_readings(day: date) -> None:
    serial = str((day - date(1899, 12, 30)).days)
    assert date_readings(serial) == [day]
    for text in (
        f"{day:%d/%m/%Y}",
        f"{day:%m/%d/%Y}",
        f"{day:%d.%m.%Y}",
        f"{day:%Y/%m/%d}",
        f"{day:%d-%m-%Y}",
    ):
        assert day in date_readings(text)


@given(st.emails())
def test_what_is_accepted_can_be_mailed(address: str) -> None:
    try:
        kept = mailable(address)
    except ValueError:
        return
    assert wire_address(kept, "somebody").isascii()


@pytest.mark.parametrize("address", ["user@bücher.example", "o'neill@example.org", "z@ß.de", "a@shop.test"])
def test_an_unusual_address_is_kept_as_written_and_can_be_mailed(address: str) -> None:
    assert mailable(address) == address
    assert wire_address(address, "somebody").isascii()


@pytest.mark.parametrize(
    "address", ["josé@example.com", "ｊose@example.com", "nobody", "a b@example.org", "z@☃.example"]
)
def test_the_file_refuses_what_the_mail_would_and_only_the_file_repeats_it(address: str) -> None:
    with pytest.raises(ValueError, match=re.escape(address)):
        mailable(address)
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - no word of it is known to all
        on_the_wire(address)
    assert address not in str(caught.value)


def test_both_give_the_same_reason_for_letters_that_need_smtputf8() -> None:
    for rule in (mailable, on_the_wire):
        with pytest.raises(ValueError, match=r"before the @: only servers with SMTPUTF8 .* plain letters"):
            rule("josé@example.com")


def test_an_address_of_this_machine_can_be_mailed_but_is_nobodys_to_import() -> None:
    assert on_the_wire("billing@localhost") == "billing@localhost"
    with pytest.raises(ValueError, match="is not an e-mail address"):
        mailable("billing@localhost")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Zoe@Example.org", "zoe@example.ORG"),
        ("user@bücher.example", "user@xn--bcher-kva.example"),
        ("user@BÜCHER.example", "user@bücher.example"),
    ],
)
def test_two_spellings_of_one_mailbox_are_the_same(one: str, other: str) -> None:
    assert same_mailbox(one) == same_mailbox(other)


def test_different_mailboxes_are_not_the_same() -> None:
    assert len({same_mailbox(text) for text in ("a@x.org", "b@x.org", "a@y.org", "a@☃.org", "a")}) == 5
