"""`check_templates` finds what would go wrong in a run; `write_preview` shows it all."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from billing.config.logo import Logo
from billing.config.schema import Business, Settings
from billing.core.states import NoticeKind
from billing.errors import TemplateError
from billing.mail.check import check_templates, write_preview
from billing.mail.i18n import LANGUAGES
from billing.mail.render import shipped_templates

SETTINGS = Settings()
CREATED = '{% extends "shipped/payment_created.html" %}'


def check(folder: Path, **files: str) -> list[str]:
    for name, text in files.items():
        path = folder / re.sub("_(subject_txt|html|txt)$", lambda m: "." + m[1].replace("_", "."), name)
        path.write_text(text, "utf-8")
    return check_templates(SETTINGS, folder, [NoticeKind.PAYMENT_CREATED], ["en"])


def test_the_shipped_templates_have_no_fault() -> None:
    assert check_templates(SETTINGS, None) == []
    assert check(shipped_templates()) == []


def test_the_shipped_templates_have_no_fault_with_everything_that_a_business_can_say() -> None:
    business = Business(
        name="Nordlicht",
        address=["Sternstraße 1", "20357 Hamburg"],
        tax_id="DE123456789",
        tax_rate=8.1,
        networks=["Base", "Polygon", "Arbitrum"],
        accent="#0b6e4f",
        cancel_url="https://n.example/{reference}",
    )
    assert check_templates(Settings(business=business), None, logo=Logo("png", b"x", 320, 80)) == []


def test_a_folder_that_is_not_there_has_no_fault(tmp_path: Path) -> None:
    assert check(tmp_path / "none") == []


def test_a_good_override_has_no_fault(tmp_path: Path) -> None:
    assert check(tmp_path, payment_created_html=CREATED + "{% block intro %}<p>Hi</p>{% endblock %}") == []


@pytest.mark.parametrize(
    ("name", "text", "fault"),
    [
        (
            "payment_created_txt",
            "{{ amuont }}",
            r"line 1: 'amuont' is undefined .*\(en, ordinary, and 8 more\)",
        ),
        ("payment_created_txt", " ", r"payment_created\.txt: the text is empty"),
        ("payment_created_txt", "Pay.", r"payment_created\.txt: a pay link is missing"),
        ("payment_created_txt", "{{ pay_url }} {{ period }}", r"\.txt: prints \"None\" .*\(en, no pay link,"),
        ("payment_created_subject_txt", "a\nb", r"\.subject\.txt: the subject has more than one line"),
        (
            "payment_created_subject_txt",
            "Due: {{ plan }}",
            r"\.subject\.txt: the subject has more than 70 characters.* \{\{ short_plan \}\}.*\(en, long",
        ),
        (
            "payment_created_subject_txt",
            "{{ business }}: due {{ due_short }}",
            r"\.subject\.txt: the subject does not say within 25 characters .* without the sender's name",
        ),
        (
            "payment_created_subject_txt",
            "Our friendly note on a payment due",
            r"\.subject\.txt: the subject does not say within 25 characters what is the matter; begin with",
        ),
        (
            "payment_created_html",
            CREATED + '{% block action %}<a href="{{ pay_url }}" style="padding:9px">Pay</a>{% endblock %}',
            r"payment_created\.html: <a> has a padding, which Word does not draw; give it to a table cell",
        ),
        (
            "style_html",
            '{% set button_cell %}bgcolor="#123456"{% endset %}',
            r"payment_created\.html: the button's cell has no mso-padding-alt",
        ),
        (
            "style_html",
            """{% set hidden %}style="display:none;font-size:1px"{% endset %}""",
            r"payment_created\.html: <div> has letters that nobody can see .* display:none is enough",
        ),
        ("payment_created_subject_txt", "", r"\.subject\.txt gives an empty subject"),
        (
            "payment_created_html",
            CREATED + "{% block action %}{% endblock %}",
            r"\.html: a pay link is missing",
        ),
        (
            "payment_created_html",
            CREATED + "{% block intro %}<p><b></p>{% endblock %}",
            r"\.html: </p> closes <b>",
        ),
        (
            "payment_created_html",
            CREATED + "{% block intro %}{{ name | safe }}{% endblock %}",
            r"\.html: there is a <script>: a value is not escaped.*\(en, script\)",
        ),
        (
            "payment_created_html",
            CREATED + "{% block intor %}<p>Hi</p>{% endblock %}",
            r"html, line 1: shipped/payment_created\.html has no block 'intor' \(did you mean 'intro'\?\)",
        ),
        (
            "payment_created_txt",
            '{% extends "shiped/x.txt" %}',
            r"line 1: there is no template 'shiped/x\.txt' \(",
        ),
        ("layout_txt", '{% extends "layout.txt" %}', r"layout\.txt.*RecursionError"),
        ("payment_recieved_html", "x", r"no notice uses this name \(did you mean payment_received\.html\?\)"),
        (
            "theme_html",
            '{% set light = {"text": "#999999"} %}',
            r"light\.text #999999 on light\.card .* contrast of 2\.8",
        ),
        (
            "theme_html",
            '{% set dark = {"text": "silver"} %}',
            r"dark\.text and dark\.card must be colours such as",
        ),
        ("theme_html", "{{ x }}", r"theme\.html, line 1: 'x' is undefined"),
        ("layout_html", "{% if %}", r"layout\.html, line 1: Expected an expression"),
    ],
)
def test_a_fault_is_one_clear_line(tmp_path: Path, name: str, text: str, fault: str) -> None:
    faults = check(tmp_path, **{name: text})
    assert [line for line in faults if re.search(fault, line)], faults
    assert all("\n" not in line for line in faults)


def test_all_faults_of_all_kinds_are_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "payment_created.txt").write_text("{{ x }}")
    (tmp_path / "run_digest.html").write_text("<p>")
    kinds = [NoticeKind.RUN_DIGEST, NoticeKind.PAYMENT_CREATED]
    faults = check_templates(SETTINGS, tmp_path, kinds, ["en", "de"])
    assert faults == [
        "run_digest.html: <p> is never closed (en, ordinary, and 19 more)",
        f"{tmp_path}/payment_created.txt, line 1: 'x' is undefined (en, ordinary, and 17 more)",
    ]


def test_a_block_inside_an_overridden_block_may_be_new(tmp_path: Path) -> None:
    own = CREATED + "{% block intro %}{% block mine %}<p>Hi</p>{% endblock %}{% endblock %}"
    assert check(tmp_path, payment_created_html=own) == []


# --- the preview -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def preview(tmp_path_factory: pytest.TempPathFactory) -> Path:
    settings = Settings(business=Business(name="<N&N>", locale="de"))
    return write_preview(settings, None, tmp_path_factory.mktemp("preview") / "new" / "folder")


def test_the_preview_shows_every_kind_in_every_language(preview: Path) -> None:
    text = preview.read_text("utf-8")
    names = set(re.findall('data-name="([^"]*)"', text))
    for kind in NoticeKind:
        for language in LANGUAGES:
            assert f"{kind}.{language}.ordinary" in names
        assert f"{kind}.de.long-names" in names
    files = {path.name for path in preview.parent.iterdir()} - {"index.html"}
    assert files == {f"{name}.{mode}.html" for name in names for mode in ("light", "dark")}
    assert "\n&lt;N&amp;N&gt;" in text
    assert '"de, ordinary"' in text


def test_light_and_dark_do_not_depend_on_the_readers_system(preview: Path) -> None:
    light = (preview.parent / "payment_created.en.ordinary.light.html").read_text("utf-8")
    dark = (preview.parent / "payment_created.en.ordinary.dark.html").read_text("utf-8")
    assert light.replace("@media not all", "@media all") == dark != light
    assert "prefers-color-scheme:" not in light + dark


def test_a_preview_of_broken_templates_says_what_is_broken(tmp_path: Path) -> None:
    (tmp_path / "layout.html").write_text("{{ x }}")
    with pytest.raises(TemplateError, match=r"layout\.html, line 1"):
        write_preview(SETTINGS, tmp_path, tmp_path / "out")


def test_a_logo_is_shown_in_the_preview(tmp_path: Path) -> None:
    index = write_preview(SETTINGS, None, tmp_path, Logo("png", b"logo", 320, 80))
    page = (index.parent / "payment_created.en.ordinary.light.html").read_text("utf-8")
    assert 'src="data:image/png;base64,bG9nbw=="' in page
    assert "cid:" not in page
