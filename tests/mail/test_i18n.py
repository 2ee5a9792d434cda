"""Languages: what `{% trans %}` becomes when a template is compiled, and which formats a tag stands for."""

from __future__ import annotations

from typing import Any

import pytest
from jinja2 import DictLoader, Environment
from jinja2.exceptions import TemplateAssertionError, TemplateSyntaxError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from billing.errors import TemplateError
from billing.mail.i18n import (
    LANGUAGES,
    LOCALES,
    SOURCE_LANGUAGE,
    CompiledTranslations,
    formats_for,
    translations,
)

TRANSLATED = [language for language in LANGUAGES if language != SOURCE_LANGUAGE]


def environment(language: str, **templates: str) -> Environment:
    """The templates of one language, as the renderer compiles them; `_` in a name stands for its dot."""
    made = ImmutableSandboxedEnvironment(
        loader=DictLoader({name.replace("_", "."): text for name, text in templates.items()}),
        autoescape=lambda name: name is not None and name.endswith(".html"),
        extensions=[CompiledTranslations],
    )
    made.policies["ext.i18n.trimmed"] = True
    made.globals["language"] = language
    install = made.install_gettext_translations  # type: ignore[attr-defined]  # by the extension
    install(translations(language), newstyle=True)
    return made


def said(language: str, text: str, ending: str = "txt", **facts: Any) -> str:
    name = f"letter.{ending}"
    return environment(language, **{f"letter_{ending}": text}).get_template(name).render(facts)


# -- catalogues ----------------------------------------------------------------------------------------


def test_english_is_the_source_and_says_what_stands_there() -> None:
    assert translations(SOURCE_LANGUAGE).gettext("Kind regards") == "Kind regards"
    assert not (LOCALES / SOURCE_LANGUAGE).exists()


@pytest.mark.parametrize("language", TRANSLATED)
def test_every_other_language_has_a_catalogue_which_is_read_once(language: str) -> None:
    assert translations(language).gettext("Kind regards") != "Kind regards"
    assert translations(language).gettext("A sentence that nobody translated") == (
        "A sentence that nobody translated"
    )
    assert translations(language) is translations(language)


def test_a_language_without_a_catalogue_says_which_file_and_what_to_do() -> None:
    with pytest.raises(TemplateError, match=r"the xx catalogue .*xx/LC_MESSAGES/billing\.po can't be read"):
        translations("xx")


# -- what a template becomes ---------------------------------------------------------------------------


def test_a_sentence_is_looked_up_when_the_template_is_compiled_and_not_for_every_mail() -> None:
    made = environment("de", letter_txt="{% trans %}Kind regards{% endtrans %}, Ann")
    template = made.get_template("letter.txt")
    made.globals["gettext"] = lambda *_args, **_kwargs: pytest.fail("it was asked for again")
    assert template.render() == "Freundliche Grüße, Ann"


def test_what_is_not_translated_stays_english() -> None:
    assert said("fr", "{% trans %}A sentence that nobody translated{% endtrans %}") == (
        "A sentence that nobody translated"
    )


def test_the_variables_of_a_sentence_are_filled_in_at_their_places() -> None:
    text = "{% trans name=who.upper(), amount=sum %}{{ name }} owes {{ amount }}{% endtrans %}"
    assert said("en", text, who="Ada", sum="5 USDC") == "ADA owes 5 USDC"


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_percent_sign_is_one_percent_sign(language: str) -> None:
    assert said(language, "{% trans x=x %}100 % of {{ x }} %(x)s{% endtrans %}", x=7) == "100 % of 7 %(x)s"
    assert said(language, "{% trans %}100 %{% endtrans %}") == "100 %"


def test_lines_of_a_sentence_become_one() -> None:
    assert said("en", "{% trans %}\n  Kind\n  regards\n{% endtrans %}") == "Kind regards"
    assert said("de", "{% trans %}\n  Kind\n  regards\n{% endtrans %}") == "Freundliche Grüße"


def test_a_page_is_ascii_and_a_letter_is_not() -> None:
    text = "{% trans %}Kind regards{% endtrans %}"
    assert said("de", text, "html") == "Freundliche Gr&#252;&#223;e"
    assert said("de", text, "txt") == "Freundliche Grüße"


def test_a_value_in_a_sentence_is_escaped_in_a_page_and_the_sentence_is_not() -> None:
    text = "{% trans name=name %}<b>{{ name }}</b>{% endtrans %}"
    assert said("en", text, "html", name="<i>") == "<b>&lt;i&gt;</b>"
    assert said("en", text, "txt", name="<i>") == "<b><i></b>"


def test_a_plural_is_chosen_by_the_number_of_each_mail() -> None:
    text = "{% trans n=n %}one thing{% pluralize %}{{ n }} things{% endtrans %}"
    template = environment("en", letter_txt=text).get_template("letter.txt")
    assert [template.render(n=n) for n in (0, 1, 2)] == ["0 things", "one thing", "2 things"]


def test_gettext_can_be_called_by_its_name() -> None:
    assert said("de", '{{ _("Kind regards") }}') == "Freundliche Grüße"


def test_a_sentence_that_is_not_closed_is_named_with_its_line() -> None:
    with pytest.raises((TemplateSyntaxError, TemplateAssertionError)) as refused:
        said("de", "\n\n{% trans %}Kind regards")
    assert refused.value.lineno == 3


# -- formats -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tag", "default", "language", "locale"),
    [
        ("de", "en", "de", "de"),
        ("DE-at", "en", "de", "de_AT"),
        ("pt_BR.UTF-8", "en", "pt", "pt_BR"),
        ("de@euro", "en", "de", "de"),
        ("", "fr", "fr", "fr"),
        (None, "es-MX", "es", "es_MX"),
        ("de-XX9", "fr", "de", "de"),
        ("ja", "fr", "en", "en"),
        ("; DROP", "fr", "en", "en"),
    ],
)
def test_a_tag_stands_for_a_language_that_is_shipped_and_a_region_that_is_known(
    tag: str | None, default: str, language: str, locale: str
) -> None:
    found = formats_for(tag, default)
    assert (found.language, str(found.locale)) == (language, locale)


def test_formats_are_made_once_and_remember_no_more_than_a_few_thousand_values() -> None:
    formats = formats_for("en-GB", "en")
    assert formats_for("en-GB", "en") is formats
    said_of = {micros: formats.amount(micros) for micros in range(10_000)}
    assert said_of[9_999] == "0.009999\N{NO-BREAK SPACE}USDC"
    assert len(set(said_of.values())) == 10_000
    assert formats.amount(0) == said_of[0]
    assert len(formats._amounts) < 5_000
