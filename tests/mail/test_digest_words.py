"""The digest's items, said in the operator's language."""

from __future__ import annotations

import pytest

from billing.core.brakes import BrakeLimits, Brakes
from billing.core.dunning import HELD_BACK
from billing.core.need_text import DETAILS, NAMED, TEXTS, NeedKind, need_text
from billing.core.notices import DigestItem
from billing.core.outcomes import OutcomeKind
from billing.cycle import plan, submit
from billing.mail.digest_words import extract, in_words_of, sources
from billing.mail.i18n import LANGUAGES, formats_for

OTHERS = [language for language in LANGUAGES if language != "en"]


def said(language: str, title: str, detail: str = "") -> DigestItem:
    return in_words_of(formats_for(language, language), DigestItem(title, detail, "billing status"))


@pytest.mark.parametrize("language", OTHERS)
def test_every_need_is_translated_with_its_values(language: str) -> None:
    for kind, (_, many) in TEXTS.items():
        for count in (1, 3) if many else (1,):
            title = need_text(kind, count, "1234.50", "observe", "2 hours")
            told = said(language, title)
            assert told.title != title
            assert "{" not in told.title
            assert (str(count) in told.title) == (str(count) in title)
            assert told.command == "billing status"


def test_amounts_and_dates_are_written_as_the_language_does() -> None:
    named = NAMED.format(id=7, reference="studio-1", due_on="2026-12-01")
    told = said("de", need_text(NeedKind.PARKED, 2, "1234.50"), f"{named}, and 4 more: no answer")
    assert told.title.startswith("2 Zahlungen sind ungeklärt (1.234,50 USDC): ")
    assert told.detail == "Zahlung 7 (studio-1, fällig am 1.\xa0Dezember\xa02026), und 4 weitere: no answer"


def test_what_others_said_and_english_stay_as_they_are() -> None:
    assert said("fr", "550 no such user", "5.1.1 unknown") == DigestItem(
        "550 no such user", "5.1.1 unknown", "billing status"
    )
    assert said("en", need_text(NeedKind.ATTENTION)).title == "1 payment needs a look"


def test_the_causes_that_the_program_stores_are_known() -> None:
    failing, unclear = (Brakes(BrakeLimits(99, 10**9, 0.1, most)) for most in (2, 99))
    for _ in range(2):
        failing.note(OutcomeKind.REFUSED, 422)
    for outcome in [OutcomeKind.CREATED, OutcomeKind.UNKNOWN] * 40:
        unclear.note(outcome)
    causes = [
        plan._CATCH_UP,
        submit._PAUSED,
        HELD_BACK,
        Brakes(BrakeLimits(0, 10, 1, 9)).admit(5),
        Brakes(BrakeLimits(5, 1, 1, 9)).admit(5),
        failing.hold_cause,
        unclear.hold_cause,
    ]
    for cause in causes:
        assert said("es", "", cause).detail != cause, cause


def test_pybabel_is_given_every_sentence() -> None:
    extracted = [message for _, _, message, _ in extract()]
    assert extracted == list(sources())
    assert set(DETAILS) <= set(extracted)
