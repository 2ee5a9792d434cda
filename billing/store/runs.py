"""Runs: the recorded execution of each cycle."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import cast

from sqlalchemy import func, insert, select, update

from billing.store.identity import begin_generation
from billing.store.models import identity, runs
from billing.store.rows import Run
from billing.store.tx import Tx


def start(tx: Tx, run_id: str, as_of: date, now: datetime) -> int:
    """Record that a cycle began; returns the database's generation, which grows with each."""
    tx.execute(insert(runs).values(id=run_id, as_of=as_of, started_at=now, summary=""))
    return begin_generation(tx)


def finish(tx: Tx, run_id: str, outcome: str, summary: str, now: datetime) -> None:
    tx.execute(
        update(runs).where(runs.c.id == run_id).values(outcome=outcome, summary=summary, finished_at=now)
    )


def latest(tx: Tx, outcome: str | None = None) -> Run | None:
    """The run that started last; with `outcome`, the last that ended so."""
    query = select(runs).order_by(runs.c.started_at.desc()).limit(1)
    if outcome is not None:
        query = query.where(runs.c.outcome == outcome)
    return cast("Run | None", tx.execute(query).first())


def recent(tx: Tx, count: int) -> list[Run]:
    """The runs that started last, newest first."""
    query = select(runs).order_by(runs.c.started_at.desc()).limit(count)
    return cast("list[Run]", list(tx.execute(query)))


def going_on_at(tx: Tx, at: datetime) -> Run | None:
    """The run that was going on at an instant, or None."""
    query = select(runs).where(runs.c.started_at <= at).order_by(runs.c.started_at.desc()).limit(1)
    run = cast("Run | None", tx.execute(query).first())
    return run if run is not None and (run.finished_at is None or at <= run.finished_at) else None


_SILENT = timedelta(minutes=15)
"""A run that has claimed nothing for so long is dead: what it sent is no part of anybody's allowance."""


def sent_by_others(tx: Tx, run_id: str, began: datetime, now: datetime) -> tuple[int, int]:
    """What runs that overlap this one have put on the wire: payments, and their sum in micro-USDC.

    Takes the lock under which each of them counts, until the end of the transaction: two workers that
    ask at once would otherwise both be told of the same room.
    """
    tx.execute(select(identity.c.id).with_for_update()).all()
    r = runs.c
    query = select(
        func.coalesce(func.sum(r.sent_payments), 0), func.coalesce(func.sum(r.sent_micros), 0)
    ).where(
        r.id != run_id,
        r.active_at > now - _SILENT,
        r.finished_at.is_(None) | (r.finished_at > began),
    )
    row = tx.execute(query).one()
    return int(row[0]), int(row[1])


def count_sent(tx: Tx, run_id: str, payments: int, micros: int, now: datetime) -> None:
    """This run is about to put so much on the wire."""
    r = runs.c
    tx.execute(
        update(runs)
        .where(r.id == run_id)
        .values(sent_payments=r.sent_payments + payments, sent_micros=r.sent_micros + micros, active_at=now)
    )


def last_active(tx: Tx, but: str) -> datetime | None:
    """When a run other than this one began last: nothing that this database sent is younger than its end."""
    return tx.execute(select(func.max(runs.c.started_at)).where(runs.c.id != but)).scalar()
