"""What people decide about the mail: each act from the right state alone, each in the event log."""

from typing import Any

import pytest

from billing.app import decisions
from billing.core.states import NoticeKind, NoticeState
from billing.lifecycle import notices as verbs
from billing.store import notices
from billing.store.connection import Database
from tests.support.databases import NOW, changed
from tests.support.decisions import ACTOR, DAY, log, only_sqlite, outbox, refused


def a_notice(db: Database, state: str, key: str = "key") -> int:
    with db.transaction() as tx:
        values: dict[str, Any] = {
            "state": state,
            "message_id": "<1@example.org>",
            "lease_until": NOW,
            "tries": 3,
        }
        row = changed(verbs.new_notice(NoticeKind.PAYMENT_CREATED, key, NOW), **values)
        assert verbs.queue(tx, [row]) == 1
        return max(int(found.id) for found in notices.listing(tx))


@pytest.mark.parametrize("state", ["sent", "failed", "unknown"])
def test_a_notice_is_sent_again_with_its_message_id(db: Database, state: str) -> None:
    notice_id = a_notice(db, state)
    decisions.resend_notice(db, notice_id, NOW + DAY)
    (row,) = outbox(db)
    assert (row.state, row.next_try_at, row.tries) == ("queued", NOW + DAY, 0)
    assert row.message_id == "<1@example.org>"
    assert log(db) == [(ACTOR, "notice_resent", f"it was {state}")]


@only_sqlite
@pytest.mark.parametrize(
    "state", sorted(set(NoticeState) - {NoticeState.SENT, NoticeState.FAILED, NoticeState.UNKNOWN})
)
def test_no_other_notice_is_sent_again(db: Database, state: str) -> None:
    notice_id = a_notice(db, state)
    said = refused(lambda: decisions.resend_notice(db, notice_id, NOW), db)
    assert said == f"notice {notice_id} is {state}; only sent, failed and unknown ones are resent"
    assert outbox(db)[0].state == state


def test_a_notice_that_does_not_exist_is_refused(db: Database) -> None:
    said = refused(lambda: decisions.resend_notice(db, 4711, NOW), db)
    assert said == "there is no notice 4711; `billing notices list` shows them"


def test_all_failed_notices_are_sent_again_and_no_others(db: Database) -> None:
    failed = [a_notice(db, "failed", f"f{n}") for n in range(3)]
    others = [a_notice(db, state, state) for state in ("unknown", "sent", "superseded")]
    assert decisions.resend_notices(db, NoticeState.FAILED, NOW) == 3
    states = {row.id: row.state for row in outbox(db)}
    assert [states[n] for n in failed] == ["queued"] * 3
    assert [states[n] for n in others] == ["unknown", "sent", "superseded"]
    assert log(db) == [(ACTOR, "notice_resent", "it was failed")] * 3
    said = refused(lambda: decisions.resend_notices(db, NoticeState.SENT, NOW), db)
    assert said == "all sent notices can't be resent at once, only all failed or all unknown ones"
