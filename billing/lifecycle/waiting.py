"""Terms that were agreed already come to hold on their day."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, datetime

from billing.core.periods import Interval, Unit
from billing.lifecycle import versions
from billing.lifecycle.terms import Put, Rules, put
from billing.store.rows import Subscription, Version
from billing.store.tx import Tx

_PAGE = 500


@dataclass(frozen=True, slots=True)
class _Agreed:
    """The terms of a version and the person of the subscription, as `terms.put` takes them."""

    reference: str
    plan: str
    name: str
    email: str
    amount: int
    interval: Interval
    starts_on: date
    bill_from: date | None
    ends_on: date | None
    wallet_address: str | None
    locale: str | None
    company: str
    tax_id: str
    address: str
    line: int = 0


def come_to_hold(tx: Tx, actor: str, now: datetime, rules: Rules) -> int:
    """Put the terms whose day is what is due next; returns how many were put, at most a page of them."""
    rows = versions.ripe(tx, _PAGE)
    if not rows:
        return 0
    waiting = {each.subscription_id: each for each in versions.take(tx, [row.id for row in rows])}
    for row in rows:
        version = waiting.get(row.id)
        if version is not None:
            _put(tx, actor, now, rules, row, version)
    return len(rows)


def _put(tx: Tx, actor: str, now: datetime, rules: Rules, row: Subscription, version: Version) -> Put:
    agreed = _Agreed(
        reference=row.reference,
        plan=version.plan,
        name=row.name,
        email=row.email,
        amount=version.amount_micros,
        interval=Interval(version.interval_count, Unit(version.interval_unit)),
        starts_on=version.anchor_on,
        bill_from=version.bill_from,
        ends_on=version.ends_on,
        wallet_address=row.wallet_address,
        locale=row.locale,
        company=row.company,
        tax_id=row.tax_id,
        address=row.address,
    )
    at_last = replace(rules, agreed_at=version.agreed_at, holds_from=version.holds_from)
    return put(tx, version.actor or actor, now, [agreed], at_last)
