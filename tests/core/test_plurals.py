"""Numbers of things agree with their nouns."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from billing.core.plurals import counted, day_from, plural


@pytest.mark.parametrize(
    ("count", "expected"), [(0, "0 payments"), (1, "1 payment"), (2, "2 payments"), (11, "11 payments")]
)
def test_a_number_and_its_noun_agree(count: int, expected: str) -> None:
    assert counted(count, "payment") == expected


def test_an_irregular_plural_is_given() -> None:
    assert [counted(count, "it", "they") for count in (1, 2)] == ["1 it", "2 they"]
    assert [plural(count, "it", "them") for count in (0, 1)] == ["them", "it"]


@pytest.mark.parametrize(
    ("days", "said"),
    [(0, "today"), (-1, "1 day ago"), (-2, "2 days ago"), (1, "in 1 day"), (30, "in 30 days")],
)
def test_a_day_is_counted_from_today(days: int, said: str) -> None:
    today = date(2026, 3, 1)
    assert day_from(today + timedelta(days=days), today) == said
