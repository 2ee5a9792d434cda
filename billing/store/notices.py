"""The outbox: notices are queued with the fact that causes them, once for ever by dedupe key."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime
from typing import Any
from urllib.parse import quote

from sqlalchemy import Connection, Row, Select, func, select, update

from billing.core.states import NoticeKind, NoticeState
from billing.store.bulk import insert_rows, update_rows
from billing.store.models import notices, payments, subscriptions

_N = notices.c


def dedupe_key(kind: NoticeKind, reference: str, due_on: date | None = None, suffix: str = "") -> str:
    """`payment_overdue.REF.2026-02-01.d3`: unique for ever, and safe as a file's name."""
    parts = [kind.value, quote(reference, safe="@+"), due_on.isoformat() if due_on else "", suffix]
    return ".".join(part for part in parts if part)


def new_notice(
    kind: NoticeKind,
    key: str,
    now: datetime,
    *,
    subscription_id: int | None = None,
    payment_id: int | None = None,
    due_on: date | None = None,
    days: int | None = None,
    facts: str = "",
) -> dict[str, Any]:
    """A row for `insert_notices`, queued to go out at once."""
    return {
        "dedupe_key": key,
        "kind": kind.value,
        "subscription_id": subscription_id,
        "payment_id": payment_id,
        "due_on": due_on,
        "days": days,
        "facts": facts,
        "state": NoticeState.QUEUED.value,
        "queued_at": now,
        "next_try_at": now,
        "tries": 0,
        "to_address": "",
        "subject": "",
        "message_id": "",
        "sha256": "",
        "server_reply": "",
    }


def insert_notices(tx: Connection, rows: Sequence[dict[str, Any]]) -> int:
    """Queue notices; one whose dedupe key was ever used is left out. Answers how many were new."""
    return insert_rows(tx, notices, rows, skip_known=True)


def queued_page(tx: Connection, now: datetime, after: tuple[datetime, int], limit: int) -> list[Row[Any]]:
    """Notices whose time to be sent has come, oldest first, with the rows that they speak of; locked."""
    at, row_id = after
    query = (
        _with_rows()
        .where(
            _N.state == NoticeState.QUEUED.value,
            _N.next_try_at <= now,
            (_N.next_try_at > at) | ((_N.next_try_at == at) & (_N.id > row_id)),
        )
        .order_by(_N.next_try_at, _N.id)
        .limit(limit)
        .with_for_update(of=notices, skip_locked=True)
    )
    return list(tx.execute(query))


def _with_rows() -> Any:
    s, p = subscriptions.c, payments.c
    return (
        select(
            notices,
            s.reference,
            s.plan,
            s.name,
            s.email,
            s.locale,
            s.status,
            s.amount_micros.label("current_amount_micros"),
            s.anchor_on,
            s.interval_count,
            s.interval_unit,
            s.bill_from,
            s.ends_on,
            s.cancel_on,
            s.next_period,
            s.next_due_on,
            p.state.label("payment_state"),
            p.amount_micros,
            p.period_end_on,
            p.payable_on,
            p.attention.label("payment_attention"),
            p.remote_id,
            p.marker,
            p.paid_at,
            p.dunning_policy,
            p.looked_run_id,
        )
        .outerjoin(subscriptions, s.id == _N.subscription_id)
        .outerjoin(payments, p.id == _N.payment_id)
    )


def with_rows(tx: Connection, notice_id: int) -> Row[Any] | None:
    """One notice with the rows that it speaks of."""
    return tx.execute(_with_rows().where(_N.id == notice_id)).first()


def claim(tx: Connection, rows: Sequence[dict[str, Any]], run_id: str, until: datetime) -> None:
    """Mark rendered notices as being sent by a run, before the mail server hears of them.

    Rows hold: id, tries (before), to_address, subject, message_id, sha256, rendered_at.
    """
    claimed = update_rows(
        tx,
        notices,
        [{**row, "tries": row["tries"] + 1} for row in rows],
        {"state": NoticeState.QUEUED.value},
        state=NoticeState.SENDING.value,
        run_id=run_id,
        lease_until=until,
    )
    if claimed != len(rows):
        raise RuntimeError("a notice was taken by somebody else under our lock")


