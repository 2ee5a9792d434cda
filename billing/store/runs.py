"""Runs: the recorded execution of each cycle."""

from __future__ import annotations

from datetime import date, datetime
from typing import cast

from sqlalchemy import insert, select, update

from billing.store.identity import begin_generation
from billing.store.models import runs
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


def going_on_at(tx: Tx, at: datetime) -> Run | None:
    """The run that was going on at an instant, or None."""
    query = select(runs).where(runs.c.started_at <= at).order_by(runs.c.started_at.desc()).limit(1)
    run = cast("Run | None", tx.execute(query).first())
    return run if run is not None and (run.finished_at is None or at <= run.finished_at) else None
