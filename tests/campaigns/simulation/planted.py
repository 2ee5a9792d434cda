"""Faults of the program on purpose: the simulator has to find each of them, or it proves nothing.

Each one replaces a function of the program for as long as its block lasts.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import Any
from unittest.mock import patch

from sqlalchemy import Connection, text

from billing.app import runtime
from billing.core import periods, reconciling, schedule
from billing.core.coverage import CoverageProof
from billing.core.outcomes import OutcomeKind
from billing.core.reconciling import Finding, Verdict
from billing.core.states import PaymentState
from billing.cycle import observe, plan, reconcile, submit, sweep
from billing.gateway import mileston
from billing.lifecycle import notices, sending

from . import gateway
from .world import live_through

STEPS = 8
MOST_SEEDS = 60


@dataclass(frozen=True)
class Planted:
    """A fault, and the options of the worlds in which it shows soon."""

    name: str
    plant: Callable[[], Any]
    found_as: str
    """Words of the violation that it must be found as."""
    options: dict[str, Any] = field(default_factory=dict)
    first: int = 1
    """The first seed to try: where worlds are long, close to one that shows it."""


def _replaced(target: Any, name: str, new: Any) -> Callable[[], Any]:
    return lambda: patch.object(target, name, new)


def _resend_at_once() -> Any:
    return patch.dict(sending.STATE_AFTER, {OutcomeKind.UNKNOWN: PaymentState.PLANNED})


def _without_quiet_window(
    lost: Any, matches: Any, proof: Any, now: datetime, _quiet: timedelta, alike: Any = ()
) -> Verdict:
    return _judge(lost, matches, proof, now, timedelta(0), alike)


def _one_look_is_enough(
    lost: Any, matches: Any, proof: Any, now: datetime, quiet: timedelta, alike: Any = ()
) -> Verdict:
    verdict = _judge(lost, matches, proof, now, quiet, alike)
    if verdict.finding is Finding.LOOK_AGAIN and verdict.absent_looks == 1:
        return Verdict(Finding.ABSENT)
    return verdict


def _recover_to_planned(tx: Connection, *arguments: Any) -> int:
    found = _recover(tx, *arguments)
    tx.execute(text("UPDATE payments SET state = 'planned' WHERE state = 'unknown' AND cause LIKE '%died%'"))
    return found


def _queue_mail_again(tx: Connection, now: datetime, exclusive: bool) -> int:
    found = _recover_notices(tx, now, exclusive)
    tx.execute(text("UPDATE notices SET state = 'queued' WHERE state = 'unknown'"))
    return found


async def _delete_without_a_look(ctx: Any, _row: Any, _kept: str, remote_id: str) -> None:
    await ctx.gateway.delete(remote_id)


def _drop_what_is_over(*arguments: Any) -> Any:
    found = _plan_periods(*arguments)
    return dataclasses.replace(found, periods=tuple(p for p in found.periods if not p.held))


def _from_the_last_date(anchor: date, interval: Any, n: int) -> date:
    day = anchor
    for _ in range(n):
        day = _due_on(day, interval, 1)
    return day


@contextmanager
def _drifting() -> Iterator[None]:
    with (
        patch.object(periods, "due_on", _from_the_last_date),
        patch.object(schedule, "due_on", _from_the_last_date),
    ):
        yield


def _count_nothing_unknown(feed: Any, finished: Any, late: Any, held: int) -> None:
    _count(feed, [r for r in finished if r.outcome.kind is not OutcomeKind.UNKNOWN], late, held)


def _no_first_look(tx: Any, ctx: Any) -> Any:
    """Whatever is due, the list is read only for what is unknown or unpaid."""
    wanted = _wanted(tx, ctx)
    return None if wanted is None or wanted.first_look else replace(wanted, whole=False)


@contextmanager
def _nothing_shown_is_forgotten() -> Iterator[None]:
    with (
        patch.object(observe, "_wanted", _no_first_look),
        patch.object(reconcile, "forgotten", lambda *_: []),
    ):
        yield


@contextmanager
def _blind_to_a_restore() -> Iterator[None]:
    with _nothing_shown_is_forgotten(), patch.object(runtime, "mark_restored", lambda *_: ""):
        yield


@contextmanager
def _blind_to_markers() -> Iterator[None]:
    with (
        patch.object(mileston, "find_marker", lambda _: None),
        patch.object(CoverageProof, "covers", lambda *_: True),
        patch.object(reconciling, "is_lookalike", lambda *_: False),
    ):
        yield


_judge, _recover, _recover_notices = reconciling.judge, sending.recover, notices.recover
_wanted = observe._wanted
_plan_periods, _due_on, _count = schedule.plan_periods, periods.due_on, submit._Feed._count

_CALM: dict[str, Any] = {
    "restores": 0,
    "stalls": 0.0,
    "spells": 0,
    "crashes": 0.0,
    "read_faults": 0.0,
    "people": 0.0,
    "subscriptions": 5,
}
_LOST: dict[str, Any] = {**_CALM, "create_faults": {"lost_reply": 0.4}}
_LATE: dict[str, Any] = {**_CALM, "create_faults": {"late": 0.8}, "stale_lists": 1.0, "tempo": "minutes"}
BLIND_CAP: dict[str, Any] = {
    **_CALM,
    "create_faults": {"lost_reply": 0.5},
    "stale_lists": 0.0,
    "tempo": "days",
    "subscriptions": 3,
    "foreign_records": 0,
    "blind_cap": True,
    "list_cap": 2,
    "list_order": "oldest",
}

PLANTED = (
    Planted("resends what is unknown at once", _resend_at_once, "though it exists or will", _LOST),
    Planted(
        "skips the quiet window",
        _replaced(reconcile, "judge", _without_quiet_window),
        "though it exists or will",
        _LATE,
    ),
    Planted(
        "believes one look", _replaced(reconcile, "judge", _one_look_is_enough), "though it exists", _LATE
    ),
    Planted(
        "believes every list",
        _replaced(CoverageProof, "covers", lambda *_: True),
        "though it exists or will",
        {**_LOST, "list_cap": 7, "list_order": "oldest", "tempo": "days"},
    ),
    Planted(
        "sends before the intent is committed",
        _replaced(sending, "begin_sending", lambda *_: None),
        "its row is planned",
    ),
    Planted("ignores the markers", _blind_to_markers, "though it exists", _LOST),
    Planted(
        "does not look at the clock before it sends",
        _replaced(gateway.ModelGateway, "too_late", lambda *_: False),
        "its lease is over",
        {"stalls": 0.9, "crashes": 0.0, "processes": 1, "create_faults": {}, "spells": 0},
    ),
    Planted(
        "recovers to planned, not to unknown",
        _replaced(sending, "recover", _recover_to_planned),
        "though it exists or will",
        {"crashes": 0.9, "restores": 0},
    ),
    Planted(
        "deletes duplicates without a last look",
        _replaced(sweep, "_delete", _delete_without_a_look),
        "never looked",
        {"create_faults": {"duplicate": 0.7}},
    ),
    Planted(
        "drops what is over the catch-up limit",
        _replaced(plan, "plan_periods", _drop_what_is_over),
        "was missed",
        {"tempo": "days", "subscriptions": 5, "restores": 0},
    ),
    Planted("counts from the last date", _drifting, "", {"subscriptions": 5, "tempo": "weeks", "steps": 12}),
    Planted(
        "does not notice a restore",
        _blind_to_a_restore,
        "",
        {"restores": 3, "tempo": "days", "remote_deletions": False},
    ),
    Planted(
        "takes a new database for a new business",
        _nothing_shown_is_forgotten,
        "was charged twice",
        {**_CALM, "restores": 1, "loses_all": True, "list_cap": 0},
    ),
    Planted(
        "sends mail again after a crash",
        _replaced(notices, "recover", _queue_mail_again),
        "arrived twice",
        {"crashes": 0.9, "restores": 0, "subscriptions": 5, "tempo": "hours"},
    ),
    Planted(
        "forgets the unknown ones in its report",
        _replaced(submit._Feed, "_count", _count_nothing_unknown),
        "do not add up",
        _LOST,
    ),
)


def expect_found(fault: Planted) -> None:
    """Some world or other shows that the program has this fault."""
    options = {"steps": STEPS, **fault.options}
    with fault.plant():
        for seed in range(fault.first, fault.first + MOST_SEEDS):
            found = live_through(seed, **options).violations
            if any(fault.found_as in violation for violation in found):
                return
    raise AssertionError(f"{MOST_SEEDS} worlds did not show that the program {fault.name}")
