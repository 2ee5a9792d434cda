"""What waits for a person, in words: the one table, for the screen and the digest, and for translators."""

from __future__ import annotations

from enum import StrEnum

from billing.core.causes import HeldCause
from billing.core.reasons import REASONS


class NeedKind(StrEnum):
    """What waits for a person. Each has its words in `TEXTS`, and held payments one for each cause."""

    REJECTED = "rejected"
    HELD = "held"
    PARKED = "parked"
    UNKNOWN = "unknown"
    ATTENTION = "attention"
    NOTICES_FAILED = "notices_failed"
    NOTICES_UNKNOWN = "notices_unknown"
    MAIL = "mail"
    PAID_UP = "paid_up"
    # of the runs themselves
    STOPPED = "stopped"
    PROBLEM = "problem"
    NOT_SENT = "not_sent"
    UNFINISHED = "unfinished"
    STALE = "stale"


_K, _C = NeedKind, HeldCause
# One of them, and several: {count}, {amount} (in USDC), {cause}, {since}.
TEXTS: dict[str, tuple[str, str]] = {
    _K.REJECTED: (
        "1 payment was rejected by Mileston ({amount} USDC): correct the data, then release it",
        "{count} payments were rejected by Mileston ({amount} USDC): correct the data, then release them",
    ),
    f"{_K.HELD}.{_C.SAFETY_LIMIT}": (
        "1 payment is held by a safety limit ({amount} USDC): release it if it is right",
        "{count} payments are held by a safety limit ({amount} USDC): release them if they are right",
    ),
    f"{_K.HELD}.{_C.CATCH_UP}": (
        "1 payment is held (catch-up, {amount} USDC): release it to charge the missed period, or void it",
        "{count} payments are held (catch-up, {amount} USDC): "
        "release them to charge the missed periods, or void them",
    ),
    f"{_K.HELD}.{_C.PAUSED}": (
        "1 payment is held (paused, {amount} USDC): release it to charge it all the same, or void it",
        "{count} payments are held (paused, {amount} USDC): "
        "release them to charge them all the same, or void them",
    ),
    f"{_K.HELD}.{_C.APPROVAL}": (
        "1 payment is held (approval, {amount} USDC)",
        "{count} payments are held (approval, {amount} USDC)",
    ),
    f"{_K.HELD}.{_C.OTHER}": (
        "1 payment is held ({amount} USDC): release or void it",
        "{count} payments are held ({amount} USDC): release or void them",
    ),
    _K.PARKED: (
        "1 payment is parked ({amount} USDC): the program cannot confirm whether it exists at Mileston",
        "{count} payments are parked ({amount} USDC): "
        "the program cannot confirm whether they exist at Mileston",
    ),
    _K.UNKNOWN: (
        "1 payment may or may not exist at Mileston ({amount} USDC), for more than an hour or once again; "
        "the next runs look it up",
        "{count} payments may or may not exist at Mileston ({amount} USDC), for more than an hour or once "
        "again; the next runs look them up",
    ),
    _K.ATTENTION: ("1 payment needs a look", "{count} payments need a look"),
    _K.NOTICES_FAILED: (
        "1 e-mail could not be sent: correct the cause, then resend it",
        "{count} e-mails could not be sent: correct the cause, then resend them",
    ),
    _K.NOTICES_UNKNOWN: (
        "1 e-mail may or may not have been delivered: resend it if it was not",
        "{count} e-mails may or may not have been delivered: resend them if they were not",
    ),
    _K.MAIL: (
        "1 e-mail is not sent, because the mail channel stopped",
        "{count} e-mails are not sent, because the mail channel stopped",
    ),
    _K.PAID_UP: (
        "1 subscription is paused by dunning, and all that it owed is paid: resume or cancel it",
        "{count} subscriptions are paused by dunning, and all that they owed is paid: resume or cancel them",
    ),
    _K.STOPPED: ("The run stopped before it had sent everything", ""),
    _K.PROBLEM: ("The step {cause} could not do its work", ""),
    _K.NOT_SENT: (
        "1 payment that is due was not sent; the next run sends it",
        "{count} payments that are due were not sent; the next run sends them",
    ),
    _K.UNFINISHED: ("The last run has not finished for {since}: it was killed, or it hangs", ""),
    _K.STALE: ("No cycle has finished for {since}: check that the daemon or cron is running", ""),
}
JOINTS = (": ", "; ")
"""What stands between sentences, besides a comma; French has it otherwise."""
AND_MORE = "and {count} more"
NAMED = "payment {id} ({reference}, due on {due_on})"
OTHER_CAUSES = "{count} other causes"
DETAILS = (
    NAMED,
    AND_MORE,
    OTHER_CAUSES,
    *REASONS,
)
"""What a detail is made of, beside the words of servers and of persons."""


def need_text(kind: str, count: int = 1, amount: str = "", cause: str = "", since: str = "") -> str:
    """The words for so many of a kind."""
    one, many = TEXTS[kind]
    return (one if count == 1 else many).format(count=count, amount=amount, cause=cause, since=since)
