"""The made-up letters stand for every kind and every edge."""

from __future__ import annotations

import re

import pytest

from billing.core.money import MAX_AMOUNT_MICROS
from billing.core.states import NoticeKind
from billing.mail.samples import ORDINARY, sample_letter, sample_letters


@pytest.mark.parametrize("kind", NoticeKind)
def test_every_kind_has_every_edge_case(kind: NoticeKind) -> None:
    samples = {sample.case: sample.letter for sample in sample_letters(kind)}
    assert {letter.kind for letter in samples.values()} == {kind}
    assert samples[ORDINARY].plan == sample_letter(kind).plan
    assert len(samples["long names"].to_name) > 90
    assert len(samples["long names"].plan) > 150
    assert re.search("[\u0600-\u06ff]", samples["arabic"].to_name)
    assert re.search("[\u0590-\u05ff]", samples["hebrew"].plan)
    assert "<script>" in samples["script"].to_name
    assert samples["smallest amount"].amount_micros == 1
    assert MAX_AMOUNT_MICROS - 10_000 < samples["largest amount"].amount_micros <= MAX_AMOUNT_MICROS
    assert samples["no pay link"].pay_url is None


def test_no_two_samples_would_be_taken_for_the_same_notice() -> None:
    keys = [
        s.letter.dedupe_key for kind in NoticeKind for tag in ("en", "de") for s in sample_letters(kind, tag)
    ]
    assert len(keys) == len(set(keys))


def test_a_sample_goes_to_whom_it_is_asked_to() -> None:
    letter = sample_letter(NoticeKind.PAYMENT_CREATED, "fr", "me@example.org")
    assert (letter.to_address, letter.locale) == ("me@example.org", "fr")


def test_only_reserved_names_are_used() -> None:
    for kind in NoticeKind:
        for sample in sample_letters(kind):
            assert sample.letter.to_address.endswith("@example.com")
            assert (sample.letter.pay_url or "https://pay.example.com/").startswith(
                "https://pay.example.com/"
            )
