"""Every error this program raises on purpose descends from `BillingError`."""

from __future__ import annotations

from collections.abc import Sequence


class BillingError(Exception):
    """Something went wrong; the message says what, where, and what to do about it.

    `permanent` says that trying the same again can't help. `exit_code` is what the command line
    exits with (the contract's exit codes).
    """

    permanent = True
    exit_code = 1


class InvalidAmount(BillingError, ValueError):
    """An amount that is not a positive USDC decimal with at most six places."""


class InvalidInterval(BillingError, ValueError):
    """An interval that is not a positive whole number of days, weeks, months or years."""


class IllegalTransition(BillingError):
    """A payment was asked to go from one state to another that the table does not join."""


class UsageError(BillingError):
    """The person asked for something that does not exist or is not allowed."""

    exit_code = 2


class AlreadyRunning(BillingError):
    """Another cycle is running on this database; nothing was done."""

    permanent = False
    exit_code = 75


class ConfigError(BillingError):
    """The configuration is wrong. Holds one message for each fault, all of them at once."""

    exit_code = 78

    def __init__(self, faults: Sequence[str]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(self.faults))


class WrongDatabase(ConfigError):
    """The database belongs to another environment or business, or to a newer program."""

    def __init__(self, message: str) -> None:
        super().__init__([message])


class ImportRejected(UsageError):
    """A whole file of subscriptions was rejected; `faults` holds one line for each bad cell."""

    exit_code = 1

    def __init__(self, faults: Sequence[str]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(self.faults))


class StoreError(BillingError):
    """The database could not do what was asked (locked, full, unreachable). Nothing was left half done."""

    permanent = False


class GatewayError(BillingError):
    """The payments API could not be read: no answer, or one that the API does not document.

    `status` is the HTTP status of a complete answer, else None.
    """

    permanent = False
    status: int | None = None


class MailError(BillingError):
    """The mail transport as a whole failed (server lost, login refused); no single notice is the cause."""

    permanent = False


class AccountRefused(MailError):
    """The server answered to one message that it takes none from us; the message is not at fault."""


class TemplateError(BillingError):
    """A mail template is missing, broken, or asks for something that does not exist."""
