"""A notice's way through the outbox: queued with the fact that causes it, once for ever by its dedupe key."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any, TypedDict
from urllib.parse import quote

from sqlalchemy import select, update

from billing.core import reasons
from billing.core.event_text import EventAction
from billing.core.states import NoticeKind, NoticeState
from billing.store.bulk import insert_rows, update_rows
from billing.store.events import Line, event, record
from billing.store.models import notices
from billing.store.rows import Notice, PeriodRef
from billing.store.tx import Tx

_N = notices.c
_EVENT_OF = {
    NoticeState.SUPERSEDED: EventAction.NOTICE_SUPERSEDED,
    NoticeState.FAILED: EventAction.NOTICE_FAILED,
    NoticeState.UNKNOWN: EventAction.NOTICE_UNKNOWN,
}


PERHAPS_SENT = '{"perhaps_sent": true}'
"""The facts of a notice that another copy of this database may have sent already."""


def is_waiting(tx: Tx, kind: NoticeKind, subscription_id: int) -> bool:
    """Whether a notice of this kind has not gone out yet, nor been tried."""
    waiting = (_N.subscription_id == subscription_id) & (_N.kind == kind) & (_N.tries == 0)
    query = select(_N.id).where(waiting, _N.state == NoticeState.QUEUED.value).limit(1)
    return tx.execute(query).first() is not None


def withdraw(tx: Tx, kind: NoticeKind, subscription_ids: Sequence[int]) -> None:
    """What was to be told, and has not been tried yet, is no longer true."""
    untold = _N.subscription_id.in_(subscription_ids) & (_N.kind == kind) & (_N.tries == 0)
    queued = untold & (_N.state == NoticeState.QUEUED.value)
    tx.execute(update(notices).where(queued).values(state=NoticeState.SUPERSEDED.value))


class NewNotice(TypedDict):
    """A notice about to be queued; `new_notice` makes it."""

    dedupe_key: str
    kind: str
    subscription_id: int | None
    payment_id: int | None
    due_on: date | None
    days: int | None
    facts: str
    state: str
    queued_at: datetime
    next_try_at: datetime
    tries: int
    to_address: str
    subject: str
    message_id: str
    sha256: str
    server_reply: str


class Claim(TypedDict):
    """A rendered notice on its way; `tries` is the number before this one."""

    id: int
    tries: int
    to_address: str
    subject: str
    message_id: str
    sha256: str
    rendered_at: datetime


class Finished(TypedDict):
    """What came of sending one notice."""

    id: int
    state: str
    server_reply: str
    sent_at: datetime | None
    next_try_at: datetime
    tries: int
    raw: bytes | None


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
) -> NewNotice:
    """A notice for `queue`, to go out at once."""
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


def about_payment(
    kind: NoticeKind, row: PeriodRef, now: datetime, days: int | None = None, facts: str = ""
) -> NewNotice:
    """The notice of a payment; `days` is the dunning step that it stands for."""
    suffix = "" if days is None else f"d{days}"
    return new_notice(
        kind,
        dedupe_key(kind, row.reference, row.due_on, suffix),
        now,
        subscription_id=row.subscription_id,
        payment_id=row.id,
        due_on=row.due_on,
        days=days,
        facts=facts,
    )


def queue(tx: Tx, rows: Sequence[NewNotice]) -> int:
    """Queue notices; one whose dedupe key was ever used is left out. Returns how many were new."""
    return insert_rows(tx, notices, rows, skip_known=True)


def claim(tx: Tx, rows: Sequence[Claim], run_id: str, until: datetime) -> None:
    """Mark rendered notices as being sent by a run, before the mail server hears of them.

    Raises RuntimeError if one is not queued any more, though the caller holds its lock.
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
        raise RuntimeError("a notice was claimed by another worker under our lock")


