"""What a remote record may tell: whether it is paid, whose it is, and whether it may be deleted.

The API promises no spelling, so only what can mean one thing alone is believed. Everything else is
unclear: nobody is dunned for it and nothing is deleted, and a person is told.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from datetime import date

from billing.core.outcomes import RemotePayment, RemoteStatus

_IDEOGRAPHIC_DOT = "\u3002"  # the ideographic full stop separates labels, too
_PUNYCODE = "xn--"


@dataclass(frozen=True, slots=True)
class OurPayment:
    """What a remote record must show to be the record of one payment of ours."""

    marker: str
    amount_micros: int
    email: str
    due_on: date


def read_status(raw: object, *, unpaid_word: str = "unpaid") -> RemoteStatus:
    """`paid` or `unpaid` in any letter case and surrounded by blanks; all else is unclear.

    An invoice's word for unpaid is `pending`.
    """
    word = raw.strip().lower() if isinstance(raw, str) else ""
    if word == "paid":
        return RemoteStatus.PAID
    return RemoteStatus.UNPAID if word == unpaid_word else RemoteStatus.UNCLEAR


def status_for(remote: RemotePayment, due_on: date) -> RemoteStatus:
    """The status of the record of a payment due on `due_on`.

    Unpaid with another date is unclear: it may have renewed itself, and then it is the next period
    that is unpaid. A date that can't be read says nothing.
    """
    moved = remote.due_on is not None and remote.due_on != due_on
    return RemoteStatus.UNCLEAR if moved and remote.status is RemoteStatus.UNPAID else remote.status


def same_address(ours: str, theirs: str) -> bool:
    """Whether two e-mail addresses are one person's.

    Letter case says nothing, and neither does whether an international host is written in its own
    letters or in punycode: servers store either.
    """
    return plain_address(ours) == plain_address(theirs)


def plain_address(address: str) -> tuple[str, ...]:
    """The local part and the host's labels. Local parts keep their form: `josé` may be two people."""
    local, _, host = address.strip().lower().rpartition("@")
    labels = unicodedata.normalize("NFKC", host).replace(_IDEOGRAPHIC_DOT, ".").rstrip(".").split(".")
    return (local, *map(_own_letters, labels))


def _own_letters(label: str) -> str:
    """A host's label in its own letters. By `punycode` alone: the standard library's IDNA of 2003
    takes ß for ss, which are two hosts today."""
    if not label.startswith(_PUNYCODE):
        return label
    try:
        return unicodedata.normalize("NFKC", label[len(_PUNYCODE) :].encode("ascii").decode("punycode"))
    except UnicodeError:
        return label


def is_same_id(one: str, other: str) -> bool:
    """Whether two ids may name one record: an API may write an id in other letters in a list than alone."""
    return one.casefold() == other.casefold()


def may_delete(remote: RemotePayment, ours: OurPayment, kept_id: str | None, *, known_paid: bool) -> bool:
    """Whether the program may delete a record by itself: only a proved double. See `why_keep`."""
    return not why_keep(remote, ours, kept_id, known_paid=known_paid)


def why_keep(remote: RemotePayment, ours: OurPayment, kept_id: str | None, *, known_paid: bool) -> str:
    """Why a record must not be deleted, or '' for a proved double.

    `remote` is what a look at that very record showed just now. `kept_id` is the record that stands
    for the payment and stays; `known_paid` says whether `remote` was ever seen as paid.
    """
    if not remote.remote_id:
        return "it has no usable id"
    if not kept_id or is_same_id(kept_id, remote.remote_id):
        return "no other record stands for its payment"
    if remote.marker != ours.marker:
        return "it does not bear the payment number"
    if remote.amount_micros != ours.amount_micros:
        return "its amount is not ours"
    if not same_address(ours.email, remote.email):
        return "its subscriberEmail is not ours"
    if remote.due_on != ours.due_on:
        return "its recurringDate is not ours"
    if remote.status is not RemoteStatus.UNPAID:
        return f"its status is {remote.status}"
    return "it was paid once" if known_paid else ""
