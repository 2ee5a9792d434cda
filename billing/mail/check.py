"""Checks and previews templates before a subscriber sees them: `billing templates check` and `preview`."""

from __future__ import annotations

import difflib
import html
import json
import re
from base64 import b64encode
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

from jinja2 import Environment, nodes

from billing.config.logo import Logo
from billing.config.schema import Settings
from billing.core.colours import LEAST_CONTRAST, contrast, is_colour
from billing.core.notices import NoticeFacts
from billing.core.states import NoticeKind
from billing.errors import TemplateError
from billing.mail.i18n import LANGUAGES, SOURCE_LANGUAGE
from billing.mail.markup import html_faults, spam_faults, word_faults
from billing.mail.message import Content, MessageBuilder
from billing.mail.render import FIX_TEMPLATE, LONGEST_SUBJECT, Renderer, shipped_templates
from billing.mail.samples import ORDINARY, SAMPLE_NOW, sample_letters

_STATUS_WITHIN = 25
"""Characters of a subject that a phone's list shows of it at least."""
_DARK_RULE = re.compile(r"@media\s*\(\s*prefers-color-scheme\s*:\s*dark\s*\)")

# Which text stands on which background, by their names in theme.html.
_PAIRS = (
    *((text, ground) for ground in ("card", "box", "page") for text in ("ink", "text", "muted", "link")),
    ("on_accent", "accent"),
    *((f"on_{tone}", tone) for tone in ("due", "good", "early", "late", "last", "quiet")),
)


def check_templates(
    settings: Settings,
    user_templates: Path | None,
    kinds: Iterable[NoticeKind] = NoticeKind,
    languages: Iterable[str] = LANGUAGES,
    logo: Logo | None = None,
) -> list[str]:
    """Every fault of the templates that a run would use, one line each; an empty list if there is none.

    Renders every kind in every language with every sample, and reads the user's own files for names
    that nothing would ever use.
    """
    try:
        renderer = Renderer(settings, user_templates, logo)
        faults = [*_theme_faults(renderer), *_file_faults(renderer, user_templates)]
    except TemplateError as error:
        return [_told(error)]
    mails = _Mails(renderer, Renderer(settings, None, logo), MessageBuilder(settings), settings.business.name)
    found: dict[str, list[str]] = {}
    for kind, language in product(kinds, languages):
        for sample in sample_letters(kind, language):
            for fault in mails.faults(sample.letter):
                found.setdefault(fault, []).append(f"{language}, {sample.case}")
    return faults + [_with_places(fault, places) for fault, places in found.items()]


def _told(error: TemplateError) -> str:
    return str(error).removesuffix(FIX_TEMPLATE).rstrip(". ")


def _with_places(fault: str, places: list[str]) -> str:
    more = f", and {len(places) - 1} more" if len(places) > 1 else ""
    return f"{fault} ({places[0]}{more})"


# --- one mail --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Mails:
    """Looks at one mail after the other. `shipped` renders what it would be without the user's templates."""

    renderer: Renderer
    shipped: Renderer
    builder: MessageBuilder
    sender: str

    def faults(self, letter: NoticeFacts) -> Iterator[str]:
        try:
            content = self.renderer.content(letter, SAMPLE_NOW)
            self.builder.build(letter, content, SAMPLE_NOW)
        except TemplateError as error:
            yield _told(error)
            return
        kind = letter.kind
        yield from (f"{kind}.subject.txt: {fault}" for fault in self._subject_faults(letter, content.subject))
        if not content.text.strip():
            yield f"{kind}.txt: the text is empty"
        for faults in (html_faults, word_faults, spam_faults):
            yield from (f"{kind}.html: {fault}" for fault in faults(content.html))
        yield from _missing_links(letter, content)
        for ending, part in (("subject.txt", content.subject), ("txt", content.text), ("html", content.html)):
            if re.search(r"\bNone\b", part):
                yield f'{kind}.{ending}: prints "None" for a fact that is missing; put it inside {{% if … %}}'

    def _subject_faults(self, letter: NoticeFacts, subject: str) -> Iterator[str]:
        if re.search(r"[\r\n]", subject):
            yield "the subject has more than one line"
        if len(subject) > LONGEST_SUBJECT:
            yield (
                f"the subject has more than {LONGEST_SUBJECT} characters, and its end is not seen; write "
                "{{ short_plan }}, which is cut as far as it has to be, and fewer words"
            )
        if not self._says_status(letter, subject):
            yield (
                f"the subject does not say within {_STATUS_WITHIN} characters what is the matter; begin with "
                f"the status and a colon, without the sender's name, which stands in From"
            )

    def _says_status(self, letter: NoticeFacts, subject: str) -> bool:
        """Whether it begins with words and a colon, or says early what the shipped subject begins with."""
        if subject.casefold().startswith(self.sender.casefold()):
            return False
        head = subject[:_STATUS_WITHIN]
        if ":" in head.lstrip(": "):
            return True
        status = self.shipped.content(letter, SAMPLE_NOW).subject.partition(":")[0]
        return any(word.casefold() in head.casefold() for word in re.findall(r"[^\W\d]{3,}", status))


