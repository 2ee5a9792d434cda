"""A newcomer breaks one thing, types `billing doctor`, and reads what it is and what to do."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult
from sqlalchemy import text

from billing.app.doctor import all_well, examine
from billing.app.runtime import utc_now
from tests.support.business import Business
from tests.support.nursery import Finished

Billing = Callable[..., Finished]
CHECKS = {
    "configuration",
    "permissions",
    "SQLite",
    "database",
    "schema",
    "key",
    "mail",
    "clock",
    "time zone",
    "templates",
}


@pytest.fixture(autouse=True)
def quick_templates(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rendering every mail in every language takes seconds: only the tests of that wait for it."""
    if "template" not in request.node.name:
        monkeypatch.setattr("billing.mail.check.check_templates", lambda *_, **__: [])


@pytest.fixture
def well(business: Business) -> Business:
    """An installation with nothing wrong."""
    business.toml.chmod(0o600)
    business.run("2026-03-01")
    return business


def faults(business: Business, **environ: str) -> list[tuple[str, str, str]]:
    """(check, what was found, what to do) of every fault."""
    return faults_at(utc_now(), business, **environ)


def faults_at(now: datetime, business: Business, **environ: str) -> list[tuple[str, str, str]]:
    found = examine(business.toml, {**business.environ, **environ}, now)
    return [(f.check, f.found, f.advice) for f in found if f.ok is False]


def only(found: list[tuple[str, str, str]]) -> tuple[str, str, str]:
    assert len(found) == 1, found
    return found[0]


def test_a_good_installation_is_told_so_line_by_line(well: Business) -> None:
    found = list(examine(well.toml, well.environ, utc_now()))
    assert {finding.check for finding in found} == CHECKS
    assert all_well(found), found


def test_before_the_first_run_all_is_well_and_nothing_is_made(business: Business, billing: Billing) -> None:
    done = billing(business, "doctor", BILLING_MILESTON__RECURRING_PAYMENT_URL="", MILESTON_BUSINESS_ID="")
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert done.stdout.rstrip().endswith("All is well.")
    assert "the first run creates it" in done.stdout
    assert "the local sandbox responds" in done.stdout
    assert not (business.folder / "var").exists()


def test_a_broken_config_is_told_fault_by_fault_and_the_rest_waits(well: Business, billing: Billing) -> None:
    well.toml.write_text('[mail]\ntransprt = "smtp"\n[cycle]\nconcurrency = "many"\n')
    done = billing(well, "doctor")
    document = json.loads(billing(well, "doctor", "--json").stdout)

    assert done.returncode == 1
    assert document["ok"] is False
    assert document["checks"][0].keys() == {"check", "ok", "found", "advice"}
    assert "did you mean mail.transport?" in done.stdout
    assert "cycle.concurrency" in done.stdout
    assert "not checked" in done.stdout
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("content", "words"),
    [("[business\n", "not valid TOML"), ('[business]\ntimezone = "Europe/Berlni"\n', "not a time zone")],
)
def test_a_config_that_cannot_be_read_at_all(well: Business, content: str, words: str) -> None:
    well.toml.write_text(content)
    check, found, advice = only(faults(well))
    assert check == "configuration"
    assert words in found
    assert advice


def test_a_key_that_the_api_refuses(well: Business) -> None:
    well.sandbox.ask("PUT", "keys", {"keys": ["the-right-one"]})
    check, found, advice = only(faults(well, MILESTON_API_KEY="a-wrong-one"))
    assert check == "key"
    assert "401" in found
    assert "dashboard" in advice
    assert "a-wrong-one" not in found
    assert faults(well, MILESTON_API_KEY="the-right-one") == []


def test_an_api_that_is_not_there(well: Business) -> None:
    url = "http://127.0.0.1:9/recurring-payment"
    check, found, advice = only(faults(well, BILLING_MILESTON__RECURRING_PAYMENT_URL=url))
    assert (check, "recurring_payment_url" in advice) == ("key", True)
    assert "127.0.0.1" in found


def test_what_another_database_of_the_business_made_is_named(well: Business) -> None:
    well.subscribe(*(f"m-{n},Gold,Member,m{n}@example.com,5,1 month,2026-03-01" for n in range(7)))
    well.run("2026-03-01")
    known = [f for f in examine(well.toml, well.environ, utc_now()) if f.check == "remote payments"]
    assert [(f.ok, f.found) for f in known] == [
        (True, "7 payments checked at Mileston, none unknown to this database")
    ]

    database = well.folder / "var" / "billing.db"
    kept = database.rename(database.with_name("kept.db"))
    check, found, advice = only(faults(well))
    assert check == "remote payments"
    assert found.startswith(
        "7 payments of this program at Mileston bear a marker that no payment in this database has: "
    )
    assert sum(record["id"] in found for record in well.remote()) == 5
    assert "another database" in advice

    well.run("2026-03-01")
    assert only(faults(well))[:2] == (check, found)
    database.write_text("no database")
    assert only(faults(well))[0] == "database"
    kept.rename(database)
    assert faults(well) == []


