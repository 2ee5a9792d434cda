"""The shipped templates as mail programs and screen readers meet them."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from billing.config.schema import Business, Settings
from billing.core.colours import contrast
from billing.core.notices import NoticeFacts
from billing.core.states import NoticeKind
from billing.mail.i18n import LANGUAGES
from billing.mail.markup import html_faults
from billing.mail.message import Content
from billing.mail.render import Renderer, shipped_templates
from billing.mail.samples import ORDINARY, SAMPLE_NOW, sample_letter, sample_letters

SETTINGS = Settings(
    business=Business(
        name="Nordlicht", support_address="help@n.example", cancel_url="https://n.example/{reference}"
    )
)


@pytest.fixture(scope="module")
def renderer() -> Renderer:
    return Renderer(SETTINGS)


@pytest.fixture(scope="module")
def mails(renderer: Renderer) -> Mails:
    """Every kind in every language, and in English every case, as (letter, content, its elements)."""
    return [
        (sample.letter, content, Elements(content.html))
        for kind in NoticeKind
        for language in LANGUAGES
        for sample in sample_letters(kind, language)
        if sample.case == ORDINARY or language == "en"
        for content in [renderer.content(sample.letter, SAMPLE_NOW)]
    ]


@pytest.fixture(params=NoticeKind)
def page(request: pytest.FixtureRequest, renderer: Renderer) -> str:
    return renderer.content(sample_letter(request.param), SAMPLE_NOW).html


class Elements(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, {name: value or "" for name, value in attrs}))

    def named(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.found if name == tag]


Mails = list[tuple[NoticeFacts, Content, Elements]]


def test_every_kind_has_its_three_templates() -> None:
    names = {path.name for path in shipped_templates().iterdir()}
    for kind in NoticeKind:
        assert {f"{kind}.subject.txt", f"{kind}.txt", f"{kind}.html"} <= names


def test_every_page_is_well_formed(mails: Mails) -> None:
    for letter, content, _elements in mails:
        assert html_faults(content.html) == [], letter


def test_nothing_is_fetched_from_anywhere_and_there_are_no_images(mails: Mails) -> None:
    for _letter, content, elements in mails:
        assert not {"img", "link", "script", "iframe", "base", "object", "form", "video"} & {
            t for t, _ in elements.found
        }
        assert not re.search(r"url\(|@import|\bsrc=|background=", content.html)
        for attributes in elements.named("a"):
            assert re.match("https://(pay|n)[.]", attributes["href"])


def test_language_and_direction_stand_on_html_body_and_article(mails: Mails) -> None:
    for _letter, content, elements in mails:
        (html,), (body,) = elements.named("html"), elements.named("body")
        (article,) = [attributes for _, attributes in elements.found if attributes.get("role") == "article"]
        for attributes in (html, body, article):
            assert (attributes["lang"], attributes["dir"]) == (content.language, "ltr")


def test_tables_are_either_the_frame_or_data_with_row_headers(page: str) -> None:
    for table in re.findall(r"<table.*?(?=<table|</table)", page, re.S):
        opening = table[: table.index(">")]
        assert ('role="presentation"' in opening) != ('scope="row"' in table)


def test_there_is_one_heading_of_the_first_level_and_no_level_is_left_out(page: str) -> None:
    levels = [int(level) for level in re.findall(r"<h([1-6])\b", page)]
    assert levels[0] == 1
    assert set(levels[1:]) <= {2}


def test_there_is_at_most_one_button_and_one_for_each_payment_of_a_statement(mails: Mails) -> None:
    for letter, content, _elements in mails:
        assert content.html.count('class="button"') <= max(1, len(letter.open_payments) + 1)


def test_the_preheader_says_something_that_the_subject_does_not(mails: Mails) -> None:
    for letter, content, _elements in mails:
        preheader = re.search(r"<div style=\"display:none[^>]*>(.*?)</div>", content.html, re.S)
        assert preheader is not None
        assert preheader[1].strip(), letter
        assert preheader[1].strip() not in content.subject


def test_dark_mode_is_declared_and_given_to_every_class_that_needs_it(page: str) -> None:
    assert '<meta name="color-scheme" content="light dark">' in page
    assert '<meta name="supported-color-schemes" content="light dark">' in page
    head, _, body = page.partition("<body")
    media = head[head.index("@media (prefers-color-scheme:dark){") :]
    for attributes in [
        attributes for _, attributes in Elements(f"<body{body}").found if "style" in attributes
    ]:
        coloured = re.search(r"(?<!-)\b(background-)?color:#", attributes["style"])
        if coloured and "display:none" not in attributes["style"]:
            names = attributes["class"].split()
            assert any(f"\n.{name}{{" in media for name in names), attributes
            assert any(f"[data-ogsc] .{name}{{" in head for name in names), attributes


def test_text_can_be_read_in_both_modes(renderer: Renderer) -> None:
    theme = renderer.theme()
    for mode in ("light", "dark"):
        colours = theme[mode]
        for text in ("ink", "text", "muted", "link"):
            for ground in ("card", "box", "page"):
                assert contrast(colours[text], colours[ground]) >= 4.5, (mode, text, ground)
        for tone in ("due", "good", "late", "quiet"):
            assert contrast(colours[f"on_{tone}"], colours[tone]) >= 4.5, (mode, tone)
        assert contrast(colours["on_accent"], colours["accent"]) >= 4.5, mode


def test_only_the_theme_names_colours() -> None:
    for path in shipped_templates().iterdir():
        if path.name != "theme.html":
            assert not re.search(r"#[0-9a-fA-F]{6}\b", path.read_text("utf-8")), path


def test_the_frame_is_600_wide_and_small_screens_are_provided_for(page: str) -> None:
    assert "max-width:600px" in page
    assert "@media (max-width:480px)" in page
    assert '<meta name="viewport" content="width=device-width, initial-scale=1">' in page
    assert not re.search(r"(?<!max-)width:(?:[4-9]\d\d|\d{4,})px", page.replace("max-width:", ""))


def test_a_mail_is_small(renderer: Renderer) -> None:
    for kind in NoticeKind:
        assert len(renderer.render(sample_letter(kind), SAMPLE_NOW).raw) < 20_000


def test_no_mail_shouts_or_leaves_a_gap(mails: Mails) -> None:
    for letter, content, _elements in mails:
        assert "!" not in content.text + content.subject
        assert "None" not in content.text + content.subject + content.html
        assert "\n\n\n" not in content.text
        assert not re.search(r"[ \t]\n", content.text), letter
        assert content.text == content.text.strip() + "\n"
        assert "  " not in content.subject
        assert 20 < len(content.subject) <= 200


def test_the_text_part_has_no_markup(mails: Mails) -> None:
    for letter, content, _elements in mails:
        if "script" not in letter.dedupe_key:
            assert not re.search(r"[<>]|&\w+;|%\(|\{\{", content.text)
