"""Every configuration key: its type, its default, and what it means."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from billing.config.cron import parse_cron
from billing.core.colours import BUTTON_TEXT, LEAST_CONTRAST, contrast, darkened, is_colour
from billing.core.money import format_amount, parse_amount
from billing.errors import InvalidAmount

LEAST_LIVE_QUIET_SECONDS = 120
"""A request may still be on its way for so long after the program has given it up."""


_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_HOST_NAME = re.compile(rf"(?=.{{1,255}}\Z)(?![0-9.]+\Z){_LABEL}(?:\.{_LABEL})*")


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def is_loopback(host: str) -> bool:
    """Whether a URL's host is this machine itself, by address or as `localhost`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _micros(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise ValueError('write an amount in USDC, such as "50000.00"')
    try:
        return parse_amount(str(value))
    except InvalidAmount as error:
        raise ValueError(str(error)) from None


def _known_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ValueError, OSError, KeyError):
        raise ValueError("not a time zone; write for example 'UTC' or 'Europe/Berlin'") from None
    return name


def _url(value: str) -> str:
    """An empty string (unset) or an absolute http(s) URL without user, query or fragment."""
    _one_line(value)
    if not value:
        return value
    try:
        parts = urlsplit(value)
        _ = parts.port
    except ValueError:
        raise ValueError("not a URL") from None
    if parts.scheme not in ("https", "http") or not parts.hostname:
        raise ValueError("write an absolute URL that starts with https://")
    if "@" in parts.netloc:
        raise ValueError("a URL must not contain a user name or password; keys come from the environment")
    if parts.query or parts.fragment:
        raise ValueError("a base URL must have no query and no fragment")
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise ValueError("http:// is accepted only for loopback addresses; use https://")
    return value.rstrip("/")


def _one_line(value: str) -> str:
    if any(ord(character) < 32 or ord(character) == 127 for character in value):
        raise ValueError("must be one line without control characters")
    return value


def _address(value: str) -> str:
    _one_line(value)
    if value and not re.fullmatch(r"[^@\s<>]+@[^@\s<>]+", value):
        raise ValueError("not an e-mail address")
    return value


def _helo_name(value: str) -> str:
    """An empty string, or EHLO's argument (RFC 5321, 4.1.3): a host name or an address literal."""
    if not value or _HOST_NAME.fullmatch(value):
        return value
    literal = re.fullmatch(r"\[(IPv6:)?([0-9A-Fa-f:.]+)\]", value, re.IGNORECASE)
    try:
        if literal and ipaddress.ip_address(literal[2]).version == (6 if literal[1] else 4):
            return value
    except ValueError:
        pass
    raise ValueError(
        "write a host name, such as 'mail.example.com', or '[192.0.2.1]' or '[IPv6:2001:db8::1]'"
    )


def _cron(value: str) -> str:
    if value:
        parse_cron(value)
    return value


def _listen(value: str) -> str:
    """An empty string (off) or `host:port` with a loopback host; port 0 takes a free one."""
    if value:
        host, port = host_and_port(value)
        if not is_loopback(host) or not 0 <= port <= 65_535:
            raise ValueError("write a loopback address and a port, such as '127.0.0.1:9464' or '[::1]:9464'")
    return value


def host_and_port(value: str) -> tuple[str, int]:
    """The two parts of `watch.listen`; the port is -1 if it is not a number."""
    host, _, port = value.rpartition(":")
    return host.removeprefix("[").removesuffix("]"), int(port) if re.fullmatch("[0-9]{1,5}", port) else -1


def _textfile(value: str) -> str:
    if value and not value.endswith(".prom"):
        raise ValueError("the node exporter reads only files that end in .prom")
    return value


def _days(values: list[int]) -> list[int]:
    if any(isinstance(day, bool) or not 1 <= day <= 3660 for day in values):
        raise ValueError("whole numbers of days from 1 to 3660; an empty list switches it off")
    return sorted(set(values))


def _lines(values: list[str]) -> list[str]:
    if not all(_one_line(line).strip() for line in values):
        raise ValueError("no line may be empty")
    return values


def _tax_rate(value: float) -> float:
    if round(value, 3) != value:
        raise ValueError("a tax rate has at most three places, such as 19 or 8.1")
    return value


