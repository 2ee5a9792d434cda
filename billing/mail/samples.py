"""Invented notices: one of every kind, and every edge case that a template has to survive."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from types import MappingProxyType
from typing import Any

from billing.core.causes import HeldCause
from billing.core.need_text import NAMED, NeedKind, need_text
from billing.core.notices import DigestItem, NoticeFacts, OpenPayment
from billing.core.states import NoticeKind

SAMPLE_NOW = datetime(2026, 12, 3, 8, 0, tzinfo=UTC)
ORDINARY = "ordinary"

_LINK = "https://pay.example.com/checkout/recurring-payment/"
_OPEN = (
    OpenPayment(
        "RB-K7WQ4T2M9XHC5PNA", 49_900_000, date(2026, 12, 6), f"{_LINK}b7c0a1e4-52f9-4c38-9a1d-6f2e8d90c413"
    ),
    OpenPayment(
        "RB-D3VN8J6RZQ2YFB4E", 49_900_000, date(2027, 1, 6), f"{_LINK}0e9d7a56-11c4-4f0b-8b3a-2d5c6e7f8a90"
    ),
    OpenPayment(
        "RB-9XW2M5TCK4HQ7R3B", 12_500_000, date(2027, 2, 6), f"{_LINK}5d1f8c32-6b7e-4a95-8c04-e3b29f617a58"
    ),
)
_WALLET = "0x71C7656EC7ab88b098defB751B7401B5f6d8976F"

_FACTS: Mapping[NoticeKind, Mapping[str, Any]] = MappingProxyType(
    {
        NoticeKind.NEXT_PAYMENT_DUE: {"days": 3, "pay_url": None},
        NoticeKind.PAYMENT_CREATED: {"next_due_on": date(2027, 1, 6), "wallet_address": _WALLET},
        NoticeKind.PAYMENT_RECEIVED: {
            "pay_url": None,
            "paid_on": date(2026, 12, 7),
            "next_due_on": date(2027, 1, 6),
            "receipt_number": "2026-000123",
            "company": "Okafor Studios Ltd",
            "tax_id": "GB123456789",
            "address": "12 Harbour Road\nBristol BS1 5DB",
            "wallet_address": _WALLET,
        },
        NoticeKind.PAYMENT_OVERDUE: {
            "days": 7,
            "final_on": date(2026, 12, 27),
            "final_action": "pause",
            "step": 3,
            "steps": 4,
            "asked_on": date(2026, 12, 6),
            "last_reminder_on": date(2026, 12, 9),
            "open_payments": _OPEN[:1],
        },
        NoticeKind.SUBSCRIPTION_PAUSED: {"resumes_when_paid": True, "open_payments": _OPEN[:2]},
        NoticeKind.SUBSCRIPTION_RESUMED: {
            "due_on": None,
            "period_start": None,
            "period_end": None,
            "pay_url": None,
            "marker": "",
            "next_due_on": date(2027, 1, 6),
        },
        NoticeKind.SUBSCRIPTION_CANCELLED: {
            "due_on": None,
            "period_start": None,
            "period_end": None,
            "pay_url": None,
            "last_day": date(2027, 1, 5),
        },
        NoticeKind.TERMS_CHANGED: {
            "due_on": date(2027, 1, 6),
            "period_start": None,
            "period_end": None,
            "pay_url": None,
            "marker": "",
            "amount_micros": 59_900_000,
            "old_amount_micros": 49_900_000,
        },
        NoticeKind.RUN_DIGEST: {
            "to_name": "",
            "reference": "",
            "plan": "",
            "amount_micros": 0,
            "thread": "",
            "due_on": None,
            "period_start": None,
            "period_end": None,
            "pay_url": None,
            "items": (
                DigestItem(
                    need_text(NeedKind.PARKED, 1, "49.90"),
                    NAMED.format(id=1042, reference="studio-0117", due_on="2026-12-01"),
                    "billing payments resolve 1042",
                ),
                DigestItem(
                    need_text(f"{NeedKind.HELD}.{HeldCause.CATCH_UP}", 4, "199.60"),
                    "catch-up: missed before the latest due period, over cycle.catch_up_limit",
                    "billing payments release --all-held --cause catch-up",
                ),
                DigestItem(
                    need_text(NeedKind.NOTICES_FAILED),
                    "payment_created (studio-0098): 550 5.1.1 User unknown",
                    "billing notices resend 31337",
                ),
            ),
        },
    }
)

_LONG_NAME = (
    "Maximiliane-Theodora Freifrau von Wittgenstein-Hohenlohe-Langenburg zu Schillingsfürst und Waldenburg"
)
_LONG_PLAN = (
    "Studio membership with unlimited rehearsal rooms, late-night access, a locker, "
    "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft, and recording"
)

_CASES: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        ORDINARY: {},
        "long names": {
            "to_name": _LONG_NAME,
            "plan": _LONG_PLAN,
            "reference": "customer-" + "0123456789" * 9,
        },
        "arabic": {"to_name": "أمينة عبد الرحمن", "plan": "الباقة الذهبية (شهري)"},
        "hebrew": {"to_name": "נועה בן־דוד", "plan": "תוכנית זהב 24/7"},
        "script": {"to_name": "<script>alert(1)</script>", "plan": "R&D \"<script>alert('plan')</script>\""},
        "smallest amount": {"amount_micros": 1},
        "largest amount": {"amount_micros": 999_999_999_990_000},
        "no pay link": {"pay_url": None},
        "nothing optional": {
            "to_name": "",
            "locale": None,
            "period_start": None,
            "period_end": None,
            "pay_url": None,
            "days": None,
            "paid_on": None,
            "next_due_on": None,
            "final_on": None,
            "final_action": None,
            "last_day": None,
            "items": (),
            "marker": "",
            "step": None,
            "steps": None,
            "asked_on": None,
            "last_reminder_on": None,
            "open_payments": (),
            "receipt_number": "",
            "company": "",
            "tax_id": "",
            "address": "",
            "wallet_address": "",
            "old_amount_micros": None,
            "old_plan": "",
        },
    }
)

_BY_A_PERSON: Mapping[str, Any] = {
    "due_on": None,
    "pay_url": None,
    "marker": "",
    "open_payments": (),
    "resumes_when_paid": False,
}

# What only one kind can differ in.
_MORE: Mapping[NoticeKind, Mapping[str, Mapping[str, Any]]] = MappingProxyType(
    {
        NoticeKind.NEXT_PAYMENT_DUE: {
            "tomorrow": {"days": 1},
            "pay link": {"pay_url": f"{_LINK}3f2a"},
        },
        NoticeKind.PAYMENT_OVERDUE: {
            "since yesterday": {"days": 1},
            "will be cancelled": {"final_action": "cancel"},
            "will be kept": {"final_action": "keep"},
            "several are open": {"open_payments": _OPEN, "wallet_address": _WALLET},
            "the first": {"days": 1, "step": 1, "last_reminder_on": None},
            "the last": {"days": 14, "step": 4},
            "the last of several": {"days": 14, "step": 4, "final_action": "cancel", "open_payments": _OPEN},
            "the last, kept": {"days": 14, "step": 4, "final_action": "keep"},
            "nothing will be done": {"final_on": None, "final_action": None},
        },
        NoticeKind.TERMS_CHANGED: {
            "another plan": {"old_plan": "Silver plan", "old_amount_micros": None},
            "another plan and price": {"old_plan": "Silver plan"},
        },
        NoticeKind.PAYMENT_RECEIVED: {"a person": {"company": "", "tax_id": "", "address": ""}},
        NoticeKind.SUBSCRIPTION_PAUSED: {
            "by a person": _BY_A_PERSON,
            "by a person, one open": {**_BY_A_PERSON, "open_payments": _OPEN[:1]},
            "one open": {"open_payments": _OPEN[:1]},
            "goes on when asked": {"resumes_when_paid": False},
        },
        NoticeKind.SUBSCRIPTION_CANCELLED: {
            "unpaid": {
                "due_on": date(2026, 12, 6),
                "last_day": None,
                "pay_url": _OPEN[0].pay_url,
                "open_payments": _OPEN[:1],
            },
            "several are open": {"due_on": date(2026, 12, 6), "last_day": None, "open_payments": _OPEN},
            "one open until the end": {"open_payments": _OPEN[1:2]},
        },
        NoticeKind.RUN_DIGEST: {
            "one item": {"items": (DigestItem(need_text(NeedKind.STOPPED), "", "billing doctor"),)}
        },
    }
)


@dataclass(frozen=True, slots=True)
class Sample:
    """The facts of a notice and the name of the case that it stands for."""

    case: str
    letter: NoticeFacts


def sample_letter(
    kind: NoticeKind, locale: str | None = "en", to_address: str = "amina@example.com"
) -> NoticeFacts:
    """An ordinary notice of a kind, for previews and test mails."""
    ordinary = NoticeFacts(
        kind=kind,
        dedupe_key=f"sample:{kind}:{locale}",
        to_address=to_address,
        to_name="Amina Okafor",
        locale=locale,
        reference="studio-0042",
        plan="Gold plan",
        amount_micros=49_900_000,
        thread="sample:studio-0042:2026-12-06",
        due_on=date(2026, 12, 6),
        period_start=date(2026, 12, 6),
        period_end=date(2027, 1, 5),
        pay_url=_OPEN[0].pay_url,
        marker=_OPEN[0].marker,
    )
    return replace(ordinary, **_FACTS[kind])


def sample_letters(kind: NoticeKind, locale: str | None = "en") -> list[Sample]:
    """The ordinary notice of a kind, then one for each case."""
    ordinary = sample_letter(kind, locale)
    cases = {**_CASES, **_MORE.get(kind, {})}
    return [
        Sample(case, _changed(replace(ordinary, dedupe_key=f"{ordinary.dedupe_key}:{case}"), changes))
        for case, changes in cases.items()
    ]


def _changed(letter: NoticeFacts, changes: Mapping[str, Any]) -> NoticeFacts:
    """A letter with changes; an amount or a missing link is that of everything that is open, too."""
    open_too = {name: changes[name] for name in ("amount_micros", "pay_url") if name in changes}
    letter = replace(letter, **changes)
    if "open_payments" in changes or not open_too:
        return letter
    return replace(letter, open_payments=tuple(replace(each, **open_too) for each in letter.open_payments))
