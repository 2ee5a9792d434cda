"""Contrast after WCAG 2, and the nearest shade that has enough of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.core.colours import BUTTON_TEXT, LEAST_CONTRAST, contrast, darkened, is_colour

COLOURS = st.integers(0, 0xFFFFFF).map(lambda number: f"#{number:06x}")


@pytest.mark.parametrize(
    ("colours", "ratio"),
    [(("#000000", "#ffffff"), 21), (("#767676", "#ffffff"), 4.54), (("#123456", "#123456"), 1)],
)
def test_contrast_is_that_of_wcag(colours: tuple[str, str], ratio: float) -> None:
    assert contrast(*colours) == pytest.approx(ratio, abs=0.005)
    assert contrast(*reversed(colours)) == contrast(*colours)


@given(COLOURS)
def test_a_darkened_colour_can_be_written_on(colour: str) -> None:
    shade = darkened(colour)
    assert contrast(BUTTON_TEXT, shade) >= LEAST_CONTRAST
    assert (shade == colour) == (contrast(BUTTON_TEXT, colour) >= LEAST_CONTRAST)


@pytest.mark.parametrize(
    ("text", "right"),
    [("#0B6e4f", True), ("0b6e4f", False), ("#fff", False), ("red", False), ("#12345g", False)],
)
def test_a_colour_has_six_digits(text: str, right: bool) -> None:
    assert is_colour(text) is right
