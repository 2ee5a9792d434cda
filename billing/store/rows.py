"""What the queries return: rows with named, typed fields.

SQLAlchemy's rows have these attributes already; a query names its Protocol by `cast`, which costs nothing
at run time, and mypy refuses a misspelt column. Units as in `models`: `_micros` are micro-USDC, `_at`
aware UTC instants, `_on` dates in the business's zone. A test holds every query against its Protocol.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Protocol


class PaymentRef(Protocol):
    """A payment, as much of it as an event names."""

    id: int
    subscription_id: int


class PaymentInState(PaymentRef, Protocol):
    """A payment and the state in which it was read."""

    state: str


class MarkedPayment(Protocol):
    """Which remote record stands for the payment that bears a marker."""

    marker: str
    remote_id: str | None
    state: str
    attempts: int


class PeriodRef(PaymentRef, Protocol):
    """A payment with what the dedupe key of its notices is made of."""

    due_on: date
    reference: str


class Payment(PaymentInState, Protocol):
    """Every column of a payment; their meaning stands in `models.Payment`."""

    period: int
    due_on: date
    period_end_on: date
    amount_micros: int
    marker: str
    cause: str
    attention: str
    attempts: int
    run_id: str | None
    lease_until: datetime | None
    deadline_at: datetime | None
    remote_id: str | None
    remote_from_at: datetime | None
    remote_by_at: datetime | None
    absent_looks: int
    absent_at: datetime | None
    look_step: int
    next_look_at: datetime | None
    looked_at: datetime | None
    looked_run_id: str | None
    paid_at: datetime | None
    payable_on: date | None
    dunning_policy: str | None
    dunning_step: int
    next_dun_on: date | None
    told_by: str
    led_to_pause: int
    renewal_off_at: datetime | None
    former_remote_id: str | None
    shown_on: date | None
    receipt_number: str | None
    created_at: datetime
    updated_at: datetime


class LostPayment(Payment, Protocol):
    """An unknown or parked payment with whom it is for, to be judged by a list."""

    reference: str
    email: str


class PaymentOfSubscription(LostPayment, Protocol):
    """A payment with what its subscription is called, for people."""

    plan: str
    name: str
    subscription_status: str


class OverduePayment(Payment, Protocol):
    """An open payment whose next dunning day has come; all that are open have a payable day."""

    remote_id: str
    looked_at: datetime
    payable_on: date
    reference: str
    email: str
    told_state: str | None
    """The state of the mail that told of it; None if there is none."""
    told_message_id: str | None


class Period(Protocol):
    """The days that a payment is for."""

    id: int
    due_on: date
    period_end_on: date


class FirstSending(PaymentInState, Protocol):
    """A planned payment that was never attempted."""

    due_on: date
    amount_micros: int
    email: str


class HeldBack(PaymentInState, Protocol):
    """A payment that was held because an earlier one was not paid."""

    due_on: date
    period_end_on: date
    created_at: datetime


class OwedPayment(PaymentInState, Protocol):
    """A payment that a statement lists."""

    marker: str
    amount_micros: int
    due_on: date
    period_end_on: date
    payable_on: date
    remote_id: str


class PlannedPayment(PaymentInState, PeriodRef, Protocol):
    """A payment to be sent, with what its request needs."""

    marker: str
    amount_micros: int
    agreed_micros: int
    price_from: date | None
    """The subscription's amount of now: `amount_micros` is behind if it was changed during an attempt."""
    period_end_on: date
    attempts: int
    absent_looks: int
    absent_at: datetime | None
    plan: str
    name: str
    email: str
    wallet_address: str | None
    status: str
    paused_by: str
    interval_count: int
    interval_unit: str


class UnpaidPayment(PaymentInState, PeriodRef, Protocol):
    """An open or uncollectible payment whose status is to be read."""

    remote_id: str
    amount_micros: int
    looked_at: datetime
    due_on: date
    attention: str
    marker: str
    remote_by_at: datetime | None
    email: str


class ListedPayment(UnpaidPayment, Protocol):
    """One that is looked for in the list first."""

    taken: bool
    """Its record stood for the period before once: what lags behind shows what that one was."""


class PaidPayment(PaymentRef, Protocol):
    """A payment that was booked as paid."""

    state: str
    remote_id: str
    attention: str
    due_on: date
    renewal_off_at: datetime | None


