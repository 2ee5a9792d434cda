"""The renderer itself: where templates come from, what styles become, and what a mail is made of."""

from __future__ import annotations

import email
import re
from dataclasses import replace
from datetime import timedelta
from email.policy import default
from pathlib import Path

import pytest
from jinja2 import Environment

from billing.config.logo import Logo
from billing.config.schema import Business, Mail, Settings
from billing.core.states import NoticeKind
from billing.errors import TemplateError
from billing.mail.i18n import LANGUAGES
from billing.mail.render import (
    FIX_TEMPLATE,
    Renderer,
    load_styles,
    load_theme,
    shipped_templates,
    template_loader,
)
from billing.mail.samples import SAMPLE_NOW, sample_letter

CREATED = NoticeKind.PAYMENT_CREATED


def own(folder: Path, **files: str) -> Path:
    """A user's templates; `_` before the ending stands for its dot."""
    for name, text in files.items():
        stem, _, ending = name.rpartition("_")
        (folder / f"{stem}.{ending}").write_text(text, "utf-8")
    return folder


def environment_of(folder: Path | None = None, language: str = "en") -> Environment:
    return Renderer(Settings(), folder).environment(language)


# -- where templates come from -------------------------------------------------------------------------


def test_the_users_file_comes_first_and_shipped_always_means_the_shipped_one(tmp_path: Path) -> None:
    loader = template_loader(own(tmp_path, theme_html="mine"))
    environment = Environment(loader=loader)  # nothing is printed as HTML
    assert environment.get_template("theme.html").render() == "mine"
    source, _, _ = loader.get_source(environment, "shipped/theme.html")
    assert source == (shipped_templates() / "theme.html").read_text("utf-8")


