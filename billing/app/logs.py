"""Logging: for people on a terminal, JSON lines otherwise; never secrets or personal data."""

from __future__ import annotations

import json
import logging
import re
import sys
from datetime import UTC, datetime

from billing.config import Config

_ADDRESS = re.compile(r"[^\s<>\"'@,;:]+@[^\s<>\"'@,;:]+\.[^\s<>\"'@,;:]+")


class Redactor(logging.Filter):
    """Takes secrets and e-mail addresses out of every record, whoever wrote it."""

    def __init__(self, secrets: list[str]) -> None:
        super().__init__()
        self._secrets = [secret for secret in secrets if len(secret) >= 4]

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg = self.clean(record.getMessage())
        record.args = None
        if record.exc_info:
            text = logging.Formatter().formatException(record.exc_info)
            record.exc_text = self.clean(text)
            record.exc_info = None
        return True

    def clean(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "****")
        return _ADDRESS.sub("<address>", text)


class JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        for key in ("run_id", "payment_id"):
            if hasattr(record, key):
                line[key] = getattr(record, key)
        if record.exc_text:
            line["trace"] = record.exc_text
        return json.dumps(line, ensure_ascii=False)


def set_up(config: Config, long_running: bool = False) -> None:
    """Send every logger's lines through one handler, on stderr. The root's handlers are replaced."""
    handler = logging.StreamHandler(sys.stderr)
    if sys.stderr.isatty():
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(message)s", "%H:%M:%S"))
    else:
        handler.setFormatter(JsonLines())
    handler.addFilter(Redactor([secret.reveal() for secret in config.secrets.values()]))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    level = config.settings.watch.log_level
    if level == "info" and not long_running:
        level = "warning"  # a command answers on stdout; what it did along the way is noise
    root.setLevel(logging.WARNING if level == "info" else level.upper())
    logging.getLogger("billing").setLevel(level.upper())
    for noisy in ("httpx", "httpcore", "asyncio"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