def _missing_links(letter: NoticeFacts, content: Content) -> Iterator[str]:
    links = [letter.pay_url, *(payment.pay_url for payment in letter.open_payments)]
    for link in filter(None, links):
        for ending, there in (("txt", link in content.text), ("html", html.escape(link) in content.html)):
            if not there:
                yield f"{letter.kind}.{ending}: a pay link is missing"


# --- the files -------------------------------------------------------------------------------------


def _theme_faults(renderer: Renderer) -> Iterator[str]:
    theme = renderer.theme()
    for mode in ("light", "dark"):
        for text, ground in _PAIRS:
            colours = theme[mode].get(text, ""), theme[mode].get(ground, "")
            if not all(map(is_colour, colours)):
                yield f"theme.html: {mode}.{text} and {mode}.{ground} must be colours such as #14171c"
            elif (ratio := contrast(*colours)) < LEAST_CONTRAST:
                yield (
                    f"theme.html: {mode}.{text} {colours[0]} on {mode}.{ground} {colours[1]} has a contrast "
                    f"of {ratio:.1f}; readable text needs {LEAST_CONTRAST}"
                )


def _file_faults(renderer: Renderer, user_templates: Path | None) -> Iterator[str]:
    """A file or block of the user's that nothing will ever use, because its name is slightly wrong."""
    shipped = shipped_templates()
    if not user_templates or not user_templates.is_dir() or user_templates.samefile(shipped):
        return
    known = sorted(path.name for path in shipped.iterdir())
    for path in sorted(user_templates.iterdir()):
        close = difflib.get_close_matches(path.name, known, n=1, cutoff=0.85)
        if close and path.name not in known:
            yield f"{path}: no notice uses this name (did you mean {close[0]}?)"
        elif path.suffix in (".html", ".txt"):
            yield from _block_faults(renderer, path)


def _block_faults(renderer: Renderer, path: Path) -> Iterator[str]:
    environment = renderer.environment(SOURCE_LANGUAGE)
    try:
        tree = environment.parse(path.read_text("utf-8-sig"), path.name, str(path))
        parent = _parent(tree)
        known = set(_blocks(environment, parent)) if parent else None
    except Exception:  # rendering it says what is wrong, with the line
        return
    for block in tree.body:
        if isinstance(block, nodes.Block) and known is not None and block.name not in known:
            close = difflib.get_close_matches(block.name, known, n=1)
            meant = f"did you mean {close[0]!r}?" if close else f"it has {', '.join(sorted(known))}"
            yield f"{path}, line {block.lineno}: {parent} has no block {block.name!r} ({meant})"


def _parent(tree: nodes.Template) -> str | None:
    """The template that one extends, if that is certain before it runs."""
    extends = next(tree.find_all(nodes.Extends), None)
    if extends is None or not isinstance(extends.template, nodes.Const):
        return None
    return str(extends.template.value)


def _blocks(environment: Environment, name: str) -> Iterator[str]:
    """The blocks of a template and of all that it extends."""
    assert environment.loader is not None
    tree = environment.parse(environment.loader.get_source(environment, name)[0])
    yield from (block.name for block in tree.find_all(nodes.Block))
    parent = _parent(tree)
    if parent:
        yield from _blocks(environment, parent)


