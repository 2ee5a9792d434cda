"""Importing: all or nothing, and whatever the bytes are."""

import io
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.app import importing
from billing.app.csv_rows import REQUIRED
from billing.app.importing import import_csv
from billing.errors import ImportRejected
from billing.store.connection import Database
from billing.store.schema import migrate
from tests.support.databases import NOW
from tests.support.imports import (
    SETTINGS,
    D,
    counts,
    load,
    log,
    only_sqlite,
    row_of,
    size,
)

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
