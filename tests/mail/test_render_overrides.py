"""A user's own templates: one block, one colour, one file; and what their mistakes are answered with."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import billing
from billing.config.schema import Settings
from billing.core.states import NoticeKind
from billing.errors import TemplateError
from billing.mail.message import Content
from billing.mail.render import Renderer, shipped_templates
from billing.mail.samples import SAMPLE_NOW, sample_letter

CREATED = NoticeKind.PAYMENT_CREATED


def content(folder: Path | None, kind: NoticeKind = CREATED, locale: str = "en") -> Content:
    return Renderer(Settings(), folder).content(sample_letter(kind, locale), SAMPLE_NOW)


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
    return folder


def own_block(ending: str, name: str, text: str) -> str:
    return f'{{% extends "shipped/payment_created.{ending}" %}}{{% block {name} %}}{text}{{% endblock %}}'


def test_one_block_of_one_template_is_changed_and_nothing_else(tmp_path: Path) -> None:
    write(tmp_path, "payment_created.html", own_block("html", "intro", "<p {{ p }}>Hi {{ name }}</p>"))
    own, shipped = content(tmp_path), content(None)
    assert ">Hi Amina Okafor</p>" in own.html
    assert "Your payment of" not in own.html
    before, _, after = shipped.html.partition("Your payment of")
    assert own.html.startswith(before)
    assert own.html.endswith(after.partition("</p>")[2])
    assert (own.subject, own.text) == (shipped.subject, shipped.text)


def test_an_own_block_is_translated_where_the_catalogue_knows_its_words(tmp_path: Path) -> None:
    own = own_block("txt", "closing", "{% trans %}Kind regards{% endtrans %}, Ann")
    assert "Freundliche Grüße, Ann" in content(write(tmp_path, "payment_created.txt", own), locale="de").text


def test_own_words_may_depend_on_the_language(tmp_path: Path) -> None:
    own = '{% if language == "de" %}Hallo {{ name }}{% else %}Hi {{ _("Hello,") }}{% endif %}'
    write(tmp_path, "payment_created.subject.txt", own)
    assert content(tmp_path, locale="de").subject == "Hallo Amina Okafor"
    assert content(tmp_path, locale="fr").subject == "Hi Bonjour,"


def test_an_own_layout_is_used_by_the_shipped_templates(tmp_path: Path) -> None:
    own = '{% extends "shipped/layout.txt" %}{% block imprint %}Nordlicht GmbH, Berlin{% endblock %}'
    write(tmp_path, "layout.txt", own)
    for kind in NoticeKind:
        assert content(tmp_path, kind).text.endswith("\n\nNordlicht GmbH, Berlin\n")


def test_one_colour_is_changed_in_the_theme_and_the_others_stay(tmp_path: Path) -> None:
    write(tmp_path, "theme.html", '{% set light = {"accent": "#0b6e4f"} %}')
    own, shipped = content(tmp_path).html, content(None).html
    assert own == shipped.replace('bgcolor="#2450d6"', 'bgcolor="#0b6e4f"').replace(
        "background-color:#2450d6", "background-color:#0b6e4f"
    )
    assert own != shipped


def test_one_style_is_changed_and_the_others_stay(tmp_path: Path) -> None:
    write(tmp_path, "style.html", '{% set button %}class="button" style="color:{{ light.ink }}"{% endset %}')
    own = content(tmp_path).html
    assert '<a href="https://pay.example.com/checkout/recurring-payment/' in own
    assert '" class="button" style="color:#14171c">Pay' in own
    assert content(None).html.count(" style=") == own.count(" style=")


def test_a_template_may_use_the_name_of_a_style_for_its_own(tmp_path: Path) -> None:
    own = own_block("html", "intro", "{% for p in [1, 2] %}<i>{{ p }}</i>{% endfor %}")
    assert "<i>1</i><i>2</i>" in content(write(tmp_path, "payment_created.html", own)).html


def test_a_missing_folder_means_the_shipped_templates(tmp_path: Path) -> None:
    assert content(tmp_path / "none") == content(None)


def test_the_shipped_folder_may_be_the_users_folder() -> None:
    assert content(shipped_templates()) == content(None)


def test_a_byte_order_mark_is_not_printed(tmp_path: Path) -> None:
    write(tmp_path, "payment_created.subject.txt", "\ufeffHello")
    assert content(tmp_path).subject == "Hello"


def test_templates_are_read_once(tmp_path: Path) -> None:
    folder = tmp_path / "templates"
    shutil.copytree(shipped_templates(), folder)
    renderer = Renderer(Settings(), folder)
    letter = sample_letter(CREATED)
    before = renderer.render(letter, SAMPLE_NOW)
    shutil.rmtree(folder)
    assert renderer.render(letter, SAMPLE_NOW) == before


def test_an_installed_package_brings_its_templates_along(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "site-packages" / "billing"
    shutil.copytree(shipped_templates(), package / "_templates")
    monkeypatch.setattr(billing, "__file__", str(package / "__init__.py"))
    shipped_templates.cache_clear()
    try:
        assert shipped_templates() == package / "_templates"
        shutil.rmtree(package)
        shipped_templates.cache_clear()
        with pytest.raises(TemplateError, match="install the package again"):
            shipped_templates()
    finally:
        shipped_templates.cache_clear()


# --- mistakes --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("payment_created.txt", "a\n{% if %}", r"payment_created\.txt, line 2: Expected an expression"),
        (
            "payment_created.txt",
            "a\n\n{{ amuont }}",
            r"txt, line 3: 'amuont' is undefined \(did you mean 'amount'\?\)",
        ),
        ("payment_created.txt", "{{ 1 / 0 }}", r"txt, line 1: ZeroDivisionError: division by zero"),
        (
            "payment_created.txt",
            '{% extends "shiped/x.txt" %}',
            r"txt, line 1: there is no template 'shiped/x\.txt'",
        ),
        (
            "payment_created.txt",
            "{{ ''.__class__.__mro__ }}",
            r"txt, line 1: SecurityError: access to attribute '__class__' ",
        ),
        ("payment_created.html", "{% trans %}{{ a.b }}{% endtrans %}", r"html, line 1: "),
        ("payment_created.subject.txt", "{{ '' }}", r"payment_created\.subject\.txt gives an empty subject"),
        ("layout.txt", "{% block %}", r"layout\.txt, line 1: "),
        ("style.html", "{{ nothing }}", r"style\.html, line 1: 'nothing' is undefined"),
    ],
)
def test_a_mistake_is_named_with_file_line_and_remedy(
    tmp_path: Path, name: str, text: str, message: str
) -> None:
    with pytest.raises(TemplateError, match=f"(?s){message}.*billing templates check") as caught:
        content(write(tmp_path, name, text))
    assert str(caught.value).count("\n") == 0


def test_a_file_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    (tmp_path / "payment_created.txt").write_bytes(b"f\xfcr")
    with pytest.raises(TemplateError, match=r"payment_created\.txt: UnicodeDecodeError"):
        content(tmp_path)


def test_a_mistake_in_one_kind_leaves_the_others_alone(tmp_path: Path) -> None:
    renderer = Renderer(Settings(), write(tmp_path, "payment_created.txt", "{{ x }}"))
    with pytest.raises(TemplateError):
        renderer.render(sample_letter(CREATED), SAMPLE_NOW)
    assert renderer.render(sample_letter(NoticeKind.PAYMENT_OVERDUE), SAMPLE_NOW).raw


def test_a_template_cannot_change_what_later_mails_say(tmp_path: Path) -> None:
    write(tmp_path, "run_digest.txt", "{{ items.clear() }}")
    with pytest.raises(TemplateError, match="line 1: SecurityError: access to attribute 'clear'"):
        content(tmp_path, NoticeKind.RUN_DIGEST)
