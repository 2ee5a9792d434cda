"""The tax that is contained in a gross price."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

_CENT = 10_000
"""Tax is declared in whole cents, whatever a price has behind them."""
_SCALE = 1000
"""A rate has at most three places: 19, 8.1, 9.975."""


@dataclass(frozen=True, slots=True)
class Split:
    """A gross amount in its parts, in micro-USDC. They add up to it exactly."""

    net_micros: int
    tax_micros: int


def split_gross(gross_micros: int, rate: Decimal) -> Split:
    """The parts of a gross amount at `rate` percent; the tax is rounded to the nearest cent, half up.

    Raises ValueError for a rate outside 0 to 100 or with more than three places, and a negative amount.
    """
    scaled = rate * _SCALE
    if not 0 <= rate <= 100 or scaled != scaled.to_integral_value():
        raise ValueError(f"{rate} is not a tax rate: 0 to 100 percent with at most three places")
    if gross_micros < 0:
        raise ValueError("a gross amount can't be negative")
    part, whole = int(scaled), 100 * _SCALE + int(scaled)
    cents = (2 * gross_micros * part + whole * _CENT) // (2 * whole * _CENT)
    return Split(gross_micros - cents * _CENT, cents * _CENT)