def finish(tx: Tx, actor: str, run_id: str, finished: Sequence[tuple[Notice, Finished, datetime]]) -> None:
    """Write what came of a run's sending; each with its notice, and the instant at which it was known.

    A notice that is not this run's any more (its lease had ended) stays what it has become.
    """
    troubled = [each for each in finished if each[1]["state"] in (NoticeState.FAILED, NoticeState.UNKNOWN)]
    ours = _N.id.in_([row.id for row, _, _ in troubled]) & (_N.run_id == run_id)
    query = select(_N.id).where(ours, _N.state == NoticeState.SENDING.value)
    moving = set(tx.execute(query).scalars()) if troubled else set()
    update_rows(
        tx,
        notices,
        [after for _, after, _ in finished],
        {"state": NoticeState.SENDING.value, "run_id": run_id},
        lease_until=None,
    )
    record(
        tx,
        [
            _line(at, actor, NoticeState(after["state"]), row, after["server_reply"])
            for row, after, at in troubled
            if row.id in moving
        ],
    )


def supersede(tx: Tx, actor: str, now: datetime, row: Notice, reason: str) -> bool:
    """A queued notice that is not true any more is not sent; returns whether it was still queued."""
    return _retire(tx, actor, now, row, NoticeState.SUPERSEDED, reason, reason)


def supersede_quietly(tx: Tx, notice_ids: Sequence[int], reason: str) -> int:
    """Queued digests that a newer one replaces: nobody looks for them in the log. Returns how many."""
    return _set_retired(tx, notice_ids, NoticeState.SUPERSEDED, reason)


def fail(tx: Tx, actor: str, now: datetime, row: Notice, reason: str) -> bool:
    """A queued notice that can't be rendered; returns whether it was still queued."""
    return _retire(tx, actor, now, row, NoticeState.FAILED, reason, "it can't be rendered")


def _retire(
    tx: Tx, actor: str, now: datetime, row: Notice, state: NoticeState, reply: str, detail: str
) -> bool:
    if not _set_retired(tx, [row.id], state, reply):
        return False
    record(tx, [_line(now, actor, state, row, detail)])
    return True


def _set_retired(tx: Tx, notice_ids: Sequence[int], state: NoticeState, server_reply: str) -> int:
    if not notice_ids:
        return 0
    queued = _N.id.in_(notice_ids) & (_N.state == NoticeState.QUEUED.value)
    statement = update(notices).where(queued).values(state=state.value, server_reply=server_reply)
    return tx.execute(statement).rowcount


def recover(tx: Tx, now: datetime, exclusive: bool) -> int:
    """Notices left `sending` by a dead run may have gone out: they become `unknown`. Returns how many."""
    statement = update(notices).where(_N.state == NoticeState.SENDING.value)
    if not exclusive:
        statement = statement.where(_N.lease_until < now)
    reply = reasons.MAIL_RUN_DIED
    return tx.execute(
        statement.values(state=NoticeState.UNKNOWN.value, server_reply=reply, lease_until=None)
    ).rowcount


def requeue(tx: Tx, actor: str, now: datetime, row: Notice) -> bool:
    """Put a sent, failed or unknown notice back into the queue; the Message-ID stays the same.

    What was refused nobody has: it is rendered anew, for its address may have been corrected since.
    Returns False if its state has changed since `row` was read.
    """
    values: dict[str, Any] = {"state": NoticeState.QUEUED.value, "next_try_at": now, "tries": 0}
    if row.state == NoticeState.FAILED:
        values |= {"raw": None, "rendered_at": None}
    unchanged = (_N.id == row.id) & (_N.state == row.state)
    if not tx.execute(update(notices).where(unchanged).values(values)).rowcount:
        return False
    line = event(
        now,
        actor,
        EventAction.NOTICE_RESENT,
        f"it was {row.state}",
        subscription_id=row.subscription_id,
        payment_id=row.payment_id,
        notice_id=row.id,
    )
    record(tx, [line])
    return True


def requeue_unknown(tx: Tx, now: datetime, most_tries: int) -> int:
    """Put unknown notices back into the queue as they are, if their back-off is over and tries are left."""
    due = (_N.state == NoticeState.UNKNOWN.value) & (_N.next_try_at <= now) & (_N.tries < most_tries)
    return tx.execute(update(notices).where(due).values(state=NoticeState.QUEUED.value)).rowcount


def _line(at: datetime, actor: str, state: NoticeState, row: Notice, detail: str) -> Line:
    return event(
        at,
        actor,
        _EVENT_OF[state],
        f"{row.kind}: {detail}",
        subscription_id=row.subscription_id,
        payment_id=row.payment_id,
        notice_id=row.id,
    )