def test_a_missing_key_in_the_live_environment(well: Business) -> None:
    found = faults(
        well,
        BILLING_MILESTON__ENVIRONMENT="live",
        BILLING_RECONCILE__QUIET_SECONDS="120",
        BILLING_MILESTON__RECURRING_PAYMENT_URL="",
        MILESTON_BUSINESS_ID="",
    )
    assert {what.split(":")[0] for _, what, _ in found} == {"MILESTON_API_KEY", "MILESTON_BUSINESS_ID"}


@pytest.mark.parametrize(
    ("mode", "words"), [(0o400, "read and write"), (0o000, "read and write"), (0o644, "others")]
)
def test_wrong_permissions_of_the_database_are_seen_also_by_root(
    well: Business, mode: int, words: str
) -> None:
    database = well.folder / "var" / "billing.db"
    database.chmod(mode)
    found = [fault for fault in faults(well) if fault[0] == "permissions"]
    _, what, advice = only(found)
    assert words in what
    assert advice == f"chmod 600 {database}"
    subprocess.run(advice.split(), check=True)
    assert faults(well) == []


def test_a_directory_that_cannot_be_written_to(well: Business) -> None:
    folder = well.folder / "var"
    folder.chmod(0o500)
    try:
        found = [fault for fault in faults(well) if fault[0] == "permissions"]
    finally:
        folder.chmod(0o700)
    assert {advice for _, _, advice in found} >= {f"chmod u+rwx {folder}"}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_lock_file_that_a_run_as_root_left_behind(well: Business) -> None:
    lock = well.folder / "var" / "billing.db.lock"
    database = well.folder / "var" / "billing.db"
    os.chown(database, 12345, 12345)
    check, found, advice = only(faults(well))
    assert (check, advice) == ("permissions", f"chown 12345 {lock}")
    assert "belongs to root" in found


def test_a_key_file_that_everybody_can_read(well: Business) -> None:
    key = well.folder / "key"
    key.write_text("a-key\n")
    key.chmod(0o644)
    check, _, advice = only(faults(well, MILESTON_API_KEY_FILE=str(key)))
    assert (check, advice) == ("permissions", f"chmod 600 {key}")


def test_a_config_that_holds_a_password_and_that_everybody_can_read(well: Business) -> None:
    well.toml.write_text('[database]\nurl = "postgresql://billing:secret@127.0.0.1:9/billing"\n')
    well.toml.chmod(0o644)
    found = faults(well)
    assert ("permissions", f"chmod 600 {well.toml}") in [(check, advice) for check, _, advice in found]
    assert "database" in [check for check, _, _ in found]
    assert "secret" not in str(found)


def test_a_file_that_is_no_database(well: Business) -> None:
    (well.folder / "var" / "billing.db").write_bytes(b"something else altogether")
    check, found, advice = only(faults(well))
    assert check == "database"
    assert "not an SQLite database" in found
    assert "backup" in advice


def test_a_database_that_a_newer_program_made(well: Business) -> None:
    with well.store() as db, db.transaction() as tx:
        tx.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    check, found, advice = only(faults(well))
    assert (check, "9999" in found) == ("schema", True)
    assert "later" in advice


def test_a_database_of_another_business_or_environment(well: Business) -> None:
    other = only(faults(well, MILESTON_BUSINESS_ID="another"))
    live = faults(
        well,
        BILLING_MILESTON__ENVIRONMENT="live",
        BILLING_RECONCILE__QUIET_SECONDS="120",
        BILLING_MILESTON__RECURRING_PAYMENT_URL="https://127.0.0.1:9",
        MILESTON_API_KEY="x",
    )
    assert "another business" in other[1]
    assert any("belongs to the sandbox environment" in found for _, found, _ in live)


def test_a_clock_that_is_behind_the_last_run_or_never_set(well: Business) -> None:
    behind = faults_at(utc_now() - timedelta(hours=2), well)
    unset = faults_at(datetime(1970, 1, 1, tzinfo=UTC), well)
    assert [check for check, _, _ in behind] == ["clock"]
    assert "a run started at" in behind[0][1]
    assert any("before this program was written" in found for _, found, _ in unset)
    assert "timedatectl" in unset[0][2]


@pytest.mark.parametrize("zone", ["Europe/Berlni", "Middle Earth", "../../etc/passwd"])
def test_a_machine_zone_that_is_none(well: Business, zone: str) -> None:
    check, found, advice = only(faults(well, TZ=zone))
    assert check == "time zone"
    assert zone in found
    assert "unset TZ" in advice


@pytest.mark.parametrize(
    "zone", ["Europe/Berlin", ":Europe/Berlin", "/usr/share/zoneinfo/UTC", "CET-1CEST,M3.5.0,M10.5.0/3"]
)
def test_a_machine_zone_in_all_its_forms(well: Business, zone: str) -> None:
    assert faults(well, TZ=zone) == []


