"""Step 4: planned payments go to the API, each intent committed before its socket opens."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta

from billing.core import reasons
from billing.core.outcomes import CreateOutcome, OutcomeKind, PaymentRequest
from billing.core.reconciling import is_proof_old
from billing.core.renewal import NEVER_DAYS
from billing.core.states import SubscriptionStatus
from billing.cycle.context import Context
from billing.cycle.pace import now as loop_time
from billing.cycle.pipeline import Pipeline
from billing.cycle.reconcile import read_named
from billing.cycle.renewals import take
from billing.lifecycle import payments as lifecycle
from billing.lifecycle import sending
from billing.lifecycle.prices import catch_up_price
from billing.lifecycle.sending import Result, Written
from billing.store import identity, payments, runs
from billing.store.rows import PlannedPayment
from billing.store.tx import Tx

_QUEUE_SECONDS = 5.0
"""How long an intent may wait for a lane beyond one time limit of the API."""
_SHORTEST_PROOF = timedelta(seconds=60)
"""Within one run a proof of absence is good for so long at least, however short a sandbox's quiet time."""
_HOLD_PAGE = 500
_MOST_TRIES = 3
"""So often a payment is taken up again whose turn came too late."""
_CANCELLED = "its subscription was cancelled before it was sent"


async def submit(ctx: Context) -> None:
    """Send every planned payment that the brakes admit; write outcomes back in groups."""
    feed = _Feed(ctx)
    with ctx.db.read() as connection:
        if payments.was_slowed_down(connection, ctx.as_of):
            ctx.pace.begin_carefully()
    lanes = ctx.settings.cycle.concurrency
    # A larger window costs fewer commits; a smaller one leaves more to the other workers.
    window = max(64, 8 * lanes) if ctx.exclusive else 2 * lanes
    try:
        while feed.goes_on():
            await Pipeline(feed.turn, feed.send, lanes, window, ctx.pace).run()
    finally:
        feed.account_for_the_rest()
    if feed.named:
        # They were counted as unknown when their answers came in.
        settled = await read_named(ctx)
        ctx.report.due -= settled
        ctx.report.unknown -= settled


@dataclass(frozen=True, slots=True)
class _Intent:
    row: PlannedPayment
    send_by: datetime


