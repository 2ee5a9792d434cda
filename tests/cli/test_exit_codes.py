"""What `run-once` and `status` say after each kind of trouble: the same, with the same exit code."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Connection, text

from billing.app.runtime import utc_now
from billing.cycle.cycle import STEPS
from billing.store.models import attempts, payments, runs
from tests.support.business import Business
from tests.support.nursery import Finished

Make = Callable[..., Business]
Told = tuple[int, str, int, list[str]]
DAY = "2026-03-01"
NOTHING_WRONG: Told = (0, "ok", 0, [])


def run_and_status(business: Business, **environ: str) -> Told:
    """The run's exit code and outcome; the status's exit code, and the commands that it names."""
    ran = business.billing("run-once", "--as-of", DAY, "--json", **environ)
    return (ran.returncode, json.loads(ran.stdout)["outcome"], *status(business, **environ))


def status(business: Business, **environ: str) -> tuple[int, list[str]]:
    asked = business.billing("status", "--json", **environ)
    document = json.loads(asked.stdout)
    assert (asked.returncode == 0) == document["healthy"] == (not document["needs"])
    screen = business.billing("status", **environ)
    assert (screen.returncode, "All is well." in screen.stdout) == (asked.returncode, document["healthy"])
    return asked.returncode, [need["command"] for need in document["needs"]]


def quiet(business: Business) -> Finished:
    return business.billing("run-once", "--as-of", DAY, "--quiet")


@contextmanager
def past_all_rules(business: Business) -> Iterator[Connection]:
    """A transaction that no trigger hinders."""
    with business.store() as db, db.transaction() as tx:
        for name in tx.execute(text("SELECT name FROM sqlite_master WHERE type = 'trigger'")).scalars().all():
            tx.execute(text(f"DROP TRIGGER {name}"))
        yield tx


def an_hour_passes(business: Business) -> None:
    """All that was sent is an hour older than it was."""
    earlier = timedelta(hours=1, minutes=1)
    with past_all_rules(business) as tx:
        for row in tx.execute(attempts.select()).all():
            values = {"started_at": row.started_at - earlier}
            tx.execute(attempts.update().where(attempts.c.id == row.id).values(values))


@pytest.fixture
def ada(business: Business) -> Business:
    business.subscribe(f"ada,P,N,a@example.com,5,1 month,{DAY}")
    return business


def test_all_well(ada: Business) -> None:
    assert run_and_status(ada) == NOTHING_WRONG
    assert run_and_status(ada) == NOTHING_WRONG


@pytest.mark.parametrize(("state", "verb"), [("rejected", "release"), ("parked", "resolve")])
def test_a_payment_that_waits_for_a_person(ada: Business, state: str, verb: str) -> None:
    ada.run(DAY, steps=STEPS[:4])  # planned, and not sent
    with past_all_rules(ada) as tx:
        tx.execute(payments.update().values(state=state, cause="HTTP 422: no"))
    assert run_and_status(ada) == (1, "attention", 1, [f"billing payments {verb} 1"])
    assert ada.billing("payments", "void", "1").returncode == 0
    assert status(ada) == (0, [])
    assert run_and_status(ada) == NOTHING_WRONG


def test_held_payments(new_business: Make) -> None:
    business = new_business(cycle__max_payments_per_run="0")
    business.subscribe(*(f"{ref},P,N,a@example.com,5,1 month,{DAY}" for ref in ("ada", "bob")))
    release = "billing payments release --all-held --cause safety-limit"
    assert run_and_status(business) == (1, "attention", 1, [release])
    # The decision is made: nothing waits for a person until the next run holds them again.
    assert business.billing(*release.split()[1:]).returncode == 0
    assert status(business) == (0, [])
    assert run_and_status(business, BILLING_CYCLE__MAX_PAYMENTS_PER_RUN="9") == NOTHING_WRONG


def test_a_flagged_payment(ada: Business) -> None:
    ada.run(DAY)
    ada.sandbox.delete(ada.remote()[0])
    (first, *_), second = run_and_status(ada), run_and_status(ada)
    assert second[:3] == (1, "attention", 1)
    assert second[3] == ["billing payments dismiss 1"]
    assert first in (0, 1)  # what is young may not be shown yet


def test_an_unreachable_api_leaves_something_unsent(ada: Business) -> None:
    away = {"BILLING_MILESTON__RECURRING_PAYMENT_URL": "http://127.0.0.1:1/recurring-payment"}
    code, outcome, also, commands = run_and_status(ada, **away)
    assert (code, also) == (1, 1)
    assert outcome in ("attention", "stopped")
    assert commands
    assert run_and_status(ada) == NOTHING_WRONG


def test_a_refused_key_stops_the_run_until_one_goes_through(ada: Business) -> None:
    ada.sandbox.ask("PUT", "keys", {"keys": ["another"]})
    code, outcome, also, commands = run_and_status(ada)
    assert (code, outcome, also, commands[0]) == (1, "stopped", 1, "billing doctor")
    screen = ada.billing("status").stdout
    assert "stopped: Mileston refused the API key (401)" in screen
    ada.sandbox.ask("PUT", "keys", {"keys": ["sandbox-key"]})
    assert status(ada)[0] == 1  # nobody has tried yet
    assert run_and_status(ada) == NOTHING_WRONG


def test_a_young_unknown_is_no_alarm_and_an_old_one_is(ada: Business) -> None:
    ada.environ["BILLING_RECONCILE__QUIET_SECONDS"] = "7200"
    ada.sandbox.script("cut_before_commit")
    assert run_and_status(ada) == NOTHING_WRONG
    (payment,) = ada.payments()
    assert payment["state"] == "unknown"
    counted = json.loads(ada.billing("run-once", "--as-of", DAY, "--json").stdout)["payments"]
    assert (counted["due"], counted["unknown"]) == (1, 1)
    assert (quiet(ada).returncode, quiet(ada).stderr) == (0, "")

    an_hour_passes(ada)
    assert status(ada) == (1, ["billing reconcile"])
    assert run_and_status(ada) == (1, "attention", 1, ["billing reconcile"])


def test_an_unknown_for_the_second_time_is_an_alarm_at_once(ada: Business) -> None:
    ada.sandbox.script("cut_before_commit", "cut_before_commit")
    for expected in (NOTHING_WRONG, NOTHING_WRONG):
        assert run_and_status(ada) == expected  # unknown, and looked for once
    assert run_and_status(ada) == (1, "attention", 1, ["billing reconcile"])
    assert ada.payments()[0]["attempts"] == 2


@pytest.mark.parametrize("answer", ["429:0", "503:0"])
def test_an_api_that_asks_to_slow_down_is_no_alarm(ada: Business, answer: str) -> None:
    ada.environ["BILLING_RECONCILE__QUIET_SECONDS"] = "7200"
    ada.sandbox.script(answer)
    assert run_and_status(ada) == NOTHING_WRONG
    an_hour_passes(ada)
    assert run_and_status(ada) == NOTHING_WRONG
    assert ada.payments()[0]["state"] == "unknown"


def test_a_mail_that_can_not_be_made_waits_for_a_person_until_it_is_resent(ada: Business) -> None:
    own = ada.folder / "own"
    own.mkdir()
    (own / "payment_created.txt").write_text("{{ nobody_knows }}")
    broken = {"BILLING_MAIL__TEMPLATES_DIR": str(own)}
    assert run_and_status(ada, **broken) == (1, "attention", 1, ["billing notices resend 1"])
    # The mail is a need of every run, and not only of the one in which it failed.
    assert run_and_status(ada)[:3] == (1, "attention", 1)
    assert ada.billing("notices", "resend", "1").returncode == 0
    assert status(ada) == (0, [])
    assert run_and_status(ada) == NOTHING_WRONG


def test_a_mail_channel_that_is_out_of_order(ada: Business) -> None:
    (ada.folder / "outbox").write_text("this is no folder")
    away = {"BILLING_MAIL__OUTBOX_DIR": str(ada.folder / "outbox")}
    assert run_and_status(ada, **away) == (1, "attention", 1, ["billing doctor"])
    assert "problem: mail: " in ada.billing("status").stdout
    assert run_and_status(ada) == NOTHING_WRONG


def test_a_look_up_alone_exits_as_a_run_does(ada: Business) -> None:
    ada.sandbox.script("cut_before_commit")
    ada.run(DAY)
    assert ada.billing("reconcile").returncode == 0


def test_a_run_that_was_killed_is_never_called_well(ada: Business) -> None:
    killed = ada.billing("run-once", "--as-of", DAY, BILLING_CRASH_AT="submit.committed")
    assert killed.returncode < 0
    screen = ada.billing("status")
    assert screen.returncode == 0  # the next run goes on
    assert "All is well" not in screen.stdout
    assert "A run is under way, or was killed" in screen.stdout


def test_an_overdue_schedule(ada: Business) -> None:
    ada.run(DAY)
    with ada.store() as db, db.transaction() as tx:
        long_ago = datetime(2026, 3, 1, tzinfo=UTC)
        assert utc_now() - long_ago > timedelta(days=2)
        tx.execute(runs.update().values(started_at=long_ago, finished_at=long_ago))
    assert status(ada) == (1, ["billing run-once"])
