"""Importing: all or nothing, an upsert by reference, and never a period billed twice."""

import csv
import io
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from billing.app import decisions, importing
from billing.app.csv_rows import REQUIRED
from billing.app.importing import ImportResult, Permissions, import_csv
from billing.config import Settings
from billing.core.states import SubscriptionStatus
from billing.cycle.plan import decide
from billing.errors import ImportRejected
from billing.store import payments, subscriptions
from billing.store.connection import Database
from billing.store.models import events
from billing.store.schema import migrate
from tests.support.databases import NOW, a_payment, set_subscription

D = date.fromisoformat
LATER = NOW + timedelta(days=1)
SETTINGS = Settings()
only_sqlite = pytest.mark.parametrize("dialect", ["sqlite"], indirect=True)
BOTH = (*REQUIRED, "bill_from", "ends_on", "locale")
GOOD = {
    "reference": "acme",
    "plan": "Gold plan",
    "name": "Zoë Quillfeather",
    "email": "zoe@example.org",
    "amount": "19.90",
    "interval": "1 month",
    "starts_on": "2026-01-31",
}


def csv_file(*rows: dict[str, str]) -> io.BytesIO:
    text = io.StringIO()
    writer = csv.DictWriter(text, BOTH)
    writer.writeheader()
    writer.writerows([GOOD | row for row in rows])
    return io.BytesIO(text.getvalue().encode())


def load(db: Database, *rows: dict[str, str], now: Any = NOW, **options: Any) -> ImportResult:
    """Import rows that differ from a good one in what is given; without any, the good one."""
    return import_csv(db, csv_file(*(rows or ({},))), SETTINGS, now, "person:zoe", **options)


def counts(result: ImportResult) -> tuple[int, int, int]:
    return result.added, result.updated, result.unchanged


def row_of(db: Database, reference: str = "acme") -> Any:
    with db.read() as connection:
        return subscriptions.by_references(connection, [reference])[reference]


def size(db: Database) -> int:
    with db.read() as connection:
        return subscriptions.count(connection)


def log(db: Database) -> list[tuple[str, str, int]]:
    with db.read() as connection:
        rows = connection.execute(select(events).order_by(events.c.id))
        return [(row.actor, row.action, row.subscription_id) for row in rows]


def change(db: Database, **values: Any) -> None:
    with db.transaction() as tx:
        set_subscription(tx, row_of(db).id, NOW, **values)


def billed(db: Database, due_on: str, period: int) -> None:
    """As after a cycle that planned everything up to this due date."""
    row = row_of(db)
    a_payment(db, row.id, D(due_on), period=period, state="open")
    terms = subscriptions.terms_of(row)
    change(db, next_period=period + 1, next_due_on=terms.next_due_on(period + 1))


# -- new subscriptions --------------------------------------------------------------------------------


def test_a_new_subscription_is_stored_with_its_schedule(db: Database) -> None:
    assert counts(load(db, {"locale": "de"})) == (1, 0, 0)
    row = row_of(db)
    assert (row.plan, row.name, row.email, row.locale) == (
        "Gold plan",
        "Zoë Quillfeather",
        "zoe@example.org",
        "de",
    )
    assert (row.amount_micros, row.interval_count, row.interval_unit) == (19_900_000, 1, "month")
    assert (row.anchor_on, row.next_period, row.next_due_on) == (D("2026-01-31"), 0, D("2026-01-31"))
    assert (row.status, row.cancel_on, row.next_remind_on) == ("active", None, D("2026-01-24"))
    assert (row.created_at, row.updated_at) == (NOW, NOW)
    assert log(db) == [("person:zoe", "added", row.id)]


@pytest.mark.parametrize(
    ("terms", "period", "due_on", "status"),
    [
        ({"bill_from": "2026-03-01"}, 2, "2026-03-31", "active"),
        ({"bill_from": "2025-01-01"}, 0, "2026-01-31", "active"),
        ({"ends_on": "2026-01-31"}, 0, "2026-01-31", "active"),
        ({"bill_from": "2026-02-01", "ends_on": "2026-02-27"}, 1, None, "ended"),
    ],
)
def test_a_schedule_starts_with_the_first_period_to_be_billed(
    db: Database, terms: dict[str, str], period: int, due_on: str | None, status: str
) -> None:
    load(db, terms)
    row = row_of(db)
    assert (row.next_period, row.next_due_on, row.status) == (period, due_on and D(due_on), status)
    assert (row.next_remind_on is None) == (due_on is None)