def test_no_template_is_read_from_outside_its_folder(tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("the key")
    folder = tmp_path / "templates"
    folder.mkdir()
    own(folder, payment_created_txt='{% include "../secret.txt" %}')
    with pytest.raises(TemplateError, match=r"there is no template '\.\./secret\.txt'"):
        Renderer(Settings(), folder).content(sample_letter(CREATED), SAMPLE_NOW)


# -- themes and styles ---------------------------------------------------------------------------------


def test_an_own_theme_lies_over_the_shipped_one_value_by_value(tmp_path: Path) -> None:
    shipped = load_theme(environment_of())
    group = next(name for name, value in shipped.items() if isinstance(value, dict))
    key = next(iter(shipped[group]))
    mine = load_theme(
        environment_of(own(tmp_path, theme_html=f'{{% set {group} = {{"{key}": "#123456"}} %}}'))
    )
    assert mine[group] == {**shipped[group], key: "#123456"}
    assert {name: mine[name] for name in mine if name != group} == {
        name: shipped[name] for name in shipped if name != group
    }


def test_a_theme_keeps_what_begins_with_an_underscore_to_itself(tmp_path: Path) -> None:
    theme = load_theme(environment_of(own(tmp_path, theme_html='{% set _mine = "x" %}{% set yours = "y" %}')))
    assert "_mine" not in theme
    assert theme["yours"] == "y"


def test_styles_are_computed_once_for_each_environment() -> None:
    environment = environment_of()
    styles = load_styles(environment)
    assert styles
    assert load_styles(environment) is styles


def test_a_style_is_plain_text_by_the_time_a_mail_is_written(tmp_path: Path) -> None:
    intro = "{% block intro %}<p {{ mine }}>{{ days }}</p>{% endblock %}"
    page = f'{{% extends "shipped/payment_created.html" %}}{intro}'
    folder = own(tmp_path, style_html="{% set mine = 'style=\"x\"' | safe %}", payment_created_html=page)
    renderer = Renderer(Settings(), folder)
    assert '<p style="x">3</p>' in renderer.content(replace(sample_letter(CREATED), days=3), SAMPLE_NOW).html


def test_a_theme_that_is_broken_says_where_and_what_to_do(tmp_path: Path) -> None:
    folder = own(tmp_path, theme_html="\n{% set light = %}")
    with pytest.raises(TemplateError, match=r"theme\.html, line 2: ") as refused:
        Renderer(Settings(), folder).theme()
    assert str(refused.value).endswith(FIX_TEMPLATE)


# -- one environment for each language -----------------------------------------------------------------


def test_each_language_has_its_own_environment_which_is_kept() -> None:
    renderer = Renderer(Settings(business=Business(name="nordlicht 7", support_address="help@n.example")))
    environments = [renderer.environment(language) for language in LANGUAGES]
    assert [renderer.environment(language) for language in LANGUAGES] == environments
    assert [one.globals["language"] for one in environments] == list(LANGUAGES)
    assert {(one.globals["business_initial"], one.globals["support"]) for one in environments} == {
        ("N", "help@n.example")
    }


def test_without_a_support_address_one_writes_to_the_sender() -> None:
    renderer = Renderer(Settings(mail=Mail(from_address="billing@n.example")))
    assert renderer.environment("en").globals["support"] == "billing@n.example"


@pytest.mark.parametrize(
    "attack", ["{{ ''.__class__.__mro__ }}", "{{ items.append(1) }}", "{{ cycler.__init__ }}"]
)
def test_a_template_reaches_nothing_but_its_facts(tmp_path: Path, attack: str) -> None:
    folder = own(tmp_path, payment_created_txt=attack)
    with pytest.raises(TemplateError, match=r"payment_created\.txt"):
        Renderer(Settings(), folder).content(sample_letter(CREATED), SAMPLE_NOW)


# -- the mail ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("subject", ["", "  \n", "{% if false %}x{% endif %}"])
def test_a_subject_that_says_nothing_is_refused(tmp_path: Path, subject: str) -> None:
    (tmp_path / "payment_created.subject.txt").write_text(subject)
    with pytest.raises(TemplateError, match=r"payment_created\.subject\.txt gives an empty subject"):
        Renderer(Settings(), tmp_path).content(sample_letter(CREATED), SAMPLE_NOW)


def test_a_subject_breaks_where_it_likes_and_the_text_has_no_gaps(tmp_path: Path) -> None:
    (tmp_path / "payment_created.subject.txt").write_text(" {{ amount }}\u202f! \n", "utf-8")
    folder = own(tmp_path, payment_created_txt="\n\nfirst\n \n\t\n\nlast: {{ subject }}\n\n")
    content = Renderer(Settings(), folder).content(sample_letter(CREATED), SAMPLE_NOW)
    assert content.subject == "49.90 USDC !"
    assert content.text == "first\n\nlast: 49.90 USDC !\n"


def test_a_mail_is_its_content_with_its_date_and_its_address() -> None:
    renderer = Renderer(Settings())
    letter = sample_letter(CREATED)
    mail = renderer.render(letter, SAMPLE_NOW)
    parsed = email.message_from_bytes(mail.raw, policy=default)
    content = renderer.content(letter, SAMPLE_NOW)
    assert (parsed["Subject"], mail.subject) == (content.subject, content.subject)
    assert parsed["Date"].datetime == SAMPLE_NOW
    assert (mail.recipient, mail.dedupe_key) == (letter.to_address, letter.dedupe_key)
    text = parsed.get_body(("plain",))
    assert text is not None
    assert text.get_content().replace("\r\n", "\n") == content.text


def test_a_receipt_without_a_day_was_paid_on_the_day_it_is_written() -> None:
    letter = replace(sample_letter(NoticeKind.PAYMENT_RECEIVED), paid_on=None)
    content = Renderer(Settings()).content(letter, SAMPLE_NOW + timedelta(days=40))
    day = (SAMPLE_NOW + timedelta(days=40)).strftime("%B %-d, %Y")
    assert day in content.text.replace("\xa0", " ")


def test_a_calendar_entry_names_the_business_which_no_subject_does() -> None:
    settings = Settings(business=Business(name="Nordlicht"), mail=Mail(calendar_attachment=True))
    calendar = Renderer(settings).content(sample_letter(CREATED), SAMPLE_NOW).calendar
    assert calendar is not None
    assert "SUMMARY:Due Dec 6: 49.90 USDC for Gold plan (Nordlicht)\r\n" in calendar.text


# -- the brand -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "shown"),
    [((320, 80), (128, 32)), ((64, 64), (32, 32)), ((2000, 100), (200, 10)), ((900, 1), (200, 1))],
)
def test_a_logo_stands_in_the_place_of_the_initial(size: tuple[int, int], shown: tuple[int, int]) -> None:
    renderer = Renderer(Settings(business=Business(name="Nordlicht")), None, Logo("png", b"x", *size))
    content = renderer.content(sample_letter(CREATED), SAMPLE_NOW)
    (image,) = re.findall("<img ([^>]*)>", content.html)
    assert f'width="{shown[0]}" height="{shown[1]}" alt=""' in image
    raw = renderer.render(sample_letter(CREATED), SAMPLE_NOW).raw
    source = re.search('src="cid:([^"]*)"', image)
    assert source is not None
    assert f"Content-ID: <{source[1]}>\r\n".encode() in raw
    assert ">N</td>" not in content.html


def test_an_accent_colours_the_button_in_both_modes_and_an_own_theme_goes_before_it(tmp_path: Path) -> None:
    renderer = Renderer(Settings(business=Business(accent="#0B6E4F")))
    theme = renderer.theme()
    for mode in ("light", "dark"):
        assert (theme[mode]["accent"], theme[mode]["on_accent"]) == ("#0b6e4f", "#ffffff")
    page = renderer.content(sample_letter(CREATED), SAMPLE_NOW).html
    assert 'class="button" bgcolor="#0b6e4f"' in page
    folder = own(tmp_path, theme_html='{% set light = {"accent": "#123456"} %}')
    mine = Renderer(Settings(business=Business(accent="#0B6E4F")), folder).theme()
    assert mine["light"]["accent"] == "#123456"
