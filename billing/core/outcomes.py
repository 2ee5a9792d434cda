"""The result of a call to the payments API: facts that the gateway reports and the cycle decides on."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from enum import StrEnum


class OutcomeKind(StrEnum):
    CREATED = "created"  # 2xx, and the echo matches what was asked for
    REFUSED = "refused"  # this payment was definitely rejected: 400, 403, 404, 422
    UNAUTHORIZED = "unauthorized"  # 401: the key is wrong, not the payment
    NOT_SENT = "not_sent"  # proved: no byte of the request left
    UNKNOWN = "unknown"  # everything else


@dataclass(frozen=True, slots=True)
class CreateOutcome:
    """What is known after a create.

    `detail` is safe to store and log: the API's message or the fault's class, never a key, name or
    address. `retry_after_seconds` is what a 429 or 503 asked for. `mismatch` marks a 2xx whose echo
    differs from the request: a person must look at it.
    """

    kind: OutcomeKind
    remote_id: str | None = None
    status: int | None = None
    detail: str = ""
    retry_after_seconds: float | None = None
    mismatch: bool = False


@dataclass(frozen=True, slots=True)
class PaymentRequest:
    """Everything a create call needs. `due_on` is a date; `interval_days` the period's length."""

    marker: str
    plan: str
    amount_micros: int
    name: str
    email: str
    due_on: date
    interval_days: int
    wallet_address: str | None = None


@dataclass(frozen=True, slots=True)
class RemotePayment:
    """A recurring payment as the API shows it. `marker` is None if it is not one of ours.

    `amount_micros` is None when the API's amount can't be read.
    """

    remote_id: str
    marker: str | None
    amount_micros: int | None
    email: str
    paid: bool
