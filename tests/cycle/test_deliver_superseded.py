"""Whether a notice still holds is looked at again at the moment of sending, on every try."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from billing.app.decisions import cancel, pause, resume
from billing.app.runtime import open_store
from billing.core.states import NoticeKind
from billing.cycle.context import Context
from billing.cycle.deliver import deliver
from billing.cycle.remind import remind
from billing.lifecycle import notices as outbox
from billing.lifecycle import payments as verbs
from billing.store import payments, remote_checks
from billing.store.connection import Database
from tests.support.databases import a_payment
from tests.support.mailroom import (
    DUE,
    NOON,
    QUEUE_ONLY,
    RETRY_SECONDS,
    TODAY,
    Clock,
    Mailroom,
    address,
)
from tests.support.smtp_server import Cut, Fault, Say, SmtpServer

GREYLISTED = Say("451 4.7.1 greylisted")


def paused(room: Mailroom, clock: Clock) -> None:
    with open_store(room.config) as db:
        pause(db, "u1", clock(), "a test")


def cancelled(room: Mailroom, clock: Clock) -> None:
    with open_store(room.config) as db:
        cancel(db, "u1", clock(), TODAY, "a test", at_period_end=False)


def moved(room: Mailroom, clock: Clock) -> None:
    room.change_subscriber(1, next_due_on=DUE + timedelta(days=30))


CHANGES = [
    (paused, "the subscription is paused"),
    (cancelled, "the subscription is cancelled"),
    (moved, "that payment will not come, or came already"),
]


@pytest.mark.parametrize(("change", "words"), CHANGES)
def test_a_reminder_that_no_longer_holds_is_superseded(
    room: Mailroom, clock: Clock, change: Callable[[Mailroom, Clock], None], words: str
) -> None:
    async def main() -> None:
        async with SmtpServer() as server:
            room.serve(server.port)
            room.subscribe(2)
            await room.cycle(QUEUE_ONLY)
            change(room, clock)
            report = await room.cycle()
            gone = reminder(room)
            assert (gone.state, gone.server_reply, gone.tries) == ("superseded", words, 0)
            assert address(2) in server.recipients()
            assert gone.dedupe_key not in str([mail.raw for mail in server.mailbox])
            assert report.notices_failed == 0

    asyncio.run(main())


@pytest.mark.parametrize(
    "fault", [Fault("rcpt", GREYLISTED), Fault("rcpt", Cut()), Fault("greeting", Cut())], ids=str
)
def test_it_is_looked_at_again_before_every_try(room: Mailroom, clock: Clock, fault: Fault) -> None:
    async def main() -> None:
        async with SmtpServer(fault) as server:
            room.serve(server.port)
            room.subscribe(1)
            await room.cycle()
            assert room.states() == ["queued"]
            paused(room, clock)
            clock.let_pass(RETRY_SECONDS)
            await room.cycle()
            assert reminder(room).state == "superseded"
            assert len(server.recipients()) == 1  # that of the pause

    asyncio.run(main())


def test_a_reminder_whose_day_has_come_is_superseded(room: Mailroom, clock: Clock) -> None:
    async def main() -> None:
        async with SmtpServer(Fault("greeting", Cut())) as server:
            room.serve(server.port)
            room.subscribe(1)
            await room.cycle()
            await room.cycle(today=DUE)
            assert [(row.state, row.server_reply) for row in room.notices()] == [
                ("superseded", "the due date has come")
            ]
            assert server.mailbox == []

    asyncio.run(main())


def test_a_notice_of_a_pause_that_is_over_is_superseded(room: Mailroom, clock: Clock) -> None:
    async def main() -> None:
        async with SmtpServer() as server:
            room.serve(server.port)
            room.subscribe(1)
            paused(room, clock)
            with open_store(room.config) as db:
                resume(db, "u1", clock(), TODAY, room.config.settings, "a test")
            await room.cycle()
            words = {row.kind: (row.state, row.server_reply) for row in room.notices()}
            assert words["subscription_paused"] == ("superseded", "the subscription is active again")
            assert words["next_payment_due"][0] == words["subscription_resumed"][0] == "sent"
            assert len(server.mailbox) == 2

    asyncio.run(main())


@pytest.mark.parametrize(
    ("kind", "state", "end"),
    [
        ("payment_created", "open", "sent"),
        ("payment_overdue", "open", "sent"),
        *(
            (kind, state, "superseded")
            for kind in ("payment_created", "payment_overdue")
            for state in ("paid", "void", "uncollectible")
        ),
        ("payment_received", "paid", "sent"),
    ],
)
def test_only_an_open_payment_is_asked_for(
    room: Mailroom, clock: Clock, kind: str, state: str, end: str
) -> None:
    for name in ("subject.txt", "txt", "html"):
        room.write_template(f"{kind}.{name}", "{{ amount }}")

    async def main() -> None:
        async with SmtpServer() as server:
            room.serve(server.port)
            room.subscribe(1)
            with open_store(room.config) as db:
                queue_about_a_payment(db, kind, state)
            report = await room.cycle((read_the_payments, deliver))
            (row,) = room.notices()
            assert row.state == end
            assert row.server_reply == ("250 2.0.0 taken" if end == "sent" else f"the payment is {state}")
            assert len(server.mailbox) == (end == "sent")
            assert report.outcome == "ok"

    asyncio.run(main())


@pytest.mark.parametrize("kind", ["payment_created", "payment_overdue"])
def test_no_mail_leads_to_a_payment_that_is_gone(room: Mailroom, clock: Clock, kind: str) -> None:
    for name in ("subject.txt", "txt", "html"):
        room.write_template(f"{kind}.{name}", "{{ amount }}")

    async def main() -> None:
        async with SmtpServer() as server:
            room.serve(server.port)
            room.subscribe(1)
            with open_store(room.config) as db:
                queue_about_a_payment(db, kind, "open")
                with db.transaction() as tx:
                    (payment,) = payments.listing(tx)
                    assert verbs.flag_vanished(tx, "run:1", clock(), payment)
            await room.cycle((deliver,))
            assert [row.state for row in room.notices()] == ["queued"]  # it may be shown again tomorrow
            assert server.mailbox == []

    asyncio.run(main())


def test_an_overdue_notice_of_an_earlier_cycle_waits_until_its_payment_was_read_again(room: Mailroom) -> None:
    """The API is down: the payment may have been paid since the notice was queued."""

    async def main() -> None:
        async with SmtpServer() as server:
            room.serve(server.port)
            room.subscribe(2)
            with open_store(room.config) as db:
                queue_about_a_payment(db, "payment_overdue", "open")
            for _ in range(2):
                report = await room.cycle((remind, deliver))
                assert (report.notices_held, server.recipients()) == (1, [address(1), address(2)])
            await room.cycle((read_the_payments, deliver))
            assert room.count() == {"sent": 3}

    asyncio.run(main())


def test_an_overdue_notice_of_a_payment_with_which_something_is_wrong_waits(room: Mailroom) -> None:
    """It is not in the statement until a person has seen to it."""

    async def main() -> None:
        async with SmtpServer() as server:
            room.serve(server.port)
            room.subscribe(1)
            with open_store(room.config) as db:
                queue_about_a_payment(db, "payment_overdue", "open")
                with db.transaction() as tx:
                    (payment,) = payments.listing(tx)
                    assert verbs.flag(tx, "run:1", NOON, payment, "two bear its number")
            await room.cycle((read_the_payments, deliver))
            assert (room.count(), server.mailbox) == ({"queued": 1}, [])
            with open_store(room.config) as db, db.transaction() as tx:
                verbs.dismiss(tx, "person", NOON, next(payments.listing(tx)), "")
            await room.cycle((read_the_payments, deliver))
            assert room.count() == {"sent": 1}

    asyncio.run(main())


async def read_the_payments(ctx: Context) -> None:
    """As `settle` does when the API says that nothing was paid."""
    with ctx.db.transaction() as tx:
        remote_checks.note_unpaid(tx, [row.id for row in payments.listing(tx)], ctx.run_id, ctx.clock())


def queue_about_a_payment(db: Database, kind: str, state: str) -> None:
    """A notice about the first subscriber's payment, which has come to a state since."""
    changes: dict[str, Any] = {"state": state, "payable_on": TODAY, "reference": "u1"}
    payment = a_payment(db, 1, TODAY, **changes)
    notice_kind = NoticeKind(kind)
    key = outbox.dedupe_key(notice_kind, "u1", TODAY)
    with db.transaction() as tx:
        notice = outbox.new_notice(
            notice_kind, key, Clock()(), subscription_id=1, payment_id=payment, due_on=TODAY
        )
        outbox.queue(tx, [notice])


def reminder(room: Mailroom) -> Any:
    """The reminder of the first subscriber."""
    (row,) = (row for row in room.notices() if row.reference == "u1" and row.kind == "next_payment_due")
    return row
