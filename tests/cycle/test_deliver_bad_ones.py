"""One bad address, one broken record or one broken template fails alone; the others go out."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import select

from billing.app.decisions import pause, resend_notice
from billing.app.runtime import open_store
from billing.store.models import events
from tests.support.mailroom import QUEUE_ONLY, Clock, Mailroom, address
from tests.support.smtp_server import Fault, Say, SmtpServer

BAD_ADDRESSES = [
    "nobody",
    "",
    "a b@example.com",
    "ä@example.com",
    "a@example.com\r\nRCPT TO:<evil@example.com>",
    "a@example.com> SIZE=1",
    "a@" + "x" * 300 + ".com",
    "@example.com",
]


def test_an_address_that_no_wire_takes_fails_alone(room: Mailroom) -> None:
    good = len(BAD_ADDRESSES) + 1

    async def main() -> None:
        async with SmtpServer() as server:
            room.serve(server.port)
            room.subscribe(good)
            for n, bad in enumerate(BAD_ADDRESSES, start=1):
                room.change_subscriber(n, email=bad)
            report = await room.cycle()
            *refused, last = room.notices()
            assert last.state == "sent"
            assert {row.state for row in refused} == {"failed"}
            for n, row in enumerate(refused, start=1):
                assert row.server_reply.startswith(
                    f"no e-mail can be sent to the address of u{n}; correct it"
                )
            assert (report.notices_sent, report.notices_failed) == (1, len(BAD_ADDRESSES))
            assert (report.outcome, report.problems) == ("attention", [])
            assert server.recipients() == [address(good)]
            assert not any("evil" in line for line in server.commands)

    asyncio.run(main())


def test_an_address_that_was_mended_gets_its_notice(room: Mailroom, clock: Clock) -> None:
    async def main() -> None:
        async with SmtpServer() as server:
            room.serve(server.port)
            room.subscribe(2)
            room.change_subscriber(1, email="nobody")
            await room.cycle()
            room.change_subscriber(1, email=address(1))
            with open_store(room.config) as db:
                resend_notice(db, room.notice(1).id, clock())
            await room.cycle()
            assert room.states() == ["sent", "sent"]
            assert server.recipients() == [address(2), address(1)]

    asyncio.run(main())


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{{ nmae }} is undefined", "line 1: 'nmae' is undefined (did you mean 'name'?)"),
        ("{% if %}", "line 1: Expected an expression"),
        ("{{ 1 / 0 }}", "ZeroDivisionError"),
        ("{% include 'nothing.txt' %}", "there is no template 'nothing.txt'"),
    ],
)
def test_a_users_broken_template_fails_its_kind_and_no_other(
    room: Mailroom, clock: Clock, text: str, says: str
) -> None:
    room.write_template("subscription_paused.txt", text)

    async def main() -> None:
        async with SmtpServer() as server:
            room.serve(server.port)
            room.subscribe(3)
            with open_store(room.config) as db:
                pause(db, "u2", clock(), "a test")
            report = await room.cycle()
            (paused,) = (row for row in room.notices() if row.kind == "subscription_paused")
            assert paused.state == "failed"
            assert says in paused.server_reply
            assert "billing templates check" in paused.server_reply
            assert (report.notices_sent, report.notices_failed, report.outcome) == (2, 1, "attention")
            assert server.recipients() == [address(1), address(3)]

            room.write_template("subscription_paused.txt", "{{ plan }} is paused")
            with open_store(room.config) as db:
                resend_notice(db, paused.id, clock())
            await room.cycle()
            assert server.recipients() == [address(1), address(3), address(2)]

    asyncio.run(main())


@pytest.mark.parametrize(
    ("broken", "about"),
    [({"interval_count": 100_000}, "InvalidInterval"), ({"plan": "x" * 100_000}, "")],
    ids=["an interval that is none", "a name without end"],
)
def test_a_record_that_somebody_spoilt_fails_alone_at_most(
    room: Mailroom, broken: dict[str, object], about: str
) -> None:
    """By SQL of their own, past every check of the import."""

    async def main() -> None:
        async with SmtpServer() as server:
            room.serve(server.port)
            room.subscribe(3)
            await room.cycle(steps=QUEUE_ONLY)
            room.change_subscriber(2, **broken)
            await room.cycle()
            assert [room.states()[0], room.states()[2]] == ["sent", "sent"]
            assert room.notice(2).state == ("failed" if about else "sent")
            assert about in room.notice(2).server_reply

    asyncio.run(main())


def test_what_failed_is_in_the_event_log_without_the_address(room: Mailroom) -> None:
    async def main() -> None:
        async with SmtpServer(Fault("rcpt", Say(f"550 5.1.1 <{address(1)}> unknown"))) as server:
            room.serve(server.port)
            room.subscribe(2)
            room.change_subscriber(2, email="nobody at all")
            await room.cycle()
            assert room.states() == ["failed", "failed"]
            with open_store(room.config) as db, db.read() as tx:
                rows = tx.execute(select(events).where(events.c.notice_id.is_not(None)).order_by(events.c.id))
                lines = sorted((row.action, row.detail) for row in rows)
            assert lines == [
                (
                    "notice_failed",
                    "next_payment_due: 550 5.1.1 <address> unknown (in reply to RCPT TO)",
                ),
                ("notice_failed", "next_payment_due: it can't be rendered"),
            ]

    asyncio.run(main())
