"""What the event log can contain, and each line of it as a sentence."""

from __future__ import annotations

from enum import StrEnum


class EventAction(StrEnum):
    """What happened to a record. Each has its sentence in `SENTENCES`."""

    # subscriptions
    ADDED = "added"
    CHANGED = "changed"
    SUBSCRIPTION_PAUSED = "subscription_paused"
    SUBSCRIPTION_RESUMED = "subscription_resumed"
    SUBSCRIPTION_CANCELLED = "subscription_cancelled"
    SUBSCRIPTION_ENDED = "subscription_ended"
    CANCELLATION_UNDONE = "cancellation_undone"
    SUBSCRIPTION_REACTIVATED = "subscription_reactivated"
    # payments on their way to Mileston
    PLANNED = "planned"
    HELD = "held"
    RELEASED = "released"
    CREATED = "created"
    REFUSED = "refused"  # -> rejected
    UNAUTHORIZED = "unauthorized"  # -> planned
    NOT_SENT = "not_sent"  # -> planned
    UNKNOWN = "unknown"
    RECOVERED = "recovered"  # sending -> unknown
    TURNED_UP = "turned_up"  # planned, held -> unknown
    ADOPTED = "adopted"  # unknown, parked -> open
    PROVED_ABSENT = "proved_absent"  # unknown -> planned
    PROOF_EXPIRED = "proof_expired"  # planned -> unknown
    PARKED = "parked"
    RESOLVED = "resolved"
    # payments at Mileston
    REPLACED = "replaced"
    HANDED_ON = "handed_on"
    RENEWAL_STOPPED = "renewal_stopped"
    DUPLICATE_DELETED = "duplicate_deleted"
    ATTENTION = "attention"
    DISMISSED = "dismissed"
    VANISHED = "vanished"
    PAID = "paid"
    OVERDUE = "overdue"
    UNCOLLECTIBLE = "uncollectible"
    VOID = "void"
    # notices
    NOTICE_SUPERSEDED = "notice_superseded"
    NOTICE_FAILED = "notice_failed"
    NOTICE_UNKNOWN = "notice_unknown"
    NOTICE_RESENT = "notice_resent"
    # the database itself
    FIRST_LOOK_FAILED = "first_look_failed"
    DATABASE_LOST = "database_lost"
    DATABASE_RESTORED = "database_restored"
    DATABASE_DOUBTED = "database_doubted"
    DATABASE_TRUSTED = "database_trusted"


_A = EventAction
# {it} is what the line is about, {detail} what the log says besides.
SENTENCES: dict[EventAction, str] = {
    _A.ADDED: "{it} was added",
    _A.CHANGED: "{it} was changed: {detail}",
    _A.SUBSCRIPTION_PAUSED: "the subscription was paused: {detail}",
    _A.SUBSCRIPTION_RESUMED: "the subscription was resumed: {detail}",
    _A.SUBSCRIPTION_CANCELLED: "the subscription was cancelled: {detail}",
    _A.SUBSCRIPTION_ENDED: "the subscription ended: {detail}",
    _A.CANCELLATION_UNDONE: "the cancellation was taken back: {detail}",
    _A.SUBSCRIPTION_REACTIVATED: "the subscription began anew: {detail}",
    _A.PLANNED: "{it} was planned, {detail}",
    _A.HELD: "{it} was held: {detail}",
    _A.RELEASED: "{it} was released: {detail}",
    _A.CREATED: "{it} was created at Mileston; its id there is {detail}",
    _A.REFUSED: "{it} was rejected by Mileston: {detail}",
    _A.UNAUTHORIZED: "Mileston refused the API key when {it} was sent: {detail}",
    _A.NOT_SENT: "{it} was not sent: {detail}",
    _A.UNKNOWN: "it is not known whether {it} was created at Mileston: {detail}",
    _A.RECOVERED: "{it} was being sent when its run died; it is looked up at Mileston",
    _A.TURNED_UP: "{it} turned up at Mileston: {detail}",
    _A.ADOPTED: "{it} was found at Mileston after its answer was lost; its id there is {detail}",
    _A.PROOF_EXPIRED: "{it} is looked for once more before it is sent: {detail}",
    _A.PROVED_ABSENT: "{it} was proved not to exist at Mileston: {detail}",
    _A.PARKED: "{it} was parked and waits for a person: {detail}",
    _A.RESOLVED: "{it} was resolved: {detail}",
    _A.REPLACED: "{it} now stands for another remote payment: {detail}",
    _A.HANDED_ON: "the record of {it} renewed itself and stands for the next period now: {detail}",
    _A.RENEWAL_STOPPED: "the record of {it} at Mileston can no longer renew itself: {detail}",
    _A.DUPLICATE_DELETED: "an unpaid duplicate of {it} was deleted at Mileston: {detail}",
    _A.ATTENTION: "{it} was flagged for a person: {detail}",
    _A.DISMISSED: "a person saw to what {it} was flagged for: {detail}",
    _A.VANISHED: "{it} is no longer found at Mileston: {detail}",
    _A.PAID: "{it} was found to be paid",
    _A.OVERDUE: "{it} was overdue: {detail}",
    _A.UNCOLLECTIBLE: "{it} was marked uncollectible: {detail}",
    _A.VOID: "{it} was voided: {detail}",
    _A.NOTICE_SUPERSEDED: "an e-mail was no longer true and was not sent: {detail}",
    _A.NOTICE_FAILED: "an e-mail failed: {detail}",
    _A.NOTICE_UNKNOWN: "an e-mail may or may not have been delivered: {detail}",
    _A.NOTICE_RESENT: "an e-mail was queued again: {detail}",
    _A.FIRST_LOOK_FAILED: "Mileston's list could not be read before the first payment was sent: {detail}",
    _A.DATABASE_LOST: "Mileston has payments that this database does not know of: {detail}",
    _A.DATABASE_RESTORED: "the database was restored from a backup: {detail}",
    _A.DATABASE_DOUBTED: "the database may be a copy; Mileston is checked before the next charge: {detail}",
    _A.DATABASE_TRUSTED: "the database is trusted again: {detail}",
}
_ONCE_CALLED = {"voided": _A.VOID}
"""Actions that 0.1.0 wrote, and what they are called now."""


def sentence_of(action: str, detail: str, it: str) -> str:
    """One line of the log in words, without the full stop; an unknown action is shown as it is."""
    action = _ONCE_CALLED.get(action, action)
    pattern = "{it}: " + action.replace("_", " ") + ": {detail}"
    if action in SENTENCES:
        pattern = SENTENCES[EventAction(action)]
    if not detail:
        pattern = pattern.removesuffix(": {detail}").removesuffix(", {detail}")
    return pattern.format(it=it, detail=detail or "no details were recorded")
