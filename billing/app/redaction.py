"""Takes secrets and addresses out of everything that is logged.

Records are cleaned at the one place that all of them pass, whichever logger they come from and whichever
handlers it has: `Logger.handle`, before any filter or handler sees them.
"""

from __future__ import annotations

import base64
import json
import logging
import re
from collections.abc import Iterable
from urllib.parse import quote, quote_plus

_SHORTEST_SECRET = 4
"""A shorter one would turn every other word of the log into stars."""

# Anything with an @ in the middle, also as %40. Broad on purpose: an odd word lost from a log is
# cheaper than an address in it.
_ADDRESS = re.compile(r"[^*\s<>\"'(),;:=\[\]{}/\\]+(?:@|%40)[^\s<>\"'(),;:=\[\]{}/\\]+", re.IGNORECASE)
_QUOTED_ADDRESS = re.compile(r"\"[^\"\n]{1,64}\"@[^\s<>\"'(),;:=\[\]{}/\\]+")
_PASSWORD_IN_URL = re.compile(r"(://[^\s/:@]*):[^\s/@]*@")


class Redactor:
    """Knows the secrets of this process, and cleans texts of them in every form they may appear in."""

    def __init__(self) -> None:
        self._forms: set[str] = set()
        self._pattern: re.Pattern[str] | None = None

    def learn(self, secrets: Iterable[str]) -> None:
        """Secrets add up: a key that was rotated away is still nobody's business."""
        new = {form for secret in secrets if len(secret) >= _SHORTEST_SECRET for form in _forms(secret)}
        if not new <= self._forms:
            self._forms |= new
            longest_first = sorted(self._forms, key=len, reverse=True)
            self._pattern = re.compile("|".join(map(re.escape, longest_first)))

    def clean(self, text: str) -> str:
        """The text with `****` for secrets and `<address>` for e-mail addresses."""
        if self._pattern is not None:
            text = self._pattern.sub("****", text)
        if "@" not in text and "%40" not in text:
            return text
        text = _PASSWORD_IN_URL.sub(r"\1:****@", text)
        return _ADDRESS.sub("<address>", _QUOTED_ADDRESS.sub("<address>", text))

    def clean_value(self, value: object) -> object:
        """A value of a record's extra field: numbers and the like as they are, all else cleaned."""
        if value is None or isinstance(value, (bool, int, float)):
            return value
        return self.clean(value if isinstance(value, str) else repr(value))


def _forms(secret: str) -> set[str]:
    """A secret as it is, and as URLs, JSON, Python and SMTP logins write it, also one inside the other."""
    encoded = base64.b64encode(secret.encode()).decode()
    forms = {secret, quote(secret, safe=""), quote_plus(secret), encoded, encoded.rstrip("=")}
    for _ in range(2):
        forms |= {escaped for form in forms for escaped in (json.dumps(form)[1:-1], repr(form)[1:-1])}
    return forms


REDACTOR = Redactor()
"""The process's own: there is one log, so there is one."""

_FIELDS_OF_A_RECORD = frozenset(logging.LogRecord("", 0, "", 0, "", (), None).__dict__) | {
    "message",
    "asctime",
}


def clean_record(record: logging.LogRecord) -> None:
    """Put the words together and clean everything that a handler could show, extra fields included.

    Cleaning twice changes nothing.
    """
    try:
        message = record.getMessage()
    except Exception:  # the logging module would print the arguments, uncleaned
        message = f"a log line that can't be put together: {record.msg}"
    record.msg = REDACTOR.clean(message)
    record.args = None
    if record.exc_info:
        record.exc_text = logging.Formatter().formatException(record.exc_info)
        record.exc_info = None
    if record.exc_text:
        record.exc_text = REDACTOR.clean(record.exc_text)
    if record.stack_info:
        record.stack_info = REDACTOR.clean(record.stack_info)
    for name in record.__dict__.keys() - _FIELDS_OF_A_RECORD:
        record.__dict__[name] = REDACTOR.clean_value(record.__dict__[name])


def clean_all_records() -> None:
    """From now on every record of this process is cleaned; saying so twice changes nothing.

    A filter would not do: a logger's filters don't see what its children log, and a handler's are not
    there when a library brings a handler of its own. Nor would a factory of records: extra fields join
    a record later, and one made by hand never passes it.
    """
    handle = logging.Logger.handle
    if getattr(handle, "cleans", False):
        return

    def clean_and_handle(logger: logging.Logger, record: logging.LogRecord) -> None:
        clean_record(record)
        handle(logger, record)

    clean_and_handle.cleans = True  # type: ignore[attr-defined]
    logging.Logger.handle = clean_and_handle  # type: ignore[method-assign,assignment]
