"""How the parts of a run are put together: its day, its sandbox, its lock, and what a mere look leaves."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from billing.app.runtime import (
    addressed,
    business_date,
    crash_points,
    cycle_guard,
    look_only,
    needs_own_sandbox,
    new_run_id,
    sandbox_data,
)
from billing.config import Config, load_config
from billing.cycle.context import nothing
from billing.errors import AlreadyRunning
from billing.store import subscriptions
from tests.support.business import Business, as_environment

DAY = date(2026, 3, 1)


@pytest.fixture
def configured(tmp_path: Path) -> Callable[..., Config]:
    """Loads a config; keyword arguments are settings."""
    path = tmp_path / "config.toml"
    path.touch()
    return lambda **settings: load_config(path, as_environment(settings))


@pytest.mark.parametrize(
    ("zone", "day"), [("UTC", 1), ("Pacific/Kiritimati", 2), ("America/Los_Angeles", 1), ("Asia/Tokyo", 2)]
)
def test_the_business_date_is_that_of_its_zone(
    configured: Callable[..., Config], zone: str, day: int
) -> None:
    config = configured(business__timezone=zone)
    assert business_date(config, datetime(2026, 3, 1, 20, tzinfo=UTC)) == date(2026, 3, day)


def test_without_an_address_the_own_sandbox_is_used_and_links_lead_there(
    configured: Callable[..., Config], tmp_path: Path
) -> None:
    config = configured()
    assert needs_own_sandbox(config)
    assert sandbox_data(config) == tmp_path / "var" / "sandbox.jsonl"
    assert str(addressed(config).mileston.checkout_url).startswith("http://127.0.0.1:")

    given = configured(mileston__recurring_payment_url="http://127.0.0.1:9/recurring-payment")
    assert not needs_own_sandbox(given)
    assert addressed(given) is given.settings


def test_one_cycle_at_a_time_on_sqlite_and_any_number_on_postgresql(
    configured: Callable[..., Config],
) -> None:
    config = configured()
    with cycle_guard(config) as lock, pytest.raises(AlreadyRunning), cycle_guard(config):
        pass
    assert lock is not None

    shared = configured(database__url="postgresql://someone@127.0.0.1:9/billing")
    with cycle_guard(shared) as first, cycle_guard(shared) as second:
        assert (first, second) == (None, None)


def test_a_look_at_a_database_that_is_not_there_makes_none(
    configured: Callable[..., Config], tmp_path: Path
) -> None:
    with look_only(configured(), DAY) as connection:
        assert subscriptions.count(connection) == 12  # the examples of a first run
    assert [path.name for path in tmp_path.iterdir()] == ["config.toml"]


def test_a_look_at_a_database_that_is_there_shows_what_it_holds(business: Business) -> None:
    business.subscribe("ada,Gold,Ada,ada@example.com,19.90,1 month,2026-03-01")
    with look_only(business.config, DAY) as connection:
        assert subscriptions.count(connection) == 1


def test_runs_are_sorted_by_time_and_differ_at_one_moment() -> None:
    early, late = datetime(2026, 3, 1, 9, tzinfo=UTC), datetime(2026, 3, 1, 10, tzinfo=UTC)
    assert new_run_id(early) < new_run_id(late)
    assert len({new_run_id(early) for _ in range(100)}) == 100


def test_nothing_is_ever_killed_on_purpose_in_the_live_environment(
    configured: Callable[..., Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = configured().settings
    assert crash_points(settings) is nothing
    monkeypatch.setenv("BILLING_CRASH_AT", "plan.committed")
    assert crash_points(settings) is not nothing
    live = settings.mileston.model_copy(update={"environment": "live"})
    assert crash_points(settings.model_copy(update={"mileston": live})) is nothing
