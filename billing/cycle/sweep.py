"""Whatever the list shows, what contradicts our rows is found: late creates, duplicates, strangers.

Of several remote payments for one payment the paid or the adopted one stays. An unpaid one is deleted
only as a proved double (`core.remote_status.why_keep`), after one more look at it, and looked for once
more afterwards. Nothing else is ever deleted by the program itself.
"""

from __future__ import annotations

from datetime import timedelta

from billing.core import reasons
from billing.core.event_text import EventAction
from billing.core.outcomes import RemotePayment, RemoteStatus
from billing.core.reconciling import choose, mismatch
from billing.core.remote_status import OurPayment, is_same_id, plain_address, why_keep
from billing.core.renewal import has_renewed, renewed_text
from billing.core.states import UNSENT, PaymentState
from billing.cycle.context import Context
from billing.cycle.observation import Observation
from billing.errors import GatewayError
from billing.lifecycle import payments as lifecycle
from billing.lifecycle import remote_ids
from billing.store import payments, remote_checks, renewals
from billing.store.events import about_payment, record
from billing.store.rows import LostPayment, MarkedPayment, PaidPayment, PaymentRef

_UNPAID = (PaymentState.OPEN, PaymentState.UNCOLLECTIBLE)


async def sweep(ctx: Context, seen: Observation) -> None:
    """Find what contradicts our rows: mark it, flag it, or delete it if it is a proved double."""
    with ctx.db.read() as tx:
        standing = remote_checks.standing_for(tx, seen.in_question)
        rows = remote_checks.by_marker(tx, [each.marker for each in standing if _may_contradict(each, seen)])
        unpaid = [each.remote_id for each in seen.by_id.values() if each.status is RemoteStatus.UNPAID]
        paid = remote_checks.paid_among(tx, unpaid)
    for marker, row in rows.items():
        remotes = seen.by_marker[marker]
        if row.remote_id is None:
            _note_unexpected(ctx, row)
        elif row.state not in (PaymentState.UNKNOWN, PaymentState.PARKED):
            extras = [remote for remote in remotes if not is_same_id(remote.remote_id, row.remote_id)]
            if extras:
                await _sweep_extras(ctx, row, row.remote_id, extras, seen.by_id.get(row.remote_id))
            if row.state == PaymentState.VOID and row.remote_id in seen.by_id and not row.attention:
                await _note_void_lives(ctx, row, row.remote_id)
    with ctx.db.transaction() as tx:
        remote_checks.void_was_looked_for(tx, seen.asked_at)
    for booked in paid:
        if not booked.attention:
            await _note_unpaid_again(ctx, booked)


def _may_contradict(row: MarkedPayment, seen: Observation) -> bool:
    """Of years of history hardly any does; only those are read whole."""
    counted = row.remote_id
    return (
        counted is None
        or row.state == PaymentState.VOID
        or any(not is_same_id(remote.remote_id, counted) for remote in seen.by_marker[row.marker])
    )


def forgotten(ctx: Context, seen: Observation) -> list[str]:
    """The markers of payments that exist at Mileston as ours, and were never sent by this database."""
    with ctx.db.read() as tx:
        standing = remote_checks.standing_for(tx, seen.in_question)
        unsent = [row.marker for row in standing if row.attempts == 0 and row.remote_id is None]
        rows = remote_checks.by_marker(tx, unsent)
    return [
        marker
        for marker, row in rows.items()
        if (row.state in UNSENT or (row.state == PaymentState.UNKNOWN and row.cause == reasons.TURNED_UP))
        and any(is_ours(row, remote) for remote in seen.by_marker[marker])
    ]


