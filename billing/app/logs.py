"""Logging: for people on a terminal, JSON lines otherwise; never secrets or personal data."""

from __future__ import annotations

import json
import logging
import sys
import threading
from collections.abc import Iterable
from contextvars import ContextVar
from datetime import UTC, datetime
from types import TracebackType

from billing.app.redaction import REDACTOR, clean_all_records
from billing.config import Config
from billing.store.connection import Database, password_of
from billing.store.events import Line, tell_committed

RUN_ID: ContextVar[str] = ContextVar("run_id", default="")
"""The run whose cycle is going on; every line that is logged meanwhile carries it."""

FIELDS = ("run_id", "action", "payment_id", "subscription_id", "notice_id")
"""What a line holds besides its message."""

_QUIET = ("httpx", "httpcore", "asyncio", "apscheduler", "aiosmtplib", "alembic")
_lines = logging.getLogger("billing.events")
_crash = logging.getLogger("billing.crash")


class JsonLines(logging.Formatter):
    """One JSON object a line. Of extra fields it shows those that are known to be harmless."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        fields = {"run_id": RUN_ID.get() or None} | record.__dict__
        line |= {key: fields[key] for key in FIELDS if fields.get(key) is not None}
        if record.exc_text:
            line["trace"] = record.exc_text
        if record.stack_info:
            line["stack"] = record.stack_info
        return json.dumps(line, ensure_ascii=False)


class ForPeople(logging.Formatter):
    """Time, level, message, and which payment."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(message)s", "%H:%M:%S")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  (the base class's name)
        text = super().formatMessage(record)
        payment = record.__dict__.get("payment_id")
        return text if payment is None else f"{text} (payment {payment})"


def set_up(config: Config, long_running: bool = False) -> None:
    """Send every logger's lines, and every uncaught exception, through one handler on stderr.

    May be called again, after the configuration was read again: secrets add up. All handlers that
    loggers had are taken away.
    """
    REDACTOR.learn(_secrets(config))
    clean_all_records()
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(ForPeople() if sys.stderr.isatty() else JsonLines())
    _take_over(handler)
    level = config.settings.watch.log_level
    if level == "info" and not long_running:
        level = "warning"  # a command reports on stdout; what it did along the way is noise
    logging.getLogger().setLevel(logging.WARNING if level == "info" else level.upper())
    logging.getLogger("billing").setLevel(level.upper())
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.captureWarnings(True)
    sys.excepthook = _uncaught
    threading.excepthook = lambda args: _uncaught(
        args.exc_type, args.exc_value or args.exc_type(), args.exc_traceback
    )
    sys.unraisablehook = _unraisable


def _secrets(config: Config) -> Iterable[str]:
    yield from (secret.reveal() for secret in config.secrets.values())
    # The path of a ping URL is its password: whoever knows it can report in our name.
    yield config.settings.watch.ping_url.rpartition("/")[2]
    yield password_of(config.settings.database.url)


def _take_over(handler: logging.Handler) -> None:
    root = logging.getLogger()
    root.handlers[:] = [handler]
    for logger in root.manager.loggerDict.values():
        if isinstance(logger, logging.Logger):
            logger.handlers.clear()
            logger.propagate = True


def _uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        return
    _crash.critical("stopped by an unexpected error", exc_info=(kind, error, trace))


def _unraisable(found: sys.UnraisableHookArgs) -> None:
    info = (found.exc_type, found.exc_value or found.exc_type(), found.exc_traceback)
    _crash.error("an error while cleaning up", exc_info=info)


def log_events(db: Database) -> None:
    """Write every line of the event log to the log as well, once it is committed and not before."""
    tell_committed(db, _say, lambda: _lines.isEnabledFor(logging.INFO))


def _say(line: Line) -> None:
    fields = {key: value for key, value in line.items() if key in FIELDS and value is not None}
    if line["actor"].startswith("run:"):
        fields["run_id"] = line["actor"].removeprefix("run:")
    words = f"{line['action']}: {line['detail']}" if line["detail"] else line["action"]
    _lines.info("%s", words, extra=fields)
