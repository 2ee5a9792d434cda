"""E-mail addresses: the one rule for what can be mailed, and when two are the same."""

from __future__ import annotations

import re

_PLAIN = re.compile(
    r"[A-Za-z0-9_+-]+(?:\.[A-Za-z0-9_+-]+)*@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z]{2,24}"
)
# Hosts that the rule for real senders would refuse, but that tests and samples need.
_SPECIAL_USE = (".test", ".example", ".invalid", ".localhost")


def mailable(text: str) -> str:
    """The address as it is kept: Unicode's normal form, an international host as people write it.

    Raises `ValueError` with the reason if no mail can go there: the part before the @ must be ASCII (anything
    else needs SMTPUTF8, which few servers offer), the host must be a name that IDNA can encode.
    """
    if len(text) > 254:
        raise ValueError("it is too long for an e-mail address")
    local, _, host = text.rpartition("@")
    if _PLAIN.fullmatch(text) and len(local) <= 64:
        return text
    if local and not local.isascii():
        strange = next(char for char in local if not char.isascii())
        raise ValueError(
            f"{text[:80]!r} has {strange!r} before the @: only servers with SMTPUTF8 take such mail, so "
            "none can be sent there; ask for an address in plain letters"
        )
    # The common shape needs no library; everything unusual is judged by one (it costs 20 times more).
    from email_validator import EmailNotValidError, validate_email

    special = host.isascii() and host.lower().endswith(_SPECIAL_USE)
    try:
        found = validate_email(
            text, strict=True, allow_smtputf8=False, check_deliverability=False, test_environment=special
        )
    except EmailNotValidError as error:
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