def note_lookalikes(ctx: Context, seen: Observation) -> int:
    """What is about to be sent first, though a record without a number has its e-mail, amount and date.

    It may be this payment's, at an API that keeps no whole names: it is looked up. Returns how many are.
    """
    with ctx.db.transaction() as tx:
        claimed = remote_checks.claimed_ids(tx, seen.unmarked_ids)
        strangers = [remote for remote in seen.unmarked if remote.remote_id not in claimed and remote.due_on]
        by_day = {(each.due_on, each.amount_micros, plain_address(each.email)) for each in strangers}
        if not by_day:
            return 0
        rows = payments.about_to_be_sent(tx, ctx.as_of, sorted({day for day, _, _ in by_day if day}))
        alike = [row for row in rows if (row.due_on, row.amount_micros, plain_address(row.email)) in by_day]
        now = ctx.clock()
        return sum(lifecycle.mark_unknown(tx, ctx.actor, now, row, reasons.LOOKALIKE) for row in alike)


def is_ours(row: LostPayment, remote: RemotePayment) -> bool:
    """Whether a record that bears a payment's marker has its amount, e-mail and date as well."""
    same_day = remote.due_on is None or remote.due_on == row.due_on
    return remote.marker == row.marker and same_day and not mismatch(remote, row.amount_micros, row.email)


async def _note_unpaid_again(ctx: Context, row: PaidPayment) -> None:
    """A list may show what is past: before a person is called, the remote payment itself is asked for."""
    try:
        fresh = await ctx.gateway.get(row.remote_id)
    except GatewayError as error:
        _could_not(ctx, reasons.NOT_LOOKED_AT, row, error)
        return
    if fresh is None or fresh.status is not RemoteStatus.UNPAID:
        return
    if not has_renewed(fresh, row.due_on):
        _flag(ctx, row, reasons.UNPAID_AGAIN)
    elif ctx.settings.mileston.renewal == "keep":
        _flag(ctx, row, renewed_text(fresh))
    elif row.renewal_off_at is not None:
        with ctx.db.transaction() as tx:
            renewals.came_back(tx, [row.id])


async def _note_void_lives(ctx: Context, row: LostPayment, remote_id: str) -> None:
    """A voided payment can still be paid: its record came to light, or was deleted in vain.

    A list may show what was deleted since: the record itself is asked for.
    """
    try:
        fresh = await ctx.gateway.get(remote_id)
    except GatewayError as error:
        _could_not(ctx, reasons.NOT_LOOKED_AT, row, error)
        return
    if fresh is not None and not fresh.paid:
        _flag(ctx, row, reasons.VOID_IS_THERE.format(remote_id=remote_id))
    elif fresh is not None:
        _flag(ctx, row, reasons.VOID_WAS_PAID.format(remote_id=remote_id))


def _note_unexpected(ctx: Context, row: LostPayment) -> None:
    """A remote payment for a payment that has none: look it up properly before anything is sent."""
    if row.state in UNSENT:
        with ctx.db.transaction() as tx:
            lifecycle.mark_unknown(tx, ctx.actor, ctx.clock(), row, reasons.TURNED_UP)
    elif row.state == PaymentState.VOID and not row.attention:
        _flag(ctx, row, reasons.VOID_TURNED_UP)


async def _sweep_extras(
    ctx: Context, row: LostPayment, counted: str, others: list[RemotePayment], listed: RemotePayment | None
) -> None:
    extras = [remote for remote in others if is_ours(row, remote)]
    if len(extras) < len(others) and not row.attention:
        stranger = next(remote for remote in others if remote not in extras)
        _flag(ctx, row, reasons.STRANGER.format(remote_id=stranger.remote_id))
    if not extras:
        return
    current = listed
    if current is None or not current.paid:
        # A list may show what was deleted since, and lack what is there: the last one must never go.
        try:
            current = await ctx.gateway.get(counted)
            if current is None and row.state in _UNPAID:
                await _replace_lost(ctx, row, counted, extras)
            if current is None and row.state == PaymentState.PAID and not row.attention:
                _flag(ctx, row, reasons.SURVIVOR.format(remote_id=counted, other_id=extras[0].remote_id))
            if current is None and row.state != PaymentState.VOID:
                return
        except GatewayError as error:
            _could_not(ctx, reasons.NOT_LOOKED_AT, row, error)
            return
    kept, extras = _after_paid_ones(ctx, row, counted, current, extras)
    for extra in extras:
        if extra.status is RemoteStatus.UNPAID:
            await _delete(ctx, row, kept, extra.remote_id)
        elif extra.status is RemoteStatus.UNCLEAR and not row.attention:
            _flag(ctx, row, reasons.UNCLEAR_DOUBLE.format(remote_id=extra.remote_id))


