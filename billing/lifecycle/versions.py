"""What was agreed when, and terms that were agreed already and wait for the day from which they hold.

Only a subscription whose terms were ever changed has versions. Nothing personal stands in them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import date, datetime
from typing import TypedDict, cast

from sqlalchemy import delete, select, update

from billing.core.event_text import EventAction
from billing.core.states import NoticeKind, SubscriptionStatus
from billing.lifecycle import notices
from billing.store.bulk import insert_rows
from billing.store.events import event, record
from billing.store.models import subscriptions
from billing.store.models import terms as table
from billing.store.rows import Subscription, Version
from billing.store.tx import Tx

_T, _S = table.c, subscriptions.c


class Billed(TypedDict):
    """What a version holds of an agreement."""

    plan: str
    amount_micros: int
    interval_count: int
    interval_unit: str
    anchor_on: date
    bill_from: date | None
    ends_on: date | None


def billed(row: Subscription | Version) -> Billed:
    """These columns of a row."""
    return cast("Billed", {name: getattr(row, name) for name in Billed.__annotations__})


class Changed(TypedDict):
    """A subscription as it was, what holds now, and from which due date on."""

    old: Subscription
    new: Billed
    holds_from: date


def note(tx: Tx, actor: str, agreed_at: datetime, changed: Sequence[Changed]) -> None:
    """New terms hold: they are a version of their own, and so are the first ones if there was none yet."""
    if not changed:
        return
    ids = [each["old"].id for each in changed]
    known = set(tx.execute(select(_T.subscription_id).where(_T.subscription_id.in_(ids))).scalars())
    rows = []
    for each in changed:
        old = each["old"]
        if old.id not in known:
            rows.append(_row(old.id, old.created_at, "", old.bill_from or old.anchor_on, billed(old)))
        rows.append(_row(old.id, agreed_at, actor, each["holds_from"], each["new"]))
    insert_rows(tx, table, rows)


def _row(
    subscription_id: int, agreed_at: datetime, actor: str, holds_from: date, terms: Billed, waits: int = 0
) -> dict[str, object]:
    return {
        "subscription_id": subscription_id,
        "agreed_at": agreed_at,
        "actor": actor,
        "holds_from": holds_from,
        "waits": waits,
        **terms,
    }


def wait(
    tx: Tx, actor: str, now: datetime, old: Subscription, new: Billed, holds_from: date, detail: str
) -> None:
    """Terms are agreed, and hold from a due date that is not the next one; others that waited are dropped."""
    drop(tx, [old.id])
    insert_rows(tx, table, [_row(old.id, now, actor, holds_from, new, waits=1)])
    tx.execute(update(subscriptions).where(_S.id == old.id).values(change_on=holds_from, updated_at=now))
    line = f"from {holds_from} on: {detail}"
    record(tx, [event(now, actor, EventAction.CHANGED, line, subscription_id=old.id)])


def drop(tx: Tx, subscription_ids: Iterable[int]) -> None:
    """Terms that wait are no longer to come, and nobody is to be told of them any more."""
    dropped = take(tx, subscription_ids)
    notices.withdraw(tx, NoticeKind.TERMS_CHANGED, [each.subscription_id for each in dropped])


def take(tx: Tx, subscription_ids: Iterable[int]) -> list[Version]:
    """The terms that wait for these, which wait no longer."""
    mine = _T.subscription_id.in_(list(subscription_ids)) & (_T.waits == 1)
    waiting = cast("list[Version]", list(tx.execute(select(table).where(mine))))
    ids = [each.subscription_id for each in waiting]
    tx.execute(delete(table).where(_T.id.in_([each.id for each in waiting])))
    tx.execute(update(subscriptions).where(_S.id.in_(ids)).values(change_on=None))
    return waiting


def ripe(tx: Tx, limit: int) -> list[Subscription]:
    """Subscriptions whose next due date is one that new terms hold for; locked, as `due_page`."""
    over = [SubscriptionStatus.CANCELLED.value, SubscriptionStatus.ENDED.value]
    query = (
        select(subscriptions)
        .where(_S.change_on.is_not(None), _S.next_due_on >= _S.change_on, _S.status.not_in(over))
        .order_by(_S.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return cast("list[Subscription]", list(tx.execute(query)))


def of(tx: Tx, subscription_id: int) -> list[Version]:
    """Every version of a subscription's terms, oldest first; none if they never changed."""
    query = select(table).where(_T.subscription_id == subscription_id).order_by(_T.holds_from, _T.id)
    return cast("list[Version]", list(tx.execute(query)))


def tell(tx: Tx, now: datetime, old: Subscription, new: Billed, holds_from: date) -> int:
    """The subscriber hears of a new price or plan before it holds; returns how many notices were queued."""
    facts: dict[str, object] = {"amount": new["amount_micros"], "plan": new["plan"]}
    if new["amount_micros"] != old.amount_micros:
        facts["old_amount"] = old.amount_micros
    if new["plan"] != old.plan:
        facts["old_plan"] = old.plan
    if len(facts) == 2:
        return 0
    kind = NoticeKind.TERMS_CHANGED
    key = notices.dedupe_key(kind, old.reference, holds_from, f"{now:%Y%m%dT%H%M%S}")
    letter = notices.new_notice(
        kind, key, now, subscription_id=old.id, due_on=holds_from, facts=json.dumps(facts)
    )
    return notices.queue(tx, [letter])
