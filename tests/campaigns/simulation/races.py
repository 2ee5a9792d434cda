"""READ COMMITTED, as far as one connection can show it: a commit between another's read and its write."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import event

from .store import SharedStore


@contextmanager
def released_meanwhile(store: SharedStore) -> Iterator[None]:
    """While it lasts, before payments are first written to, another operator has released all that is held.

    PostgreSQL would show that commit to the write, though the read before it did not see it.
    """
    is_done = False

    def before(_connection: Any, _cursor: Any, statement: str, *_more: Any) -> None:
        nonlocal is_done
        if not is_done and statement.startswith("UPDATE payments"):
            is_done = True
            store.raw.execute("UPDATE payments SET state = 'planned', cause = '' WHERE state = 'held'")

    event.listen(store.database.engine, "before_cursor_execute", before)
    try:
        yield
    finally:
        event.remove(store.database.engine, "before_cursor_execute", before)


def told_but_not_so(store: SharedStore) -> list[tuple[int, str]]:
    """Payments that the event log says were voided, and that are something else: id and state."""
    rows = store.rows(
        "SELECT p.id, p.state FROM payments p WHERE p.state <> 'void' AND EXISTS "
        "(SELECT 1 FROM events e WHERE e.payment_id = p.id AND e.action = 'voided')"
    )
    return [(row[0], row[1]) for row in rows]
