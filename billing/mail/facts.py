"""What templates may say: the facts of a notice, ready to print in one language. docs/mail.md lists them."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from urllib.parse import quote, urlsplit

from billing.config.schema import Business
from billing.core.notices import DigestItem, NoticeFacts, OpenPayment
from billing.core.states import NoticeKind
from billing.core.tax import split_gross
from billing.errors import TemplateError
from billing.mail.digest_words import in_words_of
from billing.mail.i18n import NO_BREAK_SPACE, Formats
from billing.mail.message import one_line

_FIRST_ISOLATE, _POP_ISOLATE = "\N{FIRST STRONG ISOLATE}", "\N{POP DIRECTIONAL ISOLATE}"
_RIGHT_TO_LEFT = re.compile(
    "[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufeff\U00010800-\U00010fff\U0001e800-\U0001efff]"
)
_SHORT_PLAN = 60
_LONG_WALLET = 14

_K = NoticeKind
_PAYMENT_NOTICES = frozenset(
    {_K.NEXT_PAYMENT_DUE, _K.PAYMENT_CREATED, _K.PAYMENT_RECEIVED, _K.PAYMENT_OVERDUE}
)
_DATED = _PAYMENT_NOTICES | {_K.TERMS_CHANGED}
_ABOUT_DEBT = frozenset({_K.PAYMENT_OVERDUE, _K.SUBSCRIPTION_PAUSED, _K.SUBSCRIPTION_CANCELLED})


@dataclass(frozen=True, slots=True)
class OpenLine:
    """One open payment as a template prints it."""

    marker: str
    amount: str
    due_date: str
    pay_url: str | None


def template_facts(
    letter: NoticeFacts, formats: Formats, business: Business, today: date
) -> dict[str, object]:
    """Everything that a template may say. Raises `TemplateError` if the notice lacks what its kind needs."""
    if letter.due_on is None and letter.kind in _DATED:
        raise TemplateError(
            f"a {letter.kind} notice needs a due date; the one for {letter.reference} has none"
        )
    owed = _owed(letter)
    # One payment alone reads like an ordinary mail, unless the mail is about another one.
    alone = len(owed) == 1 and (letter.due_on is None or owed[0].marker == letter.marker)
    if alone:
        letter = replace(
            letter, amount_micros=owed[0].amount_micros, pay_url=owed[0].pay_url, marker=owed[0].marker
        )
    return {
        "subject": "",
        "kind": letter.kind.value,
        **_who(letter, business),
        **_terms(letter, formats),
        **_dates(letter, formats, today),
        **_standing(letter, formats),
        **_statement(letter, owed, formats, several=bool(owed) and not alone),
        **_receipt(letter, formats, business),
        "run_date": formats.day(today),
        "run_short": formats.short_day(today),
        "items": [in_words_of(formats, _one_line_item(item)) for item in letter.items],
    }


def _owed(letter: NoticeFacts) -> tuple[OpenPayment, ...]:
    """What is open; an overdue notice is always about its own payment, too."""
    owed = letter.open_payments if letter.kind in _ABOUT_DEBT else ()
    known = {payment.marker for payment in owed}
    mine = letter.kind is _K.PAYMENT_OVERDUE or (not owed and letter.kind in _ABOUT_DEBT and letter.pay_url)
    if mine and letter.due_on is not None and letter.marker not in known:
        own = OpenPayment(letter.marker, letter.amount_micros, letter.due_on, letter.pay_url)
        return tuple(sorted((own, *owed), key=lambda payment: payment.due_on))
    return owed


def _who(letter: NoticeFacts, business: Business) -> dict[str, object]:
    cancel_url = business.cancel_url.replace("{reference}", quote(letter.reference, safe=""))
    if letter.kind is _K.SUBSCRIPTION_CANCELLED:
        cancel_url = ""  # there is nothing left to cancel
    return {
        "name": isolated(one_line(letter.to_name)),
        "reference": isolated(one_line(letter.reference)),
        "wallet": shortened_wallet(one_line(letter.wallet_address)),
        "cancel_url": cancel_url,
    }


def _terms(letter: NoticeFacts, formats: Formats) -> dict[str, object]:
    plan = one_line(letter.plan)
    amount = formats.amount(letter.amount_micros)
    period = letter.period_start and letter.period_end and (letter.period_start, letter.period_end)
    return {
        "plan": isolated(plan),
        "short_plan": shortened(plan, _SHORT_PLAN),
        "amount": amount,
        "amount_number": _number(amount),
        "old_amount": None if letter.old_amount_micros is None else formats.amount(letter.old_amount_micros),
        "old_plan": isolated(one_line(letter.old_plan)),
        "period": formats.period(*period) if period else None,
        "marker": one_line(letter.marker),
        "pay_url": _web_address(letter.pay_url, letter.reference),
    }


def _dates(letter: NoticeFacts, formats: Formats, today: date) -> dict[str, object]:
    """Each date written out, and for subjects without its year."""

    def day(value: date | None) -> str | None:
        return None if value is None else formats.day(value)

    def short(value: date | None) -> str | None:
        return None if value is None else formats.short_day(value)

    return {
        "days": letter.days,
        "due_date": day(letter.due_on),
        "due_short": short(letter.due_on),
        "paid_date": formats.day(letter.paid_on or today),
        "next_due_date": day(letter.next_due_on),
        "next_due_short": short(letter.next_due_on),
        "last_date": day(letter.last_day),
        "last_short": short(letter.last_day),
        "asked_date": day(letter.asked_on),
        "last_reminder_date": day(letter.last_reminder_on),
        "final_date": day(letter.final_on),
    }


def _standing(letter: NoticeFacts, formats: Formats) -> dict[str, object]:
    """How far dunning has come, and what it will do."""
    return {
        "step": letter.step,
        "steps": letter.steps,
        "is_last": letter.step is not None and letter.steps is not None and letter.step >= letter.steps,
        "final_action": letter.final_action,
        "resumes_when_paid": letter.resumes_when_paid,
    }


def _statement(
    letter: NoticeFacts, owed: tuple[OpenPayment, ...], formats: Formats, *, several: bool
) -> dict[str, object]:
    """What is open, its total, and whether it is to be shown as a list."""
    lines = [
        OpenLine(
            one_line(payment.marker),
            formats.amount(payment.amount_micros),
            formats.day(payment.due_on),
            _web_address(payment.pay_url, letter.reference),
        )
        for payment in owed
    ]
    total = formats.amount(sum(payment.amount_micros for payment in owed) or letter.amount_micros)
    facts: dict[str, object] = {
        "open_payments": lines,
        "open_count": len(lines),
        "several": several,
        "total": total,
        "total_number": _number(total),
    }
    if several:  # a link of the one that the mail began with would be one of many
        facts["pay_url"] = next((line.pay_url for line in lines if line.pay_url), None)
    return facts


def _receipt(letter: NoticeFacts, formats: Formats, business: Business) -> dict[str, object]:
    """Whom a receipt is for, and the tax that the price contains."""
    address = [line for line in map(one_line, letter.address.splitlines()) if line]
    company = one_line(letter.company)
    named = [isolated(line) for line in (company, one_line(letter.to_name)) if line]
    facts: dict[str, object] = {
        "receipt_number": one_line(letter.receipt_number),
        "company": isolated(company),
        "tax_id": one_line(letter.tax_id),
        "address": [isolated(line) for line in address],
        "buyer": named + [isolated(line) for line in address] if named else [],
        "net": None,
        "tax": None,
        "tax_rate": None,
    }
    if business.tax_rate:
        rate = Decimal(str(business.tax_rate))
        split = split_gross(letter.amount_micros, rate)
        facts["net"], facts["tax"] = formats.amount(split.net_micros), formats.amount(split.tax_micros)
        facts["tax_rate"] = formats.percent(rate)
    return facts


def _number(amount: str) -> str:
    return amount.partition(NO_BREAK_SPACE + "USDC")[0]


def isolated(text: str) -> str:
    """Text with right-to-left writing in it, fenced off so that it can't reorder its sentence."""
    if text.isascii() or not _RIGHT_TO_LEFT.search(text):
        return text
    return f"{_FIRST_ISOLATE}{text}{_POP_ISOLATE}"


def shortened(text: str, length: int) -> str:
    """A text in at most `length` characters, fenced off if need be; the two fences count."""
    room = length - (len(isolated(text)) - len(text))
    return isolated(text if len(text) <= room else text[: room - 1].rstrip() + "…")


def shortened_wallet(address: str) -> str:
    """A wallet's address as people compare it: `0x71C7…976F`."""
    return address if len(address) <= _LONG_WALLET else f"{address[:6]}…{address[-4:]}"


def _one_line_item(item: DigestItem) -> DigestItem:
    return DigestItem(one_line(item.title), one_line(item.detail), one_line(item.command))


def _web_address(url: str | None, reference: str) -> str | None:
    """A pay link that is safe to put behind a button, or None where there is none."""
    if not url:
        return None
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("https", "http") and parts.netloc and url.isprintable() and " " not in url
    except ValueError:
        usable = None
    if not usable:
        raise TemplateError(f"the pay link of {reference} is not a web address; check mileston.checkout_url")
    return url
