"""The write-ahead of submit: intents before the socket opens, outcomes after, both in groups.

    this run                     the database                    another worker
    begin_sending  ── commit ──> planned -> sending
    the socket opens ...         (a crash from here on leaves    recover: its lease has ended
                                  `sending`: never sent again)   sending -> unknown
    record_outcomes ─ commit ──> sending -> open, …              which wins: the loser's answer is
                                                                 left to reconciliation

Nothing else writes `sending`, and nothing but this module leaves it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import or_, select, update

from billing.core import reasons
from billing.core.event_text import EventAction
from billing.core.outcomes import CreateOutcome, OutcomeKind
from billing.core.reconciling import PROOF
from billing.core.states import PaymentState, check_transition
from billing.lifecycle.clock import IN_FUTURE
from billing.lifecycle.moves import NOT_LOOKED
from billing.lifecycle.payments import Found, open_payments
from billing.store import runs
from billing.store.bulk import insert_rows, update_rows
from billing.store.events import about_payment, record
from billing.store.models import attempts, payments
from billing.store.rows import PlannedPayment
from billing.store.tx import Tx

_P = payments.c

STATE_AFTER = {
    OutcomeKind.CREATED: PaymentState.OPEN,
    OutcomeKind.REFUSED: PaymentState.REJECTED,
    OutcomeKind.UNAUTHORIZED: PaymentState.PLANNED,  # refused before anything was made
    OutcomeKind.NOT_SENT: PaymentState.PLANNED,
    OutcomeKind.UNKNOWN: PaymentState.UNKNOWN,
}
_EVENT_OF = {
    OutcomeKind.REFUSED: EventAction.REFUSED,
    OutcomeKind.UNAUTHORIZED: EventAction.UNAUTHORIZED,
    OutcomeKind.NOT_SENT: EventAction.NOT_SENT,
    OutcomeKind.UNKNOWN: EventAction.UNKNOWN,
}
_TAKEN = "a payment was moved by another worker under our lock"


def begin_sending(
    tx: Tx,
    run_id: str,
    rows: Sequence[PlannedPayment],
    now: datetime,
    lease_until: datetime,
    deadline: datetime,
) -> None:
    """Move planned payments to `sending` and write their attempts, before anything is sent.

    `rows` come from `planned_page` in this transaction. Raises RuntimeError if one is not planned any
    more: then nothing is sent.
    """
    check_transition(PaymentState.PLANNED, PaymentState.SENDING)
    statement = (
        update(payments)
        .where(_P.id.in_([row.id for row in rows]), _P.state == PaymentState.PLANNED.value)
        .values(
            state=PaymentState.SENDING.value,
            run_id=run_id,
            attempts=_P.attempts + 1,
            lease_until=lease_until,
            deadline_at=deadline,
            remote_from_at=now,
            look_step=0,
            next_look_at=None,
            cause="",
            updated_at=now,
        )
    )
    if tx.execute(statement).rowcount != len(rows):
        raise RuntimeError(_TAKEN)
    runs.count_sent(tx, run_id, len(rows), sum(row.amount_micros for row in rows), now)
    insert_rows(
        tx,
        attempts,
        [
            {
                "payment_id": row.id,
                "number": row.attempts + 1,
                "run_id": run_id,
                "started_at": now,
                "detail": "",
            }
            for row in rows
        ],
    )


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one intent; `row` is its row of `planned_page`."""

    row: PlannedPayment
    outcome: CreateOutcome
    finished_at: datetime


@dataclass(frozen=True, slots=True)
class Written:
    """`stale` are the results that do not stand; `notices_queued` those of the payments that are open now."""

    stale: list[Result]
    notices_queued: int


def record_outcomes(
    tx: Tx, actor: str, now: datetime, today: date, run_id: str, results: Sequence[Result]
) -> Written:
    """Write outcomes and what follows from them.

    Two kinds of results do not stand. Those that came too late: another run has meanwhile recovered
    the payment, for its lease had ended. And those that bear the id of another payment. Either is left
    to reconciliation, which will find what was made.
    """
    if not results:
        return Written([], 0)
    held = _still_ours(tx, run_id, [result.row.id for result in results])
    created = [result.outcome for result in results if not result.outcome.taken]
    used = _ids_in_use(tx, [outcome.remote_id for outcome in created if outcome.remote_id])
    checked = [_checked(result, used) for result in results]
    current = [result for result in checked if result.row.id in held]
    opened = [
        Found(
            result.row,
            result.outcome.remote_id or "",
            result.finished_at,
            taken=result.outcome.taken,
        )
        for result in current
        if result.outcome.kind is OutcomeKind.CREATED
    ]
    queued = open_payments(tx, actor, now, today, PaymentState.SENDING, opened, EventAction.CREATED)
    _write_unopened(tx, actor, now, [r for r in current if r.outcome.kind is not OutcomeKind.CREATED])
    _finish_attempts(tx, checked)
    stale = [
        result
        for result, seen in zip(results, checked, strict=True)
        if result.row.id not in held or seen is not result
    ]
    return Written(stale, queued)


def _still_ours(tx: Tx, run_id: str, ids: Sequence[int]) -> set[int]:
    query = select(_P.id).where(_P.id.in_(ids), _P.state == PaymentState.SENDING.value, _P.run_id == run_id)
    return set(tx.execute(query.with_for_update()).scalars())


