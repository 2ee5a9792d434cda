"""Records that renew themselves, as Mileston's browser SDK says that they do; off unless it is ordered.

An order is words with commas: `paid` (only paid records come back) or `all`; `late=3` (three days after
their interval has passed); `deaf` (by the interval that they were created with, whatever it became).
"""

import re
from datetime import UTC, date, datetime, timedelta
from typing import Any

from billing.sandbox.errors import FaultError
from billing.sandbox.store import Record, Store, instant

_RESOURCE = "recurring-payment"
_WORD = re.compile(r"paid|all|deaf|late=([0-9]{1,4})")


class Renewals:
    """`today` is the date that renewals go by; None: the real one, in UTC."""

    def __init__(self, store: Store, order: str = "") -> None:
        self._store = store
        self.today: date | None = None
        self.order = ""
        self.set(order)

    def set(self, order: str) -> None:
        """Raises FaultError for an order that nobody understands."""
        words = order.split(",") if order else []
        found = [_WORD.fullmatch(word) for word in words]
        if not all(found) or (words and {"paid", "all"}.isdisjoint(words)):
            raise FaultError(f"renews {order!r}: write 'paid' or 'all', and perhaps ',late=3' or ',deaf'")
        self.order = order
        self._all, self._deaf = "all" in words, "deaf" in words
        self._late = timedelta(days=next((int(match[1]) for match in found if match and match[1]), 0))

    def come_due(self) -> None:
        """Whatever renews itself by now has done so."""
        if not self.order:
            return
        today = self.today or datetime.now(UTC).date()
        for record in self._store.everything():
            if record.resource == _RESOURCE and record.deleted_at is None:
                while (renewed := self._renewed(record, today)) is not None:
                    self._store.put(renewed)
                    record = renewed

    def _renewed(self, record: Record, today: date) -> Record | None:
        """Its next version, or None if it stays as it is."""
        if record.status != "paid" and not self._all:
            return None
        fields: dict[str, Any] = self._store.first(record.id).fields if self._deaf else record.fields
        try:
            shown = date.fromisoformat(str(record.fields["recurringDate"])[:10])
            following = shown + timedelta(days=fields["recurringInterval"])
            if following + self._late > today or following <= shown:
                return None
        except (KeyError, ValueError, TypeError, OverflowError):
            return None
        moved = record.fields | {"recurringDate": f"{following}T00:00:00.000Z"}
        at = instant(datetime.now(UTC))
        return record._replace(fields=moved, status="unpaid", changed_at=at)
