"""Languages: the gettext catalogues, and amounts and dates as a subscriber's locale writes them.

A language is shipped or it is not: a locale whose language has no catalogue falls back to English
whole, because an English sentence with a Japanese date in it helps nobody. Within a shipped language
the region still counts for numbers and dates (`es_MX` writes 1,234.50 where `es` writes 1.234,50).
"""

from __future__ import annotations

import gettext
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, cast

from babel import Locale, UnknownLocaleError
from babel.dates import format_date, format_interval, format_skeleton
from babel.lists import format_list
from babel.messages.mofile import write_mo
from babel.messages.pofile import PoFileError, read_po
from babel.numbers import NumberPattern, format_percent, parse_pattern
from jinja2 import nodes
from jinja2.ext import InternationalizationExtension

from billing.errors import TemplateError

if TYPE_CHECKING:
    from jinja2.parser import Parser

SOURCE_LANGUAGE = "en"
LANGUAGES = ("en", "de", "fr", "es", "pt")
LOCALES = Path(__file__).parent / "locales"
NO_BREAK_SPACE = "\N{NO-BREAK SPACE}"

K = TypeVar("K")

# "1 déc." and the beginning of "1–31 déc.", but not "31 déc.", "11 déc." or "1/12".
_FIRST_OF_MONTH = re.compile(r"(?<![\d/])1(?=[\s–])")

# A cycle mails few different due dates and prices to many people; this many of each are remembered.
_REMEMBERED = 4096


@dataclass(frozen=True, eq=False)
class Formats:
    """How one locale writes amounts, dates and periods. Get one from `formats_for`."""

    language: str
    locale: Locale
    _pattern: NumberPattern
    _amounts: dict[int, str] = field(default_factory=dict)
    _days: dict[date, str] = field(default_factory=dict)
    _short_days: dict[date, str] = field(default_factory=dict)
    _periods: dict[tuple[date, date], str] = field(default_factory=dict)

    def amount(self, micros: int) -> str:
        """Micro-USDC as `1.234,50 USDC`: two to six places, exact, with a no-break space."""
        known = self._amounts.get(micros)
        if known is None:
            number = self._pattern.apply(Decimal(micros).scaleb(-6), self.locale)
            known = _remember(self._amounts, micros, f"{number}{NO_BREAK_SPACE}USDC")
        return known

    def day(self, day: date) -> str:
        """A date in long form, which no line breaks: `3. Dezember 2026`."""
        known = self._days.get(day)
        return known or _remember(self._days, day, self._date(format_date(day, "long", self.locale)))

    def short_day(self, day: date) -> str:
        """A date without its year, for subjects: `3. Dez.`."""
        known = self._short_days.get(day)
        if known is None:
            text = format_skeleton("MMMd", day, locale=self.locale)
            known = _remember(self._short_days, day, self._date(text))
        return known

    def period(self, first: date, last: date) -> str:
        """Both days of a period, without saying twice what they share: `1.–31. Dez. 2026`."""
        key = (first, last)
        known = self._periods.get(key)
        if known is None:
            text = self._date(format_interval(first, last, "yMMMd", locale=self.locale))
            known = _remember(self._periods, key, text)
        return known

    def percent(self, rate: Decimal) -> str:
        """A rate in percent, with the places that it has: `8,1 %`."""
        pattern = re.sub(r"0(\s*%)", r"0.###\1", self.locale.percent_formats[None].pattern)
        return format_percent(rate / 100, pattern, self.locale)

    def any_of(self, names: Iterable[str]) -> str:
        """Names of which any will do: `Base or Polygon`; empty if there are none."""
        return format_list(list(names), "or", self.locale)

    def _date(self, text: str) -> str:
        # Babel has no French ordinal for the first day of a month.
        if self.language == "fr":
            text = _FIRST_OF_MONTH.sub("1er", text)
        return text.replace(" ", NO_BREAK_SPACE)


