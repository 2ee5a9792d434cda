"""Messages of the API are stored, logged and shown without what is private."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.gateway.redact import clean_message
from tests.support.scripted_api import (
    EMAIL,
    KEY,
    NAME,
)


@pytest.mark.parametrize(
    ("message", "clean"),
    [
        ("amount must be positive", "amount must be positive"),
        ("a\r\n\tb\x00c\u2028d  e", "a b c d e"),
        ("zero\u200bwidth \u202eright-to-left", "zerowidth right-to-left"),
        ("half \ud83d pair", "half pair"),
        (["first", 2, "second"], "first; second"),
        (None, ""),
        (5, ""),
        ({"a": "b"}, ""),
        ([], ""),
        ("mail bob@example.com, or <al@b.c>", "mail …, or <…>"),
        ("bob%40example.com?x", "…"),
        ('{"email":"bob@example.com","error":"bad"}', '{"email":"…","error":"bad"}'),
        ("Al already altered AL", "… already altered …"),
        ("KEY-1 inside xkey-1x and key-1", "… inside x…x and …"),
        ("Ana  Maria\nLópez owes; ANA MARIA LÓPEZ", "… owes; …"),
    ],
)
def test_cleaning(message: object, clean: str) -> None:
    assert clean_message(message, ["key-1"], ["Al", "Ana Maria López"]) == clean


def test_long_messages_are_cut() -> None:
    text = clean_message("word " * 1000, (), ())
    assert len(text) == 300
    assert text.endswith("…")


@given(st.text(max_size=50), st.sampled_from(["", " ", "\n", "\u200b", "x", "@"]), st.integers(0, 5000))
def test_a_secret_at_the_cut_never_shows(around: str, filler: str, count: int) -> None:
    message = filler * count + KEY + around + f" {EMAIL}"
    text = clean_message(message, [KEY], [EMAIL])
    assert len(text) <= 300
    for start in range(len(KEY) - 9):
        assert KEY[start : start + 10] not in text
    assert "quillfeather" not in text


@pytest.mark.parametrize("length", range(1, len(KEY) + 2))
def test_half_a_secret_at_the_reading_limit_does_not_show(length: int) -> None:
    """Blanks shrink: what stands at the far end of a long message can move to the front."""
    message = "no" + " " * (4000 - 2 - length) + KEY + " and more"
    assert clean_message(message, [KEY], []) in ("no", "no …", "")
    message = "no" + " " * (4000 - 2 - length) + NAME
    assert clean_message(message, [], [NAME]) in ("no", "no …", "")


@given(st.text(max_size=2000))
def test_cleaned_messages_are_one_printable_line(message: str) -> None:
    text = clean_message(message, ["s3cret"], ["Zoë"])
    assert text == text.strip()
    assert len(text.splitlines()) <= 1
    assert "\x00" not in text
    text.encode()  # no half surrogate pairs: they can't be stored


def test_cleaning_takes_no_long_even_for_hostile_messages() -> None:
    for message in ("a" * 1_000_000, "@" * 1_000_000, " @" * 500_000, "\x00" * 1_000_000, ["a@b"] * 100_000):
        assert len(clean_message(message, [KEY], [NAME])) <= 300
