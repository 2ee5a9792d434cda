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
    differs from the request; `remote_id` is kept then too, if the answer named a usable one. `unmarked`:
    nothing differs but the name, and that bears no marker.
    """

    kind: OutcomeKind
    remote_id: str | None = None
    status: int | None = None
    detail: str = ""
    retry_after_seconds: float | None = None
    mismatch: bool = False
    unmarked: bool = False
    taken: bool = False
    """Nothing was created: the record of the period before, which came back, stands for it now."""

    @property
    def named_id(self) -> str | None:
        """The record that a 2xx named though its echo is not ours.

        Something was made then: such a create is never sent again by itself. That record is read,
        and `reconciling.judge_named` says whether it is this payment's.
        """
        return self.remote_id if self.kind is OutcomeKind.UNKNOWN and self.mismatch else None


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
class RecordChange:
    """What is changed of a record that is there; never its status. What is None stays."""

    interval_days: int
    marker: str | None = None
    plan: str = ""
    """With `marker`: the name that the record gets is made of both."""
    amount_micros: int | None = None


class RemoteStatus(StrEnum):
    """What a record says of being paid; `remote_status.read_status` reads it."""

    PAID = "paid"
    UNPAID = "unpaid"
    UNCLEAR = "unclear"  # neither word: nobody is dunned, nothing is deleted, a person looks


@dataclass(frozen=True, slots=True)
class RemotePayment:
    """A recurring payment as the API shows it. `marker` is None if it is not one of ours.

    `amount_micros`, `due_on` and `interval_days` are None when the API's value can't be read.
    """

    remote_id: str
    marker: str | None
    amount_micros: int | None
    email: str
    status: RemoteStatus
    due_on: date | None = None
    interval_days: int | None = None

    @property
    def paid(self) -> bool:
        """Surely paid. What is not paid may be unclear: ask `status` before taking it for unpaid."""
        return self.status is RemoteStatus.PAID
