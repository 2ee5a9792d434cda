"""Where each value comes from, that every key has its ways in, and what is shown of it."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.config import Config, Settings, load_config
from billing.errors import ConfigError

Load = Callable[..., Config]
SECRETS = {"MILESTON_API_KEY": "key-1", "MILESTON_BUSINESS_ID": "biz-1"}
KEYS = {
    f"{section}.{key}": field
    for section, part in Settings.model_fields.items()
    for key, field in type(part.default).model_fields.items()
}


def env_name(key: str) -> str:
    return "BILLING_" + key.upper().replace(".", "__")


# -- where values come from ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("business.name", "Müller & Söhne", "Müller & Söhne"),
        ("business.name", "42", "42"),  # text stays text
        ("business.name", "true", "true"),
        ("mileston.environment", "sandbox", "sandbox"),
        ("cycle.concurrency", "8", 8),
        ("mileston.timeout_seconds", "2.5", 2.5),
        ("mileston.timeout_seconds", "2", 2.0),
        ("mail.calendar_attachment", "true", True),
        ("mail.calendar_attachment", "false", False),
        ("mail.receipt_pdf", "true", True),
        ("reminders.days_before", "[5, 2]", [2, 5]),
        ("reminders.days_before", "5, 2", [2, 5]),
        ("reminders.days_before", "5", [5]),
        ("reminders.days_before", "", []),
        ("dunning.days_after", "[]", []),
        ("cycle.max_amount_per_run", "250.50", 250_500_000),
        ("cycle.max_amount_per_run", '"250.50"', 250_500_000),
        ("cycle.max_amount_per_run", "250", 250_000_000),
        ("cycle.max_amount_per_run", "999999999.999999", 999_999_999_999_999),
        ("mail.outbox_dir", "/srv/out", "/srv/out"),
        ("database.url", "postgresql://me@db/billing", "postgresql://me@db/billing"),
    ],
)
def test_the_environment_overrides_the_file(load: Load, key: str, text: str, value: object) -> None:
    section, name = key.split(".")
    config = load("cycle.concurrency = 99", {env_name(key): text})
    assert getattr(getattr(config.settings, section), name) == value
    assert config.origins[key] == f"environment {env_name(key)}"


def sample_for(key: str) -> object:
    """A value that is allowed for a key and is not its default."""
    section, name = key.split(".")
    default = getattr(Settings.model_fields[section].default, name)
    field = KEYS[key]
    choices: Any = get_args(field.annotation) if get_origin(field.annotation) is Literal else None
    if choices:
        return next(choice for choice in choices if choice != default)
    if isinstance(default, bool):
        return not default
    if isinstance(default, int):
        return "12.34" if name == "max_amount_per_run" else default + 1
    if isinstance(default, float):
        return default / 2 + 0.125
    if isinstance(default, list):
        return ["One", "Two"] if name in ("address", "networks") else [2, 4]
    special = {
        "business.timezone": "Europe/Berlin",
        "schedule.cron": "5 * * * *",
        "watch.listen": "127.0.0.1:9464",
        "watch.textfile": "billing.prom",
        "business.support_address": "help@example.com",
        "business.operator_address": "op@example.com",
        "mail.from_address": "pay@example.com",
        "business.logo": str(Path(__file__).parents[2] / "docs" / "mail" / "edges.png"),
        "business.accent": "#0b6e4f",
    }
    return special.get(key, "https://127.0.0.1/x" if name.endswith("_url") else "something")


@pytest.mark.parametrize("key", KEYS)
def test_every_key_can_be_set_in_the_file_and_by_the_environment_alike(load: Load, key: str) -> None:
    section, name = key.split(".")
    sample = sample_for(key)
    text = sample if isinstance(sample, str) else json.dumps(sample)
    needed = SECRETS | {env_name("mail.smtp_host"): "mail.example.com", "BILLING_SMTP_PASSWORD": "pass-1"}
    needed.pop(env_name(key), None)
    from_file = load(f"[{section}]\n{name} = {json.dumps(sample)}", needed)
    from_environment = load("", needed | {env_name(key): text})
    value = getattr(getattr(from_file.settings, section), name)
    assert value != getattr(Settings.model_fields[section].default, name)
    assert getattr(getattr(from_environment.settings, section), name) == value
    assert from_file.origins[key].endswith("config.toml")
    assert from_environment.origins[key] == f"environment {env_name(key)}"
    changed = {row[0] for row in from_environment.rows() if row[2] != "default"}
    assert changed == {key, "mail.smtp_host", *SECRETS, "BILLING_SMTP_PASSWORD"}


def test_the_designs_keys_exist_with_their_defaults(load: Load) -> None:
    settings = load().settings
    assert settings.mileston.environment == "sandbox"
    assert settings.reminders.days_before == [7, 3, 1]
    assert settings.dunning.days_after == [1, 3, 7, 14]
    assert settings.cycle.catch_up_limit == 1
    assert settings.reconcile.when_absent == "resend"
    assert settings.reconcile.look_first_up_to == 20_000
    assert settings.mileston.namespace == ""
    assert settings.dunning.final_action == "pause"
    assert settings.mail.on_unknown == "hold"


def test_a_path_given_wins_over_billing_config_and_that_over_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("given", "named", "here"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.toml").write_text(f"business.name = '{name}'")
    monkeypatch.chdir(tmp_path / "here")
    environ = {"BILLING_CONFIG": str(tmp_path / "named" / "config.toml")}

    def name_in(path: Path | None, environ: dict[str, str]) -> str:
        return load_config(path, environ).settings.business.name

    assert name_in(tmp_path / "given" / "config.toml", environ) == "given"
    assert name_in(None, environ) == "named"
    assert name_in(None, {}) == "here"
    monkeypatch.chdir(tmp_path)
    assert name_in(None, {}) == "Example Business"


@pytest.mark.parametrize(
    "environ",
    [
        {"BILLING_CONFIG": "x", "BILLING_CRASH_AT": "plan.committed", "BILLING_SMTP_PASSWORD": "p"},
        {"BILLING_SMTP_PASSWORD_FILE": os.devnull, "BILLING_SMTP_PASSWORD": "p"},
        {"_BILLING_COMPLETE": "bash_source", "BILLINGS": "x", "MY_BILLING_DATABASE_URL": "x"},
        {"BILLING_SERVICE_HOST": "10.0.0.1", "BILLING_SERVICE_PORT_HTTP": "80", "BILLING_SERVICE_PORT": "80"},
        {"BILLING_PORT": "tcp://10.0.0.1:80", "BILLING_API_PORT": "tcp://10.0.0.1:80"},
        {"BILLING_PORT_80_TCP": "tcp://10.0.0.1:80", "BILLING_PORT_80_TCP_ADDR": "10.0.0.1"},
    ],
    ids=["own", "secrets", "others", "service", "link", "port"],
)
def test_variables_that_are_no_settings(load: Load, environ: dict[str, str]) -> None:
    assert load("", environ).origins == {}


def test_relative_paths_are_relative_to_the_config_file(load: Load, tmp_path: Path) -> None:
    config = load("database.url = 'sqlite:///data/b.db'\nmail.outbox_dir = 'out'")
    assert config.database_url == f"sqlite:///{tmp_path}/data/b.db"
    assert config.resolve(config.settings.mail.outbox_dir) == tmp_path / "out"
    assert config.resolve("/elsewhere") == Path("/elsewhere")
    assert config.resolve("~/x") == Path.home() / "x"


@pytest.mark.parametrize(
    "url", ["sqlite:////abs/b.db", "sqlite:///:memory:", "sqlite://", "postgresql://me@db/billing"]
)
def test_an_absolute_database_is_left_alone(load: Load, url: str) -> None:
    assert load(f"database.url = '{url}'").database_url == url


def test_without_a_file_paths_are_relative_to_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_config(None, {}).database_url == f"sqlite:///{os.getcwd()}/var/billing.db"


# -- what is shown ------------------------------------------------------------------------------------


def test_rows_name_every_key_with_its_value_and_its_origin(load: Load) -> None:
    config = load("cycle.concurrency = 7", {"BILLING_MAIL__CONCURRENCY": "3", **SECRETS})
    rows = {key: (value, origin) for key, value, origin in config.rows()}
    assert set(rows) == {*KEYS, "MILESTON_API_KEY", "MILESTON_BUSINESS_ID", "BILLING_SMTP_PASSWORD"}
    assert rows["cycle.concurrency"] == (7, str(config.path))
    assert rows["mail.concurrency"] == (3, "environment BILLING_MAIL__CONCURRENCY")
    assert rows["cycle.catch_up_limit"] == (1, "default")
    assert rows["cycle.max_amount_per_run"] == ("10000000.00", "default")
    assert rows["MILESTON_API_KEY"] == ("****", "environment MILESTON_API_KEY")
    assert rows["BILLING_SMTP_PASSWORD"] == ("", "not set")


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:hunter2@db/billing",
        "postgresql://me:p%40hunter2@db/billing",
        "postgresql://me:x@hunter2@db/billing",
        "postgresql+psycopg://:hunter2@db/billing",
        "postgresql://db/billing?user=me&password=hunter2",
        "postgresql://db/billing?PASSWORD=hunter2&x=1",
    ],
)
def test_the_databases_password_is_shown_nowhere(load: Load, url: str) -> None:
    config = load(f"database.url = '{url}'", SECRETS)
    shown = [str(value) for _, value, _ in config.rows()]
    assert not [value for value in shown if "hunter2" in value]
    assert any("billing" in value and "****" in value for value in shown)
    assert "hunter2" not in repr(config)
    assert "hunter2" not in str(config.settings)
    assert config.database_url == url


def test_secrets_are_in_no_representation(load: Load) -> None:
    config = load("", {**SECRETS, "BILLING_SMTP_PASSWORD": "pass-1"})
    text = repr(config) + str(config) + str(list(config.rows())) + repr(dict(config.secrets))
    assert not [value for value in ("key-1", "biz-1", "pass-1") if value in text]


keys = st.one_of(st.sampled_from(sorted(KEYS)), st.text("abcdefghijklmnop._", min_size=1, max_size=20))
values = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=30),
    st.integers().map(str),
    st.floats().map(str),
    st.sampled_from(
        ["true", "[]", "[1, 'a']", "{a = 1}", "http://x@y", "1979-05-27", "'''", "0x", "5 # five"]
    ),
)


@given(st.dictionaries(keys.map(env_name), values, max_size=6))
def test_any_environment_is_a_configuration_or_a_list_of_faults(environ: dict[str, str]) -> None:
    said: list[object] = []
    try:
        said += load_config(Path(os.devnull), environ).rows()
    except ConfigError as refused:
        said += refused.faults
    assert said
    assert all(said)


@pytest.mark.parametrize("name", ["", "mail", "mail.example.com", "[192.0.2.1]", "[IPv6:2001:db8::1]"])
def test_the_name_in_ehlo_is_a_host_name_or_an_address_literal(load: Load, name: str) -> None:
    assert load(f"mail.helo_name = '{name}'").settings.mail.helo_name == name
