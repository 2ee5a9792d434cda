"""The last step: the outbox is emptied; every notice ends as sent, failed, unknown or superseded, or waits.

A refusal of one message is final. A refusal that would be repeated for every message stops the channel and
fails none: the server may say so (`AccountRefused`), or refuse several addressees and take nothing at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from billing.core import reasons
from billing.core.addresses import same_mailbox
from billing.core.notices import MOST_TRIES, Delivery, DeliveryKind, RenderedMail
from billing.core.states import NoticeState
from billing.cycle.context import Context
from billing.cycle.notice_facts import STATEMENTS, facts_for, must_wait, no_longer_holds
from billing.cycle.pipeline import Pipeline
from billing.cycle.report import MAIL
from billing.errors import AccountRefused, MailError, TemplateError
from billing.lifecycle import notices as lifecycle
from billing.lifecycle.notices import Finished
from billing.store import notices
from billing.store.overdue import owed_by
from billing.store.rows import NoticeWithRows, OwedPayment
from billing.store.tx import Tx

_LEASE = timedelta(minutes=15)
_MOST_REFUSED = 5
"""If a run sends nothing, and so many addressees are refused, it is not they who are refused but we."""


async def deliver(ctx: Context) -> None:
    """Send what is queued and due. One bad notice never stops the others; a lost server ends the step."""
    _resend_unknown(ctx)
    outbox = _Outbox(ctx)
    lanes = ctx.settings.mail.concurrency if ctx.settings.mail.transport == "smtp" else 1
    try:
        await Pipeline(outbox.turn, outbox.send, lanes, window(lanes)).run()
    except Exception:
        outbox.settle()
        raise
    outbox.settle()
    if outbox.channel_fault:
        ctx.report.problems.append(f"{MAIL}{outbox.channel_fault}")
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
            lifecycle.requeue_unknown(tx, ctx.clock(), MOST_TRIES)


@dataclass(frozen=True, slots=True)
class _Posted:
    row: NoticeWithRows
    mail: RenderedMail
    delivery: Delivery
    at: datetime
    later: timedelta | None = None
    """How long a message that was not sent waits from now on, behind all others; None: as before."""

    @property
    def refused(self) -> bool:
        """Whether the server itself refused it for good; what no wire takes it was not asked about."""
        return self.delivery.kind is DeliveryKind.FAILED and self.delivery.server_reply.startswith("5")


class _Outbox:
    """Claims queued notices, hands them over, and writes what the server said."""

    def __init__(self, ctx: Context) -> None:
        self.ctx = ctx
        self.began = ctx.clock()
        self.after = (datetime.min.replace(tzinfo=UTC), 0)
        self.channel_fault = ""
        self.done = 0
        # While nothing went through, a refusal may be anybody's fault: who was refused, and what came of it.
        self.taken_any = False
        self.refused: set[str] = set()
        self.undecided: list[_Posted] = []

    def turn(
        self, finished: list[_Posted], room: int, over: bool = False
    ) -> list[tuple[NoticeWithRows, RenderedMail]]:
        """Write what came of deliveries and claim the next notices, in one transaction."""
        ctx = self.ctx
        ctx.checkpoint("deliver.before-commit")
        decided, undecided = self._decided([*self.undecided, *finished], over)
        with ctx.db.transaction() as tx:
            self._finish(tx, decided)
            taken: list[tuple[NoticeWithRows, RenderedMail]] = []
            while room > 0 and not taken and not self.channel_fault and not ctx.stopping():
                rows = notices.queued_page(tx, self.began, self.after, room)
                if not rows:
                    break
                self.after = (rows[-1].next_try_at, rows[-1].id)
                taken = self._claim(tx, rows)
        self.undecided = undecided  # not before the commit: if it fails, `finished` comes again
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
        later: timedelta | None = None
        if self.channel_fault or self.ctx.stopping():
            delivery = Delivery(DeliveryKind.NOT_SENT, self.channel_fault or "the run was asked to end")
        elif self.ctx.clock() > self.began + _LEASE and self._lease_is_over(row):
            delivery = Delivery(DeliveryKind.NOT_SENT, "its lease had ended before it was sent")
        elif self._waits_for_a_person(row):
            delivery = Delivery(DeliveryKind.UNKNOWN, reasons.MADE_ELSEWHERE)
        else:
            try:
                delivery = await self.ctx.transport.send(mail)
                # Lost over this message: no try is spent, but the others come first. A few over which the
                # server always hangs up would otherwise close the channel at the head of every cycle.
                later = self._back_off(1)
            except AccountRefused as error:  # behind the others, in case it is this message's fault after all
                self.channel_fault, later = str(error), timedelta(0)
                delivery = Delivery(DeliveryKind.NOT_SENT, str(error))
            except MailError as error:
                self.channel_fault = str(error)
                delivery = Delivery(DeliveryKind.NOT_SENT, "the mail server was lost")
        posted = _Posted(row, mail, delivery, self.ctx.clock(), later)
        self._learn(posted)
        return posted

    def _learn(self, posted: _Posted) -> None:
        """Stop the channel if it refuses one addressee after the other and has taken nothing in this run."""
        self.taken_any = self.taken_any or posted.delivery.kind is DeliveryKind.SENT
        if not posted.refused or self.taken_any:
            return
        self.refused.add(same_mailbox(posted.mail.recipient))
        if len(self.refused) >= _MOST_REFUSED and not self.channel_fault:
            self.channel_fault = (
                f"the mail server refused {len(self.refused)} addressees and took no e-mail in this run, at "
                f"last with {posted.delivery.server_reply}; find out there what it means, and correct the "
                "addresses if they are the reason"
            )

    def _decided(self, finished: list[_Posted], over: bool) -> tuple[list[_Posted], list[_Posted]]:
        """What can be written, and the refusals of which it is not known yet whose fault they are."""
        if self.channel_fault and not self.taken_any:
            return [_put_back(posted) if posted.refused else posted for posted in finished], []
        if self.taken_any or over:
            return finished, []
        # Not kept until their leases end: another worker would take us for dead, and them for unknown.
        since = self.ctx.clock() - _LEASE / 2
        open_ones = {posted.row.id for posted in finished if posted.refused and posted.at > since}
        decided = [posted for posted in finished if posted.row.id not in open_ones]
        return decided, [posted for posted in finished if posted.row.id in open_ones]

    def settle(self) -> None:
        """At the end of the run: so few refusals are their addressees' own, unless the channel failed."""
        if self.undecided:
            self.turn([], 0, over=True)

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
        elif delivery.kind is DeliveryKind.FAILED or tries >= MOST_TRIES:
            state = NoticeState.FAILED
            report.notices_failed += 1
        elif delivery.kind is DeliveryKind.RETRY:
            try_at = posted.at + self._back_off(tries)
        elif posted.later is not None:
            try_at = posted.at + posted.later
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


def _put_back(posted: _Posted) -> _Posted:
    delivery = replace(posted.delivery, kind=DeliveryKind.NOT_SENT)
    return replace(posted, delivery=delivery, later=timedelta(0))


def _why_no_mail(error: Exception) -> str:
    if isinstance(error, TemplateError):
        return str(error)
    return f"{reasons.NO_LETTER}: {type(error).__name__}: {error}"


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
