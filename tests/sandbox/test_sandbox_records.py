"""The file of records: replay, torn lines, compaction, its lock, and states of the past."""

import fcntl
import json
import random
import stat
from pathlib import Path

import pytest

from billing.sandbox import running_url
from billing.sandbox.errors import SandboxError
from billing.sandbox.journal import WORTH_COMPACTING, Journal
from billing.sandbox.lock import Lock, lock_path
from billing.sandbox.store import Record, Store
from tests.support.sandbox_calls import INVOICE, LINK, RECURRING, serving


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "var" / "records.jsonl"


def a_record(name: str, at: str = "2026-01-01T00:00:00.000Z", amount: str = "1") -> Record:
    return Record(RECURRING, name, "biz-1", "Acme", {"amount": amount}, "unpaid", at, at)


def journal_with(data: Path, *entries: dict[str, str]) -> None:
    journal = Journal(data)
    for entry in entries:
        journal.append(entry)
    journal.close()


def replayed(data: Path) -> list[dict[str, str]]:
    journal = Journal(data)
    journal.close()
    return journal.take_replayed()


def test_everything_is_there_again_after_a_restart(data: Path) -> None:
    with serving(data=data) as api:
        kept = [api.created(resource) for resource in (RECURRING, LINK, INVOICE)]
        changed, gone = api.created(), api.created()
        api.update(changed, amount="7", currentPaymentStatus="paid")
        api.delete(gone)
        api.control("POST", f"pay/{kept[1]}")
        before = api.stored()
    with serving(data=data) as api:
        assert api.stored() == before
        assert api.get(changed).json()["recurringPaymentData"]["amount"] == "7"
        assert api.get(gone).status_code == 404
        assert api.listed_amounts() == ["7", "12.50"]


def test_the_files_are_readable_by_their_owner_alone(data: Path) -> None:
    data.parent.mkdir()
    data.touch(mode=0o644)
    with serving(data=data):
        assert stat.S_IMODE(data.stat().st_mode) == 0o600
        assert stat.S_IMODE(lock_path(data).stat().st_mode) == 0o600


@pytest.mark.parametrize("torn", [b'{"id": "c"', b'{"id": "c"}', b"\x00\x00", b'{"id": "\xc3'])
def test_a_torn_last_line_is_cut_off_and_the_next_one_is_whole(data: Path, torn: bytes) -> None:
    journal_with(data, {"id": "a"}, {"id": "b"})
    data.write_bytes(data.read_bytes() + torn)
    journal_with(data, {"id": "d"})
    assert data.read_text() == '{"id":"a"}\n{"id":"b"}\n{"id":"d"}\n'
    assert replayed(data) == [{"id": "a"}, {"id": "b"}, {"id": "d"}]


@pytest.mark.parametrize("damage", ["not json", "[]", "{}", "5", ""])
def test_a_damaged_line_in_the_middle_is_refused_by_number(data: Path, damage: str) -> None:
    data.parent.mkdir()
    data.write_text(f'{{"id":"a"}}\n{damage}\n{{"id":"b"}}\n')
    with pytest.raises(SandboxError, match="line 2: not a record"):
        Journal(data)
    assert damage in data.read_text()


@pytest.mark.parametrize("entry", [{"id": "a"}, a_record("a")._asdict() | {"resource": "payout"}])
def test_a_line_of_another_program_is_refused_and_the_lock_let_go(data: Path, entry: dict[str, str]) -> None:
    journal_with(data, entry)
    with pytest.raises(SandboxError, match="a is not a record of this sandbox"), serving(data=data):
        pass
    data.unlink()
    with serving(data=data) as api:
        assert api.stored() == []


def test_a_data_file_that_cannot_be_opened_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(SandboxError, match="Is a directory"), serving(data=tmp_path):
        pass


def test_many_superseded_lines_are_compacted_to_the_latest_in_order(data: Path) -> None:
    entries = [{"id": "ab"[number % 2], "n": str(number)} for number in range(WORTH_COMPACTING + 2)]
    journal_with(data, *entries)
    journal_with(data, {"id": "c", "n": "new"})
    assert [json.loads(line) for line in data.read_text().splitlines()] == [
        *entries[-2:],
        {"id": "c", "n": "new"},
    ]
    assert stat.S_IMODE(data.stat().st_mode) == 0o600
    assert [path.name for path in data.parent.iterdir()] == [data.name]