class _Feed:
    """Claims payments, sends them, and writes what came of it."""

    def __init__(self, ctx: Context) -> None:
        self.ctx = ctx
        self.after_id = 0
        with ctx.db.read() as connection:
            self.total = payments.count_planned(connection, ctx.as_of)
        self.done = 0
        self.named = False
        """Whether a create was answered with an id though its echo is not ours."""
        self._begun = False
        self._again: list[int] = []
        """Payments whose turn came too late, as the API asked for a pause: they are taken up once more."""
        self._tries: Counter[int] = Counter()

    def goes_on(self) -> bool:
        """Whether there may be something to send: at first, and as long as something came too late."""
        begins, self._begun = not self._begun, True
        return begins or bool(self._again and not self._stopped())

    def turn(self, finished: list[Result], room: int) -> list[_Intent]:
        """Write outcomes and commit the next intents, in one transaction."""
        ctx = self.ctx
        ctx.checkpoint("submit.before-commit")
        taken: list[PlannedPayment] = []
        with ctx.db.transaction() as tx:
            now = ctx.clock()
            written = sending.record_outcomes(tx, ctx.actor, now, ctx.payable_from, ctx.run_id, finished)
            held = 0
            send_by = now + timedelta(seconds=ctx.settings.mileston.timeout_seconds + _QUEUE_SECONDS)
            if room > 0 and not self._stopped():
                taken, held = self._take(tx, now, send_by, room)
        ctx.checkpoint("submit.committed")
        self._count(finished, written, held)
        ctx.report.due += len(taken) + held
        return [_Intent(row, send_by) for row in taken]

    def _stopped(self) -> bool:
        brakes = self.ctx.brakes
        return bool(brakes.stopped or brakes.hold_cause) or self.ctx.stopping()

    def _take(self, tx: Tx, now: datetime, send_by: datetime, room: int) -> tuple[list[PlannedPayment], int]:
        """Intents for the payments that may be sent, and how many were held instead."""
        held = 0
        if not self.ctx.exclusive:
            others = runs.sent_by_others(tx, self.ctx.run_id, self.ctx.began, now)
            self.ctx.brakes.others_payments, self.ctx.brakes.others_micros = others
        while True:
            rows = self._page(tx, room)
            if not rows:
                return [], held
            if catch_up_price(tx, self.ctx.actor, now, rows):
                rows = payments.planned_page(tx, self.ctx.as_of, 0, room, [row.id for row in rows])
            self.after_id = max(self.after_id, rows[-1].id)
            sendable = self._withdraw(tx, rows, now)
            admitted: list[PlannedPayment] = []
            refused: dict[int, str] = {}
            for row in sendable:
                cause = self.ctx.brakes.admit(row.amount_micros)
                if cause:
                    refused[row.id] = cause
                else:
                    admitted.append(row)
            over = [row for row in sendable if row.id in refused]
            held += len(lifecycle.hold(tx, self.ctx.actor, now, over, refused))
            if admitted:
                deadline = send_by + timedelta(seconds=self.ctx.settings.mileston.timeout_seconds)
                identity.bind_namespace(tx, self.ctx.settings.mileston.namespace)
                sending.begin_sending(tx, self.ctx.run_id, admitted, now, deadline, deadline)
                return admitted, held

    def _page(self, tx: Tx, room: int) -> list[PlannedPayment]:
        rows = payments.planned_page(tx, self.ctx.as_of, self.after_id, room)
        while not rows and self._again:
            ids, self._again = self._again[:room], self._again[room:]
            rows = payments.planned_page(tx, self.ctx.as_of, 0, room, ids)
        return rows

    def _withdraw(self, tx: Tx, rows: list[PlannedPayment], now: datetime) -> list[PlannedPayment]:
        """What a paused or cancelled subscription owes is not sent, nor anything on an old proof."""
        cancelled = [row for row in rows if row.status == SubscriptionStatus.CANCELLED]
        paused = [row for row in rows if row.status == SubscriptionStatus.PAUSED]
        if cancelled:
            lifecycle.void(tx, self.ctx.actor, now, cancelled, _CANCELLED)
        if paused:
            causes = {row.id: reasons.HELD_BACK if row.paused_by else reasons.PAUSED for row in paused}
            lifecycle.hold(tx, self.ctx.actor, now, paused, causes)
        # The next cycle looks for what waited so long in this one that its proof of absence is old.
        good_since = now - max(_SHORTEST_PROOF, timedelta(seconds=self.ctx.settings.reconcile.quiet_seconds))
        old = [row for row in rows if is_proof_old(row.absent_looks, row.absent_at, good_since)]
        gone = {row.id for row in (*cancelled, *paused)}
        withheld = self.ctx.withheld & {row.id for row in rows}
        late = ({row.id for row in old} | withheld) - gone
        self.ctx.report.due += len(late)
        self.ctx.report.not_sent += len(late)
        gone |= late
        return [row for row in rows if row.id not in gone]

    async def send(self, intent: _Intent) -> Result:
        """One create; its deadline is checked once more right before the socket is written to."""
        ctx, row = self.ctx, intent.row
        if self._stopped():
            return Result(row, CreateOutcome(OutcomeKind.NOT_SENT, detail="the run stopped"), ctx.clock())
        request = PaymentRequest(
            row.marker,
            row.plan,
            row.amount_micros,
            row.name,
            row.email,
            row.due_on,
            self._interval_days(row),
            row.wallet_address,
        )
        began = loop_time()
        outcome = await self._charge(row, request, intent.send_by)
        ctx.pace.note(outcome.status, began, outcome.retry_after_seconds)
        if not _came_too_late(outcome):
            # At an API that keeps no whole names every create is read by its id, and none is an alarm.
            kind = OutcomeKind.CREATED if outcome.unmarked else outcome.kind
            ctx.brakes.note(kind, outcome.status)
        self.named = self.named or outcome.named_id is not None
        return Result(row, outcome, ctx.clock())

    def _interval_days(self, row: PlannedPayment) -> int:
        """How long its period is. One that is over might renew itself at once."""
        is_over = row.period_end_on < self.ctx.payable_from
        if is_over and self.ctx.settings.mileston.renewal == "stop":
            return NEVER_DAYS
        return (row.period_end_on - row.due_on).days + 1

    async def _charge(self, row: PlannedPayment, request: PaymentRequest, send_by: datetime) -> CreateOutcome:
        """Create its record, or take the one of the period before for it, if that came back by itself."""
        came_back = self.ctx.renewed.get(row.id)
        if came_back is None:
            return await self.ctx.gateway.create(request, send_by)
        self.ctx.pace.leave()  # its calls find a place of their own
        try:
            return await take(self.ctx, request, came_back)
        finally:
            await self.ctx.pace.enter()

    def _count(self, finished: list[Result], written: Written, held: int) -> None:
        report = self.ctx.report
        report.held += held
        report.notices_queued += written.notices_queued
        stale = {result.row.id for result in written.stale}
        for result in finished:
            kind = OutcomeKind.UNKNOWN if result.row.id in stale else result.outcome.kind
            if kind is OutcomeKind.CREATED:
                report.created += 1
                report.amount_created_micros += result.row.amount_micros
            elif kind is OutcomeKind.REFUSED:
                report.rejected += 1
            elif kind is OutcomeKind.UNKNOWN:
                report.unknown += 1
            elif _came_too_late(result.outcome) and self._tries[result.row.id] < _MOST_TRIES:
                self._tries[result.row.id] += 1
                self._again.append(result.row.id)
                report.due -= 1
            else:
                report.not_sent += 1
        self.done += len(finished)
        self.ctx.progress("submit", self.done, max(self.total, self.done))

    def account_for_the_rest(self) -> None:
        """After a brake: hold what is still planned, or count it as not sent."""
        ctx, brakes = self.ctx, self.ctx.brakes
        if brakes.hold_cause:
            ctx.report.stopped = brakes.hold_cause
            # What was claimed and came back unsent is held with the rest.
            ctx.report.due -= ctx.report.not_sent
            ctx.report.not_sent = 0
            _hold_everything(ctx, brakes.hold_cause)
            return
        if brakes.stopped or ctx.stopping():
            ctx.report.stopped = brakes.stopped or reasons.ASKED_TO_STOP
            with ctx.db.read() as connection:
                rest = payments.count_planned(connection, ctx.as_of, self.after_id) + len(self._again)
            ctx.report.due += rest
            ctx.report.not_sent += rest


def _came_too_late(outcome: CreateOutcome) -> bool:
    return outcome.kind is OutcomeKind.NOT_SENT and outcome.detail == reasons.TOO_LATE


def _hold_everything(ctx: Context, cause: str) -> None:
    after_id = 0
    while True:
        with ctx.db.transaction() as tx:
            rows = payments.planned_page(tx, ctx.as_of, after_id, _HOLD_PAGE)
            if not rows:
                return
            after_id = rows[-1].id
            causes = {row.id: cause for row in rows}
            held = lifecycle.hold(tx, ctx.actor, ctx.clock(), rows, causes)
        ctx.report.due += len(held)
        ctx.report.held += len(held)
