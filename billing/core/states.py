"""The states of a payment and the one table of transitions between them.

The store applies a transition by compare-and-set on the old state and checks the row count; a
trigger made from the same table refuses every other change in the database itself.
"""

from __future__ import annotations

from enum import StrEnum

from billing.errors import IllegalTransition


class PaymentState(StrEnum):
    PLANNED = "planned"  # due, not yet on the wire
    SENDING = "sending"  # intent committed; the socket may be open
    OPEN = "open"  # exists at Mileston, not yet paid
    REJECTED = "rejected"  # rejected by Mileston; a person must correct the data
    UNKNOWN = "unknown"  # may or may not exist at Mileston
    HELD = "held"  # not sent: safety limit, catch-up, or a paused subscription
    PARKED = "parked"  # cannot confirm whether it exists at Mileston; a person must decide
    PAID = "paid"
    UNCOLLECTIBLE = "uncollectible"  # dunning ended unpaid
    VOID = "void"  # will never be charged


S = PaymentState

TRANSITIONS: dict[PaymentState, frozenset[PaymentState]] = {
    S.PLANNED: frozenset({S.SENDING, S.HELD, S.VOID, S.UNKNOWN}),
    S.SENDING: frozenset({S.OPEN, S.REJECTED, S.PLANNED, S.UNKNOWN}),
    S.OPEN: frozenset({S.PAID, S.UNCOLLECTIBLE, S.VOID}),
    S.REJECTED: frozenset({S.PLANNED, S.VOID, S.UNKNOWN}),
    S.UNKNOWN: frozenset({S.OPEN, S.PLANNED, S.PARKED}),
    S.HELD: frozenset({S.PLANNED, S.VOID, S.UNKNOWN}),
    S.PARKED: frozenset({S.OPEN, S.PLANNED, S.VOID}),
    S.PAID: frozenset(),
    S.UNCOLLECTIBLE: frozenset({S.PAID}),
    S.VOID: frozenset(),
}

NEEDS_A_PERSON = frozenset({S.REJECTED, S.HELD, S.PARKED})
"""Whatever else is so. (When an unknown one does, `lifecycle.needs` says.)"""
UNSENT = frozenset({S.PLANNED, S.HELD, S.REJECTED})
"""For all we know it does not exist at Mileston: it takes new terms, and a cancellation voids it."""
REMOTE = frozenset({S.OPEN, S.PAID, S.UNCOLLECTIBLE})


def check_transition(old: PaymentState, new: PaymentState) -> None:
    """Raise `IllegalTransition` unless the table allows it."""
    if new not in TRANSITIONS[old]:
        allowed = ", ".join(sorted(TRANSITIONS[old])) or "nothing: it is final"
        raise IllegalTransition(f"a payment that is {old} can't become {new}; it can become {allowed}")


class SubscriptionStatus(StrEnum):
    ACTIVE = "active"
    PAUSED = "paused"  # nothing is planned until resumed; the pause is not billed
    CANCELLED = "cancelled"  # final
    ENDED = "ended"  # every period up to ends_on is planned


class NoticeKind(StrEnum):
    NEXT_PAYMENT_DUE = "next_payment_due"
    PAYMENT_CREATED = "payment_created"
    PAYMENT_RECEIVED = "payment_received"
    PAYMENT_OVERDUE = "payment_overdue"
    SUBSCRIPTION_PAUSED = "subscription_paused"
    SUBSCRIPTION_RESUMED = "subscription_resumed"
    SUBSCRIPTION_CANCELLED = "subscription_cancelled"
    TERMS_CHANGED = "terms_changed"
    RUN_DIGEST = "run_digest"


class NoticeState(StrEnum):
    QUEUED = "queued"  # to be sent
    SENDING = "sending"  # claimed; the mail server may have it
    SENT = "sent"  # the mail server took it
    FAILED = "failed"  # permanently refused; the server's reply is kept
    UNKNOWN = "unknown"  # the connection was lost after the last dot
    SUPERSEDED = "superseded"  # no longer true when it was about to be sent
