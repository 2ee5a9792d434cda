"""`billing status`: healthy or not, the last run, what needs a person, what comes next."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

import pytest

from billing.app import decisions
from billing.app.runtime import RECONCILE_STEPS, utc_now
from billing.app.status import Status, mail_trouble, read_status
from billing.config import Settings
from billing.core.states import NoticeKind
from billing.lifecycle import notices
from billing.store import runs
from billing.store.connection import Database
from tests.support.business import Business
from tests.support.databases import a_payment, a_subscription, owned
from tests.support.nursery import Finished

DAY = date(2026, 3, 1)
Make = Callable[..., Business]


def status(business: Business, today: date = DAY, now: datetime | None = None) -> Status:
    with business.store() as db, db.read() as tx:
        return read_status(tx, business.config.settings, today, now or utc_now())


def test_before_the_first_run(business: Business) -> None:
    found = status(business)
    assert found.healthy
    assert found.last_run is None
    assert found.upcoming == {"today": (0, 0), "7_days": (0, 0), "30_days": (0, 0)}


def test_what_comes_next_counts_every_due_date(business: Business) -> None:
    business.subscribe(
        "month,P,N,a@example.com,5,1 month,2026-03-05",
        "monthly-today,P,N,a@example.com,7,1 month,2026-03-01",
        "february,P,N,a@example.com,11,1 month,2026-02-01",
        "day,P,N,a@example.com,1,1 day,2026-03-01",
        "week,P,N,a@example.com,2,1 week,2026-03-01",
        "year,P,N,a@example.com,100,1 year,2027-03-01",
    )
    found = status(business).upcoming
    assert found["today"][0] == 5  # february's first is late, its second is due today
    assert found["7_days"][0] == 5 + 1 + 7 + 1  # month, seven days, a week
    assert found["30_days"][0] == 5 + 1 + 30 + 4


def test_a_month_of_28_days_is_due_twice_in_30(business: Business) -> None:
    business.subscribe("ada,P,N,a@example.com,5,1 month,2026-02-01")
    assert status(business, date(2026, 2, 1)).upcoming["30_days"] == (2, 10_000_000)


def test_after_a_good_run(business: Business) -> None:
    business.subscribe("ada,P,N,a@example.com,5,1 month,2026-03-01")
    business.run(DAY)
    found = status(business)
    assert found.healthy
    assert found.last_run is not None
    assert found.last_run["outcome"] == "ok"
    assert found.last_run["payments"] is not None
    assert found.last_run["payments"]["created"] == 1
    assert found.payments == {"open": (1, 5_000_000)}
    assert found.notices == {"sent": 1}
    assert found.subscriptions == {"active": 1}


def test_what_needs_a_person_and_what_to_type(new_business: Make) -> None:
    business = new_business(cycle__max_payments_per_run="0")
    business.subscribe("ada,P,N,a@example.com,5,1 month,2026-03-01")
    business.run(DAY)
    found = status(business)
    (need,) = found.needs
    assert not found.healthy
    assert (need.count, need.command) == (1, "billing payments release 1")


def test_no_cycle_for_days_is_no_health(business: Business) -> None:
    business.run(DAY)
    later = status(business, now=utc_now() + timedelta(days=3))
    assert [need.kind for need in later.needs] == ["stale"]
    assert "3 days" in later.needs[0].what
    assert status(business, now=utc_now() + timedelta(hours=20)).healthy


def test_a_run_that_stopped_early(business: Business) -> None:
    business.subscribe("ada,P,N,a@example.com,5,1 month,2026-03-01")
    business.sandbox.ask("PUT", "keys", {"keys": ["another"]})
    business.run(DAY)
    (need,) = status(business).needs
    assert need.kind == "stopped: Mileston refused the API key (401)"
    assert need.command == "billing doctor"

    business.run(DAY, steps=RECONCILE_STEPS)  # sends nothing, so it mends nothing
    assert [found.kind for found in status(business).needs][-1:] == [need.kind]
    business.sandbox.ask("PUT", "keys", {"keys": ["sandbox-key"]})
    business.run(DAY, steps=RECONCILE_STEPS)
    assert [found.kind for found in status(business).needs] == [need.kind]
    business.run(DAY)
    assert status(business).healthy


def test_what_a_run_left_unsent_is_told_until_it_is_settled(new_business: Make) -> None:
    """Too few to stop the run: nothing but the count says so."""
    business = new_business(mileston__recurring_payment_url="http://127.0.0.1:1/recurring-payment")
    business.subscribe("ada,P,N,a@example.com,5,1 month,2026-03-01")
    report = business.run(DAY)
    assert (report.outcome, report.not_sent, report.stopped) == ("attention", 1, "")
    (need,) = [found for found in status(business).needs if found.kind == "not_sent"]
    assert need.what == "1 payment that is due was not sent; the next run sends it"

    with business.store() as db:
        asyncio.run(decisions.void(db, None, 1, utc_now(), 0, ""))
    assert [found.kind for found in status(business).needs if found.kind == "not_sent"] == []


def test_a_run_that_never_ended_is_no_all_is_well_and_a_need_after_an_hour(business: Business) -> None:
    business.run(DAY)
    now = utc_now()
    with business.store() as db, db.transaction() as tx:
        runs.start(tx, "killed", DAY, now)
    young = status(business, now=now + timedelta(minutes=59))
    assert young.healthy
    assert young.last_run is not None
    assert young.last_run["outcome"] == "unfinished"
    (need,) = status(business, now=now + timedelta(hours=3)).needs
    assert need.what == "The last run has not finished for 3 hours: it was killed, or it hangs"


def a_run(db: Database, number: int, *problems: str, sent: int = 0, outcome: str = "attention") -> None:
    """A run of the past, as it was recorded; the later, the higher its number."""
    at = datetime(2026, 3, 1, number, tzinfo=UTC)
    summary = {"problems": problems, "notices": {"sent": sent}}
    with db.transaction() as tx:
        runs.start(tx, f"run-{number}", DAY, at)
        runs.finish(tx, f"run-{number}", outcome, json.dumps(summary), at)


def a_waiting_notice(db: Database) -> None:
    with db.transaction() as tx:
        notices.queue(tx, [notices.new_notice(NoticeKind.RUN_DIGEST, "a", datetime(2026, 3, 1, tzinfo=UTC))])


def trouble(db: Database) -> str:
    with db.read() as tx:
        return mail_trouble(tx)


def test_a_mail_channel_that_stopped_is_told_until_a_run_has_sent_something(db: Database) -> None:
    a_waiting_notice(owned(db))
    a_run(db, 1, "observe: nothing", "mail: 550 no; do this")
    assert trouble(db) == "550 no; do this"
    a_run(db, 2, "asked to stop", outcome="stopped")
    a_run(db, 3)  # nothing was due, and still it waits
    assert trouble(db) == "550 no; do this"
    a_run(db, 4, "mail: 550 never; do that")
    assert trouble(db) == "550 never; do that"
    a_run(db, 5, sent=1)
    assert trouble(db) == ""
    a_run(db, 6, "mail: 550 again; wait", sent=1)
    assert trouble(db) == "550 again; wait"


def test_a_mail_channel_that_stopped_is_no_trouble_once_nothing_waits(db: Database) -> None:
    a_run(owned(db), 1, "mail: 550 no; do this")
    assert trouble(db) == ""


def test_a_run_that_is_unfinished_or_older_than_problems_tells_nothing_of_mail(db: Database) -> None:
    a_waiting_notice(owned(db))
    at = datetime(2026, 3, 1, tzinfo=UTC)
    with db.transaction() as tx:
        runs.start(tx, "killed", DAY, at)
        runs.start(tx, "old", DAY, at)
        runs.finish(tx, "old", "ok", "{}", at)
    assert trouble(db) == ""


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"], indirect=True)
@pytest.mark.parametrize("state", ["rejected", "held", "parked", "unknown"])
def test_each_state_that_waits_for_a_person_is_told(db: object, state: str) -> None:
    row = a_subscription(db)  # type: ignore[arg-type]
    a_payment(db, row, state=state, cause="a reason")  # type: ignore[arg-type]
    with db.read() as tx:  # type: ignore[attr-defined]
        found = read_status(tx, Settings(), DAY, datetime(2026, 3, 1, tzinfo=UTC))
    (need,) = found.needs
    assert need.kind.startswith(state)
    assert need.detail.startswith("payment 1 (")
    assert "a reason" in need.detail


def test_the_screen_and_the_document(new_business: Make, billing: Callable[..., Finished]) -> None:
    business = new_business(cycle__max_payments_per_run="0")
    business.subscribe(f"ada,P,N,a@example.com,19.90,1 month,{utc_now().date()}")
    assert billing(business, "run-once", "--quiet").returncode == 1
    screen = billing(business, "status")
    assert screen.returncode == 1
    document = json.loads(billing(business, "status", "--json").stdout)

    for words in (
        "Something needs your attention:",
        "1 payment is held by a safety limit (19.90 USDC)",
        "billing payments release 1",
        "Last run   ",
        "attention",
    ):
        assert words in screen.stdout
    for label in ("today", "in 7 days", "in 30 days"):
        assert label in screen.stdout
    assert document.keys() == {
        "healthy", "last_run", "needs", "upcoming", "payments", "notices", "subscriptions",
    }  # fmt: skip
    assert document["upcoming"].keys() == {"today", "7_days", "30_days"}
    assert document["upcoming"]["today"].keys() == {"count", "amount"}
    assert document["needs"][0].keys() == {"what", "count", "command"}
    assert "example.com" not in screen.stdout
