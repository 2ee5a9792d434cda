"""What waits for a person, in one place: status, digest and the exit codes of runs ask here.

Rejected, held, parked and flagged payments wait for a person, mail that did not go out, and unknown
outcomes that are not the program's own work any more: see `_overdue_unknown`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, exists, func, or_, select

from billing.core.causes import HeldCause, held_cause
from billing.core.money import format_amount
from billing.core.need_text import AND_MORE, NAMED, OTHER_CAUSES, NeedKind, need_text
from billing.core.notices import MOST_TRIES
from billing.core.outcomes import OutcomeKind
from billing.core.states import NEEDS_A_PERSON, NoticeKind, NoticeState, PaymentState
from billing.lifecycle import dunning
from billing.store import notices, payments
from billing.store.models import attempts as attempt_table
from billing.store.models import notices as notice_table
from billing.store.models import payments as payment_table
from billing.store.paging import Listing
from billing.store.rows import ListedNotice, PaymentOfSubscription
from billing.store.tx import Tx

_A, _N, _P = attempt_table.c, notice_table.c, payment_table.c
_SPELT_OUT = 3
"""So many of a group are named; a list of thousands helps nobody."""
_RELEASE = "billing payments release {id}"
_TYPED = 5
"""So many ids fit into one command."""
_GROUPS = 5
"""So many causes of rejections are told apart."""
_OWN_WORK = timedelta(hours=1)
"""An unknown outcome is looked up by the program; for so long it is no alarm."""
_MOST_TEXTS = 50
"""So many texts of one cause are searched for the first payments."""
_SLOW_DOWN = (429, 503)


@dataclass(frozen=True, slots=True)
class Need:
    """Things of one kind, and of one cause, that wait for a person.

    `what` has their number, `detail` names the first few, and `command` deals with all of them.
    `newest` grows, as text, when another one joins.
    """

    kind: str
    what: str
    count: int
    command: str
    newest: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Waiting:
    """How many payments, subscriptions and notices wait for a person."""

    payments: int
    subscriptions: int
    notices: int


def waiting(tx: Tx, now: datetime, resends: bool) -> Waiting:
    """What the exit code of a run is made of; `resends` is `mail.on_unknown = "resend"`."""
    states = [state.value for state in NEEDS_A_PERSON]
    # One query for each index.
    conditions = (
        _P.state.in_(states),
        _overdue_unknown(now) & (_P.attention == ""),
        (_P.attention != "") & _P.state.not_in(states),
    )
    found = (tx.execute(select(func.count()).where(each)).scalar_one() for each in conditions)
    mails = tx.execute(select(func.count()).where(_undelivered(resends))).scalar_one()
    return Waiting(sum(found), len(dunning.waiting_though_paid(tx)), mails)


def needs(tx: Tx, now: datetime, resends: bool, *, digests: bool = True) -> tuple[Need, ...]:
    """Everything in the database that waits for a person, with or without digests that failed."""
    return (*_payment_needs(tx, now), *_subscription_needs(tx), *_notice_needs(tx, resends, digests))


def _subscription_needs(tx: Tx) -> Iterator[Need]:
    paid_up = dunning.waiting_though_paid(tx)
    if paid_up:
        yield Need(
            NeedKind.PAID_UP,
            need_text(NeedKind.PAID_UP, len(paid_up)),
            len(paid_up),
            f"billing subscriptions resume {paid_up[0]}",
            str(len(paid_up)),
            ", ".join(paid_up[:_TYPED]),
        )


def run_needs(stopped: str, problems: Sequence[str], not_sent: int) -> Iterator[Need]:
    """What went wrong with a run itself; the words of a step are told apart by the step alone."""
    if stopped:
        # What else went wrong most likely has the same cause.
        detail = "; ".join((stopped, *problems))
        yield Need(f"stopped: {stopped}", need_text(NeedKind.STOPPED), 1, "billing doctor", detail=detail)
        return
    for problem in problems:
        step = problem.partition(":")[0]
        what = need_text(NeedKind.PROBLEM, cause=step)
        yield Need(f"problem: {step}", what, 1, "billing doctor", detail=problem)
    if not_sent:
        what = need_text(NeedKind.NOT_SENT, not_sent)
        yield Need(NeedKind.NOT_SENT, what, not_sent, "billing payments list --state planned")


def _overdue_unknown(now: datetime) -> ColumnElement[bool]:
    """Unknown payments that are no longer the program's own work.

    An hour has passed since the first attempt without an answer, or it is the second such attempt.
    Answers that ask to slow down (429, 503) are looked up to the end first, which parks what stays
    unknown. Without any such attempt (after a restore; or it turned up) the hour counts from when it
    became unknown.
    """
    long_ago = now - _OWN_WORK
    unanswered = (_A.payment_id == _P.id) & (_A.outcome.is_(None) | (_A.outcome == OutcomeKind.UNKNOWN.value))
    lost = unanswered & (_A.status.is_(None) | _A.status.not_in(_SLOW_DOWN))
    times = select(func.count()).select_from(attempt_table).where(lost).correlate(payment_table)
    return (_P.state == PaymentState.UNKNOWN.value) & or_(
        exists().where(lost, _A.started_at < long_ago).correlate(payment_table),
        times.scalar_subquery() > 1,
        # A restore, or what turned up, moves the deadline; a release moves `updated_at`.
        ~exists().where(unanswered).correlate(payment_table)
        & (_P.updated_at < long_ago)
        & (func.coalesce(_P.deadline_at, _P.updated_at) < long_ago),
    )


def _undelivered(resends: bool) -> ColumnElement[bool]:
    """Mail that does not go out by itself any more."""
    unknown = _N.state == NoticeState.UNKNOWN.value
    if resends:
        unknown &= _N.tries >= MOST_TRIES
    return (_N.state == NoticeState.FAILED.value) | unknown


@dataclass(slots=True)
class _Group:
    """Payments of one state and cause; `texts` are the causes as they are stored."""

    count: int = 0
    micros: int = 0
    newest: str = ""
    texts: list[str] = field(default_factory=list)

    def add(self, count: int, micros: int, newest: datetime, text: str) -> None:
        self.count += count
        self.micros += micros
        self.newest = max(self.newest, newest.isoformat())
        self.texts.append(text)


def _payment_needs(tx: Tx, now: datetime) -> Iterator[Need]:
    rejected, held = _groups(tx)
    for n, (text, group) in enumerate(sorted(rejected.items(), key=lambda pair: -pair[1].count)):
        if n == _GROUPS - 1 and len(rejected) > _GROUPS:
            yield _rest(list(rejected.values()), n)
            break
        listing = payments.listed([PaymentState.REJECTED], causes=[text])
        yield _need(tx, f"{NeedKind.REJECTED}: {text}", NeedKind.REJECTED, group, listing, _release)
    for cause in HeldCause:
        if cause in held:
            listing = payments.listed([PaymentState.HELD], causes=held[cause].texts[:_MOST_TEXTS])
            command = f"billing payments release --all-held --cause {cause}"
            kind = f"{NeedKind.HELD}.{cause}"
            yield _need(
                tx, kind, kind, held[cause], listing, _one_or("billing payments release {id}", command)
            )
    for kind, condition, one, many in (
        (
            NeedKind.PARKED,
            _P.state == PaymentState.PARKED.value,
            "billing payments resolve {id}",
            "billing payments list --state parked",
        ),
        (NeedKind.UNKNOWN, _overdue_unknown(now), "billing reconcile", "billing reconcile"),
        (
            NeedKind.ATTENTION,
            _P.attention != "",
            "billing payments dismiss {id}",
            "billing payments list --attention",
        ),
    ):
        group = _group(tx, condition)
        if group.count:
            listing = payments.listed(only=condition)
            yield _need(tx, kind, kind, group, listing, _one_or(one, many))


def _groups(tx: Tx) -> tuple[dict[str, _Group], dict[HeldCause, _Group]]:
    """Rejected payments by the text of their cause, and held ones by its kind."""
    states = (PaymentState.REJECTED.value, PaymentState.HELD.value)
    query = (
        select(_P.state, _P.cause, func.count(), func.sum(_P.amount_micros), func.max(_P.updated_at))
        .where(_P.state.in_(states))
        .group_by(_P.state, _P.cause)
        .order_by(func.min(_P.id))
    )
    rejected: dict[str, _Group] = {}
    held: dict[HeldCause, _Group] = {}
    for state, text, count, micros, newest in tx.execute(query):
        if state == PaymentState.HELD:
            group = held.setdefault(held_cause(text), _Group())
        else:
            group = rejected.setdefault(text, _Group())
        group.add(count, int(micros), newest, text)
    return rejected, held


def _group(tx: Tx, condition: ColumnElement[bool]) -> _Group:
    query = select(func.count(), func.sum(_P.amount_micros), func.max(_P.updated_at)).where(condition)
    count, micros, newest = tx.execute(query).one()
    group = _Group()
    if count:
        group.add(count, int(micros), newest, "")
    return group


_Command = Callable[[_Group, Sequence[PaymentOfSubscription]], str]


def _need(
    tx: Tx,
    key: str,
    kind: str,
    group: _Group,
    listing: Listing[PaymentOfSubscription],
    command: _Command,
) -> Need:
    rows = listing.first(tx, _TYPED)
    what = need_text(kind, group.count, format_amount(group.micros))
    return Need(
        key,
        what,
        group.count,
        command(group, rows),
        group.newest,
        _named(
            [
                (
                    NAMED.format(id=row.id, reference=row.reference, due_on=row.due_on),
                    row.attention if kind == NeedKind.ATTENTION else row.cause,
                )
                for row in rows[:_SPELT_OUT]
            ],
            group.count,
        ),
    )


def _rest(groups: Sequence[_Group], told: int) -> Need:
    """Rejections for causes that are not told one by one."""
    rest = sorted(groups, key=lambda group: -group.count)[told:]
    count, micros = sum(group.count for group in rest), sum(group.micros for group in rest)
    return Need(
        NeedKind.REJECTED,
        need_text(NeedKind.REJECTED, count, format_amount(micros)),
        count,
        "billing payments list --state rejected",
        max(group.newest for group in rest),
        OTHER_CAUSES.format(count=len(rest)),
    )


def _release(group: _Group, rows: Sequence[PaymentOfSubscription]) -> str:
    if group.count > len(rows):
        return "billing payments list --state rejected"
    return f"billing payments release {' '.join(str(row.id) for row in rows)}"


def _one_or(one: str, many: str) -> _Command:
    return lambda group, rows: one.format(id=rows[0].id) if group.count == 1 and rows else many


def _named(pairs: Sequence[tuple[str, str]], count: int) -> str:
    """The first few and why; what they have in common is said once."""
    reasons = {reason for _, reason in pairs}
    common = reasons.pop() if len(reasons) == 1 else ""
    parts = [name if common or not reason else f"{name}: {reason}" for name, reason in pairs]
    if count > len(pairs):
        parts.append(AND_MORE.format(count=count - len(pairs)))
    listed = (", " if common or not reasons else "; ").join(parts)
    return f"{listed}: {common}" if common else listed


def _notice_needs(tx: Tx, resends: bool, digests: bool) -> Iterator[Need]:
    undelivered = _undelivered(resends)
    if not digests:
        undelivered &= _N.kind != NoticeKind.RUN_DIGEST.value
    query = select(_N.state, func.count(), func.max(_N.id)).where(undelivered).group_by(_N.state)
    found = {row[0]: row for row in tx.execute(query)}
    for state, kind in (
        (NoticeState.FAILED, NeedKind.NOTICES_FAILED),
        (NoticeState.UNKNOWN, NeedKind.NOTICES_UNKNOWN),
    ):
        if state in found:
            _, count, newest = found[state]
            rows = notices.listed([state], only=undelivered).first(tx, _SPELT_OUT)
            command = (
                f"billing notices resend {rows[0].id}"
                if count == 1
                else f"billing notices resend --all {state}"
            )
            named = _named([(_mail(row), row.server_reply) for row in rows], count)
            yield Need(kind, need_text(kind, count), count, command, f"{newest:012d}", named)


def _mail(row: ListedNotice) -> str:
    return f"{row.kind} ({row.reference})" if row.reference else row.kind
