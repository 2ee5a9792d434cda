"""Secrets and addresses are taken out of what is logged."""

from __future__ import annotations

import logging

import pytest

from billing.app.redaction import Redactor, clean_record


@pytest.fixture
def redactor() -> Redactor:
    made = Redactor()
    made.learn(["first-secret", "abc"])
    return made


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("the first-secret is out", "the **** is out"),
        ("first-secretfirst-secret", "********"),
        ("postgresql://me:pw@host/db", "postgresql://me:****@host/db"),
        ("to <zoe@example.org>, al@example.org;", "to <<address>>, <address>;"),
        ("mailto:zoe@example.org?subject=x", "mailto:<address>=x"),
        ("zoe%40example.org", "<address>"),
        ("no address: 3 @ 5 USDC, @decorated", "no address: 3 @ 5 USDC, @decorated"),
        ("abc is too short to be a secret", "abc is too short to be a secret"),
    ],
)
def test_what_is_taken_out_and_what_is_left(redactor: Redactor, text: str, clean: str) -> None:
    assert redactor.clean(text) == clean
    assert redactor.clean(clean) == clean


def test_a_secret_that_was_rotated_away_stays_secret(redactor: Redactor) -> None:
    redactor.learn(["second-secret"])
    assert redactor.clean("first-secret second-secret") == "**** ****"


def test_a_line_that_cannot_be_put_together_is_no_error() -> None:
    record = logging.makeLogRecord({"msg": "two %s %s", "args": ("one@example.org",)})
    clean_record(record)
    assert record.getMessage() == "a log line that can't be put together: two %s %s"
