"""SQLite: one cycle at a time, and nothing to clean up after one that was killed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.installation import Installation, assert_sound, subscription
from tests.support.nursery import Nursery
from tests.support.sandbox import Sandbox, charge_of
from tests.support.waiting import until

DAY = "2026-01-05"
Install = Callable[..., Installation]


def test_of_eight_at_once_one_works_and_seven_go_at_once(install: Install, sandbox: Sandbox) -> None:
    billing = install(mileston__timeout_seconds=60)
    billing.subscribe(subscription(f"s{n}", DAY) for n in range(12))
    sandbox.freeze()
    try:
        runs = [billing.start_run(DAY) for _ in range(8)]
        # The one that works waits for the frozen API, so it can't be through before the others came.
        until("seven have gone", lambda: sum(run.code is not None for run in runs) == 7)
    finally:
        sandbox.thaw()

    codes = sorted(run.wait() for run in runs)

    assert codes == [0, *[75] * 7]
    (worked,) = (run for run in runs if run.code == 0)
    assert worked.document["payments"]["created"] == 12
    assert all(run.out == "" and "another cycle is running" in run.err for run in runs if run is not worked)
    assert sandbox.charges() == sorted((f"s{n}@example.com", DAY) for n in range(12))


def test_after_a_killed_holder_the_next_run_works_at_once(install: Install, sandbox: Sandbox) -> None:
    billing = install(mileston__timeout_seconds=10, reconcile__quiet_seconds=1)
    billing.subscribe([subscription("s0", DAY)])
    billing.run(DAY)  # a database that has sent something sends without a look at the list
    billing.subscribe(subscription(f"s{n}", DAY) for n in range(1, 6))
    sandbox.freeze()
    try:
        holder = billing.start_run(DAY)
        until("it is sending", lambda: billing.states() == {"open": 1, "sending": 5})
        files = {path.name for path in billing.folder.glob("billing.db*")}
        holder.kill()
        assert holder.wait() == -9
    finally:
        sandbox.thaw()

    answers = billing.run_until_settled(DAY)

    assert_sound(answers)
    assert answers[0]["payments"]["due"] == 5
    assert "billing.db.lock" in files
    assert sandbox.charges() == sorted((f"s{n}@example.com", DAY) for n in range(6))


@pytest.mark.parametrize("point", ["plan.committed", "submit.committed", "submit.done"])
def test_a_run_killed_with_its_own_sandbox_is_made_good(nursery: Nursery, folder: Path, point: str) -> None:
    billing = Installation(nursery, folder, "", reconcile__quiet_seconds=1)
    billing.subscribe(subscription(f"s{n}", DAY) for n in range(4))

    killed = billing.start_run(DAY, BILLING_CRASH_AT=point)
    assert killed.wait() == -9
    assert_sound(billing.run_until_settled(DAY))

    lines = map(json.loads, (folder / "sandbox.jsonl").read_text(encoding="utf-8").splitlines())
    latest = {line["id"]: line for line in lines}
    live = [{"data": line["fields"]} for line in latest.values() if line["deleted_at"] is None]
    assert sorted(map(charge_of, live)) == sorted((f"s{n}@example.com", DAY) for n in range(4))
