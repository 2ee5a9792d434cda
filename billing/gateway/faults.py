"""How a call can fail, and what each failure proves."""

from __future__ import annotations

import asyncio
import ssl

import httpcore
import httpx

from billing.core import reasons


class DeadlinePassed(Exception):
    """The time to send by had passed when the request was about to leave. Nothing was sent."""


class TooLarge(Exception):
    """The answer is longer than the call allows."""


class Unusable(Exception):
    """Before the request left, the connection had ended or carried an answer to no request of ours."""


class Fault(Exception):
    """A call without a complete answer. `sent` is False only if no byte of the request left.

    `reason` is safe to store and log.
    """

    def __init__(self, sent: bool, reason: str) -> None:
        super().__init__(reason)
        self.sent = sent
        self.reason = reason


# Faults of the network and of its other end. Before anything was sent nothing else may go wrong.
NETWORK_FAULTS: tuple[type[Exception], ...] = (
    OSError,
    DeadlinePassed,
    Unusable,
    httpx.HTTPError,
    httpx.InvalidURL,
    httpx.CookieConflict,
    httpx.StreamError,
    httpcore.ConnectionNotAvailable,
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.ProxyError,
    httpcore.TimeoutException,
    httpcore.UnsupportedProtocol,
)


def reason_of(error: BaseException, sent: bool, timeout_seconds: float) -> str:
    """Why a call has no answer, without anything that the server sent.

    The messages of protocol errors quote the answer, so only their class is named.
    """
    kind = type(error).__name__
    if isinstance(error, DeadlinePassed):
        return reasons.TOO_LATE
    if isinstance(error, TooLarge):
        return reasons.TOO_LARGE
    if isinstance(error, Unusable):
        return reasons.UNUSABLE
    if isinstance(error, asyncio.CancelledError):
        return "cancelled"
    if isinstance(error, TimeoutError):
        return (reasons.NO_ANSWER if sent else reasons.NO_CONNECTION).format(seconds=f"{timeout_seconds:g}")
    root: BaseException = error
    while root.__cause__ is not None:
        root = root.__cause__
    if isinstance(root, ssl.SSLError):  # has these two only when OpenSSL raised it
        said = getattr(root, "verify_message", None) or getattr(root, "reason", None) or "failure"
        return f"{kind}: TLS {said.replace('_', ' ').lower()}"
    if isinstance(root, OSError) and root.strerror:
        return f"{kind}: {root.strerror}"
    return kind
