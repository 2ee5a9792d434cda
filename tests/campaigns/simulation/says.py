"""Oracles of what the program says of itself, and of limits that several workers share."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from .worker import Run

if TYPE_CHECKING:
    from .world import World

_YOUNG = timedelta(hours=1)
"""An unknown outcome is the program's own work for so long after its first unanswered attempt."""
_OF_A_PERSON = ("held", "rejected", "parked")


def heard(world: World, run: Run) -> None:
    """A run has ended and reported: was that right? Only where no other could change things meanwhile."""
    report = run.report
    traits = world.options.traits
    if report is None or not world.options.exclusive or not (traits.wide or traits.says):
        return
    world.trace.count(f"reports judged: {report.outcome}")
    # What a person releases in mid-run, when its step has passed, is the next run's.
    unsent = _count(
        world,
        "state = 'planned' AND due_on <= ? AND NOT EXISTS (SELECT 1 FROM events e "
        "WHERE e.payment_id = payments.id AND e.actor LIKE 'person%' AND e.at >= ?)",
        report.as_of.isoformat(),
        str(world.trace.instant(run.began).astimezone(UTC).replace(tzinfo=None)),
    )
    if report.outcome == "ok" and unsent:
        world.trace.violated(f"run {run.run_id} says ok, and {unsent} due payments are not sent")
    if not traits.says:
        return
    if report.outcome == "ok":
        waiting = _waiting(world)
        if waiting:
            world.trace.violated(f"run {run.run_id} says ok, and {waiting}")
    elif report.outcome == "attention" and not _is_anything_wrong(world, run):
        world.trace.violated(f"run {run.run_id} says attention, and nothing needs a person")


def _waiting(world: World) -> str:
    """What needs a person, or ''."""
    marks = ", ".join(f"'{state}'" for state in _OF_A_PERSON)
    payments = _count(world, f"state IN ({marks}) OR attention <> ''")
    notices = world.store.rows("SELECT count(*) FROM notices WHERE state IN ('failed', 'unknown')")[0][0]
    if payments or notices:
        return f"{payments} payments and {notices} notices wait for a person"
    return ""


def _is_anything_wrong(world: World, run: Run) -> bool:
    report = run.report
    assert report is not None
    if report.problems or report.notices_failed or report.not_sent or _waiting(world):
        return True
    old = (world.trace.now() - _YOUNG).astimezone(UTC).replace(tzinfo=None)
    rows = world.store.rows(
        "SELECT p.id, min(a.started_at), sum(t.new = 'unknown') FROM payments p "
        "LEFT JOIN attempts a ON a.payment_id = p.id LEFT JOIN sim_transitions t ON t.payment_id = p.id "
        "WHERE p.state = 'unknown' GROUP BY p.id"
    )
    return any(
        started is None or datetime.fromisoformat(started) < old or times > 1 for _, started, times in rows
    )


def _count(world: World, condition: str, *values: object) -> int:
    return int(world.store.rows(f"SELECT count(*) FROM payments WHERE {condition}", *values)[0][0])


def judge_brakes(world: World) -> None:
    """While runs overlap, they share one allowance: all that they sent then is within one run's limit."""
    limit = world.options.settings.cycle.max_payments_per_run
    lives = [(run.began, run.ended, run.run_id) for run in world.runs.values() if not run.process.stalls]
    for began, _, _ in lives:
        together = [life for life in lives if life[0] <= began < life[1]]
        if len(together) < 2:
            continue
        until, names = min(ended for _, ended, _ in together), {name for _, _, name in together}
        sent = sum(w.run_id in names and began <= w.sent_at < until for w in world.api.wires)
        if sent > limit:
            world.trace.violated(f"{len(together)} runs at once sent {sent}, and the limit is {limit}")
            return
