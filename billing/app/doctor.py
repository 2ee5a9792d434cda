"""What is wrong with this installation? Each check is a line: ok, or a fault and what to do about it."""

from __future__ import annotations

import asyncio
import re
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from billing.app.mileston_check import Finding, ask
from billing.app.permissions import directory_faults, private_file_faults, same_owner_faults
from billing.app.runtime import (
    api_at,
    credentials,
    needs_own_sandbox,
    sandbox_data,
    templates_dir,
)
from billing.app.status import mail_trouble, reading
from billing.config import Config, load_config
from billing.config.secrets import SECRET_NAMES
from billing.core import reasons
from billing.core.plurals import counted, plural
from billing.errors import BillingError, ConfigError, MailError, StoreError
from billing.lifecycle import restore
from billing.store import figures, renewals
from billing.store.connection import wal_is_safe
from billing.store.identity import fingerprint, read_identity
from billing.store.schema import SCHEMA_HEAD, version_in
from billing.store.tx import Tx

_LEAST_FREE_BYTES = 200 * 1024 * 1024
_CLOCK_TOLERANCE = timedelta(minutes=1)
_WRITTEN_ON = date(2026, 11, 1)
_SQLITE_MAGIC = b"SQLite format 3\x00"
_POSIX_ZONE = re.compile(r"[A-Za-z<>+0-9-]{3,}[+-]?[0-9]{1,2}.*")


def examine(path: Path | None, environ: Mapping[str, str], now: datetime) -> Iterator[Finding]:
    """Every check in turn. Nothing is changed, created or sent; one call asks the payments API.

    A check that breaks is a fault of its own, and the others go on.
    """
    try:
        config = load_config(path, environ)
    except ConfigError as error:
        for fault in error.faults:
            yield Finding("configuration", False, fault, "correct it, then run `billing doctor` again")
        yield from _sqlite(now)
        yield from _machine_zone(environ)
        rest = "database, key, mail and templates: the configuration must be readable first"
        yield Finding("not checked", None, rest)
        return
    yield _configuration(config)
    checks: tuple[tuple[str, Callable[[], Iterator[Finding]]], ...] = (
        ("permissions", lambda: _permissions(config, environ)),
        ("SQLite", lambda: _sqlite(now)),
        ("database", lambda: _database(config, now)),
        ("key", lambda: _key(config)),
        ("mail", lambda: _mail(config)),
        ("clock", lambda: _clock(config, environ, now)),
        ("templates", lambda: _templates(config)),
    )
    for name, check in checks:
        try:
            yield from check()
        except (BillingError, OSError) as error:
            yield Finding(name, False, str(error), "correct this, then run `billing doctor` again")
        except Exception as error:
            yield Finding(
                name, False, f"the check itself failed: {type(error).__name__}", "please report this as a bug"
            )


def _faults(check: str, faults: Iterator[tuple[str, str]], well: str) -> Iterator[Finding]:
    none = True
    for found, advice in faults:
        none = False
        yield Finding(check, False, found, advice)
    if none:
        yield Finding(check, True, well)


def _configuration(config: Config) -> Finding:
    place = str(config.path) if config.path else "no config.toml found: every setting has its default"
    mileston = config.settings.mileston
    what = "the local sandbox" if needs_own_sandbox(config) else f"the {mileston.environment} environment"
    return Finding(
        "configuration", True, f"{place}; {counted(len(config.origins), 'setting')} set; uses {what}"
    )


def _permissions(config: Config, environ: Mapping[str, str]) -> Iterator[Finding]:
    """Files that hold secrets or personal data, and directories that are written to."""
    yield from _faults(
        "permissions",
        _permission_faults(config, environ),
        "all files and directories have the right permissions",
    )


