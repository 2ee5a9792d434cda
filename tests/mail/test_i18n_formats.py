"""Amounts, dates and periods as each locale writes them, and what an unknown locale falls back to."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from billing.core.money import MAX_AMOUNT_MICROS, format_amount
from billing.mail.i18n import LANGUAGES, NO_BREAK_SPACE, formats_for


def amount(tag: str | None, micros: int) -> str:
    return formats_for(tag, "en").amount(micros).replace(NO_BREAK_SPACE, " ")


@pytest.mark.parametrize(
    ("tag", "expected"),
    [
        ("en", "1,234.50 USDC"),
        ("de", "1.234,50 USDC"),
        ("de-CH", "1’234.50 USDC"),
        ("fr", "1\N{NARROW NO-BREAK SPACE}234,50 USDC"),
        ("es", "1.234,50 USDC"),
        ("es-MX", "1,234.50 USDC"),
        ("pt_BR", "1.234,50 USDC"),
        ("pt-PT", "1 234,50 USDC"),
    ],
)
def test_a_region_writes_amounts_its_own_way(tag: str | None, expected: str) -> None:
    assert amount(tag, 1_234_500_000) == expected


@pytest.mark.parametrize(
    ("micros", "expected"),
    [
        (1, "0.000001 USDC"),
        (10_000_000, "10.00 USDC"),
        (10_100_000, "10.10 USDC"),
        (10_120_000, "10.12 USDC"),
        (10_123_000, "10.123 USDC"),
        (10_123_456, "10.123456 USDC"),
        (999_999_999_990_000, "999,999,999.99 USDC"),
        (MAX_AMOUNT_MICROS, "999,999,999.999999 USDC"),
    ],
)
def test_an_amount_has_two_to_six_places(micros: int, expected: str) -> None:
    assert amount("en", micros) == expected


def test_no_line_can_break_between_the_number_and_its_unit() -> None:
    assert formats_for("en", "en").amount(1_000_000) == "1.00\xa0USDC"


@settings(deadline=None)  # a busy machine is no failure
@given(st.integers(0, MAX_AMOUNT_MICROS), st.sampled_from(LANGUAGES))
def test_an_amount_is_exact_in_every_language(micros: int, language: str) -> None:
    formats = formats_for(language, "en")
    symbols = formats.locale.number_symbols["latn"]
    number = formats.amount(micros).removesuffix("\xa0USDC")
    plain = number.replace(symbols["group"], "").replace(symbols["decimal"], ".")
    assert plain == format_amount(micros)
    assert Decimal(plain) * 1_000_000 == micros


@pytest.mark.parametrize(
    ("tag", "expected"),
    [
        ("en", "December 3, 2026"),
        ("en-GB", "3 December 2026"),
        ("de", "3. Dezember 2026"),
        ("fr", "3 décembre 2026"),
        ("es", "3 de diciembre de 2026"),
        ("pt", "3 de dezembro de 2026"),
    ],
)
def test_dates_are_written_out(tag: str | None, expected: str) -> None:
    assert formats_for(tag, "en").day(date(2026, 12, 3)) == expected.replace(" ", NO_BREAK_SPACE)


@pytest.mark.parametrize(
    ("tag", "expected"),
    [
        ("en", "Dec 3"),
        ("en-GB", "3 Dec"),
        ("de", "3. Dez."),
        ("fr", "3 déc."),
        ("es", "3 dic"),
        ("pt", "3 de dez."),
    ],
)
def test_a_short_date_has_no_year(tag: str, expected: str) -> None:
    assert formats_for(tag, "en").short_day(date(2026, 12, 3)).replace(NO_BREAK_SPACE, " ") == expected


@pytest.mark.parametrize("tag", ["fr", "fr-CA"])
def test_in_french_the_first_day_of_a_month_is_an_ordinal_and_no_other_is(tag: str) -> None:
    formats = formats_for(tag, "en")
    first, last = date(2026, 12, 1), date(2027, 1, 1)
    said = [formats.day(first), formats.short_day(first), formats.period(first, date(2026, 12, 31))]
    assert [text.replace(NO_BREAK_SPACE, " ") for text in said] == [
        "1er décembre 2026",
        "1er déc.",
        "1er–31 déc. 2026",
    ]
    assert formats.period(first, last).count("1er") == 2
    assert "er" not in formats.short_day(date(2026, 12, 11)) + formats.short_day(date(2026, 12, 21))
    assert "1er" not in formats_for("es", "en").day(first)


def test_no_line_can_break_within_a_date() -> None:
    for tag in LANGUAGES:
        formats = formats_for(tag, "en")
        assert " " not in formats.day(date(2026, 12, 3)) + formats.short_day(date(2026, 12, 3))
        assert " " not in formats.period(date(2026, 12, 3), date(2027, 1, 2))


@pytest.mark.parametrize(
    ("tag", "rate", "expected"),
    [
        ("en", "19", "19%"),
        ("en", "8.1", "8.1%"),
        ("de", "8.1", "8,1 %"),
        ("fr", "5.5", "5,5 %"),
        ("es", "9.975", "9,975 %"),
    ],
)
def test_a_rate_has_the_places_that_it_has(tag: str, rate: str, expected: str) -> None:
    assert formats_for(tag, "en").percent(Decimal(rate)).replace(NO_BREAK_SPACE, " ") == expected


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ([], ""),
        (["Base"], "Base"),
        (["Base", "Polygon"], "Base oder Polygon"),
        (["A", "B", "C"], "A, B oder C"),
    ],
)
def test_names_of_which_any_will_do(names: list[str], expected: str) -> None:
    assert formats_for("de", "en").any_of(names) == expected


def test_a_period_says_its_month_and_year_once() -> None:
    first, last = date(2026, 12, 1), date(2026, 12, 31)
    formats = formats_for("de", "en")
    assert formats.period(first, last).replace(NO_BREAK_SPACE, " ") == "1.–31. Dez. 2026"
    assert (
        formats.period(first, date(2027, 1, 14)).replace(NO_BREAK_SPACE, " ")
        == "1. Dez. 2026\u2009–\u200914. Jan. 2027"
    )


def test_a_period_of_one_day_is_that_day() -> None:
    assert formats_for("de", "en").period(date(2026, 12, 1), date(2026, 12, 1)) == "1. Dez. 2026".replace(
        " ", NO_BREAK_SPACE
    )


@pytest.mark.parametrize(
    ("tag", "default", "language"),
    [
        ("de-AT", "en", "de"),
        ("pt_BR", "en", "pt"),
        ("fr_FR.UTF-8", "en", "fr"),
        ("DE", "en", "de"),
        ("de-XX", "en", "de"),
        ("es-419", "en", "es"),
        (None, "fr", "fr"),
        ("", "fr", "fr"),
        ("ja", "fr", "en"),
        ("zh-Hans-CN", "de", "en"),
        ("not a locale", "de", "en"),
        ("../../etc", "de", "en"),
    ],
)
def test_a_locale_falls_back_to_its_language_and_an_unknown_one_to_english(
    tag: str | None, default: str, language: str
) -> None:
    assert formats_for(tag, default).language == language


def test_an_english_mail_to_japan_has_english_dates() -> None:
    assert formats_for("ja_JP", "en").day(date(2026, 12, 3)) == "December\xa03,\xa02026"


@settings(deadline=None)
@given(st.one_of(st.text(max_size=30), st.from_regex(r"\A(de|en|fr|es|pt)[-_][A-Za-z0-9_@.-]{0,12}\Z")))
def test_no_text_in_the_locale_column_can_stop_a_mail(tag: str | None) -> None:
    formats = formats_for(tag, "en")
    assert formats.language in LANGUAGES
    assert formats.amount(1_500_000).endswith("USDC")
    assert "2026" in formats.day(date(2026, 12, 3))
