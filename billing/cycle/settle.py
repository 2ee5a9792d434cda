"""Step 5: which open payments have been paid? One list for many, single gets for stragglers."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection

from billing.core.outcomes import RemotePayment
from billing.core.reconciling import VANISHED
from billing.core.states import NoticeKind, PaymentState
from billing.cycle.context import Context
from billing.cycle.sweep import sweep
from billing.errors import GatewayError
from billing.store import payments, remote_checks
from billing.store.events import event, record
from billing.store.notices import dedupe_key, insert_notices, new_notice

_PAGE = 500
_START = (datetime.min.replace(tzinfo=UTC), 0)


async def settle(ctx: Context) -> None:
    """Read the status of unpaid payments, oldest look first, within the limits of one cycle.

    Those that this very run created were seen as unpaid then.

    If the API can't be read, nothing is settled, and dunning will find nothing that it may act on.
    """
    began = ctx.began
    with ctx.db.read() as connection:
        open_count = remote_checks.count_unpaid(connection, began)
    if not open_count:
        return
    page = ctx.settings.reconcile.page_size
    limit = min(max(page, 2 * open_count), page * ctx.settings.reconcile.page_cap)
    try:
        remotes = await ctx.gateway.list(limit)
    except GatewayError as error:
        ctx.report.problems.append(f"settle: {error}")
        return
    await sweep(ctx, remotes)
    seen = {remote.remote_id: remote for remote in remotes}
    stragglers = _settle_listed(ctx, seen, began, open_count)
    await _settle_stragglers(ctx, stragglers)


def _settle_listed(ctx: Context, seen: dict[str, RemotePayment], began: datetime, total: int) -> list[Any]:
    """Settle what the list shows; answers the oldest of those that it does not."""
    stragglers: list[Any] = []
    after = _START
    while True:
        with ctx.db.transaction() as tx:
            rows = remote_checks.unpaid_page(tx, began, after, _PAGE)
            apply_looks(tx, ctx, [(row, seen[row.remote_id]) for row in rows if row.remote_id in seen])
        room = ctx.settings.settle.max_gets_per_run - len(stragglers)
        stragglers += [row for row in rows if row.remote_id not in seen][:room]
        ctx.progress("settle", ctx.report.checked, total)
        if len(rows) < _PAGE:
            return stragglers
        after = (rows[-1].looked_at, rows[-1].id)


async def _settle_stragglers(ctx: Context, rows: Sequence[Any]) -> None:
    lanes = ctx.settings.cycle.concurrency
    for start in range(0, len(rows), lanes):
        if ctx.stopping():
            return
        chunk = rows[start : start + lanes]
        answers = await asyncio.gather(
            *(ctx.gateway.get(row.remote_id) for row in chunk), return_exceptions=True
        )
        found, gone = [], []
        for row, answer in zip(chunk, answers, strict=True):
            if isinstance(answer, RemotePayment):
                found.append((row, answer))
            elif answer is None:
                gone.append(row)
            elif not isinstance(answer, GatewayError):
                raise answer
        with ctx.db.transaction() as tx:
            apply_looks(tx, ctx, found)
            _note_gone(tx, ctx, gone)
        if len(found) + len(gone) < len(chunk):
            ctx.report.problems.append("settle: some payments could not be read; they are read next time")
            return


def apply_looks(tx: Connection, ctx: Context, looked: Sequence[tuple[Any, RemotePayment]]) -> None:
    """Book what was read: paid ones with their receipt, unpaid ones as looked at in this run."""
    now = ctx.clock()
    # Other workers may have read the same ones: each is booked once, by the one that gets hold of it.
    ours = remote_checks.lock_unpaid(tx, [row.id for row, _ in looked])
    looked = [(row, remote) for row, remote in looked if ours.get(row.id) == row.state]
    paid = [row for row, remote in looked if remote.paid]
    unpaid = [row for row, remote in looked if not remote.paid]
    remote_checks.note_unpaid(tx, [row.id for row in unpaid], ctx.run_id, now)
    for row in unpaid:
        if row.attention == VANISHED:
            payments.flag(tx, row.id, "", now)
    _book(tx, ctx, paid, now)
    ctx.report.checked += len(looked)


def _book(tx: Connection, ctx: Context, rows: Sequence[Any], now: datetime) -> None:
    """Paid is paid, also late: from open and from uncollectible alike."""
    for state in (PaymentState.OPEN, PaymentState.UNCOLLECTIBLE):
        chosen = [row for row in rows if row.state == state]
        moved = payments.move(
            tx,
            [row.id for row in chosen],
            state,
            PaymentState.PAID,
            now,
            paid_at=now,
            looked_at=now,
            looked_run_id=ctx.run_id,
            next_dun_on=None,
            attention="",
        )
        ctx.report.paid += moved
    queued = insert_notices(
        tx,
        [
            new_notice(
                NoticeKind.PAYMENT_RECEIVED,
                dedupe_key(NoticeKind.PAYMENT_RECEIVED, row.reference, row.due_on),
                now,
                subscription_id=row.subscription_id,
                payment_id=row.id,
                due_on=row.due_on,
            )
            for row in rows
        ],
    )
    ctx.report.notices_queued += queued
    record(
        tx,
        [
            event(now, ctx.actor, "paid", subscription_id=row.subscription_id, payment_id=row.id)
            for row in rows
        ],
    )


def _note_gone(tx: Connection, ctx: Context, rows: Sequence[Any]) -> None:
    now = ctx.clock()
    remote_checks.note_unpaid(tx, [row.id for row in rows], "", now)
    for row in rows:
        if not row.attention:
            payments.flag(tx, row.id, VANISHED, now)
            line = event(
                now, ctx.actor, "vanished", VANISHED, subscription_id=row.subscription_id, payment_id=row.id
            )
            record(tx, [line])
