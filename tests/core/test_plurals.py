"""Numbers of things agree with their nouns."""

from __future__ import annotations

import pytest

from billing.core.plurals import counted, plural


@pytest.mark.parametrize(
    ("count", "expected"), [(0, "0 payments"), (1, "1 payment"), (2, "2 payments"), (11, "11 payments")]
)
def test_a_number_and_its_noun_agree(count: int, expected: str) -> None:
    assert counted(count, "payment") == expected


def test_an_irregular_plural_is_given() -> None:
    assert [counted(count, "it", "they") for count in (1, 2)] == ["1 it", "2 they"]
    assert [plural(count, "it", "them") for count in (0, 1)] == ["them", "it"]
