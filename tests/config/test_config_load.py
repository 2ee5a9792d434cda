"""Reading the configuration: every fault is named, all at once, and every key has its ways in."""

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
LIVE = {"BILLING_MILESTON__ENVIRONMENT": "live", **SECRETS}
KEYS = {
    f"{section}.{key}": field
    for section, part in Settings.model_fields.items()
    for key, field in type(part.default).model_fields.items()
}


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Loads a config.toml with this text in a directory of its own."""

    def call(text: str = "", environ: dict[str, str] | None = None) -> Config:
        path = tmp_path / "config.toml"
        path.write_text(text, encoding="utf-8")
        return load_config(path, environ or {})

    return call


@pytest.fixture
def faults(load: Load) -> Callable[..., tuple[str, ...]]:
    """The faults that loading names."""

    def call(text: str = "", environ: dict[str, str] | None = None) -> tuple[str, ...]:
        with pytest.raises(ConfigError) as refused:
            load(text, environ)
        assert refused.value.exit_code == 78
        assert str(refused.value) == "\n".join(refused.value.faults)
        return refused.value.faults

    return call


def env_name(key: str) -> str:
    return "BILLING_" + key.upper().replace(".", "__")


# -- faults -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("cycle.concurrency = 'four'", "cycle.concurrency: 'four': input should be a valid integer"),
        ("cycle.concurrency = 1.5", "cycle.concurrency: 1.5: input should be a valid integer"),
        ("cycle.concurrency = true", "cycle.concurrency: True: input should be a valid integer"),
        ("cycle.concurrency = 0", "cycle.concurrency: 0: input should be greater than or equal to 1"),
        ("cycle.concurrency = 2020-01-01", "cycle.concurrency: datetime.date(2020, 1, 1): input should be"),
        ("cycle.max_unknown_share = 1.01", "cycle.max_unknown_share: 1.01: input should be less than or equal"),
        ("cycle.max_unknown_share = nan", "cycle.max_unknown_share: nan: input should be"),
        ("mileston.timeout_seconds = inf", "mileston.timeout_seconds: inf: input should be"),
        ("mileston.environment = 'prod'", "mileston.environment: 'prod': input should be 'sandbox' or 'live'"),
        ("business.name = 5", "business.name: 5: input should be a valid string"),
        ("business.name = ''", "business.name: '': string should have at least 1 character"),
        ("business.name = \"a\\nb\"", "business.name: 'a\\nb': must be one line without control characters"),
        ("business.timezone = 'Europe/Berln'", "business.timezone: 'Europe/Berln': not a time zone"),
        ("business.timezone = '../../etc/passwd'", "business.timezone: '../../etc/passwd': not a time zone"),
        ("mail.calendar_attachment = 'yes'", "mail.calendar_attachment: 'yes': input should be a valid bool"),
        ("mail.from_address = 'nobody'", "mail.from_address: 'nobody': not an e-mail address"),
        ("reminders.days_before = 7", "reminders.days_before: 7: input should be a valid list"),
        ("reminders.days_before = ['7']", "reminders.days_before: '7': input should be a valid integer"),
        ("reminders.days_before = [0]", "reminders.days_before: [0]: whole numbers of days from 1 to 3660"),
        ("dunning.days_after = [true]", "dunning.days_after: True: input should be a valid integer"),
        ("cycle.max_amount_per_run = '1e9'", "cycle.max_amount_per_run: '1e9': '1e9' is not an amount"),
        ("cycle.max_amount_per_run = -5", "cycle.max_amount_per_run: -5: '-5' is not an amount"),
        ("cycle.max_amount_per_run = true", "cycle.max_amount_per_run: True: write an amount in USDC"),
        ("database.url = ''", "database.url: '': string should have at least 1 character"),
        ("cycle = 5", "cycle: 5: this is a section; write [cycle] and its keys below"),
        ("[[cycle]]\nconcurrency = 1", "cycle: [{'concurrency': 1}]: this is a section; write [cycle]"),
    ],
)
def test_a_wrong_value_is_named_with_its_path_and_what_is_allowed(
    faults: Callable[..., tuple[str, ...]], text: str, fault: str
) -> None:
    named = faults(text)
    assert len(named) == 1
    assert named[0].startswith(fault)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("cycle.concurency = 4", "cycle.concurency: there is no such setting; did you mean cycle.concurrency?"),
        ("[cycel]\nx = 4", "cycel: there is no such setting; did you mean cycle?"),
        ("cycel = 4", "cycel: there is no such setting; did you mean cycle?"),
        ("mail.host = 'x'", "mail.host: there is no such setting; did you mean mail.smtp_host?"),
        ("zebra.stripes = 4", "zebra: there is no such setting"),
        ("mail.zebra = 4", "mail.zebra: there is no such setting"),
        ("cycle.concurrency_limits.x = 4", "cycle.concurrency_limits: there is no such setting; did you mean"),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest_right_one(
    faults: Callable[..., tuple[str, ...]], text: str, fault: str
) -> None:
    named = faults(text)
    assert len(named) == 1
    assert named[0].startswith(fault)


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("BILLING_CYCLE__CONCURENCY", "; did you mean cycle.concurrency?"),
        ("BILLING_CYCEL__CONCURRENCY", "; did you mean cycle.concurrency?"),
        ("BILLING_ZEBRA__STRIPES", ""),
        ("BILLING_MAIL__SMTP__HOST", "; did you mean mail.smtp_host?"),
    ],
)
def test_an_unknown_key_in_the_environment_is_refused_by_the_variables_name(
    faults: Callable[..., tuple[str, ...]], name: str, fault: str
) -> None:
    assert faults("", {name: "4"}) == (f"{name}: there is no such setting{fault}",)


def test_a_wrong_value_from_the_environment_is_named_with_its_variable(
    faults: Callable[..., tuple[str, ...]],
) -> None:
    (fault,) = faults("cycle.concurrency = 4", {"BILLING_CYCLE__CONCURRENCY": "many"})
    assert fault.startswith("cycle.concurrency (environment BILLING_CYCLE__CONCURRENCY): 'many': input should")


def test_all_faults_are_named_at_once(faults: Callable[..., tuple[str, ...]]) -> None:
    text = """
        [cycle]
        concurrency = 0
        concurency = 4
        max_unknown_share = "half"
        [mileston]
        environment = "live"
        recurring_payment_url = "http://127.0.0.1:1/recurring-payment"
        invoice_url = "ftp://example.com"
        [mail]
        transport = "smtp"
        [zebra]
        stripes = 4
    """
    named = faults(text, {"BILLING_CYCEL__X": "1", "MILESTON_API_KEY": "two\nlines"})
    begins = sorted(fault.partition(":")[0] for fault in named)
    assert begins == sorted(
        ["cycle.concurrency", "cycle.concurency", "cycle.max_unknown_share", "mileston.invoice_url", "zebra"]
        + ["BILLING_CYCEL__X", "MILESTON_API_KEY", "MILESTON_BUSINESS_ID"]
        + ["mileston.recurring_payment_url", "mail.smtp_host"]
    )


def test_what_follows_from_a_wrong_value_is_not_a_second_fault(
    faults: Callable[..., tuple[str, ...]],
) -> None:
    assert len(faults("mail.transport = 'smtp'\nmail.smtp_host = 5")) == 1
    assert len(faults("mileston.environment = 'prod'\nmileston.invoice_url = 'http://127.0.0.1'")) == 1


@pytest.mark.parametrize("text", ["cycle", "= 1", "[cycle", "cycle.concurrency = ", "a = 1\na = 2", "\x00"])
def test_a_file_that_is_no_toml_is_refused(faults: Callable[..., tuple[str, ...]], text: str) -> None:
    (fault,) = faults(text)
    assert "config.toml: not valid TOML: " in fault


def test_a_file_that_is_no_utf8_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_bytes(b"business.name = 'M\xfcller'")
    with pytest.raises(ConfigError, match="not valid TOML"):
        load_config(tmp_path / "config.toml", {})


@pytest.mark.parametrize("name", ["missing.toml", "."])
def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="can't be read: .*; name another with --config") as refused:
        load_config(tmp_path / name, {})
    assert refused.value.exit_code == 78


# -- URLs ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:8788/recurring-payment", "http://localhost/x", "http://[::1]:8788/x", "http://127.9.9.9"]
    + ["https://recurring.example.com/x", "https://127.0.0.1:1", "HTTPS://example.com", ""],
)
def test_an_address_is_accepted_in_the_sandbox(load: Load, url: str) -> None:
    config = load(f"mileston.recurring_payment_url = '{url}'", SECRETS)
    assert config.settings.mileston.recurring_payment_url == url


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://example.com", "http:// is accepted for loopback addresses alone"),
        ("http://10.0.0.1", "http:// is accepted for loopback addresses alone"),
        ("http://localhost.example.com", "http:// is accepted for loopback addresses alone"),
        ("http://0x7f.1", "http:// is accepted for loopback addresses alone"),
        ("http://0.0.0.0", "http:// is accepted for loopback addresses alone"),
        ("ftp://example.com", "write an absolute URL that starts with https://"),
        ("file:///etc/passwd", "write an absolute URL that starts with https://"),
        ("example.com/x", "write an absolute URL that starts with https://"),
        ("https://", "write an absolute URL that starts with https://"),
        ("https:example.com", "write an absolute URL that starts with https://"),
        ("https://example.com:port", "not a URL"),
        ("https://example.com:99999", "not a URL"),
        ("https://[::1", "not a URL"),
        ("https://example.com?limit=1", "a base URL has no query and no fragment"),
        ("https://example.com#top", "a base URL has no query and no fragment"),
        ("https://user@example.com", "a URL must not hold a user name or password"),
        ("https://exam\\nple.com", "must be one line without control characters"),
        ("https://example.com/\\r\\nX-Evil: 1", "must be one line without control characters"),
    ],
)
@pytest.mark.parametrize("key", ["mileston.recurring_payment_url", "business.cancel_url", "watch.ping_url"])
def test_an_address_that_is_not_safe_is_refused(
    faults: Callable[..., tuple[str, ...]], key: str, url: str, reason: str
) -> None:
    (fault,) = faults(f'{key} = "{url}"', SECRETS)
    assert fault.startswith(f"{key}: ")
    assert reason in fault


@pytest.mark.parametrize("key", ["recurring_payment_url", "payment_link_url", "invoice_url", "checkout_url"])
def test_the_live_environment_refuses_http_even_to_this_machine(
    faults: Callable[..., tuple[str, ...]], key: str
) -> None:
    (fault,) = faults(f"mileston.{key} = 'http://127.0.0.1:8788'", LIVE)
    assert fault == f"mileston.{key}: 'http://127.0.0.1:8788': the live environment needs https://"


@pytest.mark.parametrize(
    "userinfo",
    ["user:hunter2-secret", "user:p@hunter2-secret", "user:a/hunter2-secret", "user:a?hunter2-secret"]
    + ["user:a#hunter2-secret", "user:a:hunter2-secret", "hunter2-secret", "user:%40hunter2-secret"]
    + ["user:[hunter2-secret", "user: hunter2-secret", "user:hunter2-secret\\n"],
)
@pytest.mark.parametrize("way", ["file", "environment"])
def test_a_password_in_an_address_is_refused_and_never_repeated(
    faults: Callable[..., tuple[str, ...]], way: str, userinfo: str
) -> None:
    url = f"https://{userinfo}@api.example.com/x"
    if way == "file":
        named = faults(f'mileston.recurring_payment_url = "{url}"', SECRETS)
    else:
        named = faults("", {"BILLING_MILESTON__RECURRING_PAYMENT_URL": url, **SECRETS})
    assert len(named) == 1
    assert "secret" not in named[0]
    assert "mileston.recurring_payment_url" in named[0]


def test_a_key_in_an_address_query_is_never_repeated(faults: Callable[..., tuple[str, ...]]) -> None:
    (fault,) = faults("mileston.invoice_url = 'https://api.example.com/x?apikey=hunter2-secret'")
    assert "secret" not in fault


# -- secrets and what needs them ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    ["mileston.environment = 'live'", "mileston.recurring_payment_url = 'https://api.example.com'"]
    + ["mileston.checkout_url = 'https://pay.example.com'"],
)
def test_whoever_talks_to_another_machine_needs_the_secrets(
    faults: Callable[..., tuple[str, ...]], load: Load, text: str
) -> None:
    named = faults(text)
    assert [fault.partition(":")[0] for fault in named] == ["MILESTON_API_KEY", "MILESTON_BUSINESS_ID"]
    assert all("the secret is missing; set it in the environment" in fault for fault in named)
    assert load(text, SECRETS).secrets["MILESTON_API_KEY"].reveal() == "key-1"


def test_the_local_sandbox_needs_no_secret(load: Load) -> None:
    assert load("mileston.recurring_payment_url = 'http://127.0.0.1:1/x'").secrets == {}
    assert load().secrets == {}


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("mail.transport = 'smtp'", "mail.smtp_host"),
        ("mail.transport = 'smtp'\nmail.smtp_host = 'mx.example.com'\nmail.smtp_tls = 'none'", "mail.smtp_tls"),
        ("mail.transport = 'smtp'\nmail.smtp_host = 'localhost'\nmail.from_address = ''", "mail.from_address"),
        ("mail.transport = 'smtp'\nmail.smtp_host = 'mx'\nmail.smtp_username = 'me'", "BILLING_SMTP_PASSWORD"),
    ],
)
def test_smtp_needs_a_host_a_sender_encryption_and_its_password(
    faults: Callable[..., tuple[str, ...]], text: str, key: str
) -> None:
    (fault,) = faults(text)
    assert fault.startswith(f"{key}:")


def test_a_mail_server_on_this_machine_needs_no_encryption(load: Load) -> None:
    text = "mail.transport = 'smtp'\nmail.smtp_host = '127.0.0.1'\nmail.smtp_tls = 'none'"
    assert load(text).settings.mail.smtp_tls == "none"


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
        ("reminders.days_before", "[5, 2]", [2, 5]),
        ("reminders.days_before", "5, 2", [2, 5]),
        ("reminders.days_before", "5", [5]),
        ("reminders.days_before", "", []),
        ("dunning.days_after", "[]", []),
        ("cycle.max_amount_per_run", "250.50", 250_500_000),
        ("cycle.max_amount_per_run", '"250.50"', 250_500_000),
        ("cycle.max_amount_per_run", "250", 250_000_000),
        ("cycle.max_amount_per_run", "999999999.999999", 999_999_999_999_999),
        ("mail.outbox_dir", "/tmp/out", "/tmp/out"),
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
        return [2, 4]
    special = {
        "business.timezone": "Europe/Berlin",
        "schedule.cron": "5 * * * *",
        "watch.listen": "127.0.0.1:9464",
        "watch.textfile": "billing.prom",
        "business.support_address": "help@example.com",
        "business.operator_address": "op@example.com",
        "mail.from_address": "pay@example.com",
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

    def name(path: Path | None, environ: dict[str, str]) -> str:
        return load_config(path, environ).settings.business.name

    assert name(tmp_path / "given" / "config.toml", environ) == "given"
    assert name(None, environ) == "named"
    assert name(None, {}) == "here"
    monkeypatch.chdir(tmp_path)
    assert name(None, {}) == "Example Business"


def test_other_variables_of_the_program_are_no_settings(load: Load) -> None:
    environ = {"BILLING_CONFIG": "x", "BILLING_CRASH_AT": "plan.committed", "BILLING_SMTP_PASSWORD": "p"}
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
    ["postgresql://me:hunter2@db/billing", "postgresql://me:p%40hunter2@db/billing"]
    + ["postgresql://me:x@hunter2@db/billing", "postgresql+psycopg://:hunter2@db/billing"]
    + ["postgresql://db/billing?user=me&password=hunter2", "postgresql://db/billing?PASSWORD=hunter2&x=1"],
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
    st.sampled_from(["true", "[]", "[1, 'a']", "{a = 1}", "http://x@y", "1979-05-27", "'''", "0x", "5 # five"]),
)


@given(st.dictionaries(keys.map(env_name), values, max_size=6))
def test_any_environment_is_a_configuration_or_a_list_of_faults(environ: dict[str, str]) -> None:
    try:
        config = load_config(Path(os.devnull), environ)
    except ConfigError as refused:
        assert refused.faults
        assert all(refused.faults)
    else:
        assert len(list(config.rows())) == len(KEYS) + 3
