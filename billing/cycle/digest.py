"""What needs a person, and the step that mails it to the operator."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from itertools import islice
from typing import Any

from sqlalchemy import Connection, func, select

from billing.core.notices import DigestItem
from billing.core.states import NoticeKind, NoticeState, PaymentState
from billing.cycle.context import Context
from billing.store import notices, payments
from billing.store.models import notices as notice_table
from billing.store.models import payments as payment_table

_N, _P = notice_table.c, payment_table.c
_ONE_BY_ONE = 5
"""So many of a kind are spelt out; a list of thousands helps nobody."""


@dataclass(frozen=True, slots=True)
class Need:
    """Things of one kind that wait for a person.

    `command` shows all of them; `items` are the first few, each with what to type. `newest` grows, as
    text, when another one joins.
    """

    kind: str
    what: str
    count: int
    command: str
    newest: str = ""
    items: tuple[DigestItem, ...] = ()


# state: what it means for a person, what one of them is called, what to type for it
_PAYMENTS: dict[PaymentState, tuple[str, str, str]] = {
    PaymentState.REJECTED: (
        "refused by the API: mend the data, then release",
        "was refused by the API; mend the data, then release it",
        "billing payments release {id}",
    ),
    PaymentState.HELD: (
        "held by a brake: release or void",
        "is held; release it if it is right",
        "billing payments release {id}",
    ),
    PaymentState.PARKED: (
        "no proof to be had: resolve, release or void",
        "is parked: it is not known whether it exists at Mileston",
        "billing payments resolve {id}",
    ),
    PaymentState.UNKNOWN: (
        "outcome not known yet: the next cycles look it up",
        "has an unknown outcome; the next cycles look it up, and so does",
        "billing reconcile",
    ),
}
_NOTICES: dict[NoticeState, tuple[str, str]] = {
    NoticeState.FAILED: ("refused for good", "failed for good"),
    NoticeState.UNKNOWN: ("maybe delivered", "may or may not have been delivered"),
}


def needs(tx: Connection, *, digests: bool = True) -> tuple[Need, ...]:
    """Everything in the database that waits for a person, with or without digests that failed."""
    return (*_payment_needs(tx), *_notice_needs(tx, digests))


def _payment_needs(tx: Connection) -> Iterator[Need]:
    query = (
        select(_P.state, func.count(), func.max(_P.updated_at))
        .where(_P.state.in_([state.value for state in _PAYMENTS]))
        .group_by(_P.state)
    )
    found = {row[0]: row for row in tx.execute(query)}
    for state, (what, title, command) in _PAYMENTS.items():
        if state in found:
            _, count, newest = found[state]
            yield Need(
                state.value,
                f"{state} payments ({what})",
                count,
                f"billing payments list --state {state}",
                newest.isoformat(),
                _items(payments.listing(tx, [state]), title, command, lambda row: str(row.cause)),
            )
    count, newest = tx.execute(select(func.count(), func.max(_P.updated_at)).where(_P.attention != "")).one()
    if count:
        yield Need(
            "attention",
            "payments that need a look",
            count,
            "billing payments list --attention",
            newest.isoformat(),
            _items(
                payments.listing(tx, attention=True),
                "needs a look",
                "billing payments show {id}",
                lambda row: str(row.attention),
            ),
        )


def _items(
    rows: Iterator[Any], title: str, command: str, reason: Callable[[Any], str]
) -> tuple[DigestItem, ...]:
    return tuple(
        DigestItem(
            f"Payment {row.id} {title}",
            f"{row.reference}, due on {row.due_on}: {reason(row)}".removesuffix(": "),
            command.format(id=row.id),
        )
        for row in islice(rows, _ONE_BY_ONE)
    )


def _notice_needs(tx: Connection, digests: bool) -> Iterator[Need]:
    query = (
        select(_N.state, func.count(), func.max(_N.id))
        .where(_N.state.in_([state.value for state in _NOTICES]))
        .group_by(_N.state)
    )
    if not digests:
        query = query.where(_N.kind != NoticeKind.RUN_DIGEST.value)
    found = {row[0]: row for row in tx.execute(query)}
    for state, (what, title) in _NOTICES.items():
        if state in found:
            _, count, newest = found[state]
            rows = (
                row for row in notices.listing(tx, [state]) if digests or row.kind != NoticeKind.RUN_DIGEST
            )
            items = (
                DigestItem(
                    f"The e-mail {row.kind} {title}",
                    ": ".join(filter(None, (row.reference, row.server_reply))),
                    f"billing notices resend {row.id}",
                )
                for row in islice(rows, _ONE_BY_ONE)
            )
            yield Need(
                f"notices_{state}",
                f"{state} notices ({what})",
                count,
                f"billing notices list --state {state}",
                f"{newest:012d}",
                tuple(items),
            )


async def digest(ctx: Context) -> None:
    """Queue a digest to the operator: at most one a day for the same needs, and one when they grow.

    What shrinks or stays is told again on the next day. When nothing needs a person, the config says
    whether one digest a day tells that.
    """
    if not ctx.settings.business.operator_address or ctx.stopping():
        return
    with ctx.db.read() as connection:
        # A digest that fails must not be the reason for the next one.
        found = (*_of_this_run(ctx), *needs(connection, digests=False))
        told = _told_today(connection, ctx.as_of)
    if not _is_due(found, told, ctx.settings.mail.digest_when_well):
        return
    facts = json.dumps({"items": [asdict(item) for item in _told(found)], "marks": _marks(found)})
    key = notices.dedupe_key(NoticeKind.RUN_DIGEST, "", ctx.as_of, str(len(told) + 1))
    with ctx.db.transaction() as tx:
        older = tx.execute(_digests().where(_N.state == NoticeState.QUEUED.value)).all()
        notice = notices.new_notice(NoticeKind.RUN_DIGEST, key, ctx.clock(), due_on=ctx.as_of, facts=facts)
        queued = notices.insert_notices(tx, [notice])
        if queued:
            notices.retire(
                tx, [row.id for row in older], NoticeState.SUPERSEDED, "a newer digest takes its place"
            )
    ctx.report.notices_queued += queued


def _of_this_run(ctx: Context) -> Iterator[Need]:
    """What went wrong with the run itself; the words of a step are told apart by the step alone."""
    if ctx.report.stopped:
        title = "The run stopped before it had sent everything"
        # What else went wrong most likely has the same cause.
        detail = "; ".join((ctx.report.stopped, *ctx.report.problems))
        item = DigestItem(title, detail, "billing doctor")
        yield Need(f"stopped: {ctx.report.stopped}", title, 1, "billing doctor", items=(item,))
        return
    for problem in ctx.report.problems:
        step = problem.partition(":")[0]
        item = DigestItem(f"The step {step} could not do its work", problem, "billing doctor")
        yield Need(f"problem: {step}", item.title, 1, "billing doctor", items=(item,))


def _told(found: Sequence[Need]) -> Iterator[DigestItem]:
    for need in found:
        yield from need.items
        if need.count > len(need.items):
            more = f"and {need.count - len(need.items)} more {need.what}"
            yield DigestItem(more, "", need.command)


def _digests() -> Any:
    # Digests are the notices of no subscription: this finds them by an index.
    return select(_N.id, _N.facts).where(_N.subscription_id.is_(None), _N.kind == NoticeKind.RUN_DIGEST.value)


def _told_today(tx: Connection, today: date) -> list[dict[str, Any]]:
    """What today's digests told, oldest first."""
    rows = tx.execute(_digests().where(_N.due_on == today).order_by(_N.id))
    return [json.loads(row.facts).get("marks", {}) for row in rows]


def _marks(found: Sequence[Need]) -> dict[str, Any]:
    return {need.kind: [need.count, need.newest] for need in found}


def _is_due(found: Sequence[Need], told: Sequence[dict[str, Any]], when_well: bool) -> bool:
    """Whether there is something that today's last digest did not tell; pure."""
    if not told:
        return bool(found) or when_well
    last = told[-1]
    return any(
        need.kind not in last or need.count > last[need.kind][0] or need.newest > last[need.kind][1]
        for need in found
    )