def _accent(value: str) -> str:
    """An empty string (the shipped blue) or a colour on which the button's white text can be read."""
    if not value:
        return value
    if not is_colour(value):
        raise ValueError("write a colour as '#RRGGBB', such as '#0b6e4f'")
    ratio = contrast(BUTTON_TEXT, value)
    if ratio < LEAST_CONTRAST:
        raise ValueError(
            f"the button's white text has a contrast of {int(ratio * 10) / 10} on it, and readable text "
            f"needs {LEAST_CONTRAST} (WCAG AA); the nearest shade that has it is '{darkened(value)}'"
        )
    return value.lower()


Micros = Annotated[int, BeforeValidator(_micros)]
Url = Annotated[str, AfterValidator(_url)]
Line = Annotated[str, AfterValidator(_one_line)]
Address = Annotated[str, AfterValidator(_address)]
Lines = Annotated[list[Annotated[str, Field(max_length=200)]], Field(max_length=12), AfterValidator(_lines)]
Days = Annotated[list[int], AfterValidator(_days)]


class Business(Section):
    name: Annotated[str, Field(min_length=1, max_length=120), AfterValidator(_one_line)] = "Example Business"
    timezone: Annotated[str, AfterValidator(_known_zone)] = "UTC"
    locale: Literal["en", "de", "fr", "es", "pt"] = "en"
    support_address: Address = ""
    """Replies go here; empty: to mail.from_address."""
    cancel_url: Url = ""
    """Where a subscriber cancels; `{reference}` is put in. Empty: the mail says to reply."""
    operator_address: Address = ""
    """Who receives the run digest when something needs a person; empty: nobody."""
    address: Lines = []
    """The postal address, line by line; for receipts."""
    tax_id: Annotated[Line, Field(max_length=60)] = ""
    """The business's tax or VAT number, for receipts."""
    tax_rate: Annotated[float, Field(ge=0, le=100), AfterValidator(_tax_rate)] = 0.0
    """Percent that the prices contain; receipts then show net and tax. 0: they show no tax."""
    networks: Lines = []
    """On which networks payers can send USDC, by name, such as "Base"; said where a mail asks for money."""
    logo: Line = ""
    """A PNG, JPEG or GIF of at most 200 kB, attached to every mail; relative to the config file."""
    accent: Annotated[str, AfterValidator(_accent)] = ""
    """The colour of the button, "#RRGGBB"; white text must be readable on it."""


class Database(Section):
    url: Annotated[str, Field(min_length=1, repr=False)] = "sqlite:///var/billing.db"


class Mileston(Section):
    environment: Literal["sandbox", "live"] = "sandbox"
    recurring_payment_url: Url = ""
    payment_link_url: Url = ""
    invoice_url: Url = ""
    checkout_url: Url = ""
    """Where payers pay; empty: Mileston's own, or the sandbox's."""
    timeout_seconds: Annotated[float, Field(gt=0, le=300)] = 15.0
    """Total time limit of one call."""
    requests_per_second: Annotated[float, Field(ge=0, le=100_000)] = 0.0
    """0: no limit."""
    renewal: Literal["keep", "stop"] = "keep"
    """stop: what is paid gets an interval that never comes, in case records renew themselves."""
    namespace: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{0,32}$")] = ""
    """Tells two databases that bill one Mileston business apart; never changed once something was sent."""


class Cycle(Section):
    concurrency: Annotated[int, Field(ge=1, le=1024)] = 32
    max_payments_per_run: Annotated[int, Field(ge=0)] = 100_000
    max_amount_per_run: Micros = 10_000_000_000_000
    max_unknown_share: Annotated[float, Field(ge=0, le=1)] = 0.5
    max_consecutive_failures: Annotated[int, Field(ge=1)] = 100
    catch_up_limit: Annotated[int, Field(ge=0, le=1000)] = 1


class Reconcile(Section):
    quiet_seconds: Annotated[float, Field(ge=0, le=86_400)] = 300.0
    """Longer than Mileston may take to show what it made; at least LEAST_LIVE_QUIET_SECONDS in live."""
    page_size: Annotated[int, Field(ge=1, le=100_000)] = 500
    max_records: Annotated[int, Field(ge=1, le=10_000_000)] = 1_000_000
    """The list is read with limits up to this, as far as it is needed."""
    look_first_up_to: Annotated[int, Field(ge=0, le=10_000_000)] = 20_000
    """A list of so many records at most is read before anything is sent; 0: only for a reason."""
    when_absent: Literal["resend", "park"] = "resend"


