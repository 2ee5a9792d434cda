"""USDC amounts: decimal strings outside, whole micro-USDC (1e-6 USDC) inside."""

from __future__ import annotations

import re

from billing.errors import InvalidAmount

MICROS_PER_USDC = 1_000_000

# One charge beyond this is a typing error, not a price. It also keeps sums of millions of
# payments inside a 64-bit column.
MAX_AMOUNT_MICROS = 1_000_000_000 * MICROS_PER_USDC - 1

_PLAIN_DECIMAL = re.compile(r"([0-9]{1,12})(?:\.([0-9]{1,18}))?", re.ASCII)


def parse_amount(text: str) -> int:
    """Read a plain decimal such as `19.90` into micro-USDC.

    Raises `InvalidAmount` for anything but a positive plain decimal below 1,000,000,000 with at
    most six significant places: no sign, exponent, grouping, NaN or infinity.
    """
    match = _PLAIN_DECIMAL.fullmatch(text.strip()) if len(text) <= 40 else None
    if match is None:
        shown = text if len(text) <= 40 else text[:37] + "..."
        raise InvalidAmount(f"{shown!r} is not an amount; write a plain decimal such as 19.90")
    whole, places = match[1], (match[2] or "").rstrip("0")
    if len(places) > 6:
        raise InvalidAmount(f"{text!r} has more than six decimal places; USDC has six")
    micros = int(whole) * MICROS_PER_USDC + int(places.ljust(6, "0"))
    if micros == 0:
        raise InvalidAmount(f"{text!r} is zero; an amount must be positive")
    if micros > MAX_AMOUNT_MICROS:
        raise InvalidAmount(f"{text!r} is too large; the largest amount is 999999999.999999")
    return micros


def format_amount(micros: int) -> str:
    """Write micro-USDC as a plain decimal with two to six places: `10.00`, `0.000001`."""
    sign, micros = ("-", -micros) if micros < 0 else ("", micros)
    whole, rest = divmod(micros, MICROS_PER_USDC)
    places = f"{rest:06d}".rstrip("0").ljust(2, "0")
    return f"{sign}{whole}.{places}"
