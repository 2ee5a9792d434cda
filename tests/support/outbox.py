"""Notices as the tests of the outbox queue, claim and finish them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from billing.core.states import NoticeKind as K
from billing.core.states import NoticeState as S
from billing.lifecycle import notices as outbox
from billing.store import notices
from billing.store.connection import Database
from tests.support.databases import NOW, changed

MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
BEGINNING = (datetime.min.replace(tzinfo=UTC), 0)
LEASE = NOW + 15 * MINUTE


def queue(db: Database, *keys: str, **changes: Any) -> list[int]:
    """Queue a notice for each key; answers their ids."""
    with db.transaction() as tx:
        queued = outbox.queue(
            tx, [changed(outbox.new_notice(K.NEXT_PAYMENT_DUE, key, NOW), **changes) for key in keys]
        )
        assert queued == len(keys)
        by_key = {row.dedupe_key: row.id for row in notices.listing(tx)}
    return [by_key[key] for key in keys]


def claimed(row_id: int) -> outbox.Claim:
    return {
        "id": row_id,
        "tries": 0,
        "to_address": "zoe@example.org",
        "subject": "Your payment",
        "message_id": f"<{row_id}@example.org>",
        "sha256": "abc",
        "rendered_at": NOW,
    }


def finished(row_id: int, state: S = S.SENT, **changes: Any) -> outbox.Finished:
    row: outbox.Finished = {
        "id": row_id,
        "state": state.value,
        "server_reply": "250 ok",
        "sent_at": NOW + MINUTE,
        "next_try_at": NOW,
        "tries": 1,
        "raw": None,
    }
    return changed(row, **changes)


def claim(db: Database, *ids: int, run: str = "run-1") -> None:
    with db.transaction() as tx:
        outbox.claim(tx, [claimed(row_id) for row_id in ids], run, LEASE)


def finish(db: Database, *rows: outbox.Finished, run: str = "run-1") -> None:
    with db.transaction() as tx:
        known = {row.id: row for row in notices.listing(tx)}
        outbox.finish(tx, f"run:{run}", run, [(known[row["id"]], row, NOW) for row in rows])


def found(db: Database, row_id: int) -> Any:
    with db.transaction() as tx:
        return found_in(tx, row_id)


def found_in(tx: Any, row_id: int) -> Any:
    return notices.find(tx, row_id)


def page(
    db: Database, limit: int = 9, after: tuple[datetime, int] = BEGINNING, now: datetime = NOW
) -> list[Any]:
    with db.transaction() as tx:
        return notices.queued_page(tx, now, after, limit)