class Reminders(Section):
    days_before: Days = [7, 3, 1]
    price_change_days: Annotated[int, Field(ge=0, le=3660)] = 30
    """So long before it is asked, a higher price is told; until then the old one holds."""
    yearly_days_before: Days = [30, 7]
    """For intervals of a year or more."""


class Dunning(Section):
    days_after: Days = [1, 3, 7, 14]
    final_after_days: Annotated[int, Field(ge=1, le=3660)] = 21
    final_action: Literal["pause", "cancel", "keep"] = "pause"
    when_paid: Literal["resume", "ask"] = "resume"
    """What becomes of dunning's own pause once everything that led to it is paid."""


class Mail(Section):
    transport: Literal["file", "smtp", "console"] = "file"
    outbox_dir: Annotated[str, Field(min_length=1)] = "var/outbox"
    from_address: Address = "billing@example.com"
    templates_dir: Annotated[str, Field(min_length=1)] = "templates"
    smtp_host: Line = ""
    smtp_port: Annotated[int, Field(ge=1, le=65535)] = 587
    smtp_tls: Literal["starttls", "implicit", "none"] = "starttls"
    smtp_username: Line = ""
    helo_name: Annotated[Line, AfterValidator(_helo_name)] = ""
    """What EHLO calls this machine: a host name or an address in brackets; empty: its address in brackets."""
    smtp_timeout_seconds: Annotated[float, Field(gt=0, le=600)] = 30.0
    concurrency: Annotated[int, Field(ge=1, le=64)] = 4
    retry_seconds: Annotated[float, Field(gt=0, le=86_400)] = 300.0
    """First back-off after a temporary refusal; it doubles, for up to about four days."""
    on_unknown: Literal["hold", "resend"] = "hold"
    calendar_attachment: bool = False
    receipt_pdf: bool = False
    """Attach a PDF to receipts; needs the extra `pdf`."""
    digest_when_well: bool = False
    """One digest a day even when nothing needs the operator."""


class Schedule(Section):
    every_minutes: Annotated[float, Field(gt=0, le=1440)] = 10.0
    cron: Annotated[Line, AfterValidator(_cron)] = ""
    """A cron expression in UTC; when set it replaces every_minutes."""


class Watch(Section):
    listen: Annotated[Line, Field(max_length=100), AfterValidator(_listen)] = ""
    """host:port on loopback for /healthz, /readyz and /metrics of the daemon; empty: off."""
    textfile: Annotated[str, AfterValidator(_textfile)] = ""
    """Where `run-once` writes metrics for the node exporter; empty: nowhere."""
    ping_url: Url = ""
    """Called at each cycle's start (/start), success, and failure (/fail); empty: not called."""
    jitter_seconds: Annotated[float, Field(ge=0, le=3600)] = 0.0
    """`run-once --quiet` waits up to this long first, so that not all machines start at once."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"


class Settings(Section):
    """The whole configuration; each section is a table of config.toml."""

    business: Business = Business()
    database: Database = Database()
    mileston: Mileston = Mileston()
    cycle: Cycle = Cycle()
    reconcile: Reconcile = Reconcile()
    reminders: Reminders = Reminders()
    dunning: Dunning = Dunning()
    mail: Mail = Mail()
    schedule: Schedule = Schedule()
    watch: Watch = Watch()


def shown(key: str, value: object) -> object:
    """A setting as a person would write it, without a password in it."""
    if key == "cycle.max_amount_per_run" and isinstance(value, int):
        return format_amount(value)
    if key == "database.url":
        masked = re.sub(r"(://[^:/@]*):.*@", r"\1:****@", str(value))
        return re.sub(r"(password=)[^&]*", r"\1****", masked, flags=re.IGNORECASE)
    return value


def without_secrets(value: object) -> object:
    """A rejected value for a message; a URL without user and query, for either may be a key.

    Up to the last @, because a password may contain any character that would end it in a well-formed URL.
    """
    if not isinstance(value, str) or "://" not in value:
        return value
    masked = re.sub(r"//.*@", "//****@", value, flags=re.DOTALL)
    return re.sub(r"\?.*", "?****", masked, flags=re.DOTALL)