def test_few_superseded_lines_are_left_alone(data: Path) -> None:
    journal_with(data, *[{"id": "a"}] * WORTH_COMPACTING)
    assert len(replayed(data)) == 1
    assert len(data.read_text().splitlines()) == WORTH_COMPACTING


def test_a_second_server_on_the_same_file_is_refused_with_the_address_of_the_first(data: Path) -> None:
    with serving(data=data) as api:
        with (
            pytest.raises(SandboxError, match=f"already in use by another sandbox at {api.url}"),
            serving(data=data),
        ):
            pass
        assert api.create().status_code == 201
    with serving(data=data) as api:
        assert api.stored_amounts() == ["12.50"]


def test_the_running_server_can_be_found_by_its_file(data: Path) -> None:
    assert running_url(data) is None
    with serving(data=data) as api:
        assert running_url(data) == api.url
        assert set(json.loads(lock_path(data).read_text())) == {"url", "pid"}
    assert running_url(data) is None


def test_what_a_killed_server_announced_is_not_believed(data: Path) -> None:
    data.parent.mkdir()
    lock_path(data).write_text('{"url": "http://127.0.0.1:1", "pid": 1}')
    assert running_url(data) is None


def test_a_server_that_is_still_starting_has_no_address_yet(data: Path) -> None:
    lock = Lock(data)
    assert running_url(data) is None
    lock.announce("http://127.0.0.1:1")
    assert running_url(data) == "http://127.0.0.1:1"
    lock.release()
    assert running_url(data) is None


def test_a_start_that_meets_somebody_asking_for_the_address_waits(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Lock(data).release()
    with lock_path(data).open() as asking:
        fcntl.flock(asking, fcntl.LOCK_SH)
        monkeypatch.setattr("time.sleep", lambda _: fcntl.flock(asking, fcntl.LOCK_UN))
        Lock(data).release()


def test_a_reset_empties_the_file_and_what_follows_is_kept(data: Path) -> None:
    with serving(data=data) as api:
        api.created(amount="1")
        api.control("POST", "reset")
        assert data.read_bytes() == b""
        api.created(amount="2")
    with serving(data=data) as api:
        assert api.stored_amounts() == ["2"]


def listed_as_of(store: Store, moment: str | None) -> list[tuple[str, str]]:
    records = store.listed((RECURRING, "biz-1"), 10, "oldest", random.Random(0), moment)
    return [(record.id, record.fields["amount"]) for record in records]


def test_a_store_knows_its_states_of_the_past() -> None:
    store = Store()
    store.put(a_record("a", "2026-01-01T00:00:10.000Z", "1"))
    store.put(a_record("b", "2026-01-01T00:00:20.000Z", "5"))
    changed = a_record("a", "2026-01-01T00:00:10.000Z", "2")._replace(changed_at="2026-01-01T00:00:30.000Z")
    store.put(changed)
    store.put(changed._replace(changed_at="2026-01-01T00:00:40.000Z", deleted_at="2026-01-01T00:00:40.000Z"))
    assert listed_as_of(store, "2026-01-01T00:00:09.999Z") == []
    assert listed_as_of(store, "2026-01-01T00:00:10.000Z") == [("a", "1")]
    assert listed_as_of(store, "2026-01-01T00:00:29.999Z") == [("a", "1"), ("b", "5")]
    assert listed_as_of(store, "2026-01-01T00:00:30.000Z") == [("a", "2"), ("b", "5")]
    assert listed_as_of(store, "2026-01-01T00:00:40.000Z") == listed_as_of(store, None) == [("b", "5")]


def test_after_a_restart_the_known_version_stands_for_the_earlier_ones(data: Path) -> None:
    journal_with(data, a_record("a")._replace(changed_at="2026-02-01T00:00:00.000Z")._asdict())
    store = Store(Journal(data))
    assert listed_as_of(store, "2026-01-15T00:00:00.000Z") == [("a", "1")]
    assert listed_as_of(store, "2025-12-31T00:00:00.000Z") == []
    store.close()