def smtp(port: int, **more: str) -> dict[str, str]:
    settings = {
        "transport": "smtp",
        "smtp_host": "127.0.0.1",
        "smtp_port": str(port),
        "smtp_tls": "none",
    } | more
    return {f"BILLING_MAIL__{name.upper()}": value for name, value in settings.items()}


@contextmanager
def mail_server(lets_in: bool = True) -> Iterator[int]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    controller = Controller(
        object(),
        hostname="127.0.0.1",
        port=port,
        auth_require_tls=False,
        authenticator=lambda *_: AuthResult(success=lets_in, handled=False),
    )
    controller.start()
    try:
        yield port
    finally:
        controller.stop()


def test_a_mail_server_that_greets_and_lets_us_in(well: Business) -> None:
    login = {"BILLING_SMTP_PASSWORD": "right"}
    with mail_server() as port:
        assert faults(well, **smtp(port, smtp_username="billing"), **login) == []


def test_a_mail_server_that_refuses_the_login(well: Business) -> None:
    with mail_server(lets_in=False) as port:
        login = {"BILLING_SMTP_PASSWORD": "wrong-SECRET"}
        check, found, advice = only(faults(well, **smtp(port, smtp_username="billing"), **login))
    assert check == "mail"
    assert "535" in found
    assert "BILLING_SMTP_PASSWORD" in advice
    assert "SECRET" not in found


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"smtp_host": "mail.invalid", "smtp_tls": "starttls"}, "mail.smtp_host"),
        ({"smtp_port": "9"}, "refused"),
    ],
)
def test_a_mail_server_that_is_not_there(well: Business, settings: dict[str, str], words: str) -> None:
    check, found, advice = only(faults(well, **smtp(25, **settings)))
    assert check == "mail"
    assert words in found + advice


def test_a_broken_template_is_named_with_its_line(well: Business) -> None:
    own = well.folder / "own"
    own.mkdir()
    (own / "payment_created.txt").write_text("Hello {{ nmae }}\n")
    found = faults(well, BILLING_MAIL__TEMPLATES_DIR=str(own))
    assert {check for check, _, _ in found} == {"templates"}
    assert any("payment_created.txt" in what and "nmae" in what for _, what, _ in found)
    assert all("billing templates check" in advice for _, _, advice in found)


def test_a_full_disk(well: Business, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(well.folder)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage._replace(free=1024))
    check, found, _ = only(faults(well))
    assert (check, "only 0 MiB are free" in found) == ("database", True)


def test_a_check_that_breaks_hides_no_other(well: Business, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> Any:
        raise RuntimeError("zoe@example.org")

    monkeypatch.setattr("billing.app.doctor._key", broken)
    check, found, _ = only(faults(well))
    assert (check, found) == ("key", "the check itself failed: RuntimeError")


def test_a_postgresql_that_is_well(business: Business, postgresql: Any) -> None:
    with postgresql.migrated() as url:
        business.environ["BILLING_DATABASE__URL"] = url
        business.toml.chmod(0o600)
        assert faults(business) == []


@pytest.mark.parametrize(("commit", "is_fault"), [("off", True), ("local", False), ("on", False)])
def test_what_a_postgresql_promises_of_its_commits_is_told(
    business: Business, postgresql: Any, commit: str, is_fault: bool
) -> None:
    with postgresql.migrated() as url:
        business.toml.chmod(0o600)
        business.environ["BILLING_DATABASE__URL"] = url
        with business.store() as db, db.transaction() as tx:
            name = tx.exec_driver_sql("SELECT current_database()").scalar_one()
            tx.exec_driver_sql(f"ALTER DATABASE {name} SET synchronous_commit = {commit}")
        found = [f for f in examine(business.toml, business.environ, utc_now()) if "synchronous" in f.found]
    assert [f.ok for f in found] == [not is_fault]


def test_a_doubt_that_keeps_everything_from_being_sent_is_told(well: Business) -> None:
    var, aside = well.folder / "var", well.folder / "aside"
    shutil.copytree(var, aside)
    shutil.rmtree(var)
    shutil.copytree(aside, var)
    well.environ["BILLING_RECONCILE__QUIET_SECONDS"] = "3600"
    well.run("2026-03-01")
    found = [f for f in examine(well.toml, well.environ, utc_now()) if "nothing is sent yet" in f.found]
    assert [(f.ok, "billing database trust" in f.advice) for f in found] == [(False, True)]


def test_the_outbox_is_a_file(well: Business) -> None:
    outbox = Path(well.folder / "not-a-directory")
    outbox.write_text("")
    check, found, _ = only(faults(well, BILLING_MAIL__OUTBOX_DIR=str(outbox)))
    assert (check, "is no directory" in found) == ("permissions", True)
