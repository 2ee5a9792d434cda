"""A configuration that is wrong: every fault is named, with its place and what is allowed, all at once."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from billing.config import Config, load_config
from billing.errors import ConfigError

Load = Callable[..., Config]
Faults = Callable[..., tuple[str, ...]]
SECRETS = {"MILESTON_API_KEY": "key-1", "MILESTON_BUSINESS_ID": "biz-1"}
LIVE = {"BILLING_MILESTON__ENVIRONMENT": "live", **SECRETS}


# -- faults -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("cycle.concurrency = 'four'", "cycle.concurrency: 'four': input should be a valid integer"),
        ("cycle.concurrency = 1.5", "cycle.concurrency: 1.5: input should be a valid integer"),
        ("cycle.concurrency = true", "cycle.concurrency: True: input should be a valid integer"),
        ("cycle.concurrency = 0", "cycle.concurrency: 0: input should be greater than or equal to 1"),
        ("cycle.concurrency = 2020-01-01", "cycle.concurrency: datetime.date(2020, 1, 1): input should be"),
        (
            "cycle.max_unknown_share = 1.01",
            "cycle.max_unknown_share: 1.01: input should be less than or equal",
        ),
        ("cycle.max_unknown_share = nan", "cycle.max_unknown_share: nan: input should be"),
        ("mileston.timeout_seconds = inf", "mileston.timeout_seconds: inf: input should be"),
        (
            "mileston.environment = 'prod'",
            "mileston.environment: 'prod': input should be 'sandbox' or 'live'",
        ),
        ("business.name = 5", "business.name: 5: input should be a valid string"),
        ("business.name = ''", "business.name: '': string should have at least 1 character"),
        ('business.name = "a\\nb"', "business.name: 'a\\nb': must be one line without control characters"),
        ("business.timezone = 'Europe/Berln'", "business.timezone: 'Europe/Berln': not a time zone"),
        ("business.timezone = '../../etc/passwd'", "business.timezone: '../../etc/passwd': not a time zone"),
        ("mail.calendar_attachment = 'yes'", "mail.calendar_attachment: 'yes': input should be a valid bool"),
        ("mail.from_address = 'nobody'", "mail.from_address: 'nobody': not an e-mail address"),
        (
            "mail.helo_name = 'my mail'",
            "mail.helo_name: 'my mail': write a host name, such as 'mail.example.com'",
        ),
        ("mail.helo_name = '192.0.2.1'", "mail.helo_name: '192.0.2.1': write a host name"),
        ("mail.helo_name = '[192.0.2.300]'", "mail.helo_name: '[192.0.2.300]': write a host name"),
        ("mail.helo_name = '[2001:db8::1]'", "mail.helo_name: '[2001:db8::1]': write a host name"),
        ("mail.helo_name = 'b\u00fccher.example'", "mail.helo_name: 'b"),
        ("mail.helo_name = 'a..example'", "mail.helo_name: 'a..example': write a host name"),
        ("reminders.days_before = 7", "reminders.days_before: 7: input should be a valid list"),
        ("reminders.days_before = ['7']", "reminders.days_before: '7': input should be a valid integer"),
        ("reminders.days_before = [0]", "reminders.days_before: [0]: whole numbers of days from 1 to 3660"),
        ("dunning.days_after = [true]", "dunning.days_after: True: input should be a valid integer"),
        ("cycle.max_amount_per_run = '1e9'", "cycle.max_amount_per_run: '1e9': '1e9' is not an amount"),
        ("cycle.max_amount_per_run = -5", "cycle.max_amount_per_run: -5: '-5' is not an amount"),
        ("cycle.max_amount_per_run = true", "cycle.max_amount_per_run: True: write an amount in USDC"),
        ("database.url = ''", "database.url: '': string should have at least 1 character"),
        ("business.address = 'Here 1'", "business.address: 'Here 1': input should be a valid list"),
        ("business.address = ['Here 1', '']", "business.address: ['Here 1', '']: no line may be empty"),
        ('business.networks = ["a\\nb"]', "business.networks: ['a\\nb']: must be one line without control"),
        ("business.tax_rate = -1", "business.tax_rate: -1: input should be greater than or equal to 0"),
        ("business.tax_rate = '19'", "business.tax_rate: '19': input should be a valid number"),
        ("business.tax_rate = 8.1001", "business.tax_rate: 8.1001: a tax rate has at most three places"),
        ("business.accent = 'green'", "business.accent: 'green': write a colour as '#RRGGBB'"),
        (
            "business.accent = '#ffcc00'",
            "business.accent: '#ffcc00': the button's white text has a contrast of 1.5 on it, and readable "
            "text needs 4.5 (WCAG AA); the nearest shade that has it is '#8e7200'",
        ),
        (
            "cycle = 5",
            "cycle: 5: this is a section; write [cycle] on a line of its own and its keys below it",
        ),
        ("[[cycle]]\nconcurrency = 1", "cycle: [{'concurrency': 1}]: this is a section; write [cycle]"),
    ],
)
def test_a_wrong_value_is_named_with_its_path_and_what_is_allowed(
    faults: Faults, text: str, fault: str
) -> None:
    named = faults(text)
    assert len(named) == 1
    assert named[0].startswith(fault)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (
            "cycle.concurency = 4",
            "cycle.concurency: there is no such setting; did you mean cycle.concurrency?",
        ),
        ("[cycel]\nx = 4", "cycel: there is no such setting; did you mean cycle?"),
        ("cycel = 4", "cycel: there is no such setting; did you mean cycle?"),
        ("mail.host = 'x'", "mail.host: there is no such setting; did you mean mail.smtp_host?"),
        (
            "reconcile.page_cap = 4",
            "reconcile.page_cap: there is no such setting any more: it was replaced by reconcile.max_records",
        ),
        ("settle.max_gets_per_run = 4", "settle: there is no such setting any more: every open payment"),
        ("zebra.stripes = 4", "zebra: there is no such setting"),
        ("mail.zebra = 4", "mail.zebra: there is no such setting"),
        (
            "cycle.concurrency_limits.x = 4",
            "cycle.concurrency_limits: there is no such setting; did you mean",
        ),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest_right_one(faults: Faults, text: str, fault: str) -> None:
    named = faults(text)
    assert len(named) == 1
    assert named[0].startswith(fault)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("BILLING_DATABASE_URL", "BILLING_DATABASE__URL"),
        ("BILLING_DATABASE___URL", "BILLING_DATABASE__URL"),
        ("BILLING__DATABASE__URL", "BILLING_DATABASE__URL"),
        ("BILLING_DATABASEURL", "BILLING_DATABASE__URL"),
        ("billing_database__url", "BILLING_DATABASE__URL"),
        ("Billing_Database_Url", "BILLING_DATABASE__URL"),
        ("BILLING_database__url", "BILLING_DATABASE__URL"),
        ("BILLING_CYCLE__CONCURENCY", "BILLING_CYCLE__CONCURRENCY"),
        ("BILLING_CYCEL__CONCURRENCY", "BILLING_CYCLE__CONCURRENCY"),
        ("BILLING_QUIET_SECONDS", "BILLING_RECONCILE__QUIET_SECONDS"),
        ("BILLING_MAIL__SMTP__HOST", "BILLING_MAIL__SMTP_HOST"),
        ("BILLING_MAIL_SMTP_PORT", "BILLING_MAIL__SMTP_PORT"),
        ("BILLING_SMTP_PASSWD", "BILLING_SMTP_PASSWORD"),
        ("BILLING_SMTP__PASSWORD", "BILLING_SMTP_PASSWORD"),
        ("BILLING_MILESTON_API_KEY", "MILESTON_API_KEY"),
        ("BILLING_CONFIGS", "BILLING_CONFIG"),
        ("billing_config", "BILLING_CONFIG"),
    ],
)
def test_a_variable_that_is_nearly_a_setting_is_refused_with_the_right_one(
    faults: Faults, name: str, meant: str
) -> None:
    assert faults("", {name: "4"}) == (f"{name}: there is no such setting; did you mean {meant}?",)


@pytest.mark.parametrize("name", ["BILLING_ZEBRA__STRIPES", "BILLING_ZEBRA", "BILLING_", "BILLING_TOKEN"])
def test_an_unknown_variable_is_refused_without_its_value(faults: Faults, name: str) -> None:
    advice = "unset it, or look for the right name in config.toml"
    assert faults("", {name: "hunter2"}) == (f"{name}: there is no such setting; {advice}",)


def test_the_live_environment_needs_a_longer_quiet_time(faults: Faults, load: Load) -> None:
    (fault,) = faults("reconcile.quiet_seconds = 119.5", LIVE)
    assert fault == "reconcile.quiet_seconds: 119.5: the live environment needs 120 to 86400 seconds"
    assert load("reconcile.quiet_seconds = 120", LIVE).settings.reconcile.quiet_seconds == 120
    assert load("reconcile.quiet_seconds = 0").settings.reconcile.quiet_seconds == 0


@pytest.mark.parametrize("namespace", ["shop 2", "a/b", "é", "x" * 33, "shop\\n", "[x]"])
def test_a_namespace_is_short_and_plain(faults: Faults, namespace: str) -> None:
    (fault,) = faults(f'mileston.namespace = "{namespace}"')
    assert fault.startswith("mileston.namespace: ")
    assert "[A-Za-z0-9._-]{0,32}" in fault


def test_a_wrong_value_from_the_environment_is_named_with_its_variable(
    faults: Faults,
) -> None:
    (fault,) = faults("cycle.concurrency = 4", {"BILLING_CYCLE__CONCURRENCY": "many"})
    assert fault.startswith(
        "cycle.concurrency (environment BILLING_CYCLE__CONCURRENCY): 'many': input should"
    )


def test_all_faults_are_named_at_once(faults: Faults) -> None:
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
        [
            "cycle.concurrency",
            "cycle.concurency",
            "cycle.max_unknown_share",
            "mileston.invoice_url",
            "zebra",
            "BILLING_CYCEL__X",
            "MILESTON_API_KEY",
            "MILESTON_BUSINESS_ID",
            "mileston.recurring_payment_url",
            "mail.smtp_host",
        ]
    )


def test_what_follows_from_a_wrong_value_is_not_a_second_fault(
    faults: Faults,
) -> None:
    assert len(faults("mail.transport = 'smtp'\nmail.smtp_host = 5")) == 1
    assert len(faults("mileston.environment = 'prod'\nmileston.invoice_url = 'http://127.0.0.1'")) == 1


@pytest.mark.parametrize("text", ["cycle", "= 1", "[cycle", "cycle.concurrency = ", "a = 1\na = 2", "\x00"])
def test_a_file_that_is_no_toml_is_refused(faults: Faults, text: str) -> None:
    (fault,) = faults(text)
    assert "config.toml: not valid TOML: " in fault


def test_a_file_that_is_no_utf8_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_bytes(b"business.name = 'M\xfcller'")
    with pytest.raises(ConfigError, match="not valid TOML"):
        load_config(tmp_path / "config.toml", {})


@pytest.mark.parametrize("name", ["missing.toml", "."])
def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=r"can't be read: .*; give another file with --config") as refused:
        load_config(tmp_path / name, {})
    assert refused.value.exit_code == 78


# -- URLs ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8788/recurring-payment",
        "http://localhost/x",
        "http://[::1]:8788/x",
        "http://127.9.9.9",
        "https://recurring.example.com/x",
        "https://127.0.0.1:1",
        "HTTPS://example.com",
        "",
    ],
)
def test_an_address_is_accepted_in_the_sandbox(load: Load, url: str) -> None:
    config = load(f"mileston.recurring_payment_url = '{url}'", SECRETS)
    assert config.settings.mileston.recurring_payment_url == url


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://example.com", "http:// is accepted only for loopback addresses"),
        ("http://10.0.0.1", "http:// is accepted only for loopback addresses"),
        ("http://localhost.example.com", "http:// is accepted only for loopback addresses"),
        ("http://0x7f.1", "http:// is accepted only for loopback addresses"),
        ("http://0.0.0.0", "http:// is accepted only for loopback addresses"),
        ("ftp://example.com", "write an absolute URL that starts with https://"),
        ("file:///etc/passwd", "write an absolute URL that starts with https://"),
        ("example.com/x", "write an absolute URL that starts with https://"),
        ("https://", "write an absolute URL that starts with https://"),
        ("https:example.com", "write an absolute URL that starts with https://"),
        ("https://example.com:port", "not a URL"),
        ("https://example.com:99999", "not a URL"),
        ("https://[::1", "not a URL"),
        ("https://example.com?limit=1", "a base URL must have no query and no fragment"),
        ("https://example.com#top", "a base URL must have no query and no fragment"),
        ("https://user@example.com", "a URL must not contain a user name or password"),
        ("https://exam\\nple.com", "must be one line without control characters"),
        ("https://example.com/\\r\\nX-Evil: 1", "must be one line without control characters"),
    ],
)
@pytest.mark.parametrize("key", ["mileston.recurring_payment_url", "business.cancel_url", "watch.ping_url"])
def test_an_address_that_is_not_safe_is_refused(faults: Faults, key: str, url: str, reason: str) -> None:
    (fault,) = faults(f'{key} = "{url}"', SECRETS)
    assert fault.startswith(f"{key}: ")
    assert reason in fault


@pytest.mark.parametrize("key", ["recurring_payment_url", "payment_link_url", "invoice_url", "checkout_url"])
def test_the_live_environment_refuses_http_even_to_this_machine(faults: Faults, key: str) -> None:
    (fault,) = faults(f"mileston.{key} = 'http://127.0.0.1:8788'", LIVE)
    assert fault == f"mileston.{key}: 'http://127.0.0.1:8788': the live environment needs https://"


@pytest.mark.parametrize(
    "userinfo",
    [
        "user:hunter2-secret",
        "user:p@hunter2-secret",
        "user:a/hunter2-secret",
        "user:a?hunter2-secret",
        "user:a#hunter2-secret",
        "user:a:hunter2-secret",
        "hunter2-secret",
        "user:%40hunter2-secret",
        "user:[hunter2-secret",
        "user: hunter2-secret",
        "user:hunter2-secret\\n",
    ],
)
@pytest.mark.parametrize("way", ["file", "environment"])
def test_a_password_in_an_address_is_refused_and_never_repeated(
    faults: Faults, way: str, userinfo: str
) -> None:
    url = f"https://{userinfo}@api.example.com/x"
    if way == "file":
        named = faults(f'mileston.recurring_payment_url = "{url}"', SECRETS)
    else:
        named = faults("", {"BILLING_MILESTON__RECURRING_PAYMENT_URL": url, **SECRETS})
    assert len(named) == 1
    assert "secret" not in named[0]
    assert "mileston.recurring_payment_url" in named[0]


def test_a_key_in_an_address_query_is_never_repeated(faults: Faults) -> None:
    (fault,) = faults("mileston.invoice_url = 'https://api.example.com/x?apikey=hunter2-secret'")
    assert "secret" not in fault


# -- secrets and what needs them ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "mileston.environment = 'live'",
        "mileston.recurring_payment_url = 'https://api.example.com'",
        "mileston.checkout_url = 'https://pay.example.com'",
    ],
)
def test_whoever_talks_to_another_machine_needs_the_secrets(faults: Faults, load: Load, text: str) -> None:
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
        (
            "mail.transport = 'smtp'\nmail.smtp_host = 'mx.example.com'\nmail.smtp_tls = 'none'",
            "mail.smtp_tls",
        ),
        (
            "mail.transport = 'smtp'\nmail.smtp_host = 'localhost'\nmail.from_address = ''",
            "mail.from_address",
        ),
        (
            "mail.transport = 'smtp'\nmail.smtp_host = 'mx'\nmail.smtp_username = 'me'",
            "BILLING_SMTP_PASSWORD",
        ),
    ],
)
def test_smtp_needs_a_host_a_sender_encryption_and_its_password(faults: Faults, text: str, key: str) -> None:
    (fault,) = faults(text)
    assert fault.startswith(f"{key}:")


def test_a_mail_server_on_this_machine_needs_no_encryption(load: Load) -> None:
    text = "mail.transport = 'smtp'\nmail.smtp_host = '127.0.0.1'\nmail.smtp_tls = 'none'"
    assert load(text).settings.mail.smtp_tls == "none"


def test_a_pdf_without_what_prints_it_is_a_fault_that_says_what_to_install(
    faults: Faults, load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "typst", None)  # as if it were not installed
    (fault,) = faults("mail.receipt_pdf = true")
    assert fault == (
        "mail.receipt_pdf: true: it needs typst, which is not installed: pip install 'recurring-billing[pdf]'"
    )
    assert not load("mail.receipt_pdf = false").settings.mail.receipt_pdf
