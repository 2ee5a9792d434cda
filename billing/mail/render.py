"""From the facts of a notice to its text: the templates, in the subscriber's language.

A user's own templates folder comes before the shipped one, file by file; `shipped/NAME` always means
the shipped file, so that an own file can extend the one it replaces and change a single block.
"""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn
from zoneinfo import ZoneInfo

from jinja2 import (
    BaseLoader,
    ChoiceLoader,
    Environment,
    FileSystemLoader,
    PrefixLoader,
    StrictUndefined,
    Template,
    TemplateNotFound,
    TemplateSyntaxError,
    UndefinedError,
)
from jinja2.ext import Extension
from jinja2.lexer import Token, TokenStream
from jinja2.sandbox import ImmutableSandboxedEnvironment

import billing
from billing.config.logo import Logo
from billing.config.schema import Settings
from billing.core.notices import NoticeFacts, RenderedMail
from billing.core.states import NoticeKind
from billing.errors import TemplateError
from billing.mail.bytecode import CompiledOnce
from billing.mail.calendar import calendar_part
from billing.mail.facts import isolated, shortened, template_facts
from billing.mail.i18n import (
    SOURCE_LANGUAGE,
    CompiledTranslations,
    formats_for,
    translations,
)
from billing.mail.message import Content, MessageBuilder, one_line

if TYPE_CHECKING:
    from billing.mail.receipt_pdf import ReceiptPrinter

_BLANK_LINES = re.compile(r"\n[ \t\n]*\n")
_ENDINGS = ("subject.txt", "txt", "html")
LONGEST_SUBJECT = 70
"""What phones and inboxes show of a subject; the plan in it is cut so that no more is needed."""
_SHORTEST_PLAN = 8
_LOGO_HEIGHT, _LOGO_WIDTH = 32, 200
FIX_TEMPLATE = "Correct the template, then run `billing templates check`."


class Renderer:
    """Writes notices. Templates are read and compiled once a language, then kept.

    Raises `TemplateError` where a template, an address or a notice's facts are not usable; the message
    says which file, which line, and what to do.
    """

    def __init__(
        self, settings: Settings, user_templates: Path | None = None, logo: Logo | None = None
    ) -> None:
        self._business = settings.business
        self._zone = ZoneInfo(settings.business.timezone)
        self._attach_calendar = settings.mail.calendar_attachment
        self._printer = _printer(settings)
        self._builder = MessageBuilder(settings, logo)
        self._logo = logo
        self._loader = template_loader(user_templates)
        self._environments: dict[str, Environment] = {}
        self._templates: dict[tuple[str, NoticeKind], _Templates] = {}

    def render(self, letter: NoticeFacts, now: datetime) -> RenderedMail:
        """The finished message of a notice; `now` is aware and becomes its Date."""
        return self._builder.build(letter, self.content(letter, now), now)

    def content(self, letter: NoticeFacts, now: datetime) -> Content:
        """The text of a notice, before it becomes bytes."""
        formats = formats_for(letter.locale, self._business.locale)
        facts = template_facts(letter, formats, self._business, now.astimezone(self._zone).date())
        templates = self._templates_for(formats.language, letter.kind)
        try:
            subject = facts["subject"] = _subject(templates.subject, facts, one_line(letter.plan))
            text = _BLANK_LINES.sub("\n\n", templates.text.render(facts)).strip() + "\n"
            html = templates.html.render(facts) + "\n"
        except Exception as error:  # a template is a user's program: it can raise anything
            _explain(error, f"the templates for {letter.kind}", facts)
        if not subject:
            raise TemplateError(f"{letter.kind}.subject.txt gives an empty subject. {FIX_TEMPLATE}")
        calendar = None
        if self._attach_calendar:
            summary = f"{subject} ({one_line(self._business.name)})"
            calendar = calendar_part(letter, summary, self._builder.sender, now)
        pdf = None
        if self._printer is not None and letter.kind is NoticeKind.PAYMENT_RECEIVED:
            pdf = self._printer.receipt(facts, formats.language)
        return Content(formats.language, subject, text, html, calendar, pdf)

    def environment(self, language: str) -> Environment:
        """The templates' environment for one language; what they may use besides the facts."""
        known = self._environments.get(language)
        if known is None:
            known = self._environments[language] = _new_environment(self._loader, language)
            business = isolated(one_line(self._business.name))
            known.globals.update(
                business=business,
                business_initial=_initial(business),
                business_accent=self._business.accent,
                business_address=[one_line(line) for line in self._business.address],
                business_tax_id=one_line(self._business.tax_id),
                networks=formats_for(language, language).any_of(map(one_line, self._business.networks)),
                logo=_shown_logo(self._logo, self._builder.logo_id),
                support=self._business.support_address or self._builder.sender,
            )
        return known

    def theme(self) -> dict[str, Any]:
        """The colours and fonts that theme.html sets."""
        try:
            return load_theme(self.environment(SOURCE_LANGUAGE))
        except Exception as error:
            _explain(error, "theme.html", {})

    def _templates_for(self, language: str, kind: NoticeKind) -> _Templates:
        known = self._templates.get((language, kind))
        if known is None:
            known = _Templates(*(self._template(language, f"{kind}.{end}") for end in _ENDINGS))
            self._templates[language, kind] = known
        return known

    def _template(self, language: str, name: str) -> Template:
        environment = self.environment(language)
        try:
            styles = load_styles(environment) if name.endswith(".html") else None
            template = environment.get_template(name, globals=styles)
        except Exception as error:  # a file that is missing, unreadable, not UTF-8, or not Jinja
            _explain(error, name, {})
        # Jinja looks up each global through a ChainMap for every mail, which costs 30 µs.
        template.globals = dict(template.globals)
        return template


