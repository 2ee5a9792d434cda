"""Why was a subscription billed, reminded or dunned on a date, or why not? In plain sentences.

The rows say what is so; the event log says when it came about, and through whom.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from billing.app.decisions import find_subscription
from billing.app.terms_told import agreed
from billing.config import Config
from billing.core.dunning import DunningPolicy
from billing.core.event_text import sentence_of
from billing.core.money import format_amount
from billing.core.periods import first_period_from
from billing.core.plurals import counted
from billing.core.reminders import offsets_for
from billing.core.schedule import Terms
from billing.core.states import NoticeKind, PaymentState, SubscriptionStatus
from billing.cycle.dun import policy_for
from billing.lifecycle import versions
from billing.store import events, notices, payments, runs
from billing.store.rows import Attempt, Event, ListedNotice, PaymentOfSubscription, Subscription
from billing.store.subscriptions import terms_of
from billing.store.tx import Tx

_MOST_EVENTS = 50


@dataclass(frozen=True, slots=True)
class Explanation:
    """Sentences about one subscription and one date, by topic, and the log of that day."""

    reference: str
    day: date
    zone: str
    terms: tuple[str, ...]
    billing: tuple[str, ...]
    reminders: tuple[str, ...]
    dunning: tuple[str, ...]
    log: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        return {
            "reference": self.reference,
            "date": self.day.isoformat(),
            "timezone": self.zone,
            "terms": list(self.terms),
            "billing": list(self.billing),
            "reminders": list(self.reminders),
            "dunning": list(self.dunning),
            "log": list(self.log),
        }


def explain(tx: Tx, config: Config, reference: str, day: date, today: date) -> Explanation:
    """Raises `UsageError` with the nearest references if there is no such subscription."""
    row = find_subscription(tx, reference)
    case = _Case(tx, config, row, day, today)
    return Explanation(
        reference,
        day,
        config.settings.business.timezone,
        tuple(agreed(row, versions.of(tx, row.id), day, config.zone)),
        tuple(case.billing()),
        tuple(case.reminders()),
        tuple(case.dunning()),
        tuple(case.log()),
    )


class _Days:
    """On which business date did something happen? On the one that its run billed for.

    Most of the time that is the date on the calendar, but `run-once --as-of` bills for another.
    """

    def __init__(self, tx: Tx, zone: ZoneInfo) -> None:
        self._tx, self._zone = tx, zone
        self._known: dict[datetime, date] = {}

    def of_event(self, line: Event) -> date:
        return self.of(line.at) if line.actor.startswith("run:") else line.at.astimezone(self._zone).date()

    def of(self, at: datetime) -> date:
        """The business date of the run that was going on at an instant, else the calendar's."""
        if at not in self._known:
            run = runs.going_on_at(self._tx, at)
            self._known[at] = run.as_of if run is not None else at.astimezone(self._zone).date()
        return self._known[at]


