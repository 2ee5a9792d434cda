"""Runs are recorded, with their end."""

from datetime import timedelta

from billing.store import runs
from billing.store.connection import Database
from tests.support.databases import NOW, TODAY, owned

DAY = timedelta(days=1)


def test_runs_are_recorded_with_their_end(db: Database) -> None:
    owned(db)
    with db.transaction() as tx:
        assert runs.latest(tx) is None
        runs.start(tx, "run-1", TODAY, NOW)
        runs.start(tx, "run-2", TODAY, NOW + DAY)
        runs.finish(tx, "run-1", "ok", '{"due": 1}', NOW + DAY)
        newest, good = runs.latest(tx), runs.latest(tx, "ok")
    assert newest is not None
    assert good is not None
    assert (newest.id, newest.outcome, newest.finished_at) == ("run-2", None, None)
    assert (good.id, good.summary, good.finished_at) == ("run-1", '{"due": 1}', NOW + DAY)
