"""Step 1: what a dead run left in the middle of sending may or may not have happened."""

from __future__ import annotations

from datetime import timedelta

from billing.cycle.context import Context
from billing.lifecycle import clock, notices, sending

_PAGE = 500


async def recover(ctx: Context) -> None:
    """Payments and notices left `sending` by a dead run become `unknown`, never planned again.

    So does what was proved absent `quiet_seconds` ago or longer, and was not sent since.
    """
    while True:
        with ctx.db.transaction() as tx:
            found = sending.recover(tx, ctx.actor, ctx.clock(), ctx.exclusive, _PAGE)
        if found < _PAGE:
            break
    with ctx.db.transaction() as tx:
        clock.set_clock_right(tx, ctx.clock())
    quiet = timedelta(seconds=ctx.settings.reconcile.quiet_seconds)
    with ctx.db.transaction() as tx:
        sending.expire_proofs(tx, ctx.actor, ctx.clock(), ctx.clock() - quiet)
    with ctx.db.transaction() as tx:
        found_notices = notices.recover(tx, ctx.clock(), ctx.exclusive)
    if ctx.settings.mail.on_unknown == "hold":
        # The run that left them could not say so; nobody else will.
        ctx.report.notices_failed += found_notices
