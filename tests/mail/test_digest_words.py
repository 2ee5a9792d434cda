"""The digest's items, said in the operator's language."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from billing.core import reasons
from billing.core.brakes import BrakeLimits, Brakes
from billing.core.coverage import CoverageProof
from billing.core.need_text import DETAILS, NAMED, TEXTS, NeedKind, need_text
from billing.core.notices import DigestItem
from billing.core.outcomes import OutcomeKind, RemotePayment, RemoteStatus
from billing.core.reconciling import LostCreate, judge
from billing.mail.digest_words import extract, in_words_of, sources
from billing.mail.i18n import LANGUAGES, formats_for, translations

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


VALUES = {
    "all": "40",
    "amount": "1234.50",
    "count": "7",
    "due": "its due date",
    "due_on": "2026-12-01",
    "error": "PermissionError",
    "fields": "subscriberEmail, amount",
    "id": "12",
    "instant": "2026-12-01 10:05:30 UTC",
    "limit": "50000.00",
    "made": "2026-12-01 10:05 UTC",
    "made_by": "2026-12-01 10:07 UTC",
    "other_id": "rp_2",
    "paid": "19.90",
    "part": "oldest first",
    "reference": "studio-1 (Köln), north",
    "remote_id": "rp:1,x;",
    "seconds": "2.5",
    "status": "503",
    "wanted": "one made before 2026-12-01 10:05 UTC",
}
ENGLISH = re.compile(
    r"\b(the|its?|this|that|with|and|was|has|have|from|there|nothing|could|would|be|not|of|answer|paid|run)\b"
)
OURS = r"billing database trust|docs/\S+|reconcile\.\w+|mileston\.\w+|cycle\.\w+|database_trust|catch_up"


@pytest.mark.parametrize("language", OTHERS)
@pytest.mark.parametrize("sentence", DETAILS)
def test_every_sentence_is_said_in_the_language(language: str, sentence: str) -> None:
    told = said(language, "", sentence.format(**VALUES)).detail
    plain = re.sub(OURS, "", told)
    if language == "de":
        plain = re.sub(r"\bwas\b", "", plain)  # a German word, too
    assert not ENGLISH.search(plain), told
    assert told != sentence.format(**VALUES)
    for name, value in VALUES.items():
        if f"{{{name}}}" in sentence and name not in ("amount", "paid", "due", "due_on", "part", "wanted"):
            assert value in told


OTHERS_WORDS = ("No such user here", "amount must be positive: 0", "Connection refused", "é; à la fin")


@given(st.sampled_from(OTHERS), st.data())
def test_joined_sentences_are_said_one_by_one_and_the_words_of_others_stay(
    language: str, data: st.DataObject
) -> None:
    """The digest of a whole is the whole of the digests, however sentences are joined."""
    known = [text.format(**VALUES) for text in DETAILS]
    part = st.sampled_from(known) | st.sampled_from(OTHERS_WORDS)
    parts = data.draw(st.lists(part, min_size=1, max_size=6))
    signs = [
        *data.draw(
            st.lists(st.sampled_from((": ", "; ", ", ")), min_size=len(parts) - 1, max_size=len(parts) - 1)
        ),
        "",
    ]
    joined = [sign + after for sign, after in zip(signs, parts[1:], strict=False)]
    assume(not any(each in text for text in known for each in joined))  # it would be one longer sentence
    pairs = list(zip(parts, signs, strict=False))
    joints = {sign: translations(language).gettext(sign) for sign in (": ", "; ")}
    whole = "".join(part + sign for part, sign in pairs)
    each = "".join(
        said(language, "", part).detail + (joints.get(sign, sign) if part in known else sign)
        for part, sign in pairs
    )
    assert said(language, "", whole).detail == each


@given(st.text(max_size=80))
def test_the_words_of_others_are_never_swallowed(words: str) -> None:
    detail = f"sweep: {reasons.NOT_LOOKED_AT.format(id=3)}: get recurring payment: HTTP 422: {words}"
    told = said("de", "", detail).detail
    assume(said("de", "", words).detail == words)
    assert told == (f"sweep: Zahlung 3 ließ sich nicht noch einmal ansehen: Zahlung lesen: HTTP 422: {words}")


def test_a_sentence_within_the_words_of_others_stays_english() -> None:
    for words in ("We think that nothing was sent today", "sorry, asked to stopover", "newest firstborn"):
        assert said("es", "", words).detail == words


def test_the_causes_that_the_brakes_store_are_known() -> None:
    failing, unclear = (Brakes(BrakeLimits(99, 10**9, 0.1, most)) for most in (2, 99))
    for _ in range(2):
        failing.note(OutcomeKind.REFUSED, 422)
    for outcome in [OutcomeKind.CREATED, OutcomeKind.UNKNOWN] * 40:
        unclear.note(outcome)
    causes = [
        Brakes(BrakeLimits(0, 10, 1, 9)).admit(5),
        Brakes(BrakeLimits(5, 1, 1, 9)).admit(5),
        failing.hold_cause,
        unclear.hold_cause,
    ]
    for cause in causes:
        assert said("es", "", cause).detail != cause, cause


def test_a_parked_payment_tells_in_german_what_the_list_lacks() -> None:
    asked = datetime(2026, 12, 1, 10, 5, tzinfo=UTC)
    lost = LostCreate(5, "ada@example.com", asked, asked, 0, None, 9, due_on=date(2026, 12, 1))
    proof = CoverageProof(1, asked, timedelta(seconds=120))
    proof.show(RemotePayment("rp_1", None, 1, "x@example.com", RemoteStatus.PAID))
    verdict = judge(lost, (), proof, asked + timedelta(days=9), timedelta(seconds=120))
    assert said("de", "", verdict.cause).detail == (
        "es lässt sich nicht feststellen, ob es sie bei Mileston gibt: die Liste ist voll (1 Einträge), und "
        "zu wenige unserer Einträge (10 in Folge) zeigen ihre Ordnung; eine Liste, die länger und nicht voll "
        "ist, würde es beweisen"
    )


def test_pybabel_is_given_every_sentence() -> None:
    extracted = [message for _, _, message, _ in extract()]
    assert extracted == list(sources())
    assert set(DETAILS) <= set(extracted)