def _after_paid_ones(
    ctx: Context,
    row: LostPayment,
    counted: str,
    current: RemotePayment | None,
    extras: list[RemotePayment],
) -> tuple[str, list[RemotePayment]]:
    """If the payer chose a duplicate, it counts now; returns the id that counts, and the others."""
    paid_extra = next((remote for remote in extras if remote.paid), None)
    if paid_extra is None:
        return counted, extras
    if row.state == PaymentState.PAID or (current is not None and current.paid):
        if not row.attention:
            _flag(ctx, row, reasons.PAID_TWICE)
    elif row.state == PaymentState.VOID:
        if not row.attention:
            _flag(ctx, row, reasons.VOID_DOUBLE_PAID)
    elif current is None or current.status is not RemoteStatus.UNPAID:
        return counted, extras
    elif _keep_instead(ctx, row, counted, paid_extra.remote_id):
        others = [remote for remote in extras if remote is not paid_extra]
        return paid_extra.remote_id, [*others, current]
    return counted, extras


async def _replace_lost(ctx: Context, row: LostPayment, counted: str, extras: list[RemotePayment]) -> None:
    """What counted is gone: the paid or first one of the others counts now.

    The others stay until the next cycle: without proof that what counts is there, nothing is deleted.
    """
    heir = choose(extras)
    fresh = await ctx.gateway.get(heir.remote_id)
    if fresh is not None and is_ours(row, fresh):
        _keep_instead(ctx, row, counted, heir.remote_id)


def _keep_instead(ctx: Context, row: LostPayment, counted: str, remote_id: str) -> bool:
    """The payer chose a duplicate, or it alone is left: it is the one that counts now."""
    with ctx.db.transaction() as tx:
        return remote_ids.replace_remote(tx, ctx.actor, ctx.clock(), row, counted, remote_id)


async def _delete(ctx: Context, row: LostPayment, kept: str, remote_id: str) -> None:
    """Delete a proved double: looked at right before, and looked for right after."""
    look_holds_until = ctx.clock() + timedelta(seconds=ctx.settings.mileston.timeout_seconds)
    ours = OurPayment(row.marker, row.amount_micros, row.email, row.due_on)
    try:
        fresh = await ctx.gateway.get(remote_id)
        with ctx.db.read() as tx:
            known_paid = remote_checks.stood_for_paid(tx, remote_id)
        if fresh is None or why_keep(fresh, ours, kept, known_paid=False):
            return
        if known_paid:
            _flag(ctx, row, reasons.WAS_PAID_BEFORE.format(remote_id=remote_id))
            return
        if not is_same_id(fresh.remote_id, remote_id):
            return  # it answers by another name, perhaps that of the one that counts
        ctx.checkpoint("sweep.before-delete")
        if ctx.clock() > look_holds_until:
            return  # this process slept, and meanwhile it may have been paid; the next run looks again
        await ctx.gateway.delete(remote_id)
        left = await ctx.gateway.get(remote_id)
    except GatewayError as error:
        _could_not(ctx, reasons.DOUBLE_IS_THERE, row, error)
        return
    if left is not None:
        if not row.attention:
            _flag(ctx, row, reasons.DELETED_IN_VAIN.format(remote_id=remote_id))
        return
    with ctx.db.transaction() as tx:
        record(tx, [about_payment(ctx.clock(), ctx.actor, EventAction.DUPLICATE_DELETED, row, remote_id)])


def _could_not(ctx: Context, what: str, row: PaymentRef, error: GatewayError) -> None:
    ctx.report.problems.append(f"sweep: {what.format(id=row.id)}: {error}")


def _flag(ctx: Context, row: PaymentRef, attention: str) -> None:
    with ctx.db.transaction() as tx:
        lifecycle.flag(tx, ctx.actor, ctx.clock(), row, attention)
