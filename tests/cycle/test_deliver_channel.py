"""A channel that is down stops the outbox for the cycle, is said aloud, and costs no notice a try."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from billing.app.runtime import Hooks
from tests.support.mailroom import NOON, RETRY_SECONDS, Clock, Mailroom, address
from tests.support.smtp_server import Action, Cut, Fault, Say, SmtpServer, Stall

REFUSED_LOGIN = Say("535 5.7.8 no")
CUT = Cut()


def untouched(room: Mailroom) -> bool:
    """Whether every notice still waits as if nothing had happened."""
    rows = room.notices()
    return {(row.state, row.tries, row.next_try_at, row.lease_until) for row in rows} == {
        ("queued", 0, NOON, None)
    }


@pytest.mark.parametrize(
    ("phase", "action", "says"),
    [
        ("auth", Say("454 4.7.0 Temporary authentication failure"), "the notices wait for the next run"),
        ("auth", Say("421 4.7.0 Too many login attempts"), "Too many login attempts; the notices wait"),
        ("auth", Say("432 4.7.12 A password transition is needed"), "check mail.smtp_username"),
        ("auth", REFUSED_LOGIN, "refused the login: 535 5.7.8 no; check mail.smtp_username"),
        ("greeting", CUT, "connecting failed"),
        ("greeting", Stall(), "no answer within 0.3 s"),
        ("greeting", Say("421 4.3.2 too many"), "refused connecting: 421 4.3.2 too many"),
        ("ehlo", Say("550 5.7.1 who are you"), "who are you; set mail.helo_name to the name"),
        ("mail", Say("530 5.7.0 log in first"), "530 5.7.0 log in first"),
    ],
    ids=str,
)
def test_a_server_that_lets_nobody_in_burns_no_notice(
    room: Mailroom, phase: str, action: Action, says: str
) -> None:
    room.set(mail__smtp_username="anna", mail__smtp_timeout_seconds=0.3, mail__concurrency=2)
    room.environ["BILLING_SMTP_PASSWORD"] = "hunter2"

    async def main() -> None:
        async with SmtpServer(Fault(phase, action, times=None), extensions=("AUTH PLAIN",)) as server:
            room.serve(server.port)
            room.subscribe(5)
            report = await room.cycle()

            assert untouched(room)
            assert (report.outcome, report.notices_sent, report.notices_failed) == ("attention", 0, 0)
            (problem,) = report.problems
            assert problem.startswith("mail: ")
            assert says in problem
            assert "hunter2" not in problem
            assert server.connections <= 2  # and not one a notice

            server.faults.clear()
            report = await room.cycle()
            assert (report.outcome, report.notices_sent, report.problems) == ("ok", 5, [])
            assert sorted(server.recipients()) == [address(n) for n in range(1, 6)]

    asyncio.run(main())


def test_a_server_that_is_not_there_burns_no_notice(room: Mailroom) -> None:
    async def main() -> None:
        server = SmtpServer()
        await server.start()
        room.serve(server.port)
        await server.stop()
        room.subscribe(3)
        report = await room.cycle()
        assert untouched(room)
        assert report.outcome == "attention"
        assert "Connection refused" in report.problems[0]

    asyncio.run(main())


def test_a_server_that_goes_away_stops_the_cycle_and_what_had_gone_out_stays_sent(
    room: Mailroom, clock: Clock
) -> None:
    async def main() -> None:
        async with SmtpServer() as server:
            left = asyncio.Event()

            def on_delivery(kind: str, outcome: str) -> None:
                if server.commands.count("DATA") >= 20 and not left.is_set():
                    left.set()
                    leaving.append(asyncio.create_task(server.stop()))

            leaving: list[asyncio.Task[None]] = []
            room.serve(server.port)
            room.set(mail__concurrency=4)
            room.subscribe(60)
            report = await room.cycle(hooks=Hooks(on_delivery=on_delivery))
            await asyncio.gather(*leaving)

            counts = room.count()
            assert set(counts) <= {"sent", "queued", "unknown"}
            assert counts["unknown"] <= 4  # one a connection
            assert 20 - 4 <= counts["sent"] <= 20 + 8
            assert {row.tries for row in room.notices() if row.state == "queued"} == {0}
            assert (report.outcome, len(report.problems)) == ("attention", 1)

            await server.start()
            clock.let_pass(RETRY_SECONDS)
            await room.cycle()
            there = Counter(server.recipients())
            assert max(there.values()) == 1
            assert room.count() == Counter(sent=60 - counts["unknown"], unknown=counts["unknown"])
            assert {row.to_address for row in room.notices() if row.state == "sent"} <= set(there)

    asyncio.run(main())


def test_notices_over_which_the_server_hangs_up_do_not_stand_in_the_way_of_the_others(
    room: Mailroom, clock: Clock
) -> None:
    """Five in a row close the channel for a cycle; in the next one they come after everybody else."""
    bad = [address(n) for n in range(1, 7)]

    async def main() -> None:
        async with SmtpServer(*(Fault("rcpt", CUT, times=None, recipient=who) for who in bad)) as server:
            room.serve(server.port)
            room.subscribe(10)
            report = await room.cycle()
            assert "cut the connection 5 times in a row" in report.problems[0]
            assert server.recipients() == []
            for _ in range(2):
                clock.let_pass(RETRY_SECONDS)
                await room.cycle()
            assert server.recipients() == [address(n) for n in range(7, 11)]
            assert [row.tries for row in room.notices()] == [0] * 6 + [1] * 4

            server.faults.clear()
            clock.let_pass(RETRY_SECONDS)
            await room.cycle()
            assert sorted(server.recipients()) == sorted(address(n) for n in range(1, 11))

    asyncio.run(main())


def test_a_cycle_that_is_asked_to_stop_leaves_the_rest_queued(room: Mailroom) -> None:
    async def main() -> None:
        async with SmtpServer() as server:
            room.serve(server.port)
            room.subscribe(30)
            hooks = Hooks(stopping=lambda: server.commands.count("DATA") >= 10)
            await room.cycle(hooks=hooks)
            counts = room.count()
            assert counts == {"sent": len(server.mailbox), "queued": 30 - len(server.mailbox)}
            assert 10 <= counts["sent"] <= 12
            await room.cycle()
            assert sorted(server.recipients()) == sorted(address(n) for n in range(1, 31))

    asyncio.run(main())


@pytest.mark.parametrize(
    ("phase", "words"),
    [
        ("mail", "553 5.7.1 not one of your addresses"),
        ("rcpt", "550 5.1.8 billing@example.com: domain not found"),
        ("rcpt", "553 5.7.1 <billing@example.com>: Sender address rejected: not owned by user anna"),
    ],
    ids=str,
)
def test_a_sender_that_the_server_does_not_take_costs_no_notice(
    room: Mailroom, phase: str, words: str
) -> None:
    async def main() -> None:
        async with SmtpServer(Fault(phase, Say(words), times=None)) as server:
            room.set(mail__concurrency=2)
            room.serve(server.port)
            room.subscribe(30)
            report = await room.cycle()
            assert (report.outcome, report.notices_failed) == ("attention", 0)
            (problem,) = report.problems
            assert "correct mail.from_address" in problem
            assert "billing@" not in problem
            assert {(row.state, row.tries) for row in room.notices()} == {("queued", 0)}

            server.faults.clear()
            await room.cycle()
            assert Counter(server.recipients()) == Counter(address(n) for n in range(1, 31))

    asyncio.run(main())


def test_messages_that_are_too_large_say_nothing_against_the_sender(room: Mailroom) -> None:
    async def main() -> None:
        fault = Fault("mail", Say("552 5.3.4 too large"), times=4)
        async with SmtpServer(fault) as server:
            room.set(mail__concurrency=1)
            room.serve(server.port)
            room.subscribe(8)
            await room.cycle()
            assert room.count() == Counter(failed=4, sent=4)

    asyncio.run(main())
