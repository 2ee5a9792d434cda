"""PostgreSQL: any number of cycles at once share the work; one that slept sends nothing."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from sqlalchemy import insert

from billing.errors import WrongDatabase
from billing.store.connection import Database
from billing.store.identity import claim_identity, fingerprint
from billing.store.models import identity
from tests.support.databases import PostgresqlServer
from tests.support.installation import Installation, assert_sound, subscription
from tests.support.sandbox import Sandbox
from tests.support.waiting import until

DAY = "2026-01-05"
Install = Callable[..., Installation]


@pytest.fixture
def database(postgresql: PostgresqlServer) -> Iterator[str]:
    with postgresql.migrated() as url:
        yield url


def sending_at_once(install: Install, sandbox: Sandbox, database: str, **settings: object) -> Installation:
    """One that reads no list before it sends, so that what a frozen API holds up are the creates."""
    billing = install(database, mileston__timeout_seconds=60, reconcile__look_first_up_to=0, **settings)
    billing.subscribe([subscription("s100", DAY)])
    billing.run(DAY)
    sandbox.pay(sandbox.records()[0]["id"])
    billing.run(DAY)
    return billing


def test_four_at_once_share_the_work_and_nothing_is_sent_twice(
    install: Install, sandbox: Sandbox, database: str
) -> None:
    billing = sending_at_once(install, sandbox, database, cycle__concurrency=4)
    billing.subscribe(subscription(f"s{n:03d}", DAY) for n in range(100))
    sandbox.freeze()
    try:
        runs = [billing.start_run(DAY) for _ in range(4)]
        until("all four hold payments", lambda: _workers(database) == 4)
    finally:
        sandbox.thaw()

    codes = [run.wait() for run in runs]

    answers = [run.document for run in runs]
    assert set(codes) <= {0, 1}, [run.err for run in runs]
    assert_sound(answers)
    assert all(answer["payments"]["created"] > 0 for answer in answers)
    assert sum(answer["payments"]["created"] for answer in answers) == 100
    assert sandbox.charges() == sorted((f"s{n:03d}@example.com", DAY) for n in range(101))


def test_runs_that_overlap_share_one_allowance(install: Install, sandbox: Sandbox, database: str) -> None:
    """Finding 24: a limit of a run that counts for each worker alone is no limit."""
    limits = {"cycle__max_payments_per_run": 30, "cycle__concurrency": 4}
    billing = sending_at_once(install, sandbox, database, **limits)
    billing.subscribe(subscription(f"s{n:02d}", DAY) for n in range(80))
    sandbox.freeze()
    try:
        runs = [billing.start_run(DAY) for _ in range(3)]
        until("several hold payments", lambda: _workers(database) >= 2)
    finally:
        sandbox.thaw()

    assert {run.wait() for run in runs} == {1}

    assert len(sandbox.records()) == 1 + 30
    assert billing.states() == {"paid": 1, "open": 30, "held": 50}


def test_a_cancellation_while_a_worker_holds_the_payment_says_what_is_so(
    install: Install, sandbox: Sandbox, database: str
) -> None:
    """Finding 23: `voided` is never logged of what was not voided."""
    billing = sending_at_once(install, sandbox, database)
    billing.subscribe([subscription("ada", DAY)])
    sandbox.freeze()
    try:
        worker = billing.start_run(DAY)
        until("it holds the payment", lambda: _workers(database) == 1)
        cancelled = billing.billing("subscriptions", "cancel", "ada")
    finally:
        sandbox.thaw()
    worker.wait()

    assert cancelled.wait() == 0, cancelled.err
    assert _events(database, "void") == _events(database, "voided") == 0
    assert billing.states() == {"paid": 1, "open": 1}
    assert ("ada@example.com", DAY) in sandbox.charges()


def test_what_was_paid_is_booked_once_by_three_that_read_it_at_once(
    install: Install, sandbox: Sandbox, database: str
) -> None:
    billing = install(database, mileston__timeout_seconds=60)
    billing.subscribe(subscription(f"s{n:02d}", DAY) for n in range(40))
    billing.run(DAY)
    for record in sandbox.live():
        sandbox.pay(record["id"])
    sandbox.freeze()
    try:
        runs = [billing.start_run(DAY) for _ in range(3)]
        until("all three ask for the list", lambda: _unfinished_runs(database) == 3)
    finally:
        sandbox.thaw()

    assert [run.wait() for run in runs] == [0, 0, 0], [run.err for run in runs]

    assert sum(run.document["settlement"]["paid"] for run in runs) == 40
    assert _events(database, "paid") == 40
    assert billing.states() == {"paid": 40}


def test_four_that_find_an_empty_database_all_succeed(
    install: Install, sandbox: Sandbox, postgresql: PostgresqlServer
) -> None:
    with postgresql.empty() as url:
        billing = install(url)
        runs = [billing.start_run(DAY) for _ in range(4)]

        assert [(run.wait(), run.err) for run in runs] == [(0, "")] * 4


@pytest.mark.parametrize("environment", ["sandbox", "live"])
def test_of_two_that_claim_an_empty_database_the_first_one_counts(database: str, environment: str) -> None:
    first, second = Database(database), Database(database)
    with ThreadPoolExecutor(1) as pool:
        with first.transaction() as tx:
            ours = {"environment": "sandbox", "business_fingerprint": fingerprint("business-1")}
            tx.execute(insert(identity).values(ours))
            claim = pool.submit(claim_identity, second, environment, "business-1")
            until("the other one waits for ours", lambda: _waiting(database))
        problem = claim.exception(30)
    first.close()
    second.close()

    assert type(problem) is (type(None) if environment == "sandbox" else WrongDatabase), problem


def test_a_process_that_slept_past_its_lease_sends_nothing_when_it_wakes(
    install: Install, sandbox: Sandbox, database: str
) -> None:
    billing = install(database, mileston__timeout_seconds=0.5, reconcile__quiet_seconds=1)
    billing.subscribe(subscription(f"s{n}", DAY) for n in range(8))
    sleeper = billing.start_run(DAY, BILLING_MILESTON__REQUESTS_PER_SECOND="4")
    until("it has begun to send", lambda: sandbox.calls("create") > 0)
    sleeper.signal(signal.SIGSTOP)
    asleep_at = datetime.now(UTC)
    before = len(sandbox.live())
    assert before < 8, "it was stopped too late to show anything"

    answers = []
    while billing.states() != {"open": 8}:
        assert datetime.now(UTC) - asleep_at < timedelta(seconds=60), billing.payments()
        answers.append(billing.run(DAY))
        time.sleep(0.1)
    sent_by_others = sandbox.calls("create")
    sleeper.signal(signal.SIGCONT)
    assert sleeper.wait() in (0, 1)

    assert sandbox.calls("create") == sent_by_others
    assert_sound([*answers, sleeper.document])
    assert sum(answer["payments"]["created"] for answer in answers) > 0
    assert sleeper.document["payments"]["unknown"] > 0, "what it held is not its own any more"
    assert sandbox.charges() == sorted((f"s{n}@example.com", DAY) for n in range(8))
    assert billing.states() == {"open": 8}


def _waiting(database: str) -> bool:
    with psycopg.connect(database) as connection:
        return connection.execute("SELECT 1 FROM pg_locks WHERE NOT granted").fetchone() is not None


def _unfinished_runs(database: str) -> int:
    return _count(database, "SELECT count(*) FROM runs WHERE finished_at IS NULL")


def _events(database: str, action: str) -> int:
    return _count(database, f"SELECT count(*) FROM events WHERE action = '{action}'")


def _workers(database: str) -> int:
    """How many runs hold payments that they are sending."""
    return _count(database, "SELECT count(DISTINCT run_id) FROM payments WHERE state = 'sending'")


def _count(database: str, query: str) -> int:
    with psycopg.connect(database) as connection:
        row = connection.execute(query.encode()).fetchone()
    assert row is not None
    return int(row[0])