def test_many_subscriptions_are_stored_in_batches_with_their_progress(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "_BATCH", 500)
    seen: list[int] = []
    result = load(db, *[{"reference": f"r{i}"} for i in range(1100)], progress=seen.append)
    assert counts(result) == (1100, 0, 0)
    assert size(db) == 1100
    assert seen == [500, 1000, 1100]
    assert len(log(db)) == 1100


# -- all or nothing -----------------------------------------------------------------------------------


BAD = [
    {"email": "zoe"},
    {"name": "Zoë\r\nBcc: all@example.org"},
    {"amount": "-19.90"},
    {"interval": "1 fortnight"},
    {"reference": "good-0"},
    {"name": "n" * 1_000_000},
    {"starts_on": "31.01.2026"},
    {"ends_on": "2020-01-01"},
]


@pytest.mark.parametrize("bad", BAD, ids=lambda row: next(iter(row)))
@only_sqlite
def test_one_bad_cell_refuses_the_whole_file(db: Database, bad: dict[str, str]) -> None:
    good = [{"reference": f"good-{i}"} for i in range(600)]  # one batch is stored before it is found
    with pytest.raises(ImportRejected) as refused:
        load(db, *good, {"reference": "bad"} | bad, {"reference": "last"})
    assert len(refused.value.faults) == 1
    assert refused.value.faults[0].startswith("line 602")
    assert str(refused.value) == refused.value.faults[0]
    assert refused.value.exit_code == 1
    assert (size(db), log(db)) == (0, [])


def test_every_kind_of_bad_row_is_named_at_once(db: Database) -> None:
    load(db)
    with pytest.raises(ImportRejected) as refused:
        load(db, {"reference": "good-0"}, *[{"reference": f"bad-{i}"} | bad for i, bad in enumerate(BAD)])
    lines = [fault.partition(":")[0].partition(",")[0] for fault in refused.value.faults]
    assert lines == ["line 3", "line 4", "line 6", "line 7", "line 8", "line 9", "line 10", "line 11"]
    assert row_of(db).updated_at == NOW
    assert size(db) == 1


@only_sqlite
@pytest.mark.parametrize("content", [b"", b"acme;Gold", b"\xff\xfe", b"reference,plan\nx,y\n"])
def test_a_file_that_is_none_is_refused(db: Database, content: bytes) -> None:
    with pytest.raises(ImportRejected):
        import_csv(db, io.BytesIO(content), SETTINGS, NOW, "person:zoe")
    assert size(db) == 0


def test_a_dry_run_tells_the_same_and_stores_nothing(db: Database) -> None:
    load(db)
    rows = [{"amount": "20.00"}, {"reference": "new", "email": "new@example.org"}]
    assert counts(load(db, *rows, dry_run=True)) == (1, 1, 0)
    assert (size(db), row_of(db).amount_micros, len(log(db))) == (1, 19_900_000, 1)
    assert counts(load(db, *rows)) == (1, 1, 0)
    with pytest.raises(ImportRejected):
        load(db, {"amount": "-1"}, dry_run=True)


# -- an upsert by reference ---------------------------------------------------------------------------


def test_the_same_file_again_changes_nothing(db: Database) -> None:
    rows = [
        {},
        {"reference": "other", "ends_on": "2027-01-31"},
        {"reference": "third", "bill_from": "2026-04-01"},
    ]
    load(db, *rows)
    before = log(db)
    assert counts(load(db, *rows, now=LATER)) == (0, 0, 3)
    assert row_of(db).updated_at == NOW
    assert log(db) == before


@only_sqlite
@pytest.mark.parametrize(
    "during",
    [
        {"status": "paused"},
        {"status": "active", "next_period": 7, "next_due_on": D("2026-08-31")},
        {"next_remind_on": D("2026-01-28")},
        {"next_remind_on": None},
    ],
)
def test_what_a_cycle_or_a_person_changed_is_no_change_of_the_file(
    db: Database, during: dict[str, Any]
) -> None:
    load(db)
    change(db, **during)
    before = row_of(db)
    assert counts(load(db, {}, now=LATER)) == (0, 0, 1)
    assert row_of(db) == before


