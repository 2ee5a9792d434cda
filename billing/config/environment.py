"""The variables that begin with BILLING_: which the program reads, and what a wrong one should have been.

What is nearly a setting must not be ignored: with `BILLING_DATABASE_URL` instead of
`BILLING_DATABASE__URL` the program would bill from a database of its own.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

from billing.config.secrets import SECRET_NAMES

PREFIX = "BILLING_"
REPLACED = {
    "reconcile.page_cap": "it was replaced by reconcile.max_records, the most records of the list that are"
    " read (until now page_size × page_cap); say that instead",
    "settle.max_gets_per_run": "every open payment is read now, however many there are; leave it out",
    "settle": "every open payment is read now, however many there are; leave it out",
}
"""Settings of earlier versions, and what holds now."""
_OWN = ("BILLING_CONFIG", "BILLING_CRASH_AT")
_SECRETS = (*SECRET_NAMES, *(f"{name}_FILE" for name in SECRET_NAMES))
# Kubernetes and container links set such variables for every service whose name begins with "billing".
_OF_A_SERVICE = re.compile(
    r"BILLING(_\w+)?_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_\w+)?|ENV_\w+)"
)
_PORT_OF_A_SERVICE = re.compile(r"(tcp|udp|sctp)://.*")


def variable_of(key: str) -> str:
    """The variable that sets a key: `database.url` → `BILLING_DATABASE__URL`."""
    return PREFIX + key.replace(".", "__").upper()


def concerns_us(name: str, value: str) -> bool:
    """Whether a variable sets a key, or was meant to: wrong case and wrong underscores are seen, too."""
    if not name.upper().startswith(PREFIX) or name in _OWN or name in _SECRETS:
        return False
    by_link = name.endswith("_PORT") and _PORT_OF_A_SERVICE.fullmatch(value) is not None
    return not by_link and _OF_A_SERVICE.fullmatch(name) is None


def unknown_variable(name: str, keys: Iterable[str]) -> str:
    """The fault of a variable that sets no key; its value is not shown, for it may be a secret."""
    for key, advice in REPLACED.items():
        if name == variable_of(key):
            return f"{name}: there is no such setting any more: {advice}"
    right = [*map(variable_of, keys), *_OWN, *_SECRETS]
    given, rest = _letters(name), _letters(name[len(PREFIX) :])
    close = (
        [each for each in right if _letters(each) in (given, rest)]
        or difflib.get_close_matches(name.upper(), right, 1, 0.75)
        or [each for each in right if _letters(each.rpartition("__")[2]) == rest]
    )
    advice = f"did you mean {close[0]}?" if close else "unset it, or look for the right name in config.toml"
    return f"{name}: there is no such setting; {advice}"


def _letters(name: str) -> str:
    return name.replace("_", "").upper()