def _printer(settings: Settings) -> ReceiptPrinter | None:
    """What prints receipts, if they are asked for: it needs an extra."""
    if not settings.mail.receipt_pdf:
        return None
    from billing.mail.receipt_pdf import ReceiptPrinter

    return ReceiptPrinter(settings.business)


@dataclass(frozen=True, slots=True)
class _Templates:
    subject: Template
    text: Template
    html: Template


@lru_cache(maxsize=1)
def shipped_templates() -> Path:
    """The folder of the shipped templates: inside an installed package, or at a checkout's top."""
    package = Path(billing.__file__).parent
    for folder in (package / "_templates", package.parent / "templates"):
        if (folder / "layout.html").is_file():
            return folder
    raise TemplateError("the shipped mail templates are missing; install the package again")


def template_loader(user_templates: Path | None) -> BaseLoader:
    """Where templates come from: `shipped/…`, then the user's folder (which may not exist), then ours."""
    # Windows editors put a byte order mark in front: utf-8-sig reads files with and without one.
    shipped = FileSystemLoader(shipped_templates(), encoding="utf-8-sig")
    own = [FileSystemLoader(user_templates, encoding="utf-8-sig")] if user_templates else []
    return ChoiceLoader([PrefixLoader({"shipped": shipped}), *own, shipped])


def _new_environment(loader: BaseLoader, language: str) -> Environment:
    environment = ImmutableSandboxedEnvironment(
        loader=loader,
        undefined=StrictUndefined,
        autoescape=lambda name: name is not None and name.endswith(".html"),
        auto_reload=False,
        cache_size=-1,
        extensions=[CompiledTranslations, CompiledStyles],
        bytecode_cache=CompiledOnce(language),
    )
    environment.policies["ext.i18n.trimmed"] = True
    environment.globals["language"] = language
    install = environment.install_gettext_translations  # type: ignore[attr-defined]  # by the extension
    install(translations(language), newstyle=True)
    return environment


def load_theme(environment: Environment) -> dict[str, Any]:
    """What theme.html sets: the shipped one's values, with those of the user's own over them."""
    theme: dict[str, Any] = {}
    for name in ("shipped/theme.html", "theme.html"):
        for key, value in _public(environment.get_template(name)).items():
            known = theme.get(key)
            if isinstance(known, dict) and isinstance(value, dict):
                value = {**known, **value}
            theme[key] = value
    return theme


def load_styles(environment: Environment) -> dict[str, Any]:
    """What style.html sets, in the same way; it is built into the HTML templates as they compile."""
    compiled = environment.extensions[CompiledStyles.identifier]
    assert isinstance(compiled, CompiledStyles)
    if not compiled.styles:
        theme = load_theme(environment)
        styles: dict[str, Any] = {}
        for name in ("shipped/style.html", "style.html"):
            styles |= _public(environment.get_template(name, globals=theme | styles))
        compiled.styles = styles
        environment.bytecode_cache = CompiledOnce((environment.globals["language"], styles))
    return compiled.styles


def _public(template: Template) -> dict[str, Any]:
    return {name: value for name, value in vars(template.module).items() if not name.startswith("_")}


