"""The outbox: once for ever by dedupe key, claimed before it is sent, and accounted for at the end."""

from datetime import date, datetime
from typing import Any

import pytest

from billing.core.states import NoticeKind as K
from billing.core.states import NoticeState as S
from billing.lifecycle import notices as outbox
from billing.store import notices
from billing.store.connection import Database
from tests.support.databases import NOW, changed
from tests.support.outbox import (
    DAY,
    LEASE,
    MINUTE,
    claim,
    finish,
    finished,
    found,
    found_in,
    page,
    queue,
)


@pytest.mark.parametrize(
    ("kind", "reference", "due_on", "suffix", "key"),
    [
        (K.PAYMENT_OVERDUE, "acme", date(2026, 2, 1), "d3", "payment_overdue.acme.2026-02-01.d3"),
        (K.PAYMENT_CREATED, "acme", date(2026, 2, 1), "", "payment_created.acme.2026-02-01"),
        (K.SUBSCRIPTION_CANCELLED, "acme", None, "", "subscription_cancelled.acme"),
        (K.SUBSCRIPTION_PAUSED, "a@b+c", None, "20260201", "subscription_paused.a@b+c.20260201"),
        (
            K.PAYMENT_CREATED,
            "../../etc/x",
            date(2026, 2, 1),
            "",
            "payment_created...%2F..%2Fetc%2Fx.2026-02-01",
        ),
        (K.PAYMENT_CREATED, "Zoë\n\x00 |", None, "", "payment_created.Zo%C3%AB%0A%00%20%7C"),
    ],
)
def test_a_dedupe_key_is_readable_and_safe_as_a_files_name(
    kind: K, reference: str, due_on: date | None, suffix: str, key: str
) -> None:
    assert outbox.dedupe_key(kind, reference, due_on, suffix) == key
    assert "/" not in key


def test_a_key_that_was_ever_used_queues_nothing(db: Database) -> None:
    (first,) = queue(db, "key")
    claim(db, first)
    finish(db, finished(first))
    with db.transaction() as tx:
        again = [outbox.new_notice(K.NEXT_PAYMENT_DUE, key, NOW + DAY) for key in ("key", "new", "new")]
        assert outbox.queue(tx, again) == 1
        assert outbox.queue(tx, []) == 0
        assert notices.count_by_state(tx) == {"sent": 1, "queued": 1}
    assert found(db, first).queued_at == NOW


def test_a_notice_is_claimed_with_what_will_be_sent(db: Database) -> None:
    (row_id,) = queue(db, "key")
    claim(db, row_id)
    row = found(db, row_id)
    assert (row.state, row.run_id, row.lease_until, row.tries) == ("sending", "run-1", LEASE, 1)
    assert (row.to_address, row.subject) == ("zoe@example.org", "Your payment")
    assert (row.message_id, row.sha256, row.rendered_at) == (f"<{row_id}@example.org>", "abc", NOW)
    assert page(db) == []


def test_a_notice_is_claimed_once(db: Database) -> None:
    taken, free = queue(db, "taken", "free")
    claim(db, taken)
    with pytest.raises(RuntimeError, match="by another worker under our lock"):
        claim(db, free, taken, run="run-2")
    assert (found(db, taken).run_id, found(db, free).state) == ("run-1", "queued")


@pytest.mark.parametrize("state", [S.SENT, S.FAILED, S.UNKNOWN])
def test_a_notice_ends_with_the_servers_words(db: Database, state: S) -> None:
    (row_id,) = queue(db, "key")
    claim(db, row_id)
    finish(db, finished(row_id, state))
    row = found(db, row_id)
    assert (row.state, row.server_reply, row.sent_at) == (state, "250 ok", NOW + MINUTE)
    assert row.lease_until is None
    assert page(db, now=NOW + DAY) == []


def test_a_notice_that_was_put_off_waits_with_its_bytes(db: Database) -> None:
    (row_id,) = queue(db, "key")
    claim(db, row_id)
    raw = bytes(range(256))
    finish(db, finished(row_id, S.QUEUED, sent_at=None, next_try_at=NOW + MINUTE, tries=4, raw=raw))
    row = found(db, row_id)
    assert (row.state, row.tries, row.raw, row.sent_at) == ("queued", 4, raw, None)
    assert page(db) == []
    assert [row.id for row in page(db, now=NOW + MINUTE)] == [row_id]


