"""Step 8: the outbox is emptied; every notice ends as sent, failed, unknown or superseded, or waits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from billing.core.notices import Delivery, DeliveryKind, RenderedMail
from billing.core.states import NoticeState
from billing.cycle.context import Context
from billing.cycle.notice_facts import STATEMENTS, facts_for, must_wait, no_longer_holds
from billing.cycle.pipeline import Pipeline
from billing.errors import MailError, TemplateError
from billing.lifecycle import notices as lifecycle
from billing.lifecycle.notices import Finished
from billing.store import notices
from billing.store.overdue import owed_by
from billing.store.rows import NoticeWithRows, OwedPayment
from billing.store.tx import Tx

_LEASE = timedelta(minutes=15)
_MOST_TRIES = 11
_MADE_ELSEWHERE = (
    "its payment was found at Mileston and not made by this database, so its e-mail may have gone "
    "out before; send it with `billing notices resend`"
)
"""Doubling from five minutes, the last try comes after about three and a half days."""


async def deliver(ctx: Context) -> None:
    """Send what is queued and due. One bad notice never stops the others; a lost server ends the step."""
    _resend_unknown(ctx)
    outbox = _Outbox(ctx)
    lanes = ctx.settings.mail.concurrency if ctx.settings.mail.transport == "smtp" else 1
    await Pipeline(outbox.turn, outbox.send, lanes, window(lanes)).run()
    if outbox.channel_fault:
        ctx.report.problems.append(f"mail: {outbox.channel_fault}")
    with ctx.db.read() as connection:
        states = notices.count_by_state(connection)
    ctx.report.notices_held = states.get(NoticeState.QUEUED, 0) + states.get(NoticeState.UNKNOWN, 0)


def window(lanes: int) -> int:
    """How many notices are claimed at once: rendered, claimed, and not yet written back.

    A crash leaves so many unknown at most.
    """
    return max(64, 16 * lanes)


def _resend_unknown(ctx: Context) -> None:
    if ctx.settings.mail.on_unknown == "resend":
        with ctx.db.transaction() as tx:
            lifecycle.requeue_unknown(tx, ctx.clock(), _MOST_TRIES)


@dataclass(frozen=True, slots=True)
class _Posted:
    row: NoticeWithRows
    mail: RenderedMail
    delivery: Delivery
    at: datetime
    handed: bool
    """Whether the server was asked about this very message."""


class _Outbox:
    """Claims queued notices, hands them over, and writes what the server said."""

    def __init__(self, ctx: Context) -> None:
        self.ctx = ctx
        self.began = ctx.clock()
        self.after = (datetime.min.replace(tzinfo=UTC), 0)
        self.channel_fault = ""
        self.done = 0

    def turn(self, finished: list[_Posted], room: int) -> list[tuple[NoticeWithRows, RenderedMail]]:
        """Write what came of deliveries and claim the next notices, in one transaction."""
        ctx = self.ctx
        ctx.checkpoint("deliver.before-commit")
        with ctx.db.transaction() as tx:
            self._finish(tx, finished)
            taken: list[tuple[NoticeWithRows, RenderedMail]] = []
            while room > 0 and not taken and not self.channel_fault and not ctx.stopping():
                rows = notices.queued_page(tx, self.began, self.after, room)
                if not rows:
                    break
                self.after = (rows[-1].next_try_at, rows[-1].id)
                taken = self._claim(tx, rows)
        ctx.checkpoint("deliver.committed")
        self.done += len(finished)
        ctx.progress("deliver", self.done, max(self.done, self.ctx.report.notices_queued))
        return taken

    def _claim(self, tx: Tx, rows: list[NoticeWithRows]) -> list[tuple[NoticeWithRows, RenderedMail]]:
        """Check that each notice still holds, render it, and mark it as being sent."""
        ctx = self.ctx
        now = ctx.clock()
        taken = []
        statements = {row.subscription_id or 0 for row in rows if row.kind in STATEMENTS}
        owed = owed_by(tx, statements) if statements else {}
        for row in rows:
            reason = no_longer_holds(row, ctx.as_of)
            if reason:
                lifecycle.supersede(tx, ctx.actor, now, row, reason)
                continue
            if must_wait(row, ctx.run_id):
                continue
            try:
                mail = _render(ctx, row, now, owed.get(row.subscription_id or 0, ()))
            except Exception as error:  # whatever is wrong with one record, the others go out
                lifecycle.fail(tx, ctx.actor, now, row, _why_no_mail(error))
                ctx.report.notices_failed += 1
                continue
            taken.append((row, mail))
        lifecycle.claim(
            tx,
            [
                {
                    "id": row.id,
                    "tries": row.tries,
                    "to_address": mail.recipient,
                    "subject": mail.subject,
                    "message_id": mail.message_id,
                    "sha256": mail.sha256,
                    "rendered_at": row.rendered_at or now,
                }
                for row, mail in taken
            ],
            ctx.run_id,
            now + _LEASE,
        )
        return taken

    async def send(self, item: tuple[NoticeWithRows, RenderedMail]) -> _Posted:
        row, mail = item
        handed = False
        if self.channel_fault or self.ctx.stopping():
            delivery = Delivery(DeliveryKind.NOT_SENT, self.channel_fault or "the run was asked to end")
        elif self.ctx.clock() > self.began + _LEASE and self._lease_is_over(row):
            delivery = Delivery(DeliveryKind.NOT_SENT, "its lease had ended before it was sent")
        elif self._waits_for_a_person(row):
            delivery = Delivery(DeliveryKind.UNKNOWN, _MADE_ELSEWHERE)
        else:
            try:
                delivery = await self.ctx.transport.send(mail)
                handed = True
            except MailError as error:
                self.channel_fault = str(error)
                delivery = Delivery(DeliveryKind.NOT_SENT, "the mail server was lost")
        return _Posted(row, mail, delivery, self.ctx.clock(), handed)

    def _waits_for_a_person(self, row: NoticeWithRows) -> bool:
        """It may have gone out from another copy of this database; once a person resends it, it goes out."""
        perhaps_sent = row.facts == lifecycle.PERHAPS_SENT and row.raw is None
        return perhaps_sent and self.ctx.settings.mail.on_unknown == "hold"

    def _lease_is_over(self, row: NoticeWithRows) -> bool:
        with self.ctx.db.read() as connection:
            now = notices.find(connection, row.id)
        ours = now is not None and now.state == NoticeState.SENDING and now.run_id == self.ctx.run_id
        return not ours or now is None or now.lease_until is None or now.lease_until < self.ctx.clock()

    def _finish(self, tx: Tx, finished: list[_Posted]) -> None:
        done = [(posted.row, self._after(posted), posted.at) for posted in finished]
        lifecycle.finish(tx, self.ctx.actor, self.ctx.run_id, done)

    def _after(self, posted: _Posted) -> Finished:
        """The row of a notice after one delivery."""
        report, delivery = self.ctx.report, posted.delivery
        tries = posted.row.tries + (delivery.kind is not DeliveryKind.NOT_SENT)
        state, try_at = NoticeState.QUEUED, posted.row.next_try_at
        if delivery.kind is DeliveryKind.SENT:
            state = NoticeState.SENT
            report.notices_sent += 1
        elif delivery.kind is DeliveryKind.UNKNOWN:
            state = NoticeState.UNKNOWN
            try_at = posted.at + self._back_off(tries)  # if unknown ones are resent at all
            report.notices_failed += 1
        elif delivery.kind is DeliveryKind.FAILED or tries >= _MOST_TRIES:
            state = NoticeState.FAILED
            report.notices_failed += 1
        elif delivery.kind is DeliveryKind.RETRY:
            try_at = posted.at + self._back_off(tries)
        elif posted.handed:
            # Lost over this message: no try is spent, but the others come first. A few over which the
            # server always hangs up would otherwise close the channel at the head of every cycle.
            try_at = posted.at + self._back_off(1)
        sent = state is NoticeState.SENT
        return {
            "id": posted.row.id,
            "state": state.value,
            "server_reply": delivery.server_reply,
            "sent_at": posted.at if sent else None,
            "next_try_at": try_at,
            "tries": tries,
            "raw": None if sent else posted.mail.raw,
        }

    def _back_off(self, tries: int) -> timedelta:
        return timedelta(seconds=self.ctx.settings.mail.retry_seconds * 2 ** (tries - 1))


def _why_no_mail(error: Exception) -> str:
    if isinstance(error, TemplateError):
        return str(error)
    return f"its record makes no letter: {type(error).__name__}: {error}"


def _render(ctx: Context, row: NoticeWithRows, now: datetime, owed: Sequence[OwedPayment]) -> RenderedMail:
    """The message: the same bytes again if it was rendered before and may have to go out again."""
    if row.raw is not None:
        return RenderedMail(
            dedupe_key=row.dedupe_key,
            sender=ctx.settings.mail.from_address,
            recipient=row.to_address,
            subject=row.subject,
            message_id=row.message_id,
            raw=row.raw,
            sha256=row.sha256,
        )
    letter = facts_for(row, ctx.settings, ctx.as_of, ctx.gateway.checkout_url, owed)
    return ctx.renderer.render(letter, row.rendered_at or now)