def finish(tx: Connection, rows: Sequence[dict[str, Any]], run_id: str) -> None:
    """Write what came of a run's sending.

    Rows hold: id, state, server_reply, sent_at, next_try_at, tries, raw.
    """
    sending = {"state": NoticeState.SENDING.value, "run_id": run_id}
    update_rows(tx, notices, rows, sending, lease_until=None)


def retire(tx: Connection, notice_ids: Sequence[int], state: NoticeState, server_reply: str) -> None:
    """Queued notices that will not go out: superseded, or failed because they can't be rendered."""
    if notice_ids:
        tx.execute(
            update(notices)
            .where(_N.id.in_(notice_ids), _N.state == NoticeState.QUEUED.value)
            .values(state=state.value, server_reply=server_reply)
        )


def recover(tx: Connection, now: datetime, exclusive: bool) -> int:
    """Notices left `sending` by a dead run may have gone out: they become `unknown`."""
    statement = update(notices).where(_N.state == NoticeState.SENDING.value)
    if not exclusive:
        statement = statement.where(_N.lease_until < now)
    words = "the run died while the mail server may have taken it"
    return tx.execute(
        statement.values(state=NoticeState.UNKNOWN.value, server_reply=words, lease_until=None)
    ).rowcount


def requeue(tx: Connection, where_state: NoticeState, now: datetime, notice_id: int | None = None) -> int:
    """Put notices in a final state back into the queue; the Message-ID stays the same.

    What was refused nobody has: it is rendered anew, for its address may have been mended since.
    """
    statement = update(notices).where(_N.state == where_state.value)
    if notice_id is not None:
        statement = statement.where(_N.id == notice_id)
    values: dict[str, Any] = {"state": NoticeState.QUEUED.value, "next_try_at": now, "tries": 0}
    if where_state is NoticeState.FAILED:
        values |= {"raw": None, "rendered_at": None}
    return tx.execute(statement.values(values)).rowcount


def requeue_unknown(tx: Connection, now: datetime, most_tries: int) -> int:
    """Put unknown notices back into the queue as they are, if their back-off is over and tries are left."""
    due = (_N.state == NoticeState.UNKNOWN.value) & (_N.next_try_at <= now) & (_N.tries < most_tries)
    return tx.execute(update(notices).where(due).values(state=NoticeState.QUEUED.value)).rowcount


def sent_reminders(tx: Connection, subscription_id: int, due_on: date) -> list[int]:
    """The offsets of the reminders that were ever queued for a due date."""
    query = select(_N.days).where(
        _N.subscription_id == subscription_id,
        _N.due_on == due_on,
        _N.kind == NoticeKind.NEXT_PAYMENT_DUE.value,
    )
    return [days for days in tx.execute(query).scalars() if days is not None]


ORDER = (_N.id,)
"""How lists of notices go."""


def listing(
    tx: Connection, states: Iterable[str] = (), subscription_id: int | None = None
) -> Iterator[Row[Any]]:
    """Notices, oldest first, with their subscription's reference and e-mail; streamed."""
    query = listed(states, subscription_id).order_by(*ORDER)
    yield from tx.execute(query.execution_options(yield_per=500))


def listed(states: Iterable[str] = (), subscription_id: int | None = None) -> Select[Any]:
    """The query for notices with their subscription's reference and e-mail, to be put into `ORDER`."""
    query = select(notices, subscriptions.c.reference, subscriptions.c.email).outerjoin(
        subscriptions, subscriptions.c.id == _N.subscription_id
    )
    if states := tuple(states):
        query = query.where(_N.state.in_(states))
    if subscription_id is not None:
        query = query.where(_N.subscription_id == subscription_id)
    return query


def find(tx: Connection, notice_id: int) -> Row[Any] | None:
    return tx.execute(select(notices).where(_N.id == notice_id).with_for_update()).first()


def count_by_state(tx: Connection) -> dict[str, int]:
    rows = tx.execute(select(_N.state, func.count()).group_by(_N.state))
    return {row[0]: row[1] for row in rows}