class Holder(PaymentInState, Protocol):
    """A payment that a remote record stands for."""

    remote_id: str
    due_on: date


class MayRenew(PaymentInState, Protocol):
    """A payment whose record may come back by itself, with what that record must show to be its."""

    remote_id: str
    marker: str
    due_on: date
    shown_on: date | None
    attention: str
    email: str
    subscription_status: str
    next_charge_on: date | None
    """When its subscription is due next, as far as that is not planned yet."""


class BeforeNext(MayRenew, Protocol):
    """Such a payment, and the next one of its subscription, which is about to be sent."""

    next_id: int
    next_marker: str
    next_due_on: date
    let_go: bool
    """A person has released the next one."""


class Attempt(Protocol):
    """One time that a create was put on the wire; see `models.Attempt`."""

    id: int
    payment_id: int
    number: int
    run_id: str
    started_at: datetime
    outcome: str | None
    status: int | None
    detail: str
    finished_at: datetime | None


class Calendar(Protocol):
    """The columns of a subscription from which `terms_of` reads its calendar."""

    anchor_on: date
    interval_count: int
    interval_unit: str
    bill_from: date | None
    ends_on: date | None
    cancel_on: date | None


class Version(Protocol):
    """What was agreed when; the meaning of the columns stands in `terms_model.TermsVersion`."""

    id: int
    subscription_id: int
    agreed_at: datetime
    actor: str
    holds_from: date
    waits: int
    plan: str
    amount_micros: int
    interval_count: int
    interval_unit: str
    anchor_on: date
    bill_from: date | None
    ends_on: date | None


class Subscription(Calendar, Protocol):
    """Every column of a subscription; their meaning stands in `models.Subscription`."""

    id: int
    reference: str
    plan: str
    name: str
    email: str
    amount_micros: int
    wallet_address: str | None
    locale: str | None
    company: str
    tax_id: str
    address: str
    status: str
    price_from: date | None
    change_on: date | None
    paused_by: str
    paused_until: date | None
    resumed_on: date | None
    next_period: int
    next_due_on: date | None
    next_remind_on: date | None
    created_at: datetime
    updated_at: datetime


class DueSubscription(Subscription, Protocol):
    """A subscription of a scan by date: its next due date is known."""

    next_due_on: date


class Notice(Protocol):
    """Every column of a notice; their meaning stands in `models.Notice`."""

    id: int
    dedupe_key: str
    kind: str
    subscription_id: int | None
    payment_id: int | None
    due_on: date | None
    days: int | None
    facts: str
    state: str
    queued_at: datetime
    next_try_at: datetime
    tries: int
    run_id: str | None
    lease_until: datetime | None
    to_address: str
    subject: str
    message_id: str
    sha256: str
    rendered_at: datetime | None
    raw: bytes | None
    server_reply: str
    sent_at: datetime | None


class ListedNotice(Notice, Protocol):
    """A notice with whom it is for; both None for a digest."""

    reference: str | None
    email: str | None


class NoticeWithRows(Notice, Calendar, Protocol):
    """A notice with the subscription and the payment that it speaks of.

    A digest has neither: its columns from `reference` on are None, though that is not what stands here.
    Without a payment, those from `payment_state` on are None.
    """

    reference: str
    plan: str
    name: str
    email: str
    locale: str | None
    status: str
    paused_by: str
    company: str
    tax_id: str
    address: str
    wallet_address: str | None
    current_amount_micros: int
    next_period: int
    next_due_on: date | None
    payment_state: str | None
    amount_micros: int | None
    period_end_on: date | None
    payable_on: date | None
    payment_attention: str | None
    remote_id: str | None
    marker: str | None
    paid_at: datetime | None
    dunning_policy: str | None
    looked_run_id: str | None
    receipt_number: str | None


class Event(Protocol):
    """One line of the log; see `models.Event`."""

    id: int
    at: datetime
    actor: str
    subscription_id: int | None
    payment_id: int | None
    notice_id: int | None
    action: str
    detail: str


class Run(Protocol):
    """The recorded execution of one cycle; see `models.Run`."""

    id: str
    as_of: date
    started_at: datetime
    finished_at: datetime | None
    outcome: str | None
    summary: str
