"""Step 5: which open payments have been paid? One list for many, single gets for stragglers."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from billing.core import reasons
from billing.core.money import format_amount
from billing.core.outcomes import RemotePayment, RemoteStatus
from billing.core.remote_status import same_address, status_for
from billing.core.renewal import RENEWED
from billing.cycle.context import Context
from billing.errors import GatewayError
from billing.lifecycle import payments as lifecycle
from billing.lifecycle import remote_ids
from billing.lifecycle.pauses import end_paid_pauses
from billing.store import remote_checks
from billing.store.rows import ListedPayment, UnpaidPayment
from billing.store.tx import Tx

_PAGE = 500
_START = (datetime.min.replace(tzinfo=UTC), 0)


async def settle(ctx: Context) -> None:
    """Read the status of unpaid payments, oldest look first.

    Those that this very run created were seen as unpaid then.

    If the API can't be read, nothing is settled, and dunning will find nothing that it may act on.
    """
    with ctx.db.read() as connection:
        open_count = remote_checks.count_unpaid(connection, ctx.began)
    if not open_count or ctx.unreadable:
        return
    seen = ctx.observation.by_id if ctx.observation is not None else {}
    after = _START
    while True:
        with ctx.db.transaction() as tx:
            rows = remote_checks.unpaid_page(tx, ctx.began, after, _PAGE)
            listed = [(row, seen[row.remote_id]) for row in rows if _is_told(row, seen.get(row.remote_id))]
            apply_looks(tx, ctx, listed)
        stragglers = [row for row in rows if not _is_told(row, seen.get(row.remote_id))]
        if not await _settle_stragglers(ctx, stragglers):
            return
        ctx.progress("settle", ctx.report.checked, open_count)
        if len(rows) < _PAGE:
            return
        after = (rows[-1].looked_at, rows[-1].id)


def _is_told(row: ListedPayment, listed: RemotePayment | None) -> bool:
    """Whether the list tells of this payment.

    A list may lag: what it shows of a record that stood for the period before may be what that was then.
    """
    return listed is not None and not (row.taken and (listed.paid or listed.marker != row.marker))


async def _settle_stragglers(ctx: Context, rows: Sequence[UnpaidPayment]) -> bool:
    """Ask for each; False if the run is to end, or the API does not answer."""
    lanes = ctx.settings.cycle.concurrency
    for start in range(0, len(rows), lanes):
        if ctx.stopping():
            return False
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
            ctx.report.problems.append(f"settle: {reasons.SOME_NOT_READ}")
            return False
    return True


def apply_looks(tx: Tx, ctx: Context, looked: Sequence[tuple[UnpaidPayment, RemotePayment]]) -> None:
    """Book what was read: paid ones with their receipt, unpaid ones as looked at in this run.

    What a record tells neither way, or with another amount than ours, is flagged and otherwise left.
    """
    now = ctx.clock()
    # Other workers may have read the same ones: each is booked once, by the one that gets hold of it. And one
    # may have found out that a double is the one that counts: what another record says means nothing then.
    ours = remote_checks.lock_unpaid(tx, [row.id for row, _ in looked])
    looked = [(row, remote) for row, remote in looked if ours.get(row.id) == (row.state, row.remote_id)]
    told = [(row, remote, unclear(row, remote)) for row, remote in looked]
    paid = [row for row, remote, why in told if remote.paid and not why]
    unpaid = [row for row, remote, why in told if not remote.paid and not why]
    remote_checks.note_unpaid(tx, [row.id for row in unpaid], ctx.run_id, now)
    remote_checks.note_unpaid(tx, [row.id for row, _, why in told if why], "", now)
    for row, _, why in told:
        if why and not row.attention:
            lifecycle.flag(tx, ctx.actor, now, row, why)
        elif not why and (
            row.attention == reasons.VANISHED or row.attention.startswith((reasons.UNCLEAR, RENEWED))
        ):
            lifecycle.unflag(tx, now, row)
    booked, receipts = lifecycle.book_paid(tx, ctx.actor, now, ctx.today, ctx.run_id, paid)
    dates = {row.id: remote.due_on for row, remote in looked}
    for row in booked:
        if dates[row.id] not in (None, row.due_on):
            remote_ids.note_shown(tx, now, row, dates[row.id])
    ctx.report.paid += len(booked)
    ctx.report.notices_queued += receipts
    ctx.report.checked += len(looked)
    if booked and ctx.settings.dunning.when_paid == "resume":
        ids = sorted({row.subscription_id for row in booked})
        for resumed in end_paid_pauses(tx, ctx.actor, now, ctx.as_of, ids, ctx.settings.reminders):
            ctx.report.notices_queued += resumed.notices_queued
            ctx.released += resumed.released


def unclear(row: UnpaidPayment, remote: RemotePayment) -> str:
    """Why a record settles nothing, or ''."""
    if remote.marker != row.marker and remote.email and not same_address(remote.email, row.email):
        return reasons.OF_ANOTHER.format(remote_id=row.remote_id)
    if remote.paid and remote.amount_micros != row.amount_micros:
        due = format_amount(row.amount_micros)
        if remote.amount_micros is None:
            return reasons.PAID_UNREADABLY.format(amount=due)
        return reasons.PAID_OTHERWISE.format(paid=format_amount(remote.amount_micros), amount=due)
    if remote.status is RemoteStatus.UNCLEAR:
        return f"{reasons.UNCLEAR}: {reasons.UNCLEAR_STATUS}"
    if status_for(remote, row.due_on) is RemoteStatus.UNCLEAR:
        return f"{reasons.UNCLEAR}: {reasons.UNCLEAR_DATE.format(due_on=remote.due_on)}"
    return ""


def _note_gone(tx: Tx, ctx: Context, rows: Sequence[UnpaidPayment]) -> None:
    """A record that is new may not be shown yet; one that is older is gone."""
    now = ctx.clock()
    settled = now - timedelta(seconds=ctx.settings.reconcile.quiet_seconds)
    remote_checks.note_unpaid(tx, [row.id for row in rows], "", now)
    for row in rows:
        if not row.attention and row.remote_by_at is not None and row.remote_by_at <= settled:
            lifecycle.flag_vanished(tx, ctx.actor, now, row)
