"""When a notice is tried again, and when never: after a 4xx, a 5xx, and an answer that was lost."""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from datetime import timedelta

import pytest

from billing.app.decisions import resend_notice
from billing.app.runtime import open_store
from tests.support.mailroom import NOON, RETRY_SECONDS, Clock, Mailroom, address, message_ids
from tests.support.smtp_server import Cut, Fault, Say, SmtpServer

GREYLISTED = Say("451 4.7.1 greylisted")
LOST = Cut()
TAKEN_AND_LOST = Cut(keep=True)
DAY = 86_400


def test_the_back_off_doubles_and_ends_after_eleven_tries_in_a_failure(room: Mailroom, clock: Clock) -> None:
    async def main() -> None:
        async with SmtpServer(Fault("rcpt", GREYLISTED, times=None)) as server:
            room.serve(server.port)
            room.subscribe(1)
            for tries in range(1, 11):
                await room.cycle()
                row = room.notice(1)
                wait = RETRY_SECONDS * 2 ** (tries - 1)
                assert (row.state, row.tries, row.server_reply) == (
                    "queued",
                    tries,
                    "451 4.7.1 greylisted (in reply to RCPT TO)",
                )
                assert row.next_try_at == clock.now + timedelta(seconds=wait)

                clock.let_pass(wait - 1)
                early = await room.cycle()
                assert (early.outcome, early.notices_held) == ("ok", 1)
                assert asked(server) == tries  # never before its time
                clock.let_pass(1)
            last = await room.cycle()
            row = room.notice(1)
            assert (row.state, row.tries, row.server_reply) == (
                "failed",
                11,
                "451 4.7.1 greylisted (in reply to RCPT TO)",
            )
            assert (last.outcome, last.notices_failed) == ("attention", 1)
            clock.let_pass(30 * DAY)
            await room.cycle()
            assert (asked(server), server.mailbox) == (11, [])

    asyncio.run(main())


def test_of_many_each_waits_for_its_own_time(room: Mailroom, clock: Clock) -> None:
    async def main() -> None:
        faults = [Fault("rcpt", GREYLISTED, times=n, recipient=address(n)) for n in range(1, 4)]
        async with SmtpServer(*faults) as server:
            room.serve(server.port)
            room.subscribe(4)
            arrivals = []
            for _ in range(8):  # notice n goes out after 2^n - 1 waits
                await room.cycle()
                arrivals.append(len(server.mailbox))
                clock.let_pass(RETRY_SECONDS)
            assert arrivals == [1, 2, 2, 3, 3, 3, 3, 4]
            assert server.recipients() == [address(4), address(1), address(2), address(3)]
            assert [row.tries for row in room.notices()] == [2, 3, 4, 1]

    asyncio.run(main())


def test_a_refusal_for_good_is_never_repeated(room: Mailroom, clock: Clock) -> None:
    async def main() -> None:
        fault = Fault("rcpt", Say("550 5.1.1 no such user"), times=None, recipient=address(2))
        async with SmtpServer(fault) as server:
            room.serve(server.port)
            room.subscribe(3)
            report = await room.cycle()
            assert (report.notices_sent, report.notices_failed, report.outcome) == (2, 1, "attention")
            clock.let_pass(DAY)
            again = await room.cycle()
            # It waits for a person until it is resent, whichever run it failed in.
            assert (again.notices_failed, again.outcome) == (0, "attention")
            assert room.states() == ["sent", "failed", "sent"]
            assert asked(server) == 3

    asyncio.run(main())


@pytest.mark.parametrize("loss", [LOST, TAKEN_AND_LOST], ids=["not taken", "taken"])
def test_under_hold_an_unknown_notice_is_never_sent_again(room: Mailroom, clock: Clock, loss: Cut) -> None:
    async def main() -> None:
        async with SmtpServer(Fault("dot", loss)) as server:
            room.serve(server.port)
            room.subscribe(2)
            report = await room.cycle()
            assert (report.notices_failed, report.notices_held, report.outcome) == (1, 1, "attention")
            for _ in range(3):
                clock.let_pass(DAY)
                await room.cycle()
            assert room.states() == ["unknown", "sent"]
            assert Counter(server.recipients()) == {address(2): 1} | ({address(1): 1} if loss.keep else {})

    asyncio.run(main())


