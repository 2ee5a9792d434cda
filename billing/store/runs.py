"""Runs: the recorded execution of each cycle."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from billing.store.models import identity, runs


def start(tx: Connection, run_id: str, as_of: date, now: datetime) -> int:
    """Record that a cycle began; answers the database's generation, which grows with each."""
    tx.execute(insert(runs).values(id=run_id, as_of=as_of, started_at=now, summary=""))
    tx.execute(update(identity).values(generation=identity.c.generation + 1))
    return int(tx.execute(select(identity.c.generation)).scalar_one())


def finish(tx: Connection, run_id: str, outcome: str, summary: str, now: datetime) -> None:
    tx.execute(
        update(runs).where(runs.c.id == run_id).values(outcome=outcome, summary=summary, finished_at=now)
    )


def latest(tx: Connection, outcome: str | None = None) -> Row[Any] | None:
    """The run that started last; with `outcome`, the last that ended so."""
    query = select(runs).order_by(runs.c.started_at.desc()).limit(1)
    if outcome is not None:
        query = query.where(runs.c.outcome == outcome)
    return tx.execute(query).first()
