"""Reads config.toml and the environment into a checked `Config`, or reports every fault at once."""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import ValidationError

from billing.config.environment import PREFIX, REPLACED, concerns_us, unknown_variable, variable_of
from billing.config.logo import Logo, read_logo
from billing.config.schema import (
    LEAST_LIVE_QUIET_SECONDS,
    Section,
    Settings,
    is_loopback,
    shown,
    without_secrets,
)
from billing.config.secrets import SECRET_NAMES, Secret, read_secrets
from billing.errors import ConfigError

Origin = str


@dataclass(frozen=True)
class Config:
    """Checked settings, the secrets, and where each value came from.

    `directory` is what relative paths in the settings are relative to.
    """

    settings: Settings
    secrets: Mapping[str, Secret]
    origins: Mapping[str, Origin]
    path: Path | None
    directory: Path

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.settings.business.timezone)

    def resolve(self, path: str) -> Path:
        """A path from the settings as an absolute one."""
        return (self.directory / Path(path).expanduser()).absolute()

    def logo(self) -> Logo | None:
        """The image of `business.logo`. Raises ConfigError if it is gone or changed since the start."""
        name = self.settings.business.logo
        try:
            return read_logo(self.resolve(name)) if name else None
        except ValueError as error:
            raise ConfigError([f"business.logo: {name!r}: {error}"]) from None

    @property
    def database_url(self) -> str:
        """The database URL with a relative SQLite path made absolute."""
        url = self.settings.database.url
        scheme, separator, path = url.partition(":///")
        if not scheme.startswith("sqlite") or not separator or path.startswith(("/", ":memory:")) or not path:
            return url
        return f"{scheme}:///{self.resolve(path)}"

    @property
    def sqlite_path(self) -> Path | None:
        """The SQLite file that the config names, which may not be there yet; None for PostgreSQL."""
        url = self.database_url
        path = url.partition(":///")[2] if url.startswith("sqlite") else ""
        return Path(path) if path and path != ":memory:" else None

    def rows(self) -> Iterator[tuple[str, object, Origin]]:
        """Every key with its value as shown to people and where it came from; secrets masked."""
        for key in _all_keys():
            section, name = key.split(".")
            value = getattr(getattr(self.settings, section), name)
            yield key, shown(key, value), self.origins.get(key, "default")
        for name in SECRET_NAMES:
            secret = self.secrets.get(name)
            yield name, "****" if secret else "", secret.origin if secret else "not set"


def load_config(path: Path | None = None, environ: Mapping[str, str] | None = None) -> Config:
    """Read the configuration.

    `path` wins over `BILLING_CONFIG`, which wins over `config.toml` in the working directory; with
    none of the three the defaults apply. Raises `ConfigError` with one message for each fault.
    """
    environ = os.environ if environ is None else environ
    chosen = _choose(path, environ)
    faults: list[str] = []
    values: dict[str, dict[str, Any]] = {}
    origins: dict[str, Origin] = {}
    if chosen is not None:
        _take_file(chosen, values, origins)
    _take_environment(environ, values, origins, faults)
    secrets, secret_faults = read_secrets(environ)
    faults += secret_faults
    settings, wrong = _validate(values, origins, faults)
    wrong |= {fault.partition(":")[0] for fault in secret_faults}
    faults += [fault for fault in _cross_check(settings, secrets) if fault.partition(":")[0] not in wrong]
    directory = chosen.absolute().parent if chosen else Path.cwd()
    config = Config(settings, secrets, origins, chosen, directory)
    try:
        config.logo()
    except ConfigError as error:
        faults += error.faults
    if faults:
        raise ConfigError(faults)
    return config


def _choose(path: Path | None, environ: Mapping[str, str]) -> Path | None:
    if path is None and environ.get("BILLING_CONFIG"):
        path = Path(environ["BILLING_CONFIG"])
    if path is None:
        default = Path("config.toml")
        return default if default.exists() else None
    return path


