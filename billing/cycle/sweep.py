"""Whatever list of remote payments is read, what contradicts our rows is found and mended."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import timedelta

from billing.core.event_text import EventAction
from billing.core.outcomes import RemotePayment
from billing.core.reconciling import choose, mismatch
from billing.core.states import PaymentState
from billing.cycle.context import Context
from billing.errors import GatewayError
from billing.lifecycle import payments as lifecycle
from billing.store import remote_checks
from billing.store.events import about_payment, record
from billing.store.rows import LostPayment, PaidPayment, PaymentRef

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
            await _sweep_duplicates(ctx, row, row.remote_id, ours[marker])
    for remote in remotes:
        if not remote.paid and remote.remote_id in paid and not paid[remote.remote_id].attention:
            await _note_unpaid_again(ctx, paid[remote.remote_id])


async def _note_unpaid_again(ctx: Context, row: PaidPayment) -> None:
    """A list may show what is past: before a person is called, the remote payment itself is asked for."""
    try:
        fresh = await ctx.gateway.get(row.remote_id)
    except GatewayError as error:
        ctx.report.problems.append(f"sweep: payment {row.id} could not be looked at again: {error}")
        return
    if fresh is not None and not fresh.paid:
        _flag(ctx, row, "it was paid, and Mileston says now that it is unpaid")


def _note_unexpected(ctx: Context, row: LostPayment) -> None:
    """A remote payment for a payment that has none: look it up properly before anything is sent."""
    if row.state in _UNSENT:
        with ctx.db.transaction() as tx:
            lifecycle.mark_unknown(tx, ctx.actor, ctx.clock(), row, _TURNED_UP)
    elif row.state in (PaymentState.REJECTED, PaymentState.VOID) and not row.attention:
        _flag(ctx, row, f"it is {row.state}, and a remote payment bears its marker")


async def _sweep_duplicates(
    ctx: Context, row: LostPayment, counted: str, remotes: Sequence[RemotePayment]
) -> None:
    extras = [remote for remote in remotes if remote.remote_id != counted]
    current = next((remote for remote in remotes if remote.remote_id == counted), None)
    if row.state in _UNPAID and (current is None or not current.paid):
        # A list may show what was deleted since, and lack what is there: the last one must never go.
        try:
            current = await ctx.gateway.get(counted)
            if current is None:
                extras = await _replace_lost(ctx, row, counted, extras)
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
        elif current is not None and _keep_instead(ctx, row, counted, paid_extra.remote_id):
            extras = [remote for remote in extras if remote is not paid_extra] + [current]
    for extra in extras:
        if not extra.paid:
            await _delete(ctx, row, extra.remote_id)


async def _replace_lost(
    ctx: Context, row: LostPayment, counted: str, extras: list[RemotePayment]
) -> list[RemotePayment]:
    """What counted is gone: the paid or first one of the others counts now; returns the rest.

    The last one is never deleted: without proof that it is there and ours, nothing is.
    """
    heir = choose(extras)
    fresh = await ctx.gateway.get(heir.remote_id)
    if fresh is None or fresh.marker != row.marker or mismatch(fresh, row.amount_micros, row.email):
        return []
    if not _keep_instead(ctx, row, counted, heir.remote_id):
        return []
    return [extra for extra in extras if extra is not heir]


def _keep_instead(ctx: Context, row: LostPayment, counted: str, remote_id: str) -> bool:
    """The payer chose a duplicate, or it alone is left: it is the one that counts now."""
    with ctx.db.transaction() as tx:
        return lifecycle.replace_remote(tx, ctx.actor, ctx.clock(), row, counted, remote_id)


async def _delete(ctx: Context, row: LostPayment, remote_id: str) -> None:
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
        record(tx, [about_payment(now, ctx.actor, EventAction.DUPLICATE_DELETED, row, remote_id)])


def _flag(ctx: Context, row: PaymentRef, attention: str) -> None:
    with ctx.db.transaction() as tx:
        lifecycle.flag(tx, ctx.actor, ctx.clock(), row, attention)
