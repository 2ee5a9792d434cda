"""Markers: how a payment is recognised in the API's list, which has no idempotency key.

The marker is derived from the subscription's reference and the due date alone. Every attempt of a
payment carries the same one, and a database restored from an old backup derives it again.
"""

from __future__ import annotations

import hashlib
import re
from datetime import date

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's base 32: no I, L, O, U
_LENGTH = 16  # 80 bits: two of a billion payments collide with a chance of 4e-7
_MARKER = re.compile(rf"\[RB-([{_ALPHABET}]{{{_LENGTH}}})\]")


def marker_for(reference: str, due_on: date) -> str:
    """The marker of the payment of subscription `reference` due on `due_on`: `RB-` and 16 characters."""
    digest = hashlib.sha256(f"recurring-billing/1\n{reference}\n{due_on.isoformat()}".encode()).digest()
    number = int.from_bytes(digest[:10], "big")
    return "RB-" + "".join(_ALPHABET[(number >> shift) & 31] for shift in range(75, -1, -5))


def name_with_marker(plan: str, marker: str) -> str:
    """The `subscriptionName` that carries a marker: `Gold plan [RB-…]`."""
    return f"{plan} [{marker}]"


def find_marker(subscription_name: str) -> str | None:
    """The last marker in a `subscriptionName`, or None.

    The last, because the program puts its own at the end, after whatever a plan's name contains.
    """
    found = _MARKER.findall(subscription_name)
    return f"RB-{found[-1]}" if found else None
