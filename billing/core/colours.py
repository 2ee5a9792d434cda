"""Colours as `#rrggbb`, and whether a text can be read on its ground (WCAG 2)."""

from __future__ import annotations

import re

LEAST_CONTRAST = 4.5
"""WCAG 2 AA for text of ordinary size."""
BUTTON_TEXT = "#ffffff"
"""What stands on `business.accent`."""
_COLOUR = re.compile("#[0-9a-fA-F]{6}")


def is_colour(text: str) -> bool:
    return _COLOUR.fullmatch(text) is not None


def contrast(first: str, second: str) -> float:
    """The contrast ratio of two colours after WCAG 2: from 1 to 21."""
    darker, lighter = sorted((_luminance(first), _luminance(second)))
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: str) -> float:
    shares = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (s / 12.92 if s <= 0.04045 else ((s + 0.055) / 1.055) ** 2.4 for s in shares)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def darkened(colour: str, ground_of: str = BUTTON_TEXT) -> str:
    """The nearest darker shade of a colour on which the text `ground_of` can be read."""
    channels = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    for percent in range(100, -1, -1):
        shade = "#" + "".join(f"{channel * percent // 100:02x}" for channel in channels)
        if contrast(ground_of, shade) >= LEAST_CONTRAST:
            return shade
    return "#000000"