def test_a_new_amount_holds_from_the_next_payment_on(db: Database) -> None:
    load(db)
    billed(db, "2026-01-31", 0)
    assert counts(load(db, {"amount": "25.00"}, now=LATER)) == (0, 1, 0)
    row = row_of(db)
    assert (row.amount_micros, row.next_period, row.next_due_on) == (25_000_000, 1, D("2026-02-28"))
    assert (row.created_at, row.updated_at) == (NOW, LATER)
    assert log(db)[-1] == ("person:zoe", "changed", row.id)


@only_sqlite
@pytest.mark.parametrize(
    ("terms", "due_on"),
    [
        ({"starts_on": "2025-01-15"}, "2026-03-15"),  # 31 January to 27 February is charged already
        ({"starts_on": "2026-01-31", "interval": "1 week"}, "2026-02-28"),
        ({"starts_on": "2026-01-30"}, "2026-02-28"),
        ({"starts_on": "2026-02-01"}, "2026-03-01"),
        ({"starts_on": "2020-01-31", "interval": "1 day"}, "2026-02-28"),
        ({"starts_on": "2026-06-10"}, "2026-06-10"),
        ({"bill_from": "2026-03-05"}, "2026-03-31"),
    ],
)
def test_new_terms_never_bill_backwards(db: Database, terms: dict[str, str], due_on: str) -> None:
    load(db)
    billed(db, "2026-01-31", 0)
    load(db, terms)
    assert row_of(db).next_due_on == D(due_on)


@only_sqlite
def test_a_day_is_charged_twice_by_permission_alone(db: Database) -> None:
    load(db)
    billed(db, "2026-01-31", 0)
    with pytest.raises(ImportRejected, match="charged already") as refused:
        load(db, {"bill_from": "2020-01-01"})
    assert "--allow-overlap" in str(refused.value)
    load(db, {"bill_from": "2026-02-10", "starts_on": "2026-02-10"}, allow=Permissions(overlap=True))
    assert row_of(db).next_due_on == D("2026-02-10")


@only_sqlite
def test_what_is_not_at_mileston_yet_takes_the_new_price(db: Database) -> None:
    load(db)
    row = row_of(db)
    states = ("planned", "held", "rejected", "open", "unknown")
    for n, state in enumerate(states):
        a_payment(db, row.id, D("2026-01-31") - n * timedelta(days=31), state=state)
    load(db, {"amount": "12.00"})
    with db.read() as tx:
        prices = {p.state: p.amount_micros for p in payments.listing(tx)}
    assert prices == {
        "planned": 12_000_000,
        "held": 12_000_000,
        "rejected": 12_000_000,
        "open": 19_900_000,
        "unknown": 19_900_000,
    }


@only_sqlite
def test_a_new_row_that_looks_like_a_known_subscription_is_asked_about(db: Database) -> None:
    load(db, {"reference": "00417"})
    new = {"reference": "417", "email": "else@example.org", "plan": "Other"}
    with pytest.raises(ImportRejected, match="looks like the known '00417'"):
        load(db, new)
    load(db, new, allow=Permissions(similar=True))
    assert size(db) == 2


@only_sqlite
def test_a_change_is_told_field_by_field_with_the_next_charge(db: Database) -> None:
    load(db)
    billed(db, "2026-01-31", 0)
    told = load(db, {"amount": "25.00"}, dry_run=True).changes
    assert told == [
        "acme: amount: 19.90 USDC -> 25.00 USDC; next charge: 25.00 USDC on 2026-02-28, "
        "for 2026-02-28 to 2026-03-30"
    ]


@pytest.mark.parametrize(
    ("terms", "due_on"),
    [
        ({"amount": "25.00"}, "2026-07-31"),
        ({"interval": "1 week"}, "2026-07-04"),
        ({"ends_on": "2027-01-01"}, "2026-07-31"),
    ],
)
def test_new_terms_never_bill_a_pause(db: Database, terms: dict[str, str], due_on: str) -> None:
    load(db)
    billed(db, "2026-01-31", 0)
    decisions.pause(db, "acme", NOW, "on leave")
    assert decisions.resume(db, "acme", NOW, D("2026-07-01"), SETTINGS, "back") == D("2026-07-31")
    load(db, terms)
    assert row_of(db).next_due_on == D(due_on)