# --- the preview -----------------------------------------------------------------------------------


def write_preview(
    settings: Settings, user_templates: Path | None, directory: Path, logo: Logo | None = None
) -> Path:
    """Write every mail as a page, light and dark, and an index of them all; returns the index.

    All languages with the ordinary sample, and every other sample in the business's own language.
    Raises `TemplateError`, and `OSError` if the directory can't be written.
    """
    renderer = Renderer(settings, user_templates, logo)
    directory.mkdir(parents=True, exist_ok=True)
    cards: list[str] = []
    for language in LANGUAGES:
        for kind in NoticeKind:
            for sample in sample_letters(kind, language):
                if sample.case == ORDINARY or language == settings.business.locale:
                    content = renderer.content(sample.letter, SAMPLE_NOW)
                    content = replace(content, html=_with_image(content.html, logo))
                    name = f"{kind}.{language}.{sample.case.replace(' ', '-')}"
                    cards.append(_card(directory, name, f"{language}, {sample.case}", kind, content))
    index = directory / "index.html"
    start = json.dumps(f"{settings.business.locale}, {ORDINARY}")
    index.write_text(_INDEX.replace("@CARDS@", "\n".join(cards)).replace("@START@", start), "utf-8")
    return index


def _with_image(page: str, logo: Logo | None) -> str:
    """The page with its image in it: a browser has no mail around the page to look into."""
    if logo is None:
        return page
    data = f"data:image/{logo.subtype};base64,{b64encode(logo.data).decode('ascii')}"
    return re.sub('src="cid:[^"]*"', f'src="{data}"', page)


def _card(directory: Path, name: str, view: str, kind: NoticeKind, content: Content) -> str:
    # What the reader's system prefers must not matter here: each page has a fixed mode.
    for mode, rule in (("light", "@media not all"), ("dark", "@media all")):
        (directory / f"{name}.{mode}.html").write_text(_DARK_RULE.sub(rule, content.html), "utf-8")
    escaped = {"view": view, "kind": kind, "subject": content.subject, "text": content.text, "name": name}
    return _CARD.format(**{key: html.escape(value) for key, value in escaped.items()})


_CARD = """<section data-view="{view}" hidden><h2>{kind}</h2><p>{subject}</p>
<iframe data-name="{name}" title="{kind}" loading="lazy"></iframe>
<details><summary>Text part</summary><pre>{text}</pre></details></section>"""

_INDEX = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Mail templates</title>
<style>
body{margin:0;font:15px/1.5 system-ui,sans-serif;background:#d9dde3;color:#14171c}
header{position:sticky;top:0;padding:12px 24px;background:#14171c;color:#fff}
header *{margin-right:16px;font:inherit}
main{display:flex;flex-wrap:wrap;gap:32px;padding:24px;align-items:flex-start}
section{background:#fff;border-radius:12px;padding:16px}section[hidden]{display:none}
h2{font-size:15px;margin:0}p{margin:0 0 12px;color:#5d6673}
iframe{border:1px solid #c5cbd4;border-radius:8px;height:1080px;display:block}
section,iframe{max-width:100%;box-sizing:border-box}pre{white-space:pre-wrap;margin:0}
</style>
<header><b>Mail templates</b><label>Show <select id="view"></select></label>
<label>Colours <select id="mode"><option>light<option>dark</select></label>
<label>Width <select id="width"><option value="680">desktop<option value="360">phone</select></label></header>
<main>
@CARDS@
</main>
<script>
const [view, mode, width] = ["view", "mode", "width"].map(id => document.getElementById(id));
const cards = [...document.querySelectorAll("section")];
view.append(...[...new Set(cards.map(card => card.dataset.view))].map(name => new Option(name)));
view.value = @START@;
function show() {
  for (const card of cards) {
    card.hidden = card.dataset.view !== view.value;
    const frame = card.querySelector("iframe");
    frame.style.width = card.querySelector("details").style.maxWidth = width.value + "px";
    if (!card.hidden) frame.src = frame.dataset.name + "." + mode.value + ".html";
  }
}
onchange = show;
show();
</script>
</html>
"""