class _Case:
    """The facts about one subscription and one date, loaded once."""

    def __init__(self, tx: Tx, config: Config, row: Subscription, day: date, today: date) -> None:
        self.row, self.day, self.today = row, day, today
        self.settings = config.settings
        self.zone: ZoneInfo = config.zone
        self.terms: Terms = terms_of(row)
        self.payments = list(payments.listing(tx, subscription_id=row.id))
        self.notices = list(notices.listing(tx, subscription_id=row.id))
        self.events = events.about(tx, row.id, [payment.id for payment in self.payments])
        self.last_run = runs.latest(tx)
        self.days = _Days(tx, self.zone)
        self.attempts = {
            payment.id: payments.attempts_of(tx, payment.id)
            for payment in self.payments
            if payment.due_on == day
        }

    # --- billing

    def billing(self) -> Iterator[str]:
        """Was a payment due on the day, and what became of it?"""
        payment = next((p for p in self.payments if p.due_on == self.day), None)
        if payment is not None:
            yield from self._payment(payment)
            return
        yield self._why_no_payment()

    def _payment(self, payment: PaymentOfSubscription) -> Iterator[str]:
        amount = format_amount(payment.amount_micros)
        yield (
            f"A payment of {amount} USDC was due for the period from {payment.due_on} to "
            f"{payment.period_end_on} (payment {payment.id})."
        )
        lines = [e for e in self.events if e.payment_id == payment.id and e.notice_id is None]
        told = [(attempt.started_at, self._attempt(attempt)) for attempt in self.attempts[payment.id]]
        told += zip((line.at for line in lines), self._said(lines), strict=True)
        yield from (sentence for _, sentence in sorted(told, key=lambda pair: pair[0]))
        yield _STANDING[PaymentState(payment.state)].format(
            cause=payment.cause or "no reason was recorded", paid_at=self._time(payment.paid_at)
        )
        if payment.attention:
            yield f"It is flagged for a person to check: {payment.attention}."

    def _attempt(self, attempt: Attempt) -> str:
        came = f"{self._time(attempt.started_at)}: attempt {attempt.number} to create it was made"
        if attempt.outcome is None:
            return f"{came}; its run died before the outcome was written."
        status = f", HTTP {attempt.status}" if attempt.status else ""
        detail = f": {attempt.detail}" if attempt.detail else ""
        return f"{came}: {attempt.outcome.replace('_', ' ')}{status}{detail}."

    def _why_no_payment(self) -> str:
        """One sentence: the first reason that holds."""
        terms, day = self.terms, self.day
        if day < terms.anchor_on:
            return f"Nothing was due: its first period begins on {terms.anchor_on}."
        n = first_period_from(terms.anchor_on, terms.interval, day)
        if terms.due_on(n) != day:
            every = str(terms.interval).removeprefix("1 ")
            return (
                f"Nothing was due: its dates are counted from {terms.anchor_on}, every {every}; "
                f"the nearest are {terms.due_on(n - 1)} and {terms.due_on(n)}."
            )
        if terms.bill_from is not None and day < terms.bill_from:
            return f"A period began, but nothing before {terms.bill_from} is billed (bill_from)."
        if terms.ends_on is not None and day > terms.ends_on:
            return f"Nothing was due: the subscription ended on {terms.ends_on} (ends_on)."
        if terms.cancel_on is not None and day >= terms.cancel_on:
            return f"Nothing was due: the subscription is cancelled from {terms.cancel_on} on."
        return self._why_not_planned()

    def _why_not_planned(self) -> str:
        """A period begins on the day and is to be billed, yet there is no payment for it."""
        paused = self._paused_on(self.day)
        if paused is not None:
            return f"A period began, but the subscription was paused at {self._time(paused.at)}{_by(paused)}."
        if self.row.status == SubscriptionStatus.PAUSED:
            until = f" until {self.row.paused_until}" if self.row.paused_until else ""
            return f"A period begins, but the subscription is paused{until}; paused time is not billed."
        if self.row.status == SubscriptionStatus.CANCELLED:
            return "Nothing is due: the subscription is cancelled."
        if self.day > self.today:
            return "It is not due yet: the first cycle of that day plans the payment."
        if self.row.next_due_on is not None and self.row.next_due_on <= self.day:
            ran = f"the last one was for {self.last_run.as_of}" if self.last_run else "none has run yet"
            return f"It is due, but no cycle has planned it yet: {ran}. Start one with `billing run-once`."
        return (
            "A period began, but it was already past when the subscription was imported or resumed: "
            f"billing continued with {self.row.next_due_on or 'nothing'} as the next due date."
        )

    def _paused_on(self, day: date) -> Event | None:
        """The event that paused it, if it was paused when the first cycle of the day could run."""
        found = None
        for line in self.events:
            if self.days.of_event(line) > day:
                break
            if line.action == "subscription_paused":
                found = line
            elif line.action in ("subscription_resumed", "subscription_cancelled"):
                found = None
        return found

    # --- reminders

    def reminders(self) -> Iterator[str]:
        """Was a reminder of an upcoming payment due on the day?"""
        sent = [
            notice
            for notice in self.notices
            if notice.kind == NoticeKind.NEXT_PAYMENT_DUE and self.days.of(notice.queued_at) == self.day
        ]
        for notice in sent:
            ahead = counted(notice.days or 0, "day")
            what = f"A reminder of the payment due on {notice.due_on}"
            yield f"{what} was queued {ahead} ahead{self._fate(notice)}"
        if sent:
            return
        reminders = self.settings.reminders
        offsets = offsets_for(self.terms.interval, reminders.days_before, reminders.yearly_days_before)
        if not offsets:
            yield "Reminders are switched off for its interval (reminders.days_before)."
            return
        days = ", ".join(map(str, offsets))
        upcoming = self._upcoming(offsets)
        if upcoming is None:
            yield f"No reminder was due: none of the days {days} before a due date falls on this one."
        else:
            what = f"A reminder of the payment due on {upcoming} was due"
            yield f"{what}, but {self._why_no_reminder(upcoming)}."

    def _upcoming(self, offsets: Sequence[int]) -> date | None:
        """The due date that one of the offsets reaches from the day."""
        n = self.terms.first_period(self.day + timedelta(days=1))
        due = self.terms.next_due_on(n)
        return due if due is not None and (due - self.day).days in offsets else None

    def _why_no_reminder(self, due: date) -> str:
        paused = self._paused_on(self.day)
        if paused is not None:
            return f"the subscription was paused at {self._time(paused.at)}"
        if self.row.status != SubscriptionStatus.ACTIVE:
            return f"the subscription is {self.row.status}"
        if self.day > self.today:
            return "that day has not come yet"
        closer = [n for n in self.notices if n.kind == NoticeKind.NEXT_PAYMENT_DUE and n.due_on == due]
        if closer:
            return f"one was queued at {self._time(closer[-1].queued_at)} already, or instead"
        return "no cycle ran that day, or reminders.days_before was different then"

    # --- dunning

    def dunning(self) -> Iterator[str]:
        """Was something overdue on the day, and which step was taken?"""
        told = False
        for payment in self.payments:
            payable_on = payment.payable_on
            if payable_on is not None and self._was_overdue(payment, payable_on):
                told = True
                yield self._step(payment, payable_on)
        if not told:
            yield "Nothing was overdue."

    def _was_overdue(self, payment: PaymentOfSubscription, payable_on: date) -> bool:
        if payable_on >= self.day or payment.state == PaymentState.VOID:
            return False
        return payment.paid_at is None or self.days.of(payment.paid_at) >= self.day

    def _step(self, payment: PaymentOfSubscription, payable_on: date) -> str:
        policy = policy_for(payment.dunning_policy, payment.due_on, payment.period_end_on, self.settings)
        days = (self.day - payable_on).days
        unpaid = "had been unpaid" if self.day <= self.today else "will have been unpaid, if nothing arrives,"
        what = f"The payment due on {payment.due_on} {unpaid} for {counted(days, 'day')}"
        notice = next(
            (
                n
                for n in self.notices
                if n.kind == NoticeKind.PAYMENT_OVERDUE
                and n.payment_id == payment.id
                and self.days.of(n.queued_at) == self.day
            ),
            None,
        )
        if notice is not None:
            return f"{what}: the overdue notice of day {notice.days} was queued{self._fate(notice)}"
        ended = self._event_of_the_day(payment, "uncollectible")
        if ended is not None:
            return (
                f"{what}: dunning ended at {self._time(ended.at)} with its last step: {policy.final_action}."
            )
        return f"{what}: {self._why_no_step(payment, policy, days)}"

    def _why_no_step(self, payment: PaymentOfSubscription, policy: DunningPolicy, days: int) -> str:
        if payment.paid_at is not None and self.days.of(payment.paid_at) == self.day:
            return f"it was paid at {self._time(payment.paid_at)}, which ended dunning."
        steps = f"the steps are the days {', '.join(map(str, policy.steps)) or 'none'}"
        steps += f", then '{policy.final_action}' on day {policy.final_after}"
        if days > policy.final_after:
            return f"dunning {'had' if self.day <= self.today else 'will have'} ended; {steps}."
        if days not in (*policy.steps, policy.final_after):
            return f"no step falls on that day; {steps}."
        if self.day > self.today:
            return f"a step falls on that day; {steps}."
        if payment.attention:
            return f"it is not dunned while it is flagged for a person to check ({payment.attention})."
        return f"its step was not taken: no cycle could read its status that day; {steps}."

    # --- the log

    def log(self) -> Iterator[str]:
        """What the event log holds of that day, in the business's time."""
        lines = [line for line in self.events if self.days.of_event(line) == self.day]
        yield from self._said(lines[:_MOST_EVENTS])
        if len(lines) > _MOST_EVENTS:
            yield f"… and {len(lines) - _MOST_EVENTS} more; `billing events export` shows all."

    def _said(self, lines: Sequence[Event]) -> Iterator[str]:
        for line in lines:
            about = f" payment {line.payment_id}" if line.payment_id is not None else " the subscription"
            yield f"{self._time(line.at)}: {sentence_of(line.action, line.detail, about.strip())}{_by(line)}."

    def _event_of_the_day(self, payment: PaymentOfSubscription, action: str) -> Event | None:
        return next(
            (
                line
                for line in self.events
                if line.payment_id == payment.id
                and line.action == action
                and self.days.of_event(line) == self.day
            ),
            None,
        )

    def _fate(self, notice: ListedNotice) -> str:
        """How a notice's sentence ends."""
        queued = f" at {self._time(notice.queued_at)}"
        if notice.sent_at is not None:
            return f"{queued} and sent at {self._time(notice.sent_at)}."
        words = f": {notice.server_reply}" if notice.server_reply else ""
        return f"{queued}; it is {notice.state}{words}."

    def _time(self, at: datetime | None) -> str:
        return "" if at is None else f"{at.astimezone(self.zone):%Y-%m-%d %H:%M:%S}"


_STANDING = {
    PaymentState.PLANNED: "It waits to be sent by the next cycle.",
    PaymentState.SENDING: "It is being sent, or its run died; then the next cycle looks it up at Mileston.",
    PaymentState.OPEN: "It exists at Mileston and is not paid yet.",
    PaymentState.REJECTED: "It was rejected by Mileston; correct the data, then release it: {cause}.",
    PaymentState.UNKNOWN: (
        "It is not known whether it exists at Mileston; the next cycles look it up: {cause}."
    ),
    PaymentState.HELD: "It is held, and waits for a person: {cause}.",
    PaymentState.PARKED: "It is parked, and waits for a person: {cause}.",
    PaymentState.PAID: "It is paid; that was found at {paid_at}.",
    PaymentState.UNCOLLECTIBLE: "Dunning ended and it is still unpaid; if it is paid late, that is booked.",
    PaymentState.VOID: "It is void and will never be charged: {cause}.",
}


def _by(line: Event) -> str:
    kind, _, name = line.actor.partition(":")
    return f", by {name}" if kind == "person" else ""
