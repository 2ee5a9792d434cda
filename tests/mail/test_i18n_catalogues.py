"""The catalogues hold every string of the templates, in every language, with the same variables."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog, Message
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po

from billing.config.schema import Settings
from billing.core.states import NoticeKind
from billing.errors import TemplateError
from billing.mail import i18n
from billing.mail.digest_words import sources
from billing.mail.i18n import LANGUAGES, LOCALES, SOURCE_LANGUAGE, translations
from billing.mail.render import Renderer, shipped_templates
from billing.mail.samples import SAMPLE_NOW, sample_letter

TRANSLATED = [language for language in LANGUAGES if language != SOURCE_LANGUAGE]
OPTIONS = {"encoding": "utf-8", "newstyle_gettext": "true", "trimmed": "true"}


@pytest.fixture(scope="module")
def extracted() -> set[str | tuple[str, ...]]:
    """Each message of the shipped templates: a string, or a pair where it has a plural."""
    found = extract_from_dir(
        shipped_templates(),
        [("**.html", "jinja2"), ("**.txt", "jinja2")],
        {"**.html": OPTIONS, "**.txt": OPTIONS},
    )
    messages = {message for _file, _line, message, _comments, _context in found}
    assert len(messages) > 60
    return messages | set(sources())


def catalogue(language: str) -> Catalog:
    with (LOCALES / language / "LC_MESSAGES" / "billing.po").open("rb") as file:
        return read_po(file, locale=language, abort_invalid=True)


def pairs(message: Message) -> list[tuple[str, str]]:
    """A message's texts, each with its translation; several where it has a plural."""
    sources = message.id if message.pluralizable else [message.id]
    forms = message.string if message.pluralizable else [message.string]
    assert isinstance(sources, list | tuple)
    assert isinstance(forms, list | tuple)
    return list(zip(map(str, sources), map(str, forms), strict=True))


def variables(text: str) -> list[str]:
    return sorted(re.findall(r"%\(\w+\)s|\{\w+\}", text))


@pytest.mark.parametrize("language", TRANSLATED)
def test_every_string_is_there_and_none_is_left_over(
    language: str, extracted: set[str | tuple[str, ...]]
) -> None:
    known = {tuple(m.id) if m.pluralizable else m.id for m in catalogue(language) if m.id}
    assert known == extracted


@pytest.mark.parametrize("language", TRANSLATED)
def test_every_string_is_translated_for_certain(language: str) -> None:
    messages = catalogue(language)
    for message in messages:
        assert message.id == "" or not message.fuzzy
        forms = [form for _, form in pairs(message)]
        assert all(form.strip() for form in forms), message.id
        assert not message.pluralizable or len(forms) == messages.num_plurals


@pytest.mark.parametrize("language", TRANSLATED)
def test_a_translation_uses_the_variables_of_its_source(language: str) -> None:
    for message in catalogue(language):
        if not message.id:
            continue
        for source, form in pairs(message):
            assert variables(form) == variables(source), message.id
            assert "%" not in re.sub(r"%\(\w+\)s", "", form)


@pytest.mark.parametrize("language", TRANSLATED)
def test_a_translation_ends_as_its_source_does_and_never_shouts(language: str) -> None:
    for message in catalogue(language):
        if not message.id or message.id == "Hello %(name)s," or message.id == "Hello,":
            continue
        for source, form in pairs(message):
            assert "!" not in form
            for mark in ".?:":
                assert source.endswith(mark) == form.endswith(mark), (source, form)


@pytest.mark.parametrize(
    ("language", "one", "many"),
    [
        ("en", "due yesterday, on", "21 days ago"),
        ("de", "gestern fällig", "vor 21 Tagen"),
        ("fr", "dû hier", "il y a 21 jours"),
        ("es", "venció ayer", "hace 21 días"),
        ("pt", "venceu ontem", "há 21 dias"),
    ],
)
def test_days_are_counted_as_the_language_does(language: str, one: str, many: str) -> None:
    renderer = Renderer(Settings())
    letter = sample_letter(NoticeKind.PAYMENT_OVERDUE, language)
    for days, words in ((1, one), (21, many)):
        content = renderer.content(replace(letter, days=days), SAMPLE_NOW)
        assert words in content.text
        assert words in content.html


@pytest.mark.parametrize("language", TRANSLATED)
def test_no_english_sentence_is_left_in_a_translated_mail(language: str) -> None:
    renderer = Renderer(Settings())
    for kind in NoticeKind:
        content = renderer.content(sample_letter(kind, language), SAMPLE_NOW)
        seen = re.sub("<[^>]*>", " ", content.html.partition("<body")[2])
        for part in (content.subject, content.text, seen):
            words = re.sub(r"recurring-payment|billing payments|payment_created|User unknown", "", part)
            assert not re.search(r"\b(your|the|you|payment|hello|due|is|to)\b", words, re.I)


def test_a_broken_catalogue_says_which_and_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "de" / "LC_MESSAGES").mkdir(parents=True)
    (tmp_path / "de" / "LC_MESSAGES" / "billing.po").write_text("rubbish")
    monkeypatch.setattr(i18n, "LOCALES", tmp_path)
    translations.cache_clear()
    with pytest.raises(
        TemplateError, match=r"the de catalogue .*billing\.po can't be read.*install the program again"
    ):
        translations("de")
    with pytest.raises(TemplateError, match="the fr catalogue"):
        translations("fr")
    translations.cache_clear()
