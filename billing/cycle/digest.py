"""What needs a person, mailed to the operator."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import date

from billing.core.notices import DigestItem
from billing.core.states import NoticeKind
from billing.cycle.context import Context
from billing.lifecycle import notices
from billing.lifecycle.needs import Need, needs, run_needs
from billing.store.notices import digests_of, digests_queued
from billing.store.tx import Tx

Marks = dict[str, tuple[int, str]]
"""What a digest told, by kind of need: how many, and the newest of them."""


async def digest(ctx: Context) -> None:
    """Queue a digest to the operator: at most one a day for the same needs, and one when they grow.

    What shrinks or stays is told again on the next day. When nothing needs a person, the config says
    whether one digest a day tells that.
    """
    if not ctx.settings.business.operator_address or ctx.stopping():
        return
    report = ctx.report
    with ctx.db.read() as connection:
        found = (
            *run_needs(report.stopped, report.problems, report.not_sent),
            # A digest that fails must not be the reason for the next one.
            *needs(connection, ctx.clock(), ctx.settings.mail.on_unknown == "resend", digests=False),
        )
        told = _told_today(connection, ctx.as_of)
    if not _is_due(found, told, ctx.settings.mail.digest_when_well):
        return
    facts = json.dumps({"items": _items(found), "marks": _marks(found)})
    key = notices.dedupe_key(NoticeKind.RUN_DIGEST, "", ctx.as_of, str(len(told) + 1))
    with ctx.db.transaction() as tx:
        older = digests_queued(tx)
        notice = notices.new_notice(NoticeKind.RUN_DIGEST, key, ctx.clock(), due_on=ctx.as_of, facts=facts)
        queued = notices.queue(tx, [notice])
        if queued:
            notices.supersede_quietly(tx, older, "a newer digest takes its place")
    ctx.report.notices_queued += queued


def _items(found: Sequence[Need]) -> list[dict[str, str]]:
    """One item for each group, with what deals with all of it."""
    return [asdict(DigestItem(need.what, need.detail, need.command)) for need in found]


def _told_today(tx: Tx, today: date) -> list[Marks]:
    """What today's digests told, oldest first."""
    return [json.loads(facts).get("marks", {}) for facts in digests_of(tx, today)]


def _marks(found: Sequence[Need]) -> Marks:
    return {need.kind: (need.count, need.newest) for need in found}


def _is_due(found: Sequence[Need], told: Sequence[Marks], when_well: bool) -> bool:
    """Whether there is something that today's last digest did not tell; pure."""
    if not told:
        return bool(found) or when_well
    last = told[-1]
    return any(
        need.kind not in last or need.count > last[need.kind][0] or need.newest > last[need.kind][1]
        for need in found
    )
