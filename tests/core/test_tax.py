"""Net and tax of a gross price: whole cents of tax, and a sum that is always the price."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.core.money import MAX_AMOUNT_MICROS
from billing.core.tax import Split, split_gross

AMOUNTS = st.integers(0, MAX_AMOUNT_MICROS)
RATES = st.integers(0, 100_000).map(lambda thousandths: Decimal(thousandths).scaleb(-3))


@pytest.mark.parametrize(
    ("gross", "rate", "net", "tax"),
    [
        (119_000_000, "19", 100_000_000, 19_000_000),
        (49_900_000, "20", 41_580_000, 8_320_000),  # 8.31666…
        (49_900_000, "8.1", 46_160_000, 3_740_000),
        (1, "19", 1, 0),
        (105_000, "100", 55_000, 50_000),  # 5.25 cents
        (10_000, "100", 0, 10_000),  # half a cent is rounded up
        (12_345_678, "0", 12_345_678, 0),
        (19_999_999, "19", 16_809_999, 3_190_000),  # a price with more than two places keeps them in the net
    ],
)
def test_the_tax_is_rounded_to_the_nearest_cent(gross: int, rate: str, net: int, tax: int) -> None:
    assert split_gross(gross, Decimal(rate)) == Split(net, tax)


@given(AMOUNTS, RATES)
def test_net_and_tax_are_the_price_exactly(gross: int, rate: Decimal) -> None:
    split = split_gross(gross, rate)
    assert split.net_micros + split.tax_micros == gross
    assert split.net_micros >= 0
    assert split.tax_micros >= 0


@given(AMOUNTS, RATES)
def test_the_tax_is_whole_cents_and_never_more_than_half_a_cent_off(gross: int, rate: Decimal) -> None:
    tax = split_gross(gross, rate).tax_micros
    exact = Fraction(gross) * Fraction(rate) / (100 + Fraction(rate))
    assert tax % 10_000 == 0
    assert abs(tax - exact) <= 5_000


@given(AMOUNTS, AMOUNTS, RATES)
def test_a_higher_price_never_contains_less_tax(first: int, second: int, rate: Decimal) -> None:
    low, high = sorted((first, second))
    assert split_gross(low, rate).tax_micros <= split_gross(high, rate).tax_micros


@pytest.mark.parametrize(
    ("gross", "rate"), [(1, "-1"), (1, "100.001"), (1, "1.0001"), (-1, "19"), (1, "NaN"), (1, "Infinity")]
)
def test_what_is_no_rate_or_no_price_is_refused(gross: int, rate: str) -> None:
    with pytest.raises((ValueError, ArithmeticError)):
        split_gross(gross, Decimal(rate))
