"""One pass over everything.

recover     what a dead run left in the middle of sending becomes unknown
observe     the list at Mileston is read once, if a step needs it
reconcile   unknowns are looked up by marker: adopted, proved absent, or parked
plan        due periods become payments, and schedules move on, in one transaction
look_back   records of the periods before that renewed themselves are noticed before anything is sent
submit      intent committed, then socket; outcomes written back in groups
settle      open payments are read; paid ones get a receipt
stop_renewals  what is paid gets an interval that never comes, if it is to
dun         those read as unpaid take their next step
remind      upcoming payments at their offsets
digest      the operator is told what needs a person
deliver     the outbox
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence

from billing.core import reasons
from billing.core.clock import clock_problem
from billing.cycle.context import Context
from billing.cycle.deliver import deliver
from billing.cycle.digest import digest
from billing.cycle.dun import dun
from billing.cycle.observe import observe
from billing.cycle.plan import plan
from billing.cycle.reconcile import reconcile
from billing.cycle.recover import recover
from billing.cycle.remind import remind
from billing.cycle.renewals import look_back, stop_renewals
from billing.cycle.report import Report
from billing.cycle.settle import settle
from billing.cycle.submit import submit
from billing.lifecycle import needs
from billing.store import runs

Step = Callable[[Context], Awaitable[None]]

STEPS: tuple[Step, ...] = (
    recover,
    observe,
    reconcile,
    plan,
    look_back,
    submit,
    settle,
    stop_renewals,
    dun,
    remind,
    digest,
    deliver,
)


async def run_cycle(ctx: Context, steps: Sequence[Step] = STEPS) -> Report:
    """Run the steps once and record the run. Raises StoreError if the database fails."""
    ctx.report.sends = submit in steps
    with ctx.db.transaction() as tx:
        runs.start(tx, ctx.run_id, ctx.as_of, ctx.began)
    for step in steps:
        if ctx.stopping():
            ctx.report.stopped = ctx.report.stopped or reasons.ASKED_TO_STOP
            break
        await step(ctx)
        ctx.checkpoint(f"{step.__name__}.done")
    return _close(ctx)


def _close(ctx: Context) -> Report:
    report = ctx.report
    now = ctx.clock()
    skewed = clock_problem(ctx.gateway.clock_skew_seconds, ctx.settings.reconcile.quiet_seconds)
    if skewed:
        report.problems.append(skewed)
    with ctx.db.transaction() as tx:
        waiting = needs.waiting(tx, now, ctx.settings.mail.on_unknown == "resend")
        report.needs_a_person = waiting.payments + waiting.subscriptions
        report.mail_needs_a_person = waiting.notices
        report.seconds = (now - ctx.began).total_seconds()
        if not report.conserved():
            report.problems.append("the counts of this run do not add up; please report this")
        runs.finish(tx, ctx.run_id, report.outcome, json.dumps(report.to_json()), now)
    return report
