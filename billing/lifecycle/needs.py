"""What waits for a person, in one place: status, digest, metrics and exit codes ask here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import func, select

from billing.core.notices import DigestItem
from billing.core.states import NEEDS_A_PERSON, NoticeKind, NoticeState, PaymentState
from billing.store import notices, payments
from billing.store.models import notices as notice_table
from billing.store.models import payments as payment_table
from billing.store.rows import PaymentOfSubscription
from billing.store.tx import Tx

_N, _P = notice_table.c, payment_table.c
_ONE_BY_ONE = 5
"""So many of a kind are spelt out; a list of thousands helps nobody."""


@dataclass(frozen=True, slots=True)
class Need:
    """Things of one kind that wait for a person.

    `command` shows all of them; `items` are the first few, each with what to type. `newest` grows, as
    text, when another one joins.
    """

    kind: str
    what: str
    count: int
    command: str
    newest: str = ""
    items: tuple[DigestItem, ...] = ()


# state: what it means for a person, what one of them is called, what to type for it
_PAYMENTS: dict[PaymentState, tuple[str, str, str]] = {
    PaymentState.REJECTED: (
        "rejected by Mileston: correct the data, then release",
        "was rejected by Mileston; correct the data, then release it",
        "billing payments release {id}",
    ),
    PaymentState.HELD: (
        "not sent, for the reason shown: release or void",
        "is held; release it if it is right",
        "billing payments release {id}",
    ),
    PaymentState.PARKED: (
        "cannot confirm whether they exist at Mileston: resolve, release or void",
        "is parked: the program cannot confirm whether it exists at Mileston",
        "billing payments resolve {id}",
    ),
    PaymentState.UNKNOWN: (
        "not known yet whether they exist at Mileston: the next cycles look them up",
        "may or may not exist at Mileston; the next cycles look it up, and so does",
        "billing reconcile",
    ),
}
_NOTICES: dict[NoticeState, tuple[str, str]] = {
    NoticeState.FAILED: ("refused by the mail server", "was refused by the mail server"),
    NoticeState.UNKNOWN: ("may have been delivered", "may or may not have been delivered"),
}


def needs(tx: Tx, *, digests: bool = True) -> tuple[Need, ...]:
    """Everything in the database that waits for a person, with or without digests that failed."""
    return (*_payment_needs(tx), *_notice_needs(tx, digests))


def _payment_needs(tx: Tx) -> Iterator[Need]:
    query = (
        select(_P.state, func.count(), func.max(_P.updated_at))
        .where(_P.state.in_([state.value for state in _PAYMENTS]))
        .group_by(_P.state)
    )
    found = {row[0]: row for row in tx.execute(query)}
    for state, (what, title, command) in _PAYMENTS.items():
        if state in found:
            _, count, newest = found[state]
            yield Need(
                state.value,
                f"{state} payments ({what})",
                count,
                f"billing payments list --state {state}",
                newest.isoformat(),
                _items(
                    payments.listed([state]).first(tx, _ONE_BY_ONE), title, command, lambda row: row.cause
                ),
            )
    count, newest = tx.execute(select(func.count(), func.max(_P.updated_at)).where(_P.attention != "")).one()
    if count:
        yield Need(
            "attention",
            "payments that need a look",
            count,
            "billing payments list --attention",
            newest.isoformat(),
            _items(
                payments.listed(attention=True).first(tx, _ONE_BY_ONE),
                "needs a look",
                "billing payments show {id}",
                lambda row: row.attention,
            ),
        )


def _items(
    rows: Sequence[PaymentOfSubscription],
    title: str,
    command: str,
    reason: Callable[[PaymentOfSubscription], str],
) -> tuple[DigestItem, ...]:
    return tuple(
        DigestItem(
            f"Payment {row.id} {title}",
            f"{row.reference}, due on {row.due_on}: {reason(row)}".removesuffix(": "),
            command.format(id=row.id),
        )
        for row in rows
    )


def _notice_needs(tx: Tx, digests: bool) -> Iterator[Need]:
    query = (
        select(_N.state, func.count(), func.max(_N.id))
        .where(_N.state.in_([state.value for state in _NOTICES]))
        .group_by(_N.state)
    )
    if not digests:
        query = query.where(_N.kind != NoticeKind.RUN_DIGEST.value)
    found = {row[0]: row for row in tx.execute(query)}
    for state, (what, title) in _NOTICES.items():
        if state in found:
            _, count, newest = found[state]
            rows = notices.listed([state], digests=digests).first(tx, _ONE_BY_ONE)
            items = (
                DigestItem(
                    f"The e-mail {row.kind} {title}",
                    ": ".join(filter(None, (row.reference, row.server_reply))),
                    f"billing notices resend {row.id}",
                )
                for row in rows
            )
            yield Need(
                f"notices_{state}",
                f"{state} notices ({what})",
                count,
                f"billing notices list --state {state}",
                f"{newest:012d}",
                tuple(items),
            )


def count_payments(tx: Tx) -> int:
    """How many payments are rejected, unknown, held or parked, or flagged for attention."""
    states = [state.value for state in NEEDS_A_PERSON]
    by_state = select(func.count()).where(_P.state.in_(states))
    flagged = select(func.count()).where(_P.attention != "", _P.state.not_in(states))
    return tx.execute(by_state).scalar_one() + tx.execute(flagged).scalar_one()
