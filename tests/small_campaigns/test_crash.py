"""A short crash campaign on each database; `make crashtest KILLS=500` runs the long one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.campaigns.crash.points import crash_points
from tests.campaigns.crash.tally import Tally
from tests.campaigns.crash.verdict import Plan, expected, judge_records
from tests.campaigns.crash.world import FIRST_DAY, Shape, World
from tests.support.databases import PostgresqlServer
from tests.support.folders import quick_folder
from tests.support.nursery import Nursery
from tests.support.sandbox import COPIER


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    with Nursery() as opened:
        yield opened


def test_on_sqlite_nothing_is_charged_twice_or_missed(nursery: Nursery) -> None:
    tally = Tally("sqlite", crash_points())

    with quick_folder() as folder:
        World(nursery, folder, "", Shape(subscriptions=30, kills=10), 1, tally).run()

    assert tally.violations == []
    # Some blows find nobody to strike: a run may have ended before.
    assert tally.killed >= 6
    assert tally.blows["sandbox killed and started again"] == 1


def test_on_postgresql_nothing_is_charged_twice_or_missed(
    nursery: Nursery, postgresql: PostgresqlServer
) -> None:
    tally = Tally("postgresql", crash_points())

    with postgresql.empty() as url, quick_folder() as folder:
        World(nursery, folder, url, Shape(subscriptions=30, kills=8, workers=3), 1, tally).run()

    assert tally.violations == []
    assert tally.killed >= 5
    assert tally.blows["sandbox killed and started again"] == 1


def test_the_crash_points_are_read_from_the_source() -> None:
    points = crash_points()

    assert {"submit.committed", "plan.before-commit", "observe.listed", "recover.done"} <= set(points)


def _record(email: str, day: str, **changes: object) -> dict[str, object]:
    data = {"subscriberEmail": email, "recurringDate": f"{day}T00:00:00.000Z"}
    record = {"id": "r1", "data": data, "status": "unpaid", "deletedAt": None, "businessName": "us"}
    return {**record, **changes}


def test_the_judge_notices_what_is_twice_missing_never_due_or_wrongly_deleted() -> None:
    wanted = expected([Plan("a", FIRST_DAY, 1, "week")], FIRST_DAY)
    once = _record("a@example.com", "2026-01-05")

    assert list(judge_records(wanted, [once])) == []
    assert list(judge_records(wanted, [])) == ["missing: a@example.com due 2026-01-05"]
    copied = _record("a@example.com", "2026-01-05", businessName=COPIER)
    assert list(judge_records(wanted, [once, copied])) == ["2 times: a@example.com due 2026-01-05"]
    deleted = _record("a@example.com", "2026-01-05", deletedAt="2026-01-06T00:00:00.000Z")
    (said,) = judge_records(wanted, [once, deleted])
    assert said.startswith("made 2 times")
    assert list(judge_records(wanted, [once, _record("b@example.com", "2026-01-05")])) == [
        "never due: b@example.com due 2026-01-05"
    ]
    (said,) = judge_records(wanted, [once, {**deleted, "status": "paid", "businessName": COPIER}])
    assert said.startswith("deleted though it was paid")
