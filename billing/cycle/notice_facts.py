"""From a notice's rows to the facts of its letter, and whether it may still go out at all; pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from billing.config import Settings
from billing.core.markers import marker_for
from billing.core.notices import DigestItem, NoticeFacts, OpenPayment
from billing.core.reasons import VANISHED
from billing.core.schedule import Terms
from billing.core.states import NoticeKind, PaymentState, SubscriptionStatus
from billing.cycle.dun import policy_for
from billing.lifecycle.dunning import BY_DUNNING
from billing.store.rows import NoticeWithRows, OwedPayment
from billing.store.subscriptions import terms_of

_K = NoticeKind


def no_longer_holds(row: NoticeWithRows, today: date) -> str:
    """Why a queued notice must not go out any more, or '' (mozilla/fxa#9692: notices after cancelling)."""
    kind = NoticeKind(row.kind)
    if kind is _K.NEXT_PAYMENT_DUE:
        if row.status != SubscriptionStatus.ACTIVE:
            return f"the subscription is {row.status}"
        if row.cancel_on is not None:
            return f"the subscription is cancelled from {row.cancel_on} on"
        if row.next_due_on != row.due_on:
            return "that payment will not come, or came already"
        return "" if row.due_on is not None and row.due_on > today else "the due date has come"
    if kind in (_K.PAYMENT_CREATED, _K.PAYMENT_OVERDUE) and row.payment_state != PaymentState.OPEN:
        return f"the payment is {row.payment_state}"
    if kind is _K.SUBSCRIPTION_PAUSED and row.status != SubscriptionStatus.PAUSED:
        return f"the subscription is {row.status} again"
    if kind is _K.SUBSCRIPTION_RESUMED and row.status != SubscriptionStatus.ACTIVE:
        return f"the subscription is {row.status} now"
    if kind is _K.SUBSCRIPTION_CANCELLED:
        return _why_not_cancelled(row)
    if kind is _K.TERMS_CHANGED and row.status not in (SubscriptionStatus.ACTIVE, SubscriptionStatus.PAUSED):
        return f"the subscription is {row.status}"
    return ""


def _why_not_cancelled(row: NoticeWithRows) -> str:
    if row.cancel_on is None:
        return "the cancellation was taken back"
    told = json.loads(row.facts).get("last_day") if row.facts else None
    later = told is not None and date.fromisoformat(told) > row.cancel_on
    return "the subscription was cancelled for an earlier day since" if later else ""


def must_wait(row: NoticeWithRows, run_id: str) -> bool:
    """Whether a notice has to wait for another cycle.

    An overdue notice of an earlier cycle, if its payment was not read in this one: it may have been paid
    since; or if something is wrong with its payment, so that it is not in the statement. And a pay link
    that leads nowhere: Mileston may show the payment again tomorrow.
    """
    if row.kind == _K.PAYMENT_OVERDUE:
        return row.looked_run_id != run_id or bool(row.payment_attention)
    return row.kind == _K.PAYMENT_CREATED and row.payment_attention == VANISHED


STATEMENTS = frozenset({_K.PAYMENT_OVERDUE, _K.SUBSCRIPTION_PAUSED, _K.SUBSCRIPTION_CANCELLED})
"""The notices that list everything that is open."""


def facts_for(
    row: NoticeWithRows,
    settings: Settings,
    today: date,
    checkout_url: Callable[[str], str],
    owed: Sequence[OwedPayment] = (),
) -> NoticeFacts:
    """The letter of a row of `queued_page`. `checkout_url` makes a pay link of a remote id.

    `owed` is what the subscription still owes, for those of `STATEMENTS`.
    """
    kind = NoticeKind(row.kind)
    facts = json.loads(row.facts) if row.facts else {}
    if kind is _K.RUN_DIGEST:
        return _digest(row, settings, facts)
    start, end = _period(row)
    payable = row.payment_state in (PaymentState.OPEN, PaymentState.UNCOLLECTIBLE)
    return NoticeFacts(
        kind=kind,
        dedupe_key=row.dedupe_key,
        to_address=row.email,
        to_name=row.name,
        locale=row.locale,
        reference=row.reference,
        plan=facts.get("plan", row.plan),
        amount_micros=facts.get("amount") or row.amount_micros or row.current_amount_micros,
        thread=f"{row.reference}/{row.due_on}",
        due_on=row.due_on,
        period_start=start,
        period_end=end,
        pay_url=checkout_url(row.remote_id) if payable and row.remote_id else None,
        days=abs((row.due_on - today).days) if row.due_on else None,
        paid_on=_paid_on(row, settings),
        next_due_on=_next_due_on(row),
        **_dunning_end(row, settings, kind, today),
        last_day=_date(facts, "last_day"),
        marker=_marker(row, settings),
        step=facts.get("step"),
        steps=facts.get("steps"),
        asked_on=_date(facts, "asked_on"),
        last_reminder_on=_date(facts, "last_on"),
        open_payments=tuple(
            OpenPayment(each.marker, each.amount_micros, each.due_on, checkout_url(each.remote_id))
            for each in owed
        ),
        resumes_when_paid=row.paused_by == BY_DUNNING and settings.dunning.when_paid == "resume",
        receipt_number=row.receipt_number or "",
        company=row.company,
        tax_id=row.tax_id,
        address=row.address,
        old_amount_micros=facts.get("old_amount"),
        old_plan=facts.get("old_plan", ""),
        wallet_address=row.wallet_address or "",
    )


def _marker(row: NoticeWithRows, settings: Settings) -> str:
    """The payment number, also of a payment that is still to be planned: it is known before the payment."""
    if row.kind == _K.NEXT_PAYMENT_DUE and row.due_on is not None:
        return row.marker or marker_for(row.reference, row.due_on, settings.mileston.namespace)
    return row.marker or ""


def _date(facts: dict[str, Any], name: str) -> date | None:
    return date.fromisoformat(facts[name]) if facts.get(name) else None


def _next_due_on(row: NoticeWithRows) -> date | None:
    """When the subscriber pays next, or None if that is not to be promised."""
    if row.status != SubscriptionStatus.ACTIVE or row.cancel_on is not None:
        return None
    coming: date | None = row.next_due_on
    return coming


def _period(row: NoticeWithRows) -> tuple[date | None, date | None]:
    """The first and last day of the period that the notice speaks of."""
    if row.due_on is None:
        return None, None
    if row.period_end_on is not None:
        return row.due_on, row.period_end_on
    terms: Terms = terms_of(row)
    return row.due_on, terms.period_end_on(terms.first_period(row.due_on))


def _paid_on(row: NoticeWithRows, settings: Settings) -> date | None:
    if row.paid_at is None:
        return None
    paid: date = row.paid_at.astimezone(ZoneInfo(settings.business.timezone)).date()
    return paid


def _dunning_end(row: NoticeWithRows, settings: Settings, kind: NoticeKind, today: date) -> dict[str, Any]:
    """What dunning will do, and when at the earliest; nothing where it will leave the subscription alone."""
    if kind is not _K.PAYMENT_OVERDUE or row.payable_on is None or row.period_end_on is None:
        return {}
    if row.status != SubscriptionStatus.ACTIVE or row.cancel_on is not None:
        return {}
    policy = policy_for(row.dunning_policy, row.due_on or row.payable_on, row.period_end_on, settings)
    final_on = row.payable_on + timedelta(days=policy.final_after)
    return {
        "final_on": max(final_on, today + timedelta(days=1)),
        "final_action": policy.final_action.value,
    }


def _digest(row: NoticeWithRows, settings: Settings, facts: dict[str, Any]) -> NoticeFacts:
    return NoticeFacts(
        kind=_K.RUN_DIGEST,
        dedupe_key=row.dedupe_key,
        to_address=settings.business.operator_address,
        to_name="",
        locale=None,
        reference="",
        plan="",
        amount_micros=0,
        thread="run_digest",
        items=tuple(DigestItem(**item) for item in facts.get("items", ())),
    )
