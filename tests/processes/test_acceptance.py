"""The promise as a whole: a fifth of the answers cut, late commits, errors, and a list that lags.

With ACCEPTANCE=full the seconds are those of a real bad day (`make crashtest`); otherwise a quarter.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest

from tests.support.databases import PostgresqlServer
from tests.support.installation import Installation, assert_sound, subscription
from tests.support.sandbox import Sandbox

DAY = "2026-01-05"
FULL = os.environ.get("ACCEPTANCE") == "full"
SCALE = 1.0 if FULL else 0.25
COUNT = 97 if FULL else 40  # no list on the way there has the length of a plausible cap
Install = Callable[..., Installation]


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest) -> Iterator[str]:
    if request.param == "sqlite":
        yield ""
        return
    server: PostgresqlServer = request.getfixturevalue("postgresql")
    with server.migrated() as url:
        yield url


def test_repeated_runs_end_with_exactly_one_remote_payment_each(
    install: Install, sandbox: Sandbox, database: str
) -> None:
    billing = install(database, reconcile__quiet_seconds=6 * SCALE, mileston__timeout_seconds=5)
    billing.subscribe(subscription(f"s{n:03d}", DAY) for n in range(COUNT))
    sandbox.faults(
        cut_after_commit=0.2,
        late_commit=f"0.1:{5 * SCALE}",
        stale_list=f"1:{3 * SCALE}",
        **{"500": 0.1},
    )

    answers = billing.run_until_settled(DAY, runs=400, pause=SCALE / 2)

    assert_sound(answers)
    assert sandbox.charges() == sorted((f"s{n:03d}@example.com", DAY) for n in range(COUNT))
    assert billing.states() == {"open": COUNT}
    assert sum(answer["payments"]["adopted"] for answer in answers) > 0
    made = sum(answer["payments"]["created"] + answer["payments"]["adopted"] for answer in answers)
    assert made == COUNT
