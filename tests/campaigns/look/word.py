"""A page as Outlook on Windows would show it: what Word does not draw is taken out.

Not Word itself, and kinder than Word in places, but it shows what a mail loses there: `<style>`; round
corners; widths and heights that are limits; every `display` but `none`; a padding on anything but a table's
cell (Word reads `mso-padding-alt` there); a ground on anything but a cell or a table; wrapping hints. What
stands in `<!--[if mso]>` is put in.
"""

from __future__ import annotations

import re

_FOR_WORD = re.compile(r"<!--\[if mso\]>(.*?)<!\[endif\]-->", re.S)
_STYLE_SHEET = re.compile(r"<style>.*?</style>\s*", re.S)
_TAG = re.compile(r"<([a-z][a-z0-9]*)\b([^>]*?)\sstyle=\"([^\"]*)\"", re.S)
_NEVER = re.compile(
    r"border-radius|(?:max|min)-(?:width|height)|text-wrap|word-break|overflow|table-layout|opacity"
)
_CELLS = ("td", "th")


def as_word(page: str) -> str:
    """The page without what Word ignores."""
    page = _STYLE_SHEET.sub("", _FOR_WORD.sub(r"\1", page))
    return _TAG.sub(_without, page)


def _without(tag: re.Match[str]) -> str:
    name, before, style = tag.groups()
    kept = [declared for declared in style.split(";") if declared.strip() and _drawn(name, declared)]
    alternative = re.search(r"mso-padding-alt:([^;]+)", style)
    if alternative and name in _CELLS:
        kept.append(f"padding:{alternative[1]}")
    return f'<{name}{before} style="{";".join(kept)}"'


def _drawn(name: str, declared: str) -> bool:
    prop, _, value = (part.strip() for part in declared.partition(":"))
    if _NEVER.match(prop):
        return False
    if prop == "display":
        return value == "none"
    if prop.startswith("padding"):
        return name in _CELLS
    if prop.startswith("background"):
        return name in (*_CELLS, "table", "body")
    return not (prop == "margin" and "auto" in value)