def _remember(memory: dict[K, str], key: K, text: str) -> str:
    if len(memory) >= _REMEMBERED:
        memory.clear()
    memory[key] = text
    return text


@lru_cache(maxsize=256)
def formats_for(tag: str | None, default: str) -> Formats:
    """The formats of locale `tag` (`de`, `de-AT`, `pt_BR`), of `default` if it is None or empty.

    A region that is not known falls back to its language; a language that is not shipped, and
    anything that is no locale at all, to English.
    """
    parts = re.split(r"[-_]", re.split(r"[.@]", (tag or default).strip())[0])
    language = parts[0].lower()
    if language not in LANGUAGES:
        language, parts = SOURCE_LANGUAGE, [SOURCE_LANGUAGE]
    return _formats(language, _known_locale(language, parts[1:]))


def _known_locale(language: str, rest: list[str]) -> Locale:
    try:
        return Locale.parse("_".join([language, *rest]))
    except (UnknownLocaleError, ValueError):
        return Locale(language)


def _formats(language: str, locale: Locale) -> Formats:
    # The locale's own grouping (Indian English: 12,34,567) with our number of places.
    pattern = parse_pattern(re.sub(r"\..*", ".00####", locale.decimal_formats[None].pattern))
    return Formats(language, locale, pattern)


@lru_cache(maxsize=len(LANGUAGES))
def translations(language: str) -> gettext.NullTranslations:
    """The catalogue of a shipped language, read once. English is the source and has none.

    Raises `TemplateError` if the file is missing or broken.
    """
    if language == SOURCE_LANGUAGE:
        return gettext.NullTranslations()
    path = LOCALES / language / "LC_MESSAGES" / "billing.po"
    try:
        with path.open("rb") as file:
            catalogue = read_po(file, locale=language, abort_invalid=True)
    except (OSError, PoFileError, ValueError) as error:
        raise TemplateError(
            f"the {language} catalogue {path} can't be read: {error}; install the program again"
        ) from error
    compiled = BytesIO()
    write_mo(compiled, catalogue)
    compiled.seek(0)
    return gettext.GNUTranslations(compiled)


class CompiledTranslations(InternationalizationExtension):
    """`{% trans %}` whose message is looked up once, when a template is compiled for one language.

    An ordinary `{% trans %}` calls gettext and formats the result again for every mail, which would
    cost more than all the rest of it. Plural forms depend on the number and stay calls.
    """

    def parse(self, parser: Parser) -> nodes.Node | list[nodes.Node]:
        parsed = super().parse(parser)
        if isinstance(parsed, nodes.Output) and len(parsed.nodes) == 1:
            in_html = (parser.name or "").endswith(".html")
            return self._translated(parsed.nodes[0], parsed, in_html) or parsed
        return parsed

    def _translated(self, call: nodes.Expr, output: nodes.Output, in_html: bool) -> nodes.Output | None:
        match call:
            case nodes.Call(node=nodes.Name(name="gettext"), args=[nodes.Const(value=str(source))]):
                language = cast(str, self.environment.globals["language"])
                message = translations(language).gettext(source)
                if in_html:  # mails are ASCII: better once here than for every mail
                    message = message.encode("ascii", "xmlcharrefreplace").decode("ascii")
                variables = {keyword.key: keyword.value for keyword in call.kwargs}
                return nodes.Output(_pieces(message, variables), lineno=output.lineno)
        return None


def _pieces(message: str, variables: Mapping[str, nodes.Expr]) -> list[nodes.Expr]:
    """A message with `%(name)s` in it as the text and the expressions it is made of."""
    pieces: list[nodes.Expr] = []
    for text, name in re.findall(r"((?:[^%]|%%)*)(?:%\((\w+)\)s)?", message):
        if text:
            pieces.append(nodes.TemplateData(text.replace("%%", "%")))
        if name:
            pieces.append(variables[name])
    return pieces
