"""Markers: how a payment is recognised in the API's list, which has no idempotency key.

A marker is derived from the namespace, what is paid, its reference and the due date alone. Every
attempt of a payment carries the same one, and a database restored from an old backup derives it
again. People know it as the payment number.
"""

from __future__ import annotations

import hashlib
import json
import re
from datetime import date
from typing import Literal

MarkerKind = Literal["period", "charge"]

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's base 32: no I, L, O, U
_LENGTH = 16  # 80 bits: two of a billion payments collide with a chance of 4e-7
_MARKER = rf"RB-([{_ALPHABET}]{{{_LENGTH}}})"
# In front, with or without brackets, which a server may strip. Behind it no letter or digit may
# follow: that would be another, longer word.
_IN_FRONT = re.compile(rf"\[?\s*{_MARKER}(?![0-9A-Za-z])", re.IGNORECASE | re.ASCII)
_AT_THE_END = re.compile(rf"\[{_MARKER}\]\Z", re.IGNORECASE | re.ASCII)
_ANYWHERE = re.compile(rf"(?<![0-9A-Za-z]){_MARKER}(?![0-9A-Za-z])", re.IGNORECASE | re.ASCII)


def marker_for(reference: str, due_on: date, namespace: str = "", kind: MarkerKind = "period") -> str:
    """The marker of what `reference` owes on `due_on`: `RB-` and 16 characters.

    `reference` is a subscription's, or with `kind` "charge" a charge's. `namespace` tells two
    databases of one Mileston business apart.
    """
    if namespace or kind != "period":
        key = json.dumps(["recurring-billing/2", namespace, kind, reference, due_on.isoformat()])
    else:  # as 0.1.0 wrote it: those payments are out there
        key = f"recurring-billing/1\n{reference}\n{due_on.isoformat()}"
    number = int.from_bytes(hashlib.sha256(key.encode()).digest()[:10], "big")
    return "RB-" + "".join(_ALPHABET[(number >> shift) & 31] for shift in range(75, -1, -5))


def name_with_marker(plan: str, marker: str) -> str:
    """The `subscriptionName` that carries a marker: `[RB-…] Gold plan`.

    In front, so that a server which cuts long names, or cuts at a character that it can't store,
    cuts the plan: of 20 characters the marker is still whole.
    """
    return f"[{marker}] {plan}"


def find_marker(subscription_name: str) -> str | None:
    """The marker that a `subscriptionName` bears, in capitals, or None.

    The one in front, where the program puts its own whatever a plan's name holds; else the one at
    the very end, where 0.1.0 put it.
    """
    name = subscription_name.strip()
    found = _IN_FRONT.match(name) or _AT_THE_END.search(name)
    return f"RB-{found[1].upper()}" if found else None


def holds_marker(plan: str) -> bool:
    """Whether a plan's name holds what could be taken for a marker: such a plan is refused."""
    return _ANYWHERE.search(plan) is not None
