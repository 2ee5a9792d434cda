"""What a page's markup becomes in mail programs: tags, what Word can't draw, what spam filters count.

Outlook on Windows draws HTML with Word. It knows paddings on table cells, headings and lists alone, and on
inline elements no background box; so a button or a pill is a cell.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser

_VOID = frozenset(
    {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "wbr"}
)
_INLINE = frozenset(
    {"a", "abbr", "b", "bdi", "bdo", "cite", "code", "del", "em", "font", "i", "ins", "kbd", "label", "mark"}
    | {"q", "s", "small", "span", "strong", "sub", "sup", "time", "u"}
)
_NO_PADDING = _INLINE | {"article", "body", "div", "footer", "header", "main", "p", "section"}
_CELLS = ("td", "th")

_ZERO = re.compile(r"(?:0(?:\.0+)?(?:[a-z]+|%)?\s*)+")
# What Word does not know, and without which a button can't be seen, read or placed.
_UNKNOWN_TO_WORD = re.compile(
    r"!important|display\s*:\s*(?:inline-)?(?:flex|grid)|position\s*:|float\s*:|opacity\s*:|transform\s*:"
    r"|background-image\s*:|(?:rgba?|hsla?|var|calc|url|[a-z-]*gradient)\s*\(|[\d.]+(?:rem|vw|vh)\b"
)
# SpamAssassin's FONT_INVIS rules count these on any element (2.5 points and more), whatever it holds.
_TINY = re.compile(r"font(?:-size)?\s*:\s*0*[01](?:\.\d+)?(?:px|pt)?\s*(?:;|$)")
_TRANSPARENT = re.compile(r"(?<![\w-])color\s*:\s*transparent")
_HIDDEN = re.compile(r"(?<![\w-])display\s*:\s*none")
_COLOURED = re.compile(r"(?<![\w-])color\s*:")
_INVISIBLE = re.compile("[\u00ad\u034f\u180e\u200b-\u200f\u2007\u2060\ufeff]")
_FILLER = 3


@dataclass(slots=True)
class _Element:
    tag: str
    attributes: dict[str, str]
    parent: _Element | None
    text: list[str] = field(default_factory=list)

    @property
    def style(self) -> str:
        return self.attributes.get("style", "").lower()

    def value_of(self, name: str) -> str:
        """What a property of the inline style is set to; empty if it is not set."""
        found = re.search(rf"(?<![\w-]){name}\s*:\s*([^;]+)", self.style)
        return found[1].strip() if found else ""

    @property
    def padding(self) -> str:
        """The name of a padding that is not zero, or ''."""
        for name in ("padding", "padding-top", "padding-right", "padding-bottom", "padding-left"):
            value = self.value_of(name)
            if value and not _ZERO.fullmatch(value):
                return name
        return ""

    @property
    def background(self) -> str:
        for name in ("background-color", "background"):
            if self.value_of(name) not in ("", "none", "transparent"):
                return name
        return ""

    @property
    def in_coloured_cell(self) -> bool:
        return self.parent is not None and self.parent.tag in _CELLS and "bgcolor" in self.parent.attributes


class _Page(HTMLParser):
    """The elements of a page in their order, and what is not well-formed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[_Element] = []
        self.open: list[_Element] = []
        self.faults: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "script":
            self.faults.append(
                "there is a <script>: a value is not escaped, or a script that no mail program runs"
            )
        names = [name for name, _ in attrs]
        for name in {name for name in names if names.count(name) > 1}:
            self.faults.append(f"<{tag}> has the attribute {name} twice")
        attributes = {name: value or "" for name, value in attrs}
        element = _Element(tag, attributes, self.open[-1] if self.open else None)
        self.elements.append(element)
        if tag not in _VOID:
            self.open.append(element)

    def handle_endtag(self, tag: str) -> None:
        if self.open and self.open[-1].tag == tag:
            self.open.pop()
        else:
            self.faults.append(f"</{tag}> closes <{self.open[-1].tag if self.open else 'nothing'}>")

    def handle_data(self, data: str) -> None:
        for element in self.open:
            element.text.append(data)


def html_faults(text: str) -> list[str]:
    """What is not well-formed in a page, and scripts, which no mail program runs."""
    page = _Page(text)
    return page.faults + [f"<{element.tag}> is never closed" for element in page.open]


def word_faults(text: str) -> Iterator[str]:
    """What Word would leave out of a page, so that a button or a box loses its shape."""
    for element in _Page(text).elements:
        tag, name = element.tag, element.padding
        lost = name if tag in _NO_PADDING else ""
        if tag in _INLINE:
            lost = lost or element.background
        if lost and not (tag in _INLINE and element.in_coloured_cell):
            yield (
                f"<{tag}> has a {lost}, which Word does not draw; give it to a table cell around it: "
                f'<td bgcolor="#…" style="padding:…">'
            )
        if tag == "a":
            yield from _button_faults(element)


def _button_faults(link: _Element) -> Iterator[str]:
    cell = link.parent
    if cell is None or not (link.in_coloured_cell or link.background):
        return
    if link.in_coloured_cell and link.padding and not (cell.padding or cell.value_of("mso-padding-alt")):
        yield "the button's cell has no mso-padding-alt: Word draws the colour close around the words"
    styles = link.style + ";" + (cell.style if link.in_coloured_cell else "")
    for unknown in dict.fromkeys(_UNKNOWN_TO_WORD.findall(styles)):
        yield f"the button uses {unknown!r}, which Word does not know; use plain colours, px and a table cell"


def spam_faults(text: str) -> Iterator[str]:
    """What spam filters count as hidden text; `display:none` on the preheader alone costs nothing."""
    hidden = 0
    for element in _Page(text).elements:
        style = element.style
        if _TINY.search(style) or _TRANSPARENT.search(style):
            yield (
                f"<{element.tag}> has letters that nobody can see (font-size 0 or 1, or transparent): spam "
                "filters count that as hidden text; to hide the preheader display:none is enough"
            )
        if not _HIDDEN.search(style):
            continue
        hidden += 1
        if _COLOURED.search(style):
            yield "the preheader has a colour: spam filters compare it with the background; leave it out"
        if len(_INVISIBLE.findall("".join(element.text))) >= _FILLER:
            yield "the preheader is filled up with invisible characters, which spam filters count"
    if hidden > 1:
        yield f"{hidden} elements are hidden with display:none; spam filters accept the preheader alone"
