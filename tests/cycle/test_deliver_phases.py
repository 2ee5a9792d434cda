"""Each fault at each phase befalls one notice alone: what the outbox then says, and what comes of it."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from tests.support.mailroom import NOON, RETRY_SECONDS, Clock, Mailroom, address, message_ids
from tests.support.smtp_server import Action, Cut, Fault, Say, SmtpServer, Stall

LATER = NOON + timedelta(seconds=RETRY_SECONDS)
SENT = ("sent", 1, NOON)  # state, tries, next_try_at
PUT_OFF = ("queued", 1, LATER)
FAILED = ("failed", 1, NOON)
LOST = ("queued", 0, LATER)
UNKNOWN = ("unknown", 1, LATER)

CUT, RESET, STALL = Cut(), Cut(reset=True), Stall()
NONSENSE = Say("hello?", then_cut=True)
TEMPORARY = Say("451 4.3.0 try later")
PERMANENT = Say("552 5.3.4 too large")  # also at MAIL FROM about the message alone
LEAVING = Say("421 4.3.2 shutting down")

ONE_MESSAGE = ["MAIL", "RCPT", "DATA"]
Case = tuple[Action, tuple[Any, ...], str]
# The fifth of several losses in a row would stop the channel. A kept connection that is lost is tried
# anew at once: what comes after an answered message has to be struck twice.
BEFORE_THE_DOT: list[Case] = [
    (CUT, LOST, "the connection was lost (at {phase})"),
    (RESET, LOST, "the connection was lost (at {phase})"),
    (STALL, LOST, "no answer in time (at {phase})"),
    (NONSENSE, LOST, "an answer that is not SMTP (at {phase})"),
    (TEMPORARY, PUT_OFF, "451 4.3.0 try later (in reply to {phase})"),
    (PERMANENT, FAILED, "552 5.3.4 too large (in reply to {phase})"),
    (LEAVING, LOST, "421 4.3.2 shutting down (in reply to {phase})"),
]
AFTER_THE_DOT: list[Case] = [
    (CUT, UNKNOWN, "the connection was lost (at {phase})"),
    (RESET, UNKNOWN, "the connection was lost (at {phase})"),
    (STALL, UNKNOWN, "no answer in time (at {phase})"),
    (NONSENSE, UNKNOWN, "an answer that is not SMTP (at {phase})"),
    (TEMPORARY, PUT_OFF, "451 4.3.0 try later (in reply to {phase})"),
    (PERMANENT, FAILED, "552 5.3.4 too large (in reply to {phase})"),
    (LEAVING, PUT_OFF, "421 4.3.2 shutting down (in reply to {phase})"),
    (Cut(keep=True), UNKNOWN, "the connection was lost (at {phase})"),
    (Stall(keep=True), UNKNOWN, "no answer in time (at {phase})"),
]


@pytest.mark.parametrize(
    ("fault", "phase", "cases"),
    [
        ("mail", "MAIL FROM", BEFORE_THE_DOT),
        ("rcpt", "RCPT TO", BEFORE_THE_DOT),
        ("data", "DATA", BEFORE_THE_DOT),
        ("dot", "the final dot", AFTER_THE_DOT),
    ],
    ids=["mail", "rcpt", "data", "dot"],
)
def test_each_fault_at_a_phase_befalls_one_notice_alone(
    room: Mailroom, clock: Clock, fault: str, phase: str, cases: list[Case]
) -> None:
    faults = [
        Fault(fault, action, times=2 if outcome is LOST and action is LEAVING else 1, after=place)
        for place, (action, outcome, _) in enumerate(cases)
    ]
    wanted = [(*outcome, words.format(phase=phase)) for _, outcome, words in cases]

    async def main() -> None:
        async with SmtpServer(*faults) as server:
            room.serve(server.port)
            room.set(mail__smtp_timeout_seconds=0.3)
            room.subscribe(len(cases) + 1)
            report = await room.cycle()

            rows = room.notices()
            assert [shown(row) for row in rows] == [*wanted, (*SENT, "250 2.0.0 taken")]
            assert [row.raw is not None for row in rows] == [*[True] * len(cases), False]
            bad = sum(row.state in ("failed", "unknown") for row in rows)
            held = sum(row.state in ("queued", "unknown") for row in rows)
            assert (report.notices_sent, report.notices_failed, report.notices_held) == (1, bad, held)
            assert (report.outcome, report.problems) == ("attention", [])

            clock.let_pass(RETRY_SECONDS)
            await room.cycle()

            ends = ["sent" if row.state == "queued" else row.state for row in rows]
            assert room.states() == ends
            kept = [place for place, (action, *_) in enumerate(cases) if getattr(action, "keep", False)]
            there = [n for n, end in enumerate(ends) if end == "sent" or n in kept]
            assert sorted(server.recipients()) == sorted(address(n + 1) for n in there)
            assert sorted(message_ids(server.mailbox)) == sorted(rows[n].message_id for n in there)

    asyncio.run(main())


def shown(row: Any) -> tuple[Any, ...]:
    return row.state, row.tries, row.next_try_at, row.server_reply


def test_what_comes_after_the_reply_to_the_dot_changes_nothing(room: Mailroom) -> None:
    faults = [Fault("replied", CUT), Fault("replied", LEAVING, after=1), Fault("quit", CUT)]

    async def main() -> None:
        async with SmtpServer(*faults) as server:
            room.serve(server.port)
            room.subscribe(3)
            report = await room.cycle()
            assert [shown(row) for row in room.notices()] == [(*SENT, "250 2.0.0 taken")] * 3
            assert server.recipients() == [address(1), address(2), address(3)]
            assert (report.outcome, report.notices_sent) == ("ok", 3)

    asyncio.run(main())


def test_a_body_that_had_left_when_the_connection_was_lost_is_unknown(room: Mailroom) -> None:
    """The server reads some of the first body and cuts: all of so short a mail had left by then."""

    async def main() -> None:
        async with SmtpServer(Fault("body", CUT)) as server:
            room.serve(server.port)
            room.subscribe(2)
            await room.cycle()
            assert room.states() == ["unknown", "sent"]
            assert server.recipients() == [address(2)]

    asyncio.run(main())


def test_the_same_bytes_go_out_on_every_try(room: Mailroom, clock: Clock) -> None:
    faults = [Fault("dot", TEMPORARY), Fault("dot", CUT, after=1), Fault("dot", TEMPORARY, after=2)]

    async def main() -> None:
        async with SmtpServer(*faults) as server:
            room.serve(server.port)
            room.set(mail__on_unknown="resend")
            room.subscribe(1)
            seen = []
            for _ in range(4):
                await room.cycle()
                seen.append(room.notice(1))
                room.change_subscriber(1, name="Somebody Else")
                clock.let_pass(3600)
            assert [row.state for row in seen] == ["queued", "unknown", "queued", "sent"]
            assert len({(row.message_id, row.sha256, row.rendered_at, row.subject) for row in seen}) == 1
            assert [row.raw is None for row in seen] == [False, False, False, True]
            assert seen[0].raw == seen[2].raw == server.mailbox[0].raw

    asyncio.run(main())


@pytest.mark.parametrize("refusal", [TEMPORARY, PERMANENT], ids=["4xx", "5xx"])
def test_a_server_that_keeps_the_envelope_of_what_it_refused_after_the_dot_gets_the_next_one(
    room: Mailroom, refusal: Say
) -> None:
    """As Postfix does when its policy refuses a whole message: without RSET it says 503 to the next."""

    async def main() -> None:
        async with SmtpServer(Fault("dot", refusal)) as server:
            room.serve(server.port)
            room.subscribe(3)
            await room.cycle()
            assert room.states() == ["queued" if refusal is TEMPORARY else "failed", "sent", "sent"]
            verbs = [line.partition(" ")[0] for line in server.commands]
            assert verbs == ["EHLO", *ONE_MESSAGE, "RSET", *ONE_MESSAGE, *ONE_MESSAGE, "QUIT"]

    asyncio.run(main())


@pytest.mark.parametrize("phase", ["mail", "rcpt", "data"])
def test_a_conversation_that_is_out_of_step_is_begun_anew_and_costs_no_notice(
    room: Mailroom, phase: str
) -> None:
    async def main() -> None:
        async with SmtpServer(Fault(phase, Say("503 5.5.1 bad sequence"), after=1)) as server:
            room.serve(server.port)
            room.subscribe(3)
            report = await room.cycle()
            assert (room.count(), report.outcome) == ({"sent": 3}, "ok")
            assert server.recipients() == [address(1), address(2), address(3)]
            assert server.connections == 2

    asyncio.run(main())


def test_a_server_that_wants_something_else_first_burns_no_notice(room: Mailroom) -> None:
    """Some say 503 instead of 530 to a client that should have logged in."""

    async def main() -> None:
        async with SmtpServer(Fault("mail", Say("503 5.5.1 AUTH first"), times=None)) as server:
            room.serve(server.port)
            room.subscribe(9)
            report = await room.cycle()
            assert {(row.state, row.tries) for row in room.notices()} == {("queued", 0)}
            assert (report.outcome, len(report.problems)) == ("attention", 1)

    asyncio.run(main())
