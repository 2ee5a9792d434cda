"""What a look at the API is judged by: which payments are lost, which remote ones must be listed."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import insert, select, update

from billing.core.reconciling import LostCreate
from billing.core.states import PaymentState as S
from billing.lifecycle import remote_ids
from billing.store import overdue, payments, remote_checks
from billing.store.connection import Database
from billing.store.models import attempts
from billing.store.models import payments as table
from tests.support.databases import NOW, TODAY, a_payment, a_subscription

MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)


class Ledger:
    """Payments of one subscription, each due a day before the last."""

    def __init__(self, db: Database) -> None:
        self.db = db
        self.subscription = a_subscription(db)
        self.count = 0

    def add(self, state: str = "open", remote_id: str | None = None, **changes: Any) -> int:
        self.count += 1
        if remote_id is not None:
            changes |= {"remote_id": remote_id, "remote_by_at": NOW + MINUTE, "looked_at": NOW} | changes
        return a_payment(self.db, self.subscription, TODAY - self.count * DAY, state=state, **changes)


@pytest.fixture
def ledger(db: Database) -> Ledger:
    return Ledger(db)


def read(db: Database, query: Any, *args: Any) -> Any:
    with db.read() as connection:
        return query(connection, *args)


def row_of(db: Database, payment_id: int) -> Any:
    return read(db, lambda tx: tx.execute(select(table).where(table.c.id == payment_id)).one())


@pytest.mark.parametrize(
    ("state", "changes", "due"),
    [
        ("unknown", {}, True),
        ("unknown", {"next_look_at": NOW}, True),
        ("unknown", {"next_look_at": NOW + MINUTE}, False),
        ("planned", {"attempts": 1}, True),  # about to be sent a second time
        ("planned", {}, False),
        ("parked", {}, False),
        ("open", {}, False),
    ],
)
def test_when_a_look_is_due(ledger: Ledger, state: str, changes: dict[str, Any], due: bool) -> None:
    assert not read(ledger.db, remote_checks.look_is_due, NOW)
    ledger.add(state, **changes)
    assert read(ledger.db, remote_checks.look_is_due, NOW) is due


def test_what_is_lost_comes_by_id_with_what_judging_needs(ledger: Ledger) -> None:
    unknown = ledger.add("unknown", absent_looks=1, absent_at=NOW, look_step=2, deadline_at=NOW + MINUTE)
    parked, other = ledger.add("parked"), ledger.add("unknown", remote_from_at=None, deadline_at=None)
    for state in set(S) - {S.UNKNOWN, S.PARKED}:
        ledger.add(state)
    with ledger.db.transaction() as tx:
        first = remote_checks.lost_page(tx, 0, 2)
        rest = remote_checks.lost_page(tx, first[-1].id, 2)
    assert [row.id for row in [*first, *rest]] == [unknown, parked, other]
    assert remote_checks.lost_create(first[0]) == LostCreate(
        amount_micros=19_900_000,
        email="zoe.quillfeather@example.org",
        started_at=NOW,
        deadline_at=NOW + MINUTE,
        absent_looks=1,
        absent_at=NOW,
        look_step=2,
        due_on=first[0].due_on,
        marker=first[0].marker,
    )
    without = remote_checks.lost_create(rest[0])
    assert (without.started_at, without.deadline_at) == (NOW, NOW)  # when it was planned
    assert read(ledger.db, remote_checks.count_unknown) == 2


def test_the_unknown_payments_that_a_list_must_reach(ledger: Ledger) -> None:
    assert read(ledger.db, remote_checks.oldest_unknown) == []
    ids = {ledger.add("unknown", remote_from_at=NOW - n * MINUTE) for n in range(3)}
    ledger.add("parked", remote_from_at=NOW - DAY)
    assert {row.id for row in read(ledger.db, remote_checks.oldest_unknown)} == ids


def test_what_is_known_of_remote_records_by_their_ids(ledger: Ledger) -> None:
    for state in ("open", "paid", "void"):
        ledger.add(state, f"r-{state}")
    ledger.add("open", "r-unasked")
    ledger.add("open", "r-no-time", remote_from_at=None)
    known = read(
        ledger.db, remote_checks.known_remotes, ["r-open", "r-paid", "r-void", "r-no-time", "r-stranger"]
    )
    assert set(known) == {"r-open", "r-paid", "r-void"}  # whatever became of it
    assert (known["r-open"].from_at, known["r-open"].by_at) == (NOW, NOW + MINUTE)
    assert [known[each].paid for each in ("r-open", "r-paid")] == [False, True]
    assert read(ledger.db, remote_checks.about_live, 9) == 4


def test_what_a_whole_list_must_show(ledger: Ledger) -> None:
    """A void or flagged payment does not stand in for one that is missing, nor need it be there."""
    ledger.add(remote_id="r-missing")
    ledger.add(remote_id="r-new", remote_by_at=NOW + 2 * MINUTE)
    ledger.add(remote_id="r-listed")
    ledger.add("void", "r-void")
    ledger.add(remote_id="r-vanished", attention="it vanished")
    with ledger.db.read() as tx:
        known = remote_checks.known_remotes(tx, ["r-listed"])
        missing = list(remote_checks.live_but(tx, known, NOW + MINUTE))
    assert len(missing) == 1
    assert missing[0].by_at == NOW + MINUTE


def test_many_remote_payments_are_looked_up_in_pieces(ledger: Ledger) -> None:
    ledger.add("open", "r-last")
    asked = [f"stranger-{i}" for i in range(2500)] + ["r-last"]
    assert list(read(ledger.db, remote_checks.known_remotes, asked)) == ["r-last"]


def test_payments_are_found_by_their_markers(ledger: Ledger) -> None:
    payment = ledger.add("planned")
    marker = row_of(ledger.db, payment).marker
    found = read(ledger.db, remote_checks.by_marker, [marker, "RB-NOBODY"])
    assert list(found) == [marker]
    assert (found[marker].id, found[marker].reference) == (payment, "acme")
    assert read(ledger.db, remote_checks.by_marker, []) == {}


def test_what_a_look_taught_is_written_of_unknown_payments_alone(ledger: Ledger) -> None:
    unknown, adopted = ledger.add("unknown"), ledger.add("open")
    taught: remote_checks.Look = {
        "id": unknown,
        "absent_looks": 1,
        "absent_at": NOW,
        "look_step": 3,
        "next_look_at": NOW + MINUTE,
    }
    with ledger.db.transaction() as tx:
        remote_checks.note_looks(tx, [taught, {**taught, "id": adopted}])
        remote_checks.note_looks(tx, [])
    row = row_of(ledger.db, unknown)
    assert (row.absent_looks, row.absent_at, row.look_step, row.next_look_at) == (1, NOW, 3, NOW + MINUTE)
    assert row_of(ledger.db, adopted).absent_looks == 0


def test_unpaid_payments_come_by_their_last_look_in_pages(ledger: Ledger) -> None:
    second = ledger.add(remote_id="b", looked_at=NOW - MINUTE)
    first = ledger.add("uncollectible", remote_id="a", looked_at=NOW - DAY)  # paid late is still paid
    third = ledger.add(remote_id="c", looked_at=NOW - MINUTE)
    ledger.add(remote_id="fresh", looked_at=NOW)
    ledger.add("paid", remote_id="paid", looked_at=NOW - DAY)
    beginning = (datetime.min.replace(tzinfo=NOW.tzinfo), 0)
    page = read(ledger.db, remote_checks.unpaid_page, NOW, beginning, 2)
    rest = read(ledger.db, remote_checks.unpaid_page, NOW, (page[-1].looked_at, page[-1].id), 2)
    assert [row.id for row in [*page, *rest]] == [first, second, third]
    assert read(ledger.db, remote_checks.count_unpaid, NOW) == 3


def test_what_is_still_unpaid_is_locked_with_its_state_and_record(ledger: Ledger) -> None:
    open_, late = ledger.add(remote_id="a"), ledger.add("uncollectible", remote_id="b")
    paid = ledger.add("paid", remote_id="c")
    with ledger.db.transaction() as tx:
        assert remote_checks.lock_unpaid(tx, [open_, late, paid, 4711]) == {
            open_: ("open", "a"),
            late: ("uncollectible", "b"),
        }
        assert remote_checks.lock_unpaid(tx, []) == {}


@pytest.mark.parametrize("dialect", ["postgresql"], indirect=True)
def test_an_unpaid_payment_is_settled_by_one_worker(ledger: Ledger) -> None:
    first, second = ledger.add(remote_id="a"), ledger.add(remote_id="b")
    with ledger.db.transaction() as one, ledger.db.transaction() as other:
        other.exec_driver_sql("SET LOCAL lock_timeout = '5s'")
        assert remote_checks.lock_unpaid(one, [first]) == {first: ("open", "a")}
        assert remote_checks.lock_unpaid(other, [first, second]) == {second: ("open", "b")}


def test_a_look_is_noted_with_its_run_on_unpaid_payments_alone(ledger: Ledger) -> None:
    open_, paid = ledger.add(remote_id="a"), ledger.add("paid", remote_id="b")
    with ledger.db.transaction() as tx:
        remote_checks.note_unpaid(tx, [open_, paid], "run-1", NOW + DAY)
    assert (row_of(ledger.db, open_).looked_at, row_of(ledger.db, open_).looked_run_id) == (
        NOW + DAY,
        "run-1",
    )
    assert row_of(ledger.db, paid).looked_at == NOW


def test_what_was_booked_as_paid_is_found_by_remote_id(ledger: Ledger) -> None:
    paid = ledger.add("paid", remote_id="paid")
    ledger.add(remote_id="open")
    rows = read(ledger.db, remote_checks.paid_among, ["paid", "open", "stranger"])
    assert [row.id for row in rows] == [paid]


def test_a_payment_stands_for_another_remote_payment_only_if_nobody_was_faster(ledger: Ledger) -> None:
    payment = ledger.add(remote_id="old")
    with ledger.db.transaction() as tx:
        row = payments.find(tx, payment)
        assert row is not None
        assert not remote_ids.replace_remote(tx, "run:1", NOW, row, "other", "new")
        assert remote_ids.replace_remote(tx, "run:1", NOW, row, "old", "new")
    assert row_of(ledger.db, payment).remote_id == "new"


@pytest.mark.parametrize("dialect", ["postgresql"], indirect=True)
@pytest.mark.parametrize("scan", ["lost", "overdue"])
def test_a_worker_skips_what_another_judges_without_waiting(ledger: Ledger, scan: str) -> None:
    first, second = ledger.add(remote_id="a"), ledger.add(remote_id="b")
    with ledger.db.transaction() as tx:
        tx.execute(update(table).values(next_dun_on=TODAY, looked_run_id="run-1"))
    if scan == "lost":
        first, second = ledger.add("unknown"), ledger.add("parked")

    def page(tx: Any, limit: int) -> list[int]:
        found = (
            remote_checks.lost_page(tx, 0, limit)
            if scan == "lost"
            else overdue.overdue_page(tx, TODAY, "run-1", 0, limit)
        )
        return [row.id for row in found]

    with ledger.db.transaction() as one, ledger.db.transaction() as other:
        other.exec_driver_sql("SET LOCAL lock_timeout = '5s'")
        assert (page(one, 1), page(other, 9)) == ([first], [second])


def test_whether_anything_was_ever_sent(db: Database) -> None:
    payment = a_payment(db, a_subscription(db))
    with db.transaction() as tx:
        assert not remote_checks.has_ever_sent(tx)
        values = {"payment_id": payment, "number": 1, "run_id": "run-1", "started_at": NOW}
        tx.execute(insert(attempts).values(values))
        assert remote_checks.has_ever_sent(tx)