def _ids_in_use(tx: Tx, remote_ids: Sequence[str]) -> set[str]:
    if not remote_ids:
        return set()
    found = set(tx.execute(select(_P.remote_id).where(_P.remote_id.in_(remote_ids))).scalars())
    seen: set[str] = set()
    for remote_id in remote_ids:
        (found if remote_id in seen else seen).add(remote_id)
    return found


def _checked(result: Result, used: set[str]) -> Result:
    """A create that was answered with the id of another payment is not believed."""
    if result.outcome.taken or result.outcome.remote_id not in used:
        return result
    outcome = CreateOutcome(
        OutcomeKind.UNKNOWN,
        status=result.outcome.status,
        detail=reasons.ID_OF_ANOTHER,
        mismatch=True,
    )
    return Result(result.row, outcome, result.finished_at)


def _write_unopened(tx: Tx, actor: str, now: datetime, results: Sequence[Result]) -> None:
    if not results:
        return
    rows, lines = [], []
    for result in results:
        outcome = result.outcome
        new = STATE_AFTER[outcome.kind]
        check_transition(PaymentState.SENDING, new)
        rows.append(
            {
                "id": result.row.id,
                "state": new.value,
                "cause": outcome.detail,
                # What Mileston named is read before anybody is called.
                "attention": outcome.detail if outcome.mismatch and not outcome.named_id else "",
                "remote_id": outcome.named_id,
                # The sender is done with it: nothing can still be on its way from us.
                "deadline_at": result.finished_at,
            }
        )
        lines.append(about_payment(now, actor, _EVENT_OF[outcome.kind], result.row, outcome.detail))
    sending = {"state": PaymentState.SENDING.value}
    moved = update_rows(tx, payments, rows, sending, lease_until=None, next_look_at=None, updated_at=now)
    if moved != len(rows):
        raise RuntimeError(_TAKEN)
    _forget_proofs(tx, [r.row.id for r in results if STATE_AFTER[r.outcome.kind] is PaymentState.UNKNOWN])
    record(tx, lines)


def _forget_proofs(tx: Tx, ids: Sequence[int]) -> None:
    """What was proved absent may have been made since. (What was not sent keeps its proof.)"""
    if ids:
        tx.execute(update(payments).where(_P.id.in_(ids)).values(**NOT_LOOKED))


def _finish_attempts(tx: Tx, results: Sequence[Result]) -> None:
    update_rows(
        tx,
        attempts,
        [
            {
                "payment_id": result.row.id,
                "number": result.row.attempts + 1,
                "outcome": result.outcome.kind.value,
                "status": result.outcome.status,
                "detail": result.outcome.detail,
                "finished_at": result.finished_at,
            }
            for result in results
        ],
        {"outcome": None},
        by=("payment_id", "number"),
    )


def recover(tx: Tx, actor: str, now: datetime, exclusive: bool, limit: int) -> int:
    """Payments left `sending` by a dead run become `unknown`; returns how many.

    With `exclusive` (this process holds the database's only cycle) every such run is dead, so nothing of
    it can be sent after `now`. Otherwise only an ended lease shows it, and its deadline stays.
    """
    query = select(_P.id, _P.subscription_id, _P.deadline_at).where(_P.state == PaymentState.SENDING.value)
    if not exclusive:
        # A lease that ends much later was written by a clock that was wrong.
        query = query.where(or_(_P.lease_until < now, _P.lease_until > now + IN_FUTURE))
    rows = list(tx.execute(query.order_by(_P.id).limit(limit).with_for_update(skip_locked=True)))
    check_transition(PaymentState.SENDING, PaymentState.UNKNOWN)
    if rows:
        late = now if exclusive else now + IN_FUTURE
        ended = [row.deadline_at if row.deadline_at <= late else now for row in rows]
        moved = update_rows(
            tx,
            payments,
            [{"id": row.id, "deadline_at": at} for row, at in zip(rows, ended, strict=True)],
            {"state": PaymentState.SENDING.value},
            state=PaymentState.UNKNOWN.value,
            cause=reasons.RUN_DIED,
            lease_until=None,
            updated_at=now,
            **NOT_LOOKED,
        )
        if moved != len(rows):
            raise RuntimeError(_TAKEN)
    record(tx, [about_payment(now, actor, EventAction.RECOVERED, row) for row in rows])
    return len(rows)


def expire_proofs(tx: Tx, actor: str, now: datetime, proved_before: datetime) -> int:
    """Planned payments whose proof of absence is older are looked for once more before they are sent.

    The old proof counts as the first of the two looks. Returns how many those are.
    """
    check_transition(PaymentState.PLANNED, PaymentState.UNKNOWN)
    planned = _P.state == PaymentState.PLANNED.value
    is_old = or_(_P.absent_at < proved_before, _P.absent_at > now + IN_FUTURE)
    old = planned & (_P.absent_looks >= PROOF) & is_old
    statement = (
        update(payments)
        .where(old)
        .values(
            state=PaymentState.UNKNOWN.value,
            cause=reasons.OLD_PROOF,
            absent_looks=1,
            look_step=0,
            next_look_at=now,
            updated_at=now,
        )
        .returning(_P.id, _P.subscription_id)
    )
    rows = list(tx.execute(statement))
    record(tx, [about_payment(now, actor, EventAction.PROOF_EXPIRED, row, reasons.OLD_PROOF) for row in rows])
    return len(rows)
