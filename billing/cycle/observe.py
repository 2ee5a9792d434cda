"""Step 2: the API's list, read once in a cycle before anything is sent, and shared by all steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from billing.core import reasons
from billing.core.coverage import CoverageProof
from billing.core.event_text import EventAction
from billing.core.outcomes import RemotePayment
from billing.core.reconciling import LostCreate
from billing.core.states import PaymentState
from billing.cycle.context import Context
from billing.cycle.observation import Observation
from billing.errors import GatewayError
from billing.lifecycle import restore
from billing.store import identity, payments, remote_checks, runs, subscriptions
from billing.store.events import event, record
from billing.store.tx import Tx

_CHUNK = 1000
_GROWTH = 8  # of the limit, from one reading to the next
_GROWTH_TO_ALL = 64  # where so much more is surely all of it, all is read at once
_RECORDS_PER_GET = 25
"""So many records of a list cost about what a single get costs (`make bench ARGS="history"`)."""
_EVER = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """From what limit on the list is read; `whole` asks for all of it, `lost` for what covers these."""

    limit: int
    all: int
    """What surely suffices for the whole list, as far as is known."""
    whole: bool
    lost: tuple[LostCreate, ...]
    first_look: bool
    """Only a look before the first payment of all: that it fails stops nothing."""


async def observe(ctx: Context) -> None:
    """Read the list if a step needs it. Without it, what is in question stays as it is."""
    with ctx.db.read() as tx:
        wanted = _wanted(tx, ctx)
    if wanted is not None:
        try:
            ctx.observation = await read_list(ctx, wanted)
        except GatewayError as error:
            _tell_unread(ctx, wanted, error)
        else:
            ctx.checkpoint("observe.listed")
    _settle_doubt(ctx)


def _wanted(tx: Tx, ctx: Context) -> _Wanted | None:
    settings = ctx.settings.reconcile
    live = remote_checks.about_live(tx, settings.look_first_up_to)
    sending = payments.count_planned(tx, ctx.as_of) > 0 or subscriptions.is_any_due(tx, ctx.as_of)
    looks = remote_checks.look_is_due(tx, ctx.clock())
    doubted = restore.doubt(tx) is not None
    there = max(live, identity.longest_list(tx))
    unpaid = remote_checks.count_unpaid(tx, ctx.began)
    if unpaid * _RECORDS_PER_GET < there:
        unpaid = 0  # `settle` asks for them one by one
    first = sending and there <= settings.look_first_up_to
    if not (unpaid or looks or doubted or first):
        return None
    # For open payments, too, all of it: nobody knows where in the list they stand.
    whole = first or doubted or unpaid > 0
    everything = min(there + there // 4 + settings.page_size, _largest(ctx))
    first_limit = everything if whole else min(settings.page_size, everything)
    # Whatever the list is read for, every unknown payment is judged by it: so it must reach them all. One
    # that is too short would take an earlier look's proof back, again and again.
    lost = tuple(map(remote_checks.lost_create, remote_checks.oldest_unknown(tx)))
    return _Wanted(first_limit, everything, whole, lost, not (unpaid or looks or doubted))


def _largest(ctx: Context) -> int:
    settings = ctx.settings.reconcile
    return max(settings.max_records, settings.look_first_up_to)


async def read_list(ctx: Context, wanted: _Wanted) -> Observation:
    """Read the list with a growing limit until it shows enough or can't grow. Raises GatewayError."""
    limit, largest = wanted.limit, _largest(ctx)
    while True:
        asked_at = ctx.clock()
        remotes = await ctx.gateway.list(limit)
        with ctx.db.transaction() as tx:
            proof, agreeing = _proof(tx, ctx, remotes, limit, asked_at)
            identity.note_list(tx, len(remotes))
        enough = not wanted.whole and all(proof.covers(lost) for lost in wanted.lost)
        if enough or len(remotes) < limit or limit >= largest:
            return Observation(asked_at, remotes, proof, agreeing)
        limit = wanted.all if limit < wanted.all <= limit * _GROWTH_TO_ALL else min(limit * _GROWTH, largest)
        del remotes, proof, agreeing  # before the next ones come


