"""The append-only log."""

from datetime import timedelta

from billing.core.event_text import EventAction
from billing.store import events
from billing.store.connection import Database
from tests.support.databases import NOW

DAY = timedelta(days=1)


def test_the_log_tells_all_about_a_subscription_oldest_first(db: Database) -> None:
    with db.transaction() as tx:
        events.record(
            tx,
            [
                events.event(
                    NOW, "run:1", EventAction.PLANNED, "due 2026-02-01", subscription_id=1, payment_id=11
                ),
                events.event(NOW, "run:1", EventAction.PLANNED, subscription_id=2, payment_id=12),
                events.event(NOW, "person:zoe", EventAction.VOID, payment_id=11),
                events.event(NOW + DAY, "person:zoe", EventAction.CHANGED, subscription_id=1),
            ],
        )
        events.record(tx, [])
        about = events.about(tx, 1, [11])
        every = list(events.every(tx))
    assert [(line.actor, line.action) for line in about] == [
        ("run:1", "planned"),
        ("person:zoe", "void"),
        ("person:zoe", "changed"),
    ]
    assert len(every) == 4
    assert (about[0].at, about[0].detail) == (NOW, "due 2026-02-01")
