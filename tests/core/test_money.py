"""Amounts: what is read, what is refused, and that nothing is lost on the way through."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from billing.core.money import MAX_AMOUNT_MICROS, format_amount, parse_amount
from billing.errors import InvalidAmount

amounts = st.integers(1, MAX_AMOUNT_MICROS)


@pytest.mark.parametrize(
    ("text", "micros", "written"),
    [
        ("10", 10_000_000, "10.00"),
        ("10.0", 10_000_000, "10.00"),
        ("19.90", 19_900_000, "19.90"),
        ("19.9", 19_900_000, "19.90"),
        ("0.5", 500_000, "0.50"),
        ("0.05", 50_000, "0.05"),
        ("0.000001", 1, "0.000001"),
        ("250.000001", 250_000_001, "250.000001"),
        ("1.100", 1_100_000, "1.10"),
        ("1.123", 1_123_000, "1.123"),
        ("1.1234560000", 1_123_456, "1.123456"),  # places that say nothing are no places
        ("007.50", 7_500_000, "7.50"),
        ("  5.00 ", 5_000_000, "5.00"),
        ("999999999.999999", MAX_AMOUNT_MICROS, "999999999.999999"),
        ("000000000001", 1_000_000, "1.00"),
    ],
)
def test_a_plain_decimal_is_read_and_written(text: str, micros: int, written: str) -> None:
    assert parse_amount(text) == micros
    assert format_amount(micros) == written


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        ".",
        "-",
        "+",
        "-1",
        "-0.01",
        "+5",
        "1.",
        ".5",
        "5,00",
        "1,000.00",
        "1 000",
        "1_000",
        "1'000",
        "1e3",
        "1E3",
        "1e-2",
        "NaN",
        "nan",
        "inf",
        "Infinity",
        "-inf",
        "0x10",
        "1/2",
        "1.2.3",
        "--1",
        "$5",
        "5 USDC",
        "5.00\ufeff",
        "5\n6",
        "5;6",
        "ten",
        "None",
        "5\x00",
        "5.0\x00",
        "١٢",
        "١٢.٥٠",
        "５.００",
        "1٫5",
        "¹²",
        "Ⅻ",
        "5٬000",
        "½",
    ],
)
def test_what_is_no_plain_decimal_is_refused(text: str) -> None:
    with pytest.raises(InvalidAmount, match="is not an amount"):
        parse_amount(text)


@pytest.mark.parametrize("text", ["0", "0.0", "0.000000", "000", "0.0000000000"])
def test_zero_is_refused(text: str) -> None:
    with pytest.raises(InvalidAmount, match="must be positive"):
        parse_amount(text)


@pytest.mark.parametrize("text", ["0.0000001", "1.1234567", "1.0000001", "0.000000000000000001"])
def test_more_than_six_significant_places_are_refused(text: str) -> None:
    with pytest.raises(InvalidAmount, match="more than six decimal places"):
        parse_amount(text)


@pytest.mark.parametrize("text", ["1000000000", "1000000000.000000", "999999999999", "123456789012.99"])
def test_an_absurd_size_is_refused(text: str) -> None:
    with pytest.raises(InvalidAmount, match="too large"):
        parse_amount(text)


@pytest.mark.parametrize("text", ["9" * 13, "1" * 100_000, "0." + "0" * 19 + "1", "1" + "0" * 400])
def test_an_absurd_length_is_refused_in_a_short_message(text: str) -> None:
    with pytest.raises(InvalidAmount) as refused:
        parse_amount(text)
    assert len(str(refused.value)) < 150


def test_a_refusal_says_what_was_given_and_what_to_write() -> None:
    with pytest.raises(InvalidAmount, match=r"^'1e3' is not an amount; write a plain decimal such as 19.90$"):
        parse_amount("1e3")


@given(amounts)
@example(MAX_AMOUNT_MICROS)
def test_writing_and_reading_gives_the_same_amount(micros: int) -> None:
    assert parse_amount(format_amount(micros)) == micros


@given(amounts)
def test_an_amount_is_written_with_two_to_six_places_and_no_idle_zero(micros: int) -> None:
    whole, _, places = format_amount(micros).partition(".")
    assert whole == str(int(whole))
    assert 2 <= len(places) <= 6
    assert len(places) == 2 or not places.endswith("0")


@given(st.integers(-MAX_AMOUNT_MICROS, -1))
def test_a_negative_sum_is_written_with_its_sign(micros: int) -> None:
    assert format_amount(micros) == "-" + format_amount(-micros)


@given(st.text(max_size=60))
def test_any_text_is_an_amount_or_refused(text: str) -> None:
    try:
        micros = parse_amount(text)
    except InvalidAmount:
        return
    assert 1 <= micros <= MAX_AMOUNT_MICROS
