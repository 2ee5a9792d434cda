"""What can go wrong in the sandbox, apart from the faults that were ordered."""

from collections.abc import Mapping


class SandboxError(Exception):
    """The sandbox cannot start or go on; the message is one line for a person."""


class FaultError(ValueError):
    """An order for faults is invalid; the message says what is allowed."""


class Refusal(Exception):
    """The API refuses a request: an HTTP status and the `message` of the JSON answer."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = headers