def _take_file(path: Path, values: dict[str, dict[str, Any]], origins: dict[str, Origin]) -> None:
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(
            [f"{path}: can't be read: {error.strerror}; give another file with --config"]
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError([f"{path}: not valid TOML: {error}"]) from error
    for section, table in document.items():
        if not isinstance(table, dict):
            values.setdefault(section, {})[""] = table
            continue
        for key, value in table.items():
            values.setdefault(section, {})[key] = value
            origins[f"{section}.{key}"] = str(path)


def _take_environment(
    environ: Mapping[str, str],
    values: dict[str, dict[str, Any]],
    origins: dict[str, Origin],
    faults: list[str],
) -> None:
    keys = _all_keys()
    for name, text in environ.items():
        if not concerns_us(name, text):
            continue
        section, _, key = name.removeprefix(PREFIX).lower().partition("__")
        path = f"{section}.{key}"
        if path not in keys or name != variable_of(path):
            faults.append(unknown_variable(name, keys))
            continue
        values.setdefault(section, {})[key] = _from_text(section, key, text)
        origins[path] = f"environment {name}"


def _from_text(section: str, key: str, text: str) -> object:
    """The text of an environment variable as the TOML value it stands for; strings stay as they are."""
    default = getattr(Settings.model_fields[section].default, key)
    if isinstance(default, str):
        return text
    if isinstance(default, list) and not text.lstrip().startswith("["):
        text = f"[{text}]"
    try:
        return tomllib.loads(f"v = {text}")["v"]
    except tomllib.TOMLDecodeError:
        return text


def _validate(
    values: dict[str, dict[str, Any]], origins: Mapping[str, Origin], faults: list[str]
) -> tuple[Settings, set[str]]:
    """The settings, and the keys of wrong values: their defaults are used in further checks."""
    try:
        return Settings.model_validate(values), set()
    except ValidationError as error:
        wrong = set()
        for fault in error.errors():
            section, key = str(fault["loc"][0]), ".".join(str(part) for part in fault["loc"][1:2])
            place = f"{section}.{key}" if key else section
            origin = origins.get(place)
            where = f"{place} ({origin})" if origin and origin.startswith("env") else place
            faults.append(f"{where}: {_explain(place, fault)}")
            wrong.add(place)
        right = {
            section: {key: value for key, value in table.items() if f"{section}.{key}" not in wrong and key}
            for section, table in values.items()
            if section not in wrong or section in Settings.model_fields
        }
        return Settings.model_validate(right), wrong


def _explain(place: str, fault: Any) -> str:
    given = without_secrets(fault["input"])
    if place in Settings.model_fields:
        return f"{given!r}: this is a section; write [{place}] on a line of its own and its keys below it"
    if place in REPLACED:
        return f"there is no such setting any more: {REPLACED[place]}"
    if fault["type"] == "extra_forbidden":
        return f"there is no such setting{_nearest(place)}"
    if fault["type"] == "value_error":
        return f"{given!r}: {fault['ctx']['error']}"
    return f"{given!r}: {fault['msg'][0].lower()}{fault['msg'][1:]}"


def _nearest(path: str) -> str:
    keys = _all_keys()
    if "." not in path:
        keys = list(Settings.model_fields)
    elif path.split(".")[0] in Settings.model_fields:
        same = [key for key in keys if key.startswith(path.split(".")[0] + ".")]
        keys = difflib.get_close_matches(path, same, 1, 0.5) or keys
    close = difflib.get_close_matches(path, keys, 1, 0.5)
    return f"; did you mean {close[0]}?" if close else ""


def _all_keys() -> list[str]:
    return [
        f"{section}.{key}"
        for section, field in Settings.model_fields.items()
        if isinstance(field.default, Section)
        for key in type(field.default).model_fields
    ]


def _cross_check(settings: Settings, secrets: Mapping[str, Secret]) -> list[str]:
    """Faults that appear only when several values are checked together."""
    faults = []
    mileston, mail = settings.mileston, settings.mail
    urls = {
        f"mileston.{name}": getattr(mileston, name)
        for name in ("recurring_payment_url", "payment_link_url", "invoice_url", "checkout_url")
    }
    if mileston.environment == "live":
        for key, url in urls.items():
            if url.startswith("http://"):
                faults.append(f"{key}: {url!r}: the live environment needs https://")
        quiet = settings.reconcile.quiet_seconds
        if quiet < LEAST_LIVE_QUIET_SECONDS:
            faults.append(
                f"reconcile.quiet_seconds: {quiet:g}: the live environment needs "
                f"{LEAST_LIVE_QUIET_SECONDS} to 86400 seconds"
            )
    remote = any(url and not is_loopback(urlsplit(url).hostname or "") for url in urls.values())
    if mileston.environment == "live" or remote:
        for name in ("MILESTON_API_KEY", "MILESTON_BUSINESS_ID"):
            if name not in secrets:
                faults.append(
                    f"{name}: the secret is missing; set it in the environment, name its file in "
                    f"{name}_FILE, or pass it as a systemd credential"
                )
    if mail.receipt_pdf and find_spec("typst") is None:
        faults.append(
            "mail.receipt_pdf: true: it needs typst, which is not installed: "
            "pip install 'recurring-billing[pdf]'"
        )
    if mail.transport == "smtp":
        faults += _check_smtp(settings, secrets)
    return faults


def _check_smtp(settings: Settings, secrets: Mapping[str, Secret]) -> list[str]:
    mail = settings.mail
    faults = []
    if not mail.smtp_host:
        faults.append("mail.smtp_host: '': the smtp transport needs the mail server's host name")
    elif mail.smtp_tls == "none" and not is_loopback(mail.smtp_host):
        faults.append(
            f"mail.smtp_tls: 'none': {mail.smtp_host} is not this machine; use 'starttls' or 'implicit'"
        )
    if not mail.from_address:
        faults.append("mail.from_address: '': the smtp transport needs a sender's address")
    if mail.smtp_username and "BILLING_SMTP_PASSWORD" not in secrets:
        faults.append(
            "BILLING_SMTP_PASSWORD: the secret is missing, and mail.smtp_username is set; set it in the "
            "environment or name its file in BILLING_SMTP_PASSWORD_FILE"
        )
    return faults
