"""Step 5: which open payments have been paid? One list for many, single gets for stragglers."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

from billing.core.outcomes import RemotePayment
from billing.core.reconciling import VANISHED
from billing.cycle.context import Context
from billing.cycle.sweep import sweep
from billing.errors import GatewayError
from billing.lifecycle import payments as lifecycle
from billing.store import remote_checks
from billing.store.rows import UnpaidPayment
from billing.store.tx import Tx

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


def _settle_listed(
    ctx: Context, seen: dict[str, RemotePayment], began: datetime, total: int
) -> list[UnpaidPayment]:
    """Settle what the list shows; returns the oldest of those that it does not."""
    stragglers: list[UnpaidPayment] = []
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


async def _settle_stragglers(ctx: Context, rows: Sequence[UnpaidPayment]) -> None:
    lanes = ctx.settings.cycle.concurrency
    for start in range(0, len(rows), lanes):
        if ctx.stopping():
            return
        chunk = rows[start : start + lanes]
        answers = await asyncio.gather(
            *(ctx.gateway.get(row.remote_id) for row in chunk), return_exceptions=True
        )
        found: list[tuple[UnpaidPayment, RemotePayment]] = []
        gone: list[UnpaidPayment] = []
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


def apply_looks(tx: Tx, ctx: Context, looked: Sequence[tuple[UnpaidPayment, RemotePayment]]) -> None:
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
            lifecycle.unflag(tx, now, row)
    booked, receipts = lifecycle.book_paid(tx, ctx.actor, now, ctx.run_id, paid)
    ctx.report.paid += len(booked)
    ctx.report.notices_queued += receipts
    ctx.report.checked += len(looked)


def _note_gone(tx: Tx, ctx: Context, rows: Sequence[UnpaidPayment]) -> None:
    now = ctx.clock()
    remote_checks.note_unpaid(tx, [row.id for row in rows], "", now)
    for row in rows:
        if not row.attention:
            lifecycle.flag_vanished(tx, ctx.actor, now, row)
