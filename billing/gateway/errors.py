"""What the calls that read or change records raise. Creates raise nothing: they return an outcome."""

from __future__ import annotations

from billing.errors import GatewayError


class CallFailed(GatewayError):
    """A call that could not be completed: no answer, a refusal, or an answer in another form.

    `status` is the HTTP status of a complete answer, else None. `retry_after_seconds` is what a 429
    or 503 asked for. The message is safe to store and log.
    """

    unauthorized = False

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        retry_after_seconds: float | None = None,
        permanent: bool = False,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after_seconds = retry_after_seconds
        self.permanent = permanent


class Unauthorized(CallFailed):
    """The key or the business id was not accepted (401), or can't be sent in a header at all."""

    unauthorized = True