def test_terms_can_be_corrected_before_anything_was_billed(db: Database) -> None:
    load(db, {"starts_on": "2027-01-31"})
    load(db, {"starts_on": "2026-01-31"})
    assert (row_of(db).next_period, row_of(db).next_due_on) == (0, D("2026-01-31"))
    assert row_of(db).next_remind_on == D("2026-01-24")


@pytest.mark.parametrize("status", ["cancelled", "paused"])
def test_a_status_that_a_person_gave_stays(db: Database, status: str) -> None:
    load(db)
    change(db, status=status)
    load(db, {"amount": "25.00", "starts_on": "2026-02-15"})
    assert row_of(db).status == status


def test_an_ended_subscription_stays_so_unless_its_end_is_moved(db: Database) -> None:
    ends = {"ends_on": "2026-02-27"}
    load(db, ends)
    billed(db, "2026-01-31", 0)
    change(db, status=SubscriptionStatus.ENDED.value)
    load(db, ends | {"amount": "25.00"})
    assert (row_of(db).status, row_of(db).next_due_on) == ("ended", None)
    load(db, {"ends_on": "2026-03-31"})
    assert (row_of(db).status, row_of(db).next_due_on) == ("active", D("2026-02-28"))


def test_a_subscription_whose_end_comes_nearer_ends(db: Database) -> None:
    load(db)
    billed(db, "2026-01-31", 0)
    load(db, {"ends_on": "2026-02-15"})
    assert (row_of(db).status, row_of(db).next_due_on, row_of(db).next_remind_on) == ("ended", None, None)


# What `decisions.cancel` stores for the end of the period.
CANCELLED = {"cancel_on": D("2026-02-28"), "next_remind_on": None}


def test_a_cancellation_at_the_periods_end_outlives_the_same_file(db: Database) -> None:
    load(db)
    billed(db, "2026-01-31", 0)
    change(db, **CANCELLED)
    assert counts(load(db, {}, now=LATER)) == (0, 0, 1)


@pytest.mark.parametrize(
    "terms", [{}, {"amount": "25.00"}, {"starts_on": "2026-01-15"}, {"ends_on": "2026-03-01"}]
)
def test_a_subscription_that_was_cancelled_at_the_periods_end_is_cancelled_then(
    db: Database, terms: dict[str, str]
) -> None:
    load(db)
    billed(db, "2026-01-31", 0)
    change(db, **CANCELLED)
    load(db, terms, now=LATER)
    with db.transaction() as tx:
        due = subscriptions.due_page(tx, D("2026-02-28"), 9)
    assert [row.reference for row in due] == ["acme"]
    decision = decide(due[0], SETTINGS, D("2026-02-28"))
    assert decision.status == "cancelled"
    assert all(period.due_on < D("2026-02-28") for period in decision.plan.periods)


# -- anything -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def memory() -> Iterator[Database]:
    db = Database("sqlite:///:memory:")
    migrate(db)
    yield db
    db.close()


HEADER = (",".join(REQUIRED) + "\n").encode()
LINE = b"acme,Gold,Zoe,zoe@example.org,19.90,1 month,2026-01-31\n"
scraps = st.one_of(
    st.binary(max_size=60),
    st.sampled_from(
        [HEADER, LINE, LINE.replace(b"acme", b"other"), b"\xef\xbb\xbf", b'"', b"\r", b",,,,,,\n"]
    ),
    st.integers(0, len(LINE)).map(lambda cut: LINE[:cut]),
)


@given(
    st.one_of(st.lists(scraps).map(b"".join), st.lists(scraps).map(lambda parts: HEADER + b"".join(parts)))
)
def test_any_bytes_are_imported_or_refused(memory: Database, content: bytes) -> None:
    added, faults = 0, []
    try:
        added = import_csv(memory, io.BytesIO(content), SETTINGS, NOW, "person:zoe", dry_run=True).added
    except ImportRejected as refused:
        faults = [*refused.faults]
    good = content.removeprefix(b"\xef\xbb\xbf").lstrip(b"\r\n,; ").startswith(HEADER.strip())
    assert faults or good
    assert added <= content.count(b"acme") + content.count(b"other")
    assert size(memory) == 0
