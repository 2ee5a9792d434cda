"""A notice as facts (`NoticeFacts`), as bytes (`RenderedMail`), and the result of sending it (`Delivery`)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from billing.core.states import NoticeKind

MOST_TRIES = 11
"""Doubling from five minutes, the last try comes after about three and a half days."""


@dataclass(frozen=True, slots=True)
class DigestItem:
    """One thing that needs the operator: what it is, and the command to type."""

    title: str
    detail: str
    command: str


@dataclass(frozen=True, slots=True)
class OpenPayment:
    """A line of a statement: one payment that is still to be paid."""

    marker: str
    amount_micros: int
    due_on: date
    pay_url: str | None = None


@dataclass(frozen=True, slots=True)
class NoticeFacts:
    """The facts of one notice. Dates are dates in the business's zone; amounts are micro-USDC.

    `marker` is the payment number. `days` counts to the due date in a reminder, and since it in an overdue
    notice, which is number `step` of `steps`; `open_payments` is everything that is still to be paid, oldest
    first. `thread` is the same for all notices of one payment. `final_on` and `final_action` say what dunning
    will do if the payment stays unpaid, and only what it still can; `last_day` is the last day that is paid
    for when a subscription was cancelled. `resumes_when_paid` is whether a pause ends by itself once what is
    open is paid. `old_amount_micros` and `old_plan` are what was agreed before terms changed, None and ''
    if that stays. `company`, `tax_id` and `address` are the buyer's; an address has lines.
    """

    kind: NoticeKind
    dedupe_key: str
    to_address: str
    to_name: str
    locale: str | None
    reference: str
    plan: str
    amount_micros: int
    thread: str
    due_on: date | None = None
    period_start: date | None = None
    period_end: date | None = None  # the last day of the period, inclusive
    pay_url: str | None = None
    days: int | None = None
    paid_on: date | None = None
    next_due_on: date | None = None
    final_on: date | None = None
    final_action: str | None = None  # pause, cancel or keep
    last_day: date | None = None
    items: tuple[DigestItem, ...] = ()
    marker: str = ""
    step: int | None = None
    steps: int | None = None
    asked_on: date | None = None
    last_reminder_on: date | None = None
    open_payments: tuple[OpenPayment, ...] = ()
    resumes_when_paid: bool = False
    receipt_number: str = ""
    company: str = ""
    tax_id: str = ""
    address: str = ""
    wallet_address: str = ""
    old_amount_micros: int | None = None
    old_plan: str = ""


@dataclass(frozen=True, slots=True)
class RenderedMail:
    """One message, built once. `raw` uses CRLF line ends and is what goes on the wire."""

    dedupe_key: str
    sender: str
    recipient: str
    subject: str
    message_id: str
    raw: bytes
    sha256: str


class DeliveryKind(StrEnum):
    SENT = "sent"  # the server took it
    RETRY = "retry"  # 4xx: a temporary refusal of this message
    FAILED = "failed"  # 5xx: a permanent refusal of this message
    UNKNOWN = "unknown"  # the connection was lost after the last dot: it may have been taken
    NOT_SENT = "not_sent"  # the channel failed before the last dot: this message is not the cause


@dataclass(frozen=True, slots=True)
class Delivery:
    """The result of handing over one message; `server_reply` is the server's text, without addresses."""

    kind: DeliveryKind
    server_reply: str = ""