class CompiledStyles(Extension):
    """`{{ p }}` and the other styles become plain text when an HTML template is compiled.

    A mail has about a hundred of them; looked up and escaped one by one they cost a third of its
    rendering. A template that uses a style's name for something of its own keeps its own meaning.
    """

    styles: dict[str, Any] = {}  # noqa: RUF012  # replaced whole, never changed

    def filter_stream(self, stream: TokenStream) -> Iterable[Token]:
        tokens = list(stream)
        if not self.styles or stream.name is None or not stream.name.endswith(".html"):
            return tokens
        return self._with_styles(tokens)

    def _with_styles(self, tokens: list[Token]) -> Iterator[Token]:
        def prints_a_name(i: int) -> bool:
            kinds = [token.type for token in tokens[i : i + 3]]
            return kinds == ["variable_begin", "name", "variable_end"]

        printed = [i for i in range(len(tokens)) if prints_a_name(i)]
        names = Counter(token.value for token in tokens if token.type == "name")
        names.subtract(tokens[i + 1].value for i in printed)
        replaced = {
            i: self.styles.get(tokens[i + 1].value) for i in printed if not names[tokens[i + 1].value]
        }
        i = 0
        while i < len(tokens):
            if isinstance(style := replaced.get(i), str):
                yield Token(tokens[i].lineno, "data", str(style))
                i += 3
            else:
                yield tokens[i]
                i += 1


def _subject(template: Template, facts: Mapping[str, object], plan: str) -> str:
    """The finished subject; a long plan in it is cut so far that all the rest can be read."""
    subject = _plain_spaces(template.render(facts))
    excess = len(subject) - LONGEST_SUBJECT
    if excess > 0:
        shown = max(len(str(facts["short_plan"])) - excess, _SHORTEST_PLAN)
        subject = _plain_spaces(template.render({**facts, "short_plan": shortened(plan, shown)}))
    return subject


def _plain_spaces(text: str) -> str:
    # Spaces in a header break where the reader's program wants; without the no-break ones most
    # English and Spanish subjects are plain ASCII.
    return text.replace("\u00a0", " ").replace("\u202f", " ").strip()


def _initial(name: str) -> str:
    """The letter for the square beside the business's name."""
    return next((character.upper() for character in name if character.isalnum()), "")


def _shown_logo(logo: Logo | None, content_id: str) -> dict[str, object] | None:
    """What an `<img>` says: Word takes the size from its attributes, and draws the file's size without."""
    if logo is None:
        return None
    scale = min(_LOGO_HEIGHT / logo.height, _LOGO_WIDTH / logo.width)
    return {
        "src": f"cid:{content_id}",
        "width": max(1, round(logo.width * scale)),
        "height": max(1, round(logo.height * scale)),
    }


# --- errors ----------------------------------------------------------------------------------------


def _explain(error: Exception, name: str, facts: Mapping[str, object]) -> NoReturn:
    """Say which template failed, where, and what to do, instead of Jinja's message alone."""
    if isinstance(error, TemplateError):
        raise error
    where = _where(error.__traceback__) or name
    if isinstance(error, TemplateSyntaxError):
        where = f"{error.filename or error.name}, line {error.lineno}"
        what = error.message or "syntax error"
    elif isinstance(error, TemplateNotFound):
        what = f"there is no template {error.name!r}"
    elif isinstance(error, UndefinedError):
        what = f"{error.message}{_meant(error.message or '', facts)}"
    else:
        what = f"{type(error).__name__}: {error}"
    raise TemplateError(f"{where}: {what.rstrip('.')}. {FIX_TEMPLATE}") from error


def _where(trace: TracebackType | None) -> str | None:
    """The innermost template line of a traceback. Jinja puts its templates' names and lines there."""
    found = None
    while trace is not None:
        filename = trace.tb_frame.f_code.co_filename
        if filename.endswith((".html", ".txt")):
            # Jinja has corrected the lines of most frames, but not of a template read for its variables.
            template = trace.tb_frame.f_globals.get("__jinja_template__")
            line = template.get_corresponding_lineno(trace.tb_lineno) if template else trace.tb_lineno
            found = f"{filename}, line {line}"
        trace = trace.tb_next
    return found


def _meant(message: str, facts: Mapping[str, object]) -> str:
    name = re.match(r"'(\w+)' is undefined", message)
    close = (
        difflib.get_close_matches(name[1], [*facts, "business", "support", "language"], n=1) if name else []
    )
    return f" (did you mean {close[0]!r}?)" if close else ""
