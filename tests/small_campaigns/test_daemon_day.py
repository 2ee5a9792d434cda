"""Three hours and a half around midnight in which everything fails; `make daemon-day` runs whole days."""

from __future__ import annotations

from pathlib import Path

from tests.campaigns.daemon_day.day import Day


def test_every_payment_is_created_once_and_every_notice_sent_once(tmp_path: Path) -> None:
    day = Day(tmp_path, hours=3.5, seed=4711, subscriptions=20, log=print)
    day.run()
    assert day.starts > 1
    assert sum(day.happened.values()) > 3
