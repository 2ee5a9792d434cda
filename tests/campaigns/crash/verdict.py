"""The rule, and whether the sandbox's own records and the database keep it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from dateutil.relativedelta import relativedelta
from sqlalchemy import Connection, func, select, text

from billing.store.connection import Database
from billing.store.models import attempts, events, notices, payments, subscriptions
from tests.support.sandbox import COPIER, charge_of

_UNITS = {"day": relativedelta(days=1), "week": relativedelta(weeks=1), "month": relativedelta(months=1)}
_SETTLED = {"open", "paid", "uncollectible"}
# A killed sandbox, a busy machine: what a create may take between its intent and the sandbox's clock.
_SLACK = timedelta(seconds=4)


@dataclass(frozen=True)
class Plan:
    """A subscription of the campaign, independent of the program's own calendar."""

    reference: str
    starts_on: date
    count: int
    unit: str

    @property
    def interval(self) -> str:
        return f"{self.count} {self.unit}s"

    def due_dates(self, through: date) -> Iterator[date]:
        n = 0
        while (day := self.starts_on + n * self.count * _UNITS[self.unit]) <= through:
            yield day
            n += 1


def expected(plans: Sequence[Plan], through: date) -> set[tuple[str, str]]:
    """The (e-mail, due date) that must be at the API once each."""
    return {
        (f"{plan.reference}@example.com", day.isoformat())
        for plan in plans
        for day in plan.due_dates(through)
    }


def judge_records(wanted: set[tuple[str, str]], records: Sequence[dict[str, Any]]) -> Iterator[str]:
    """What contradicts the rule in the sandbox's records alone."""
    live = Counter(charge_of(record) for record in records if record["deletedAt"] is None)
    for charge in sorted(wanted - live.keys()):
        yield f"missing: {charge[0]} due {charge[1]}"
    for charge in sorted(live.keys() - wanted):
        yield f"never due: {charge[0]} due {charge[1]}"
    for charge, count in sorted(live.items()):
        if count > 1:
            yield f"{count} times: {charge[0]} due {charge[1]}"
    # A duplicate that was deleted again could have been paid before: it must never have been made.
    made = Counter(charge_of(record) for record in records if record["businessName"] != COPIER)
    for charge, count in sorted(made.items()):
        if count > 1:
            yield f"made {count} times, also if not all are left: {charge[0]} due {charge[1]}"
    for record in records:
        if record["deletedAt"] is not None and record["status"] == "paid":
            yield f"deleted though it was paid: {record['id']}, {charge_of(record)}"


def judge_database(
    db: Database, wanted: set[tuple[str, str]], records: Sequence[dict[str, Any]], send_seconds: float
) -> Iterator[str]:
    """What contradicts the rule in the database, or between it and the sandbox's records."""
    with db.read() as tx:
        yield from _integrity(tx, db.is_sqlite)
        rows = _payments(tx)
        yield from _states(rows, wanted, records)
        yield from _sends(tx, rows, records, send_seconds)
        yield from _notices(tx, rows, db.is_sqlite)


def _integrity(tx: Connection, is_sqlite: bool) -> Iterator[str]:
    if is_sqlite:
        said = tx.execute(text("PRAGMA integrity_check")).scalar()
        if said != "ok":
            yield f"integrity_check: {said}"
        broken = tx.execute(text("PRAGMA foreign_key_check")).all()
        if broken:
            yield f"foreign_key_check: {broken}"
    moves = select(func.count()).where(payments.c.subscription_id.not_in(select(subscriptions.c.id)))
    if tx.execute(moves).scalar_one():
        yield "payments of no subscription"


def _payments(tx: Connection) -> dict[tuple[str, str], Any]:
    query = select(payments, subscriptions.c.email).join(
        subscriptions, subscriptions.c.id == payments.c.subscription_id
    )
    return {(row.email, row.due_on.isoformat()): row for row in tx.execute(query)}


def _states(
    rows: dict[tuple[str, str], Any], wanted: set[tuple[str, str]], records: Sequence[dict[str, Any]]
) -> Iterator[str]:
    live = {record["id"]: record for record in records if record["deletedAt"] is None}
    if rows.keys() != wanted:
        yield f"the database has {len(rows)} payments, and {len(wanted)} were due"
    for charge, row in rows.items():
        if row.state not in _SETTLED:
            yield f"{charge}: its payment is still {row.state} ({row.cause})"
        elif row.remote_id not in live:
            yield f"{charge}: its payment stands for {row.remote_id}, which is not at the API"
        elif charge_of(live[row.remote_id]) != charge:
            yield f"{charge}: its payment stands for that of {charge_of(live[row.remote_id])}"
        elif (row.state == "paid") != (live[row.remote_id]["status"] == "paid"):
            yield f"{charge}: it is {row.state}, and the API says {live[row.remote_id]['status']}"
        if row.attention:
            yield f"{charge}: it asks for attention: {row.attention}"


def _sends(
    tx: Connection,
    rows: dict[tuple[str, str], Any],
    records: Sequence[dict[str, Any]],
    send_seconds: float,
) -> Iterator[str]:
    """Every record must follow a committed attempt, and not later than that attempt's time to send."""
    started: dict[int, list[datetime]] = defaultdict(list)
    for row in tx.execute(select(attempts.c.payment_id, attempts.c.started_at)):
        started[row.payment_id].append(row.started_at)
    earliest, latest = timedelta(milliseconds=-2), timedelta(seconds=send_seconds) + _SLACK
    made: Counter[tuple[str, str]] = Counter()
    for record in records:
        charge = charge_of(record)
        if record["businessName"] == COPIER or charge not in rows:
            continue
        made[charge] += 1
        at = datetime.fromisoformat(record["createdAt"])
        begun = started[rows[charge].id]
        if not any(earliest <= at - begin <= latest for begin in begun):
            yield f"{charge}: sent at {at}, and no attempt of {begun} allows that"
    for charge, count in made.items():
        written = len(started[rows[charge].id])
        if count > written:
            yield f"{charge}: {count} creates arrived, and {written} attempts are written"


def _notices(tx: Connection, rows: dict[tuple[str, str], Any], exclusive: bool) -> Iterator[str]:
    created = Counter(
        tx.execute(select(notices.c.payment_id).where(notices.c.kind == "payment_created")).scalars()
    )
    for charge, row in rows.items():
        if row.state in _SETTLED and created[row.id] != 1:
            yield f"{charge}: {created[row.id]} notices that it was created"
    # Where others may be at work a dead one's notices wait for the end of their lease: a quarter of an hour.
    ended = ("sent", "superseded") if exclusive else ("sent", "superseded", "sending")
    waiting = Counter(tx.execute(select(notices.c.state).where(notices.c.state.not_in(ended))).scalars())
    if waiting:
        yield f"notices that were neither sent nor superseded: {dict(waiting)}"


def what_came_of_it(db: Database) -> Counter[str]:
    """Facts for the summary."""
    found: Counter[str] = Counter()
    with db.read() as tx:
        actions = Counter(tx.execute(select(events.c.action)).scalars())
        found["payments that were due"] = tx.execute(select(func.count(payments.c.id))).scalar_one()
        found["adopted"] = actions["adopted"]
        found["proved absent"] = actions["proved_absent"]
        found["recovered from dead runs"] = actions["recovered"]
        found["parked"] = actions["parked"]
        found["duplicates deleted"] = actions["duplicate_deleted"]
        again = select(func.count()).where(attempts.c.number > 1)
        found["sent again"] = tx.execute(again).scalar_one()
        found["released"] = actions["released"]
        found["paid"] = actions["paid"]
    return found