def _proof(
    tx: Tx, ctx: Context, remotes: Sequence[RemotePayment], limit: int, asked_at: datetime
) -> tuple[CoverageProof, set[str]]:
    """What the list proves, and the markers whose record is the one that stands for their payment."""
    quiet = timedelta(seconds=ctx.settings.reconcile.quiet_seconds)
    proof = CoverageProof(limit, asked_at, quiet, identity.longest_list(tx))
    agreeing: set[str] = set()
    looked = remotes
    if len(remotes) > _CHUNK and proof.may_be_whole(len(remotes)):
        found = _all_agree(tx, remotes, asked_at - quiet)
        if found is not None:
            agreeing, looked = found, remotes[:_CHUNK]  # the beginning tells how they stand
    for start in range(0, len(looked), _CHUNK):
        chunk = looked[start : start + _CHUNK]
        known = remote_checks.known_remotes(tx, [remote.remote_id for remote in chunk])
        for remote in chunk:
            proof.show(remote, known.get(remote.remote_id))
    proof.also_listed(len(remotes) - len(looked))
    if looked is remotes and proof.knows_an_order:
        shown = {remote.remote_id for remote in remotes}
        for missing in remote_checks.live_but(tx, shown, asked_at - quiet):
            proof.missing(missing)
    return proof, agreeing


def _all_agree(tx: Tx, remotes: Sequence[RemotePayment], made_before: datetime) -> set[str] | None:
    """If a list shows all of ours that it must, each with its number: the markers that are as we know them.

    That costs a tenth of judging the order in which they stand, which a whole list makes needless.
    """
    markers = {remote.remote_id: remote.marker for remote in remotes}
    agreeing: set[str] = set()
    for remote_id, marker, state, must_show in remote_checks.counted(tx, made_before):
        if remote_id not in markers:
            if must_show:
                return None
        elif markers[remote_id] != marker:
            return None
        elif state != PaymentState.VOID:
            agreeing.add(marker)
    return agreeing


def _tell_unread(ctx: Context, wanted: _Wanted, error: GatewayError) -> None:
    ctx.unreadable = True
    with ctx.db.transaction() as tx:
        if not wanted.first_look:
            ctx.report.problems.append(f"observe: {error}")
        elif not remote_checks.has_ever_sent(tx):
            record(tx, [event(ctx.clock(), ctx.actor, EventAction.FIRST_LOOK_FAILED, str(error))])


def _settle_doubt(ctx: Context) -> None:
    """A weak reason to doubt the database: nothing is sent until one look that covers everything."""
    with ctx.db.transaction() as tx:
        doubt = restore.doubt(tx)
        if doubt is None:
            return
        quiet = timedelta(seconds=ctx.settings.reconcile.quiet_seconds)
        seen = ctx.observation
        last = runs.last_active(tx, ctx.run_id) or _EVER
        since = _everything_since(last, doubt.since)
        if seen is not None and seen.asked_at >= doubt.since + quiet and seen.proof.covers(since):
            restore.settle_doubt(tx, ctx.actor, ctx.clock(), "one look at Mileston covered everything")
            return
        if seen is None:
            why = reasons.LIST_NOT_READ
        elif seen.asked_at < doubt.since + quiet:
            why = reasons.NEXT_RUN_CHECKS.format(instant=f"{doubt.since + quiet:%Y-%m-%d %H:%M:%S} UTC")
        else:
            why = f"{seen.proof.why_not(since)}; {reasons.TRUST}"
    ctx.brakes.stopped = f"{doubt.reason}: {why}"


def _everything_since(last: datetime, until: datetime) -> LostCreate:
    """Whatever another copy of this database may have sent, as one lost create."""
    return LostCreate(0, "", last, until, 0, None, 0)