def _permission_faults(config: Config, environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for name in SECRET_NAMES:
        file = environ.get(f"{name}_FILE")
        if file and not environ.get(name) and Path(file).exists():
            yield from private_file_faults(Path(file), written=False)
    if config.path is not None and ":****@" in str(dict(_shown(config))["database.url"]):
        yield from private_file_faults(config.path, written=False)
    path = config.sqlite_path
    if path is not None:
        yield from directory_faults(path.parent)
        if path.exists():
            yield from private_file_faults(path)
            real = path.resolve()
            beside = [real.with_name(real.name + end) for end in (".lock", "-journal", "-wal", "-shm")]
            yield from same_owner_faults(path, beside)
    settings = config.settings
    if settings.mail.transport == "file":
        yield from directory_faults(config.resolve(settings.mail.outbox_dir))
    if settings.watch.textfile:
        yield from directory_faults(config.resolve(settings.watch.textfile).parent)


def _shown(config: Config) -> Iterator[tuple[str, object]]:
    return ((key, value) for key, value, _ in config.rows())


def _sqlite(_now: datetime) -> Iterator[Finding]:
    found = f"SQLite {sqlite3.sqlite_version}"
    if sqlite3.sqlite_version_info < (3, 35):
        yield Finding("SQLite", False, f"{found} is too old", "use a Python with SQLite 3.35 or later")
        return
    if not wal_is_safe():
        found += "; its write-ahead log has a known bug, so the safe rollback journal is used instead"
    yield Finding("SQLite", True, found)


def _database(config: Config, now: datetime) -> Iterator[Finding]:
    path = config.sqlite_path
    if path is not None:
        above = next(parent for parent in path.parents if parent.exists())
        free = shutil.disk_usage(above).free
        if free < _LEAST_FREE_BYTES:
            yield Finding(
                "database", False, f"only {free >> 20} MiB are free in {above}", "free some space there"
            )
        if not path.exists():
            yield Finding("database", True, f"{path} does not exist yet; the first run creates it")
            return
        with path.open("rb") as file:
            start = file.read(16)
        if start not in (b"", _SQLITE_MAGIC):
            advice = "name another file in database.url, or restore a backup"
            yield Finding("database", False, f"{path} is not an SQLite database", advice)
            return
    try:
        with reading(config) as connection:
            yield Finding("database", True, f"{path or 'PostgreSQL'} can be read")
            yield _schema(connection)
            yield from _identity(connection, config)
            yield from _promises(connection)
            yield from _renewals(connection, config, now)
            yield from _database_clock(connection, now)
    except StoreError as error:
        advice = (
            "if the file is damaged, restore a backup"
            if path
            else "check that the server is running and that database.url is right"
        )
        yield Finding("database", False, str(error), advice)


def _schema(connection: Tx) -> Finding:
    version = version_in(connection)
    if version is None:
        return Finding("schema", True, "no tables yet; the first run creates them")
    if version > SCHEMA_HEAD:
        advice = "install the version of the program that created it, or a later one"
        return Finding("schema", False, f"{version}, newer than this program's {SCHEMA_HEAD}", advice)
    later = "" if version == SCHEMA_HEAD else f"; the next run upgrades it to {SCHEMA_HEAD}"
    return Finding("schema", True, f"{version}{later}")


def _identity(connection: Tx, config: Config) -> Iterator[Finding]:
    """Whose database it is; what a run would refuse is reported as a fault here."""
    if version_in(connection) is None:
        return
    row = read_identity(connection)
    if row is None:
        return
    environment = config.settings.mileston.environment
    if row.environment != environment:
        found = (
            f"it belongs to the {row.environment} environment, and mileston.environment is {environment!r}"
        )
        yield Finding("database", False, found, "use another database.url, or the other environment")
    elif row.business_fingerprint != fingerprint(credentials(config)[1]):
        found = "it belongs to another business than MILESTON_BUSINESS_ID names"
        yield Finding("database", False, found, "use that business's database, or its id")
    if row.copied_at is not None:
        yield Finding(
            "database", True, "restored from a backup: the next cycle checks Mileston before it charges"
        )


def _promises(connection: Tx) -> Iterator[Finding]:
    """Doubts about the database, and what its server promises about what was committed."""
    if version_in(connection) == SCHEMA_HEAD and (doubt := restore.doubt(connection)) is not None:
        advice = (
            "run a cycle: one look at Mileston settles it. If it can't, and you know that nothing was sent "
            "from another copy, say `billing database trust`"
        )
        yield Finding("database", False, f"nothing is sent yet: {doubt.reason}", advice)
    kept = figures.synchronous(connection)
    if kept is None:
        return
    commit, standbys = kept
    if commit == "off":
        found = "synchronous_commit is off: a crash of the server may forget what was sent"
        yield Finding("database", False, found, "set synchronous_commit = on for this database or role")
    elif standbys:
        yield Finding("database", True, f"commits reach a standby ({standbys}) before anything is sent")
    else:
        found = (
            "no synchronous standby: one that is promoted may lack what was sent last; the next cycle then "
            "checks Mileston before it charges"
        )
        yield Finding("database", True, found)


def _renewals(connection: Tx, config: Config, now: datetime) -> Iterator[Finding]:
    """Records at Mileston that renewed themselves, or still may."""
    if version_in(connection) != SCHEMA_HEAD:
        return
    stops = config.settings.mileston.renewal == "stop"
    if renewed := renewals.count_renewed(connection):
        found = f"{counted(renewed, 'record')} at Mileston renewed {plural(renewed, 'itself', 'themselves')}"
        advice = "see each with `billing payments list`; docs/deploy/renewal.md says what to do"
        yield Finding("renewal", False, found, advice if stops else f"{reasons.SET_STOP}; {advice}")
    elif stops:
        left = renewals.count_to_stop(connection, now.astimezone(config.zone).date())
        found = f"{counted(left, 'record')} at Mileston may still renew; the next run changes that"
        yield Finding("renewal", True, found if left else "no paid record at Mileston can renew itself")


def _database_clock(connection: Tx, now: datetime) -> Iterator[Finding]:
    """A clock that is behind what was written before, or not the database server's."""
    if version_in(connection) is not None:
        last = figures.last_started(connection)
        if last is not None and last > now + _CLOCK_TOLERANCE:
            found = f"it says {now:%Y-%m-%d %H:%M} UTC, but a run started at {last:%Y-%m-%d %H:%M} UTC"
            yield Finding("clock", False, found, "set the clock: timedatectl set-ntp true")
    theirs = figures.server_clock(connection)
    if theirs is not None:
        apart = abs(theirs - datetime.now(UTC))
        if apart > _CLOCK_TOLERANCE:
            found = f"it is {apart.total_seconds():.0f} s apart from the database server's"
            yield Finding("clock", False, found, "set both clocks: timedatectl set-ntp true")


def _key(config: Config) -> Iterator[Finding]:
    """One call that changes nothing: the first page of the list."""
    if not needs_own_sandbox(config):
        yield from asyncio.run(ask(config, config.settings, "the key is accepted"))
        return
    from billing.app.sandbox_host import is_running, own_sandbox

    with ExitStack() as stack:
        data = sandbox_data(config)
        if not is_running(data):  # one for this check alone, which leaves nothing behind
            data = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "sandbox.jsonl"
        url = stack.enter_context(own_sandbox(data))
        yield from asyncio.run(ask(config, api_at(config.settings, url), "the local sandbox responds"))


def _mail(config: Config) -> Iterator[Finding]:
    mail = config.settings.mail
    if mail.transport != "smtp":
        where = config.resolve(mail.outbox_dir) if mail.transport == "file" else "stderr"
        yield Finding("mail", True, f"no mail server: e-mails are written to {where} (mail.transport)")
        return
    from billing.mail.smtp import SmtpTransport

    transport = SmtpTransport(mail, config.secrets.get("BILLING_SMTP_PASSWORD"))
    try:
        yield Finding("mail", True, asyncio.run(transport.probe()))
    except MailError as error:
        yield _mail_fault(str(error))
        return
    # A quota, or a sender that it does not take, is not told before there is a message.
    with suppress(StoreError), reading(config) as connection:
        if version_in(connection) == SCHEMA_HEAD and (trouble := mail_trouble(connection)):
            yield _mail_fault(f"it lets us in, but the last run that tried could not send: {trouble}")


def _mail_fault(words: str) -> Finding:
    found, _, advice = words.rpartition("; ")
    return Finding(
        "mail", False, found or words, advice if found else "check mail.smtp_host and mail.smtp_port"
    )


def _clock(config: Config, environ: Mapping[str, str], now: datetime) -> Iterator[Finding]:
    if now.date() < _WRITTEN_ON:
        found = f"it says {now:%Y-%m-%d %H:%M} UTC, before this program was written"
        yield Finding("clock", False, found, "set the clock: timedatectl set-ntp true")
    else:
        local = now.astimezone(config.zone)
        zone = config.settings.business.timezone
        yield Finding(
            "clock", True, f"{now:%Y-%m-%d %H:%M} UTC; bills for {local:%Y-%m-%d} ({zone}, {local:%H:%M})"
        )
    yield from _machine_zone(environ)


def _machine_zone(environ: Mapping[str, str]) -> Iterator[Finding]:
    """The machine's own zone, by which crontab lines run. Not the business's, which the config names."""
    name = environ.get("TZ", "").removeprefix(":")
    if not name:
        yield Finding("time zone", True, f"this machine's is {datetime.now().astimezone().tzname()}")
    elif _is_zone(name):
        yield Finding("time zone", True, f"this machine's is {name} (TZ)")
    else:
        found = f"TZ={name!r} is not a time zone, so this machine uses UTC as its local time"
        yield Finding("time zone", False, found, "unset TZ, or set for example TZ=Europe/Berlin")


def _is_zone(name: str) -> bool:
    try:
        ZoneInfo(name.rpartition("zoneinfo/")[2])
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return _POSIX_ZONE.fullmatch(name) is not None
    return True


def _templates(config: Config) -> Iterator[Finding]:
    from billing.mail.check import check_templates

    faults = check_templates(config.settings, templates_dir(config), logo=config.logo())
    advice = "correct it, then run `billing templates check`"
    yield from _faults("templates", ((fault, advice) for fault in faults), "every mail can be rendered")


def all_well(findings: list[Finding]) -> bool:
    """Whether nothing is wrong and nothing was left unchecked."""
    return all(finding.ok for finding in findings)
