"""Each line of the log as a sentence: every action has one of its own, and it says what the log holds."""

import re
import string

import pytest

from billing.core.event_text import SENTENCES, EventAction, sentence_of


def placeholders_of(sentence: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(sentence) if name is not None}


def test_every_action_has_its_sentence_and_no_sentence_is_left_over() -> None:
    assert sorted(SENTENCES) == sorted(EventAction)


def test_no_two_actions_are_told_in_the_same_words() -> None:
    bare = [re.sub(r"\W+", " ", sentence.casefold()) for sentence in SENTENCES.values()]
    assert sorted(set(bare)) == sorted(bare)


def test_no_two_actions_are_written_as_the_same_word() -> None:
    assert sorted(EventAction.__members__.values()) == sorted(EventAction)  # an alias would stand there twice
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*", action) for action in EventAction)


@pytest.mark.parametrize("action", EventAction)
def test_a_sentence_fills_in_what_it_is_about_and_why_alone(action: EventAction) -> None:
    assert placeholders_of(SENTENCES[action]) <= {"it", "detail"}
    said = sentence_of(action, "why {it} {0}", "payment 7")
    assert ("why {it} {0}" in said) == ("{detail}" in SENTENCES[action])
    assert ("payment 7" in said) == ("{it}" in SENTENCES[action])
    assert not said.endswith(".")
    assert "\n" not in said


@pytest.mark.parametrize("action", EventAction)
def test_a_line_without_details_is_a_whole_sentence_all_the_same(action: EventAction) -> None:
    said = sentence_of(action, "", "payment 7")
    assert said
    assert said[-1].isalnum()
    assert "{" not in said
    assert ": " not in said


def test_what_an_older_version_wrote_is_told_as_it_is_today() -> None:
    assert sentence_of("voided", "a mistake", "payment 7") == sentence_of("void", "a mistake", "payment 7")
    assert sentence_of("voided", "a mistake", "payment 7") == "payment 7 was voided: a mistake"


def test_an_action_that_only_a_newer_version_knows_is_shown_as_it_is() -> None:
    assert sentence_of("brand_new", "why", "payment 7") == "payment 7: brand new: why"
    assert sentence_of("brand_new", "", "payment 7") == "payment 7: brand new"
