"""Lines of the event log as sentences."""

from __future__ import annotations

# {it} is what the line is about, {detail} what the log says besides.
_SENTENCES = {
    "added": "{it} was added",
    "changed": "{it} was changed: {detail}",
    "planned": "{it} was planned, {detail}",
    "held": "{it} was held: {detail}",
    "created": "Mileston made {it}; it is {detail} there",
    "adopted": "{it} was found at Mileston after a lost answer; it is {detail} there",
    "refused": "the API refused {it}: {detail}",
    "unauthorized": "the API refused the key when {it} was sent: {detail}",
    "not_sent": "{it} was not sent: {detail}",
    "unknown": "what came of {it} is not known: {detail}",
    "recovered": "{it} was left in the middle of sending by a run that died",
    "proved_absent": "{it} was proved not to exist at Mileston: {detail}",
    "parked": "{it} was left to a person: {detail}",
    "turned_up": "{it} turned up at Mileston: {detail}",
    "replaced": "{it} stands for another remote payment now: {detail}",
    "duplicate_deleted": "an unpaid duplicate of {it} was deleted at Mileston: {detail}",
    "attention": "{it} was marked for a person: {detail}",
    "vanished": "{it} was not found any more: {detail}",
    "paid": "{it} was learnt to be paid",
    "overdue": "{it} was overdue: {detail}",
    "uncollectible": "{it} was given up: {detail}",
    "void": "{it} was voided: {detail}",
    "voided": "{it} was voided: {detail}",
    "released": "{it} was released: {detail}",
    "resolved": "{it} was resolved: {detail}",
    "subscription_paused": "the subscription was paused: {detail}",
    "subscription_resumed": "the subscription was resumed: {detail}",
    "subscription_cancelled": "the subscription was cancelled: {detail}",
    "notice_superseded": "a notice was not sent any more: {detail}",
    "notice_failed": "a notice failed: {detail}",
    "notice_unknown": "a notice may or may not have been delivered: {detail}",
    "notice_resent": "a notice was put into the queue again: {detail}",
}


def sentence_of(action: str, detail: str, it: str) -> str:
    """One line of the log in words, without the final stop; an unknown action is shown as it is."""
    pattern = _SENTENCES.get(action, "{it}: " + action.replace("_", " ") + ": {detail}")
    if not detail:
        pattern = pattern.removesuffix(": {detail}").removesuffix(", {detail}")
    return pattern.format(it=it, detail=detail or "nothing more is noted")
