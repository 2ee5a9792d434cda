"""E-mail addresses: the one rule for what can be mailed, and when two are the same."""

from __future__ import annotations

import re
from functools import lru_cache

_PLAIN = re.compile(
    r"[A-Za-z0-9_+-]+(?:\.[A-Za-z0-9_+-]+)*@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z]{2,24}"
)
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_ASCII_ADDRESS = re.compile(rf"{_ATOM}(?:\.{_ATOM})*@{_LABEL}(?:\.{_LABEL})*")
_LONGEST = 254  # RFC 5321, 4.5.3.1.3: a path of 256 with its brackets
_TOO_LONG = "it is too long for an e-mail address"
_NEEDS_SMTPUTF8 = (
    "only servers with SMTPUTF8 take such mail, so none can be sent; ask for one in plain letters"
)
# Hosts that the rule for real senders would refuse, but that tests and samples need.
_SPECIAL_USE = (".test", ".example", ".invalid", ".localhost")


def on_the_wire(text: str) -> str:
    """The address as SMTP takes it without SMTPUTF8: all ASCII, an international host in punycode.

    Raises `ValueError` with the reason, which does not repeat the address: it may end in a log.
    """
    if len(text) > _LONGEST:
        raise ValueError(_TOO_LONG)
    if _ASCII_ADDRESS.fullmatch(text):
        return text
    if text.isascii():
        raise ValueError("it is not of the form name@domain")
    if not text.rpartition("@")[0].isascii():
        raise ValueError(f"it has letters beyond ASCII before the @: {_NEEDS_SMTPUTF8}")
    return _international(text)


@lru_cache(maxsize=1024)
def _international(text: str) -> str:
    from email_validator import EmailNotValidError, validate_email

    try:
        found = validate_email(text, check_deliverability=False, allow_smtputf8=False).ascii_email
    except EmailNotValidError as error:
        raise ValueError(str(error)) from None
    if found is None:  # can't be without SMTPUTF8, says its documentation
        raise ValueError("it has no form in ASCII")
    return found


def mailable(text: str) -> str:
    """A subscriber's address as it is kept: Unicode's normal form, an international host as people write it.

    Raises `ValueError` with the address and the reason if no mail can go there: what `on_the_wire` refuses,
    and what is no address outside of one machine (`zoe@localhost`).
    """
    if len(text) > _LONGEST:
        raise ValueError(_TOO_LONG)
    local, _, host = text.rpartition("@")
    if _PLAIN.fullmatch(text) and len(local) <= 64:
        return text
    if local and not local.isascii():
        strange = next(char for char in local if not char.isascii())
        raise ValueError(f"{text[:80]!r} has {strange!r} before the @: {_NEEDS_SMTPUTF8}")
    # The common shape needs no library; everything unusual is judged by one (it costs 20 times more).
    from email_validator import validate_email

    special = host.isascii() and host.lower().endswith(_SPECIAL_USE)
    try:
        found = validate_email(
            text, strict=True, allow_smtputf8=False, check_deliverability=False, test_environment=special
        )
        on_the_wire(found.normalized)
    except ValueError as error:
        raise ValueError(f"{text[:80]!r} is not an e-mail address: {error}") from None
    return found.normalized


def same_mailbox(address: str) -> str:
    """A key that is equal for two spellings of one address: in letter case, or of the host in IDNA."""
    local, _, host = address.strip().rpartition("@")
    return f"{local.casefold()}@{_ascii_host(host)}"


def _ascii_host(host: str) -> str:
    if host.isascii():
        return host.lower()
    from email_validator import EmailNotValidError, validate_email

    try:
        return validate_email(f"x@{host}", check_deliverability=False).ascii_domain.lower()
    except EmailNotValidError:
        return host.casefold()
