"""Whatever list of remote payments is read, what contradicts our rows is found and mended."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from billing.core.outcomes import RemotePayment
from billing.core.reconciling import choose, mismatch
from billing.core.states import PaymentState
from billing.cycle.context import Context
from billing.errors import GatewayError
from billing.store import payments, remote_checks
from billing.store.events import event, record

_TURNED_UP = "a remote payment bears its marker though it was believed absent"
_UNSENT = (PaymentState.PLANNED, PaymentState.HELD)
_UNPAID = (PaymentState.OPEN, PaymentState.UNCOLLECTIBLE)


async def sweep(ctx: Context, remotes: Sequence[RemotePayment]) -> None:
    """Mend what a list shows: duplicates, late creates, and paid ones that are unpaid again.

    Of several remote payments for one payment the paid or the adopted one stays; unpaid extras are
    deleted after one more look at each. A paid one is never deleted.
    """
    ours: dict[str, list[RemotePayment]] = defaultdict(list)
    for remote in remotes:
        if remote.marker is not None:
            ours[remote.marker].append(remote)
    with ctx.db.read() as connection:
        rows = remote_checks.by_marker(connection, list(ours))
        paid = {
            row.remote_id: row for row in remote_checks.paid_among(connection, [r.remote_id for r in remotes])
        }
    for marker, row in rows.items():
        if row.remote_id is None:
            _note_unexpected(ctx, row)
        elif any(remote.remote_id != row.remote_id for remote in ours[marker]):
            await _sweep_duplicates(ctx, row, ours[marker])
    for remote in remotes:
        if not remote.paid and remote.remote_id in paid and not paid[remote.remote_id].attention:
            await _note_unpaid_again(ctx, paid[remote.remote_id])


async def _note_unpaid_again(ctx: Context, row: Any) -> None:
    """A list may show what is past: before a person is called, the remote payment itself is asked for."""
    try:
        fresh = await ctx.gateway.get(row.remote_id)
    except GatewayError as error:
        ctx.report.problems.append(f"sweep: payment {row.id} could not be looked at again: {error}")
        return
    if fresh is not None and not fresh.paid:
        _flag(ctx, row, "it was paid, and Mileston says now that it is unpaid")


def _note_unexpected(ctx: Context, row: Any) -> None:
    """A remote payment for a payment that has none: look it up properly before anything is sent."""
    if row.state in _UNSENT:
        now = ctx.clock()
        with ctx.db.transaction() as tx:
            old = PaymentState(row.state)
            values = {"cause": _TURNED_UP, "deadline_at": now, "next_look_at": None}
            if payments.move(tx, [row.id], old, PaymentState.UNKNOWN, now, **values):
                record(tx, [_line(ctx, row, "turned_up", _TURNED_UP, now)])
    elif row.state in (PaymentState.REJECTED, PaymentState.VOID) and not row.attention:
        _flag(ctx, row, f"it is {row.state}, and a remote payment bears its marker")


async def _sweep_duplicates(ctx: Context, row: Any, remotes: Sequence[RemotePayment]) -> None:
    extras = [remote for remote in remotes if remote.remote_id != row.remote_id]
    current = next((remote for remote in remotes if remote.remote_id == row.remote_id), None)
    if row.state in _UNPAID and (current is None or not current.paid):
        # A list may show what was deleted since, and lack what is there: the last one must never go.
        try:
            current = await ctx.gateway.get(row.remote_id)
            if current is None:
                extras = await _replace_lost(ctx, row, extras)
        except GatewayError as error:
            ctx.report.problems.append(f"sweep: payment {row.id} could not be looked at again: {error}")
            return
    paid_extra = next((remote for remote in extras if remote.paid), None)
    if paid_extra is not None:
        if row.state == PaymentState.PAID or (current is not None and current.paid):
            if not row.attention:
                _flag(ctx, row, "it was paid twice at Mileston; pay one of the two back")
        elif row.state == PaymentState.VOID:
            if not row.attention:
                _flag(ctx, row, "it is void, and a duplicate of it was paid at Mileston; pay it back")
        elif current is not None and _keep_instead(ctx, row, paid_extra.remote_id):
            extras = [remote for remote in extras if remote is not paid_extra] + [current]
    for extra in extras:
        if not extra.paid:
            await _delete(ctx, row, extra.remote_id)


async def _replace_lost(ctx: Context, row: Any, extras: list[RemotePayment]) -> list[RemotePayment]:
    """What counted is gone: the paid or first one of the others counts now; answers the rest.

    The last one is never deleted: without proof that it is there and ours, nothing is.
    """
    heir = choose(extras)
    fresh = await ctx.gateway.get(heir.remote_id)
    if fresh is None or fresh.marker != row.marker or mismatch(fresh, row.amount_micros, row.email):
        return []
    if not _keep_instead(ctx, row, heir.remote_id):
        return []
    return [extra for extra in extras if extra is not heir]


def _keep_instead(ctx: Context, row: Any, remote_id: str) -> bool:
    """The payer chose a duplicate, or it alone is left: it is the one that counts now."""
    now = ctx.clock()
    with ctx.db.transaction() as tx:
        if not remote_checks.replace_remote(tx, row.id, row.remote_id, remote_id, now):
            return False
        record(tx, [_line(ctx, row, "replaced", f"a duplicate counts now: {remote_id}", now)])
    return True


async def _delete(ctx: Context, row: Any, remote_id: str) -> None:
    """Delete an unpaid extra, unless one more look shows that it was paid meanwhile."""
    look_holds_until = ctx.clock() + timedelta(seconds=ctx.settings.mileston.timeout_seconds)
    try:
        fresh = await ctx.gateway.get(remote_id)
        if fresh is None or fresh.paid or fresh.marker != row.marker:
            return
        ctx.checkpoint("sweep.before-delete")
        if ctx.clock() > look_holds_until:
            return  # this process slept, and meanwhile it may have been paid; the next run looks again
        await ctx.gateway.delete(remote_id)
    except GatewayError as error:
        ctx.report.problems.append(f"sweep: a duplicate of payment {row.id} is still there: {error}")
        return
    now = ctx.clock()
    with ctx.db.transaction() as tx:
        record(tx, [_line(ctx, row, "duplicate_deleted", remote_id, now)])


def _flag(ctx: Context, row: Any, attention: str) -> None:
    now = ctx.clock()
    with ctx.db.transaction() as tx:
        payments.flag(tx, row.id, attention, now)
        record(tx, [_line(ctx, row, "attention", attention, now)])


def _line(ctx: Context, row: Any, action: str, detail: str, now: datetime) -> dict[str, Any]:
    return event(now, ctx.actor, action, detail, subscription_id=row.subscription_id, payment_id=row.id)