def test_under_resend_an_unknown_notice_goes_out_again_as_it_was(room: Mailroom, clock: Clock) -> None:
    async def main() -> None:
        async with SmtpServer(Fault("dot", TAKEN_AND_LOST)) as server:
            room.serve(server.port)
            room.set(mail__on_unknown="resend")
            room.subscribe(2)
            await room.cycle()
            before = room.notice(1)
            assert (before.state, before.tries) == ("unknown", 1)

            clock.let_pass(RETRY_SECONDS - 1)
            await room.cycle()
            assert room.notice(1).state == "unknown"  # not before its time
            clock.let_pass(1)
            await room.cycle()

            after = room.notice(1)
            assert (after.state, after.tries) == ("sent", 2)
            assert (after.message_id, after.sha256) == (before.message_id, before.sha256)
            copies = [mail.raw for mail in server.mailbox if mail.recipient == address(1)]
            assert len(copies) == 2
            assert {hashlib.sha256(raw).hexdigest() for raw in copies} == {before.sha256}
            assert message_ids(server.mailbox).count(before.message_id) == 2

    asyncio.run(main())


def test_a_server_that_never_answers_gets_a_notice_eleven_times_and_not_every_cycle_for_ever(
    room: Mailroom, clock: Clock
) -> None:
    """It takes each mail and then says nothing: what the subscriber gets is bounded, also under `resend`."""

    async def main() -> None:
        async with SmtpServer(Fault("dot", TAKEN_AND_LOST, times=None)) as server:
            room.serve(server.port)
            room.set(mail__on_unknown="resend")
            room.subscribe(1)
            for _ in range(30):  # five hours of cycles
                await room.cycle()
                clock.let_pass(600)
            assert len(server.mailbox) == 8
            for _ in range(6):
                clock.let_pass(DAY)
                await room.cycle()
            assert (len(server.mailbox), room.states()) == (11, ["unknown"])
            assert len(set(message_ids(server.mailbox))) == 1

    asyncio.run(main())


def test_an_unknown_notice_is_resent_when_a_person_says_so(room: Mailroom, clock: Clock) -> None:
    async def main() -> None:
        async with SmtpServer(Fault("dot", TAKEN_AND_LOST)) as server:
            room.serve(server.port)
            room.subscribe(1)
            await room.cycle()
            unknown = room.notice(1)
            with open_store(room.config) as db:
                resend_notice(db, unknown.id, clock())
            await room.cycle()
            assert room.states() == ["sent"]
            assert message_ids(server.mailbox) == [unknown.message_id] * 2
            assert server.mailbox[0].raw == server.mailbox[1].raw

    asyncio.run(main())


def test_a_notice_to_a_wrong_address_goes_to_the_right_one_when_a_person_resends_it(
    room: Mailroom, clock: Clock
) -> None:
    async def main() -> None:
        async with SmtpServer(Fault("rcpt", Say("550 5.1.1 no such user"), recipient=address(1))) as server:
            room.serve(server.port)
            room.subscribe(1)
            await room.cycle()
            failed = room.notice(1)
            assert (failed.state, failed.to_address) == ("failed", address(1))
            room.change_subscriber(1, email="right@example.com")
            with open_store(room.config) as db:
                resend_notice(db, failed.id, clock())
            await room.cycle()
            sent = room.notice(1)
            assert (sent.state, sent.to_address, sent.tries) == ("sent", "right@example.com", 1)
            assert server.recipients() == ["right@example.com"]
            assert message_ids(server.mailbox) == [failed.message_id]
            assert b"To: Name 1 <right@example.com>" in server.mailbox[0].raw

    asyncio.run(main())


def test_what_is_put_off_keeps_its_place_when_the_channel_goes_down(room: Mailroom, clock: Clock) -> None:
    """A try that was not made costs nothing: after it the back-off goes on where it was."""

    async def main() -> None:
        async with SmtpServer(Fault("rcpt", GREYLISTED, times=2)) as server:
            room.serve(server.port)
            room.subscribe(1)
            await room.cycle()
            clock.let_pass(RETRY_SECONDS)
            server.faults.append(Fault("greeting", LOST))
            await room.cycle()
            row = room.notice(1)
            assert (row.state, row.tries, row.next_try_at) == ("queued", 1, NOON + timedelta(seconds=60))
            await room.cycle()
            assert (room.notice(1).tries, room.notice(1).next_try_at) == (
                2,
                clock.now + timedelta(seconds=2 * RETRY_SECONDS),
            )

    asyncio.run(main())


def asked(server: SmtpServer) -> int:
    """How often a recipient was named to the server."""
    return sum(line.startswith("RCPT") for line in server.commands)
