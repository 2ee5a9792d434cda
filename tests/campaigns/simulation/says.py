"""Oracles of what the program says of itself, and of limits that several workers share."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from .worker import Run

if TYPE_CHECKING:
    from .world import World

_YOUNG = timedelta(hours=1)
"""An unknown outcome is the program's own work for so long after its first unanswered attempt."""
_MARGIN = timedelta(minutes=1)
"""A run asks its clock a moment before the oracle does."""
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
    # Where unknown mail is sent again, it is the program's own work until its tries are used up.
    states = "'failed'" if world.options.settings.mail.on_unknown == "resend" else "'failed', 'unknown'"
    notices = world.store.rows(f"SELECT count(*) FROM notices WHERE state IN ({states})")[0][0]
    unknown = _overdue(world, _YOUNG + _MARGIN)
    if payments or notices or unknown:
        return f"{payments} payments, {unknown} unknown ones and {notices} notices wait for a person"
    return ""


def _is_anything_wrong(world: World, run: Run) -> bool:
    report = run.report
    assert report is not None
    return bool(report.problems or report.not_sent or _waiting(world) or _overdue(world, _YOUNG))


def _overdue(world: World, age: timedelta) -> int:
    """How many unknown payments are older than `age`, or unknown for a second time."""
    old = (world.trace.now() - age).astimezone(UTC).replace(tzinfo=None)
    found = 0
    for payment_id, updated, deadline in world.store.rows(
        "SELECT id, updated_at, deadline_at FROM payments WHERE state = 'unknown' AND attention = ''"
    ):
        lost = world.store.rows(
            "SELECT started_at, status FROM attempts WHERE payment_id = ? "
            "AND (outcome IS NULL OR outcome = 'unknown') ORDER BY started_at",
            payment_id,
        )
        counted = [datetime.fromisoformat(at) for at, status in lost if status not in (429, 503)]
        since = max(datetime.fromisoformat(at) for at in (updated, deadline) if at)
        found += len(counted) > 1 or (counted[0] < old if counted else not lost and since < old)
    return found


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
