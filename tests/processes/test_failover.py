"""Finding 3: a real PostgreSQL standby that lacks commits is promoted; nobody is charged again."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import psycopg
import pytest

from tests.support.databases import PostgresqlServer
from tests.support.installation import Installation, subscription
from tests.support.sandbox import Sandbox
from tests.support.standby import Pair, primary_and_standby
from tests.support.waiting import until

DAY = "2026-01-05"
ROWS = [subscription(f"s{n:02d}", DAY) for n in range(12)]
CHARGES = [(f"s{n:02d}@example.com", DAY) for n in range(12)]
Install = Callable[..., Installation]


@pytest.fixture
def pair(postgresql: PostgresqlServer) -> Iterator[Pair]:
    if os.environ.get("TEST_DATABASE_URL"):
        pytest.skip("a primary and a standby of our own come with the packaged server alone")
    with primary_and_standby() as opened:
        yield opened


def settled(billing: Installation, sandbox: Sandbox) -> None:
    """Cycles until everything is open, each at the API once."""
    for _ in range(20):
        answer = billing.run(DAY)
        if billing.states() == {"open": len(ROWS)}:
            break
        assert answer["payments"]["created"] == 0 or sandbox.charges() == sorted(set(sandbox.charges()))
    assert sandbox.charges() == CHARGES
    assert len(sandbox.records()) == len(CHARGES)
    assert billing.states() == {"open": len(ROWS)}


@pytest.mark.parametrize("checkpoint", [False, True])
def test_a_promoted_standby_that_lacks_commits_charges_nobody_again(
    install: Install, sandbox: Sandbox, pair: Pair, checkpoint: bool
) -> None:
    """Right after a promotion the control file still names the old timeline, until a checkpoint."""
    billing = install(pair.url, reconcile__quiet_seconds=0)
    billing.subscribe(ROWS)
    pair.copy()
    assert billing.run(DAY)["payments"]["created"] == len(ROWS)
    pair.fail_over()
    if checkpoint:
        with psycopg.connect(pair.url.replace("+psycopg", ""), autocommit=True) as connection:
            connection.execute("CHECKPOINT")

    first = billing.run(DAY)

    assert first["payments"]["created"] == 0
    settled(billing, sandbox)


def test_a_promotion_while_a_worker_runs_stops_its_sending(
    install: Install, sandbox: Sandbox, pair: Pair
) -> None:
    billing = install(
        pair.url, reconcile__quiet_seconds=0, cycle__concurrency=2, mileston__timeout_seconds=60
    )
    billing.subscribe(ROWS)
    billing.run("2026-01-04")
    pair.copy()
    sandbox.faults(latency="200-200")
    worker = billing.start_run(DAY)
    until("some were created", lambda: len(sandbox.records()) >= 4)

    pair.fail_over()
    worker.wait()
    sandbox.faults()
    sent = len(sandbox.records())

    assert sent < len(ROWS)
    assert worker.wait() == 1
    assert "Traceback" not in worker.err
    settled(billing, sandbox)


def test_a_standby_that_never_was_asked_where_it_lives_is_doubted_as_well(
    install: Install, sandbox: Sandbox, pair: Pair
) -> None:
    """The copy is from before the first cycle of all: it remembers no home to compare with."""
    billing = install(pair.url, reconcile__quiet_seconds=0)
    assert billing.billing("subscriptions", "list").wait() == 0
    pair.copy()
    billing.subscribe(ROWS)
    billing.run(DAY)
    pair.fail_over()
    billing.subscribe(ROWS)

    assert billing.run(DAY)["payments"]["created"] == 0
    settled(billing, sandbox)