def test_a_result_that_comes_too_late_changes_nothing(db: Database) -> None:
    lost, other = queue(db, "lost", "other")
    claim(db, lost)
    claim(db, other, run="run-2")
    with db.transaction() as tx:
        outbox.recover(tx, NOW, True)
    finish(db, finished(lost), finished(other))
    assert [found(db, row_id).state for row_id in (lost, other)] == ["unknown", "unknown"]


def test_a_result_does_not_touch_what_another_run_sends(db: Database) -> None:
    (row_id,) = queue(db, "key")
    claim(db, row_id)
    with db.transaction() as tx:
        outbox.recover(tx, NOW, True)
        assert outbox.requeue(tx, "person:zoe", NOW, found_in(tx, row_id))
    claim(db, row_id, run="run-2")
    finish(db, finished(row_id))
    assert (found(db, row_id).state, found(db, row_id).run_id) == ("sending", "run-2")


def test_only_queued_notices_are_retired(db: Database) -> None:
    queued, sending = queue(db, "queued", "sending")
    claim(db, sending)
    with db.transaction() as tx:
        assert outbox.supersede(tx, "run:1", NOW, found_in(tx, queued), "it was paid")
        assert not outbox.supersede(tx, "run:1", NOW, found_in(tx, sending), "it was paid")
        assert not outbox.fail(tx, "run:1", NOW, found_in(tx, sending), "it can't be rendered")
        assert outbox.supersede_quietly(tx, [], "nobody") == 0
    assert (found(db, queued).state, found(db, queued).server_reply) == ("superseded", "it was paid")
    assert found(db, sending).state == "sending"


@pytest.mark.parametrize(
    ("now", "exclusive", "state"),
    [
        (NOW, True, "unknown"),
        (NOW, False, "sending"),
        (LEASE, False, "sending"),
        (LEASE + MINUTE, False, "unknown"),
    ],
)
def test_what_a_dead_run_was_sending_may_have_gone_out(
    db: Database, now: datetime, exclusive: bool, state: str
) -> None:
    sending, queued = queue(db, "sending", "queued")
    claim(db, sending)
    with db.transaction() as tx:
        assert outbox.recover(tx, now, exclusive) == (state == "unknown")
    row = found(db, sending)
    assert row.state == state
    assert (row.lease_until is None) == (state == "unknown")
    assert found(db, queued).state == "queued"


def test_a_notice_is_queued_again_with_its_message_id(db: Database) -> None:
    one, other = queue(db, "one", "other")
    claim(db, one, other)
    finish(db, finished(one, S.UNKNOWN), finished(other, S.UNKNOWN))
    with db.transaction() as tx:
        read = found_in(tx, one)
        assert outbox.requeue(tx, "person:zoe", NOW + DAY, read)
        assert not outbox.requeue(tx, "person:zoe", NOW + DAY, read)  # it is not unknown any more
        assert outbox.requeue(tx, "person:zoe", NOW + DAY, found_in(tx, other))
    for row_id in (one, other):
        row = found(db, row_id)
        assert (row.state, row.tries, row.next_try_at) == ("queued", 0, NOW + DAY)
        assert row.message_id == f"<{row_id}@example.org>"


@pytest.mark.parametrize(
    ("state", "kept"), [(S.FAILED, (None, None)), (S.UNKNOWN, (b"raw", NOW)), (S.SENT, (b"raw", NOW))]
)
def test_what_was_refused_is_rendered_anew_and_what_may_have_arrived_goes_out_as_it_was(
    db: Database, state: S, kept: tuple[bytes | None, datetime | None]
) -> None:
    (row_id,) = queue(db, "key")
    claim(db, row_id)
    finish(db, finished(row_id, state, raw=b"raw"))
    with db.transaction() as tx:
        assert outbox.requeue(tx, "person:zoe", NOW, found_in(tx, row_id))
    assert (found(db, row_id).raw, found(db, row_id).rendered_at) == kept


@pytest.mark.parametrize(
    ("changes", "queued"),
    [
        ({}, True),
        ({"next_try_at": NOW + MINUTE}, False),
        ({"tries": 11}, False),
        ({"tries": 10}, True),
        ({"state": "failed"}, False),
    ],
)
def test_an_unknown_notice_goes_out_again_while_tries_are_left(
    db: Database, changes: dict[str, Any], queued: bool
) -> None:
    (row_id,) = queue(db, "key")
    claim(db, row_id)
    finish(db, changed(finished(row_id, S.UNKNOWN, raw=b"raw"), **changes))
    with db.transaction() as tx:
        assert outbox.requeue_unknown(tx, NOW, 11) == queued
    row = found(db, row_id)
    assert (row.state == "queued") == queued
    assert row.raw == b"raw"
