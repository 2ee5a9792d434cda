"""The outbox: once for ever by dedupe key, claimed before it is sent, and accounted for at the end."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from billing.core.states import NoticeKind as K
from billing.core.states import NoticeState as S
from billing.lifecycle import notices as outbox
from billing.store import notices
from billing.store.connection import Database
from tests.support.databases import NOW, TODAY, a_payment, a_subscription, changed

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


def test_what_is_queued_comes_oldest_first_in_pages_and_not_before_its_time(db: Database) -> None:
    late, first, second = queue(db, "late", "first", "second")
    (soon,) = queue(db, "soon", next_try_at=NOW + MINUTE)
    (earlier,) = queue(db, "earlier", next_try_at=NOW - MINUTE)
    claim(db, late)
    two = page(db, 2)
    assert [row.id for row in two] == [earlier, first]
    assert [row.id for row in page(db, 2, after=(two[-1].next_try_at, two[-1].id))] == [second]
    assert [row.id for row in page(db, now=NOW + MINUTE)] == [earlier, first, second, soon]


def test_a_notice_comes_with_the_rows_that_it_speaks_of(db: Database) -> None:
    subscription = a_subscription(db, amount_micros=5_000_000)
    payment = a_payment(db, subscription, state="open", payable_on=TODAY)
    (about,) = queue(db, "about", subscription_id=subscription, payment_id=payment, due_on=TODAY)
    (alone,) = queue(db, "alone")
    first, second = page(db)
    assert (first.id, first.reference, first.status, first.current_amount_micros) == (
        about,
        "acme",
        "active",
        5_000_000,
    )
    assert (first.payment_state, first.amount_micros, first.payable_on) == ("open", 19_900_000, TODAY)
    assert (second.id, second.reference, second.payment_state) == (alone, None, None)
    with db.read() as connection:
        with_rows = notices.with_rows(connection, about)
        assert with_rows is not None
        assert with_rows.email == "zoe.quillfeather@example.org"
        assert notices.with_rows(connection, 4711) is None


@pytest.mark.parametrize("dialect", ["postgresql"], indirect=True)
def test_a_worker_skips_what_another_sends_without_waiting(db: Database) -> None:
    ids = queue(db, "a", "b", "c")
    with db.transaction() as one, db.transaction() as other:
        other.exec_driver_sql("SET LOCAL lock_timeout = '5s'")
        taken = [row.id for row in notices.queued_page(one, NOW, BEGINNING, 2)]
        left = [row.id for row in notices.queued_page(other, NOW, BEGINNING, 2)]
    assert (taken, left) == (ids[:2], ids[2:])


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


def test_the_reminders_of_one_due_date(db: Database) -> None:
    subscription, other = a_subscription(db), a_subscription(db, "other")
    queue(db, "d7", subscription_id=subscription, due_on=TODAY, days=7)
    queue(db, "d3", subscription_id=subscription, due_on=TODAY, days=3)
    queue(db, "next", subscription_id=subscription, due_on=TODAY + DAY, days=1)
    queue(db, "theirs", subscription_id=other, due_on=TODAY, days=2)
    queue(db, "overdue", subscription_id=subscription, due_on=TODAY, days=4, kind="payment_overdue")
    with db.read() as connection:
        assert sorted(notices.sent_reminders(connection, subscription, TODAY)) == [3, 7]


def test_the_list_is_oldest_first_and_can_be_narrowed(db: Database) -> None:
    subscription = a_subscription(db)
    first, second = queue(db, "b", "a")
    (third,) = queue(db, "c", subscription_id=subscription)
    claim(db, second)
    with db.read() as connection:

        def ids(*args: Any, **kwargs: Any) -> list[int]:
            return [row.id for row in notices.listing(connection, *args, **kwargs)]

        assert ids() == [first, second, third]
        assert ids(["sending"]) == [second]
        assert ids([S.QUEUED]) == [first, third]
        assert ids(subscription_id=subscription) == [third]
