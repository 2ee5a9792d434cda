"""Whose fault a refusal is: the account's stops the channel and fails no notice, the addressee's is final."""

from __future__ import annotations

import asyncio
import json
import os
from collections import Counter
from collections.abc import Callable

import pytest

from billing.app.runtime import Hooks
from billing.cycle import deliver
from tests.support.mailroom import Clock, Mailroom, address
from tests.support.nursery import Child, Nursery
from tests.support.smtp_server import Fault, Say, SmtpServer

QUOTA = Say("550 5.4.5 Daily user sending limit exceeded")
UNWANTED = Say("550 5.7.0 Local policy violation")


def tries(room: Mailroom) -> list[tuple[str, int]]:
    return [(row.state, row.tries) for row in room.notices()]


def ticking(clock: Clock) -> Hooks:
    """Each delivery takes a moment, as in life: what is put back comes after what was queued before."""
    return Hooks(on_delivery=lambda *_: clock.let_pass(0.01))


@pytest.mark.parametrize(
    ("phase", "action", "advice"),
    [
        ("mail", Say("550 5.1.0 no"), "correct mail.from_address"),
        ("rcpt", Say("554 5.7.1 <x@example.com>: Relay access denied"), "set mail.smtp_username"),
        ("data", QUOTA, "wait until it renews"),
        ("dot", QUOTA, "wait until it renews"),
        ("dot", Say("454 Throttling failure: Daily message quota exceeded"), "wait until it renews"),
        ("dot", Say("550 5.7.1 your account is suspended"), "ask the provider why"),
    ],
    ids=str,
)
@pytest.mark.parametrize("lanes", [1, 4])
def test_an_answer_about_the_account_fails_no_notice_and_keeps_the_rest(
    room: Mailroom, clock: Clock, phase: str, action: Say, advice: str, lanes: int
) -> None:
    async def main() -> None:
        async with SmtpServer(Fault(phase, action, after=2, times=None)) as server:
            room.set(mail__concurrency=lanes)
            room.serve(server.port)
            room.subscribe(10)
            report = await room.cycle()
            assert room.count() == {"sent": 2, "queued": 8}
            assert {(row.tries, row.lease_until) for row in room.notices() if row.state == "queued"} == {
                (0, None)
            }
            assert (report.outcome, report.notices_sent, report.notices_failed) == ("attention", 2, 0)
            (problem,) = report.problems
            words = action.line.partition("<")[0]
            assert problem.startswith(f"mail: the mail server takes no mail from this account: {words}")
            assert advice in problem
            assert "@" not in problem
            assert server.commands.count("DATA") <= 2 + lanes

            server.faults.clear()
            clock.let_pass(1)
            report = await room.cycle()
            assert (report.outcome, report.notices_sent) == ("ok", 8)
            assert Counter(server.recipients()) == Counter(address(n) for n in range(1, 11))

    asyncio.run(main())


def test_an_addressee_who_alone_gets_such_an_answer_comes_last_in_the_next_run(
    room: Mailroom, clock: Clock
) -> None:
    """A relay that knows the hosts of some: the others must not wait behind the one that it does not."""

    async def main() -> None:
        fault = Fault("rcpt", Say("554 5.7.1 Relay access denied"), times=None, recipient=address(1))
        async with SmtpServer(fault) as server:
            room.serve(server.port)
            room.subscribe(4)
            await room.cycle(hooks=ticking(clock))
            assert server.recipients() == []
            report = await room.cycle()
            assert server.recipients() == [address(2), address(3), address(4)]
            assert (room.notice(1).state, room.notice(1).tries) == ("queued", 0)
            assert "Relay access denied" in report.problems[0]

    asyncio.run(main())


@pytest.mark.parametrize("lanes", [1, 4])
@pytest.mark.parametrize("at_once", [64, 2])
def test_a_server_that_refuses_everybody_fails_nobody(
    room: Mailroom, clock: Clock, monkeypatch: pytest.MonkeyPatch, lanes: int, at_once: int
) -> None:
    """Also if what came of the first is written before the last is refused."""
    monkeypatch.setattr(deliver, "window", lambda _lanes: at_once)

    async def main() -> None:
        async with SmtpServer(Fault("rcpt", UNWANTED, times=None)) as server:
            room.set(mail__concurrency=lanes)
            room.serve(server.port)
            room.subscribe(30)
            report = await room.cycle()
            assert tries(room) == [("queued", 0)] * 30
            assert (report.outcome, report.notices_failed, report.notices_held) == ("attention", 0, 30)
            (problem,) = report.problems
            assert (
                "refused 5 addressees and took no e-mail in this run, at last with 550 5.7.0 Local" in problem
            )
            assert sum(line.startswith("RCPT") for line in server.commands) <= 4 + lanes

            server.faults.clear()
            clock.let_pass(1)
            report = await room.cycle()
            assert (report.outcome, report.notices_sent) == ("ok", 30)

    asyncio.run(main())


@pytest.mark.parametrize("refused", [1, 4])
def test_a_run_in_which_only_a_few_were_refused_takes_it_for_their_own_fault(
    room: Mailroom, refused: int
) -> None:
    async def main() -> None:
        async with SmtpServer(Fault("rcpt", UNWANTED, times=None)) as server:
            room.serve(server.port)
            room.subscribe(refused)
            report = await room.cycle()
            assert tries(room) == [("failed", 1)] * refused
            assert (report.outcome, report.notices_failed, report.problems) == ("attention", refused, [])

    asyncio.run(main())


@pytest.mark.parametrize("good", [5, 1], ids=["after the refusals", "before them"])
def test_one_who_is_served_proves_that_the_others_were_refused_for_themselves(
    room: Mailroom, good: int
) -> None:
    bad = [n for n in range(1, 6) if n != good] + ([6] if good == 1 else [])
    faults = [Fault("rcpt", UNWANTED, times=None, recipient=address(n)) for n in bad]

    async def main() -> None:
        async with SmtpServer(*faults) as server:
            room.serve(server.port)
            room.subscribe(max(good, *bad))
            report = await room.cycle()
            assert {room.notice(n).state for n in bad} == {"failed"}
            assert room.notice(good).state == "sent"
            assert (report.notices_failed, report.problems) == (len(bad), [])

    asyncio.run(main())


def test_one_addressee_of_many_notices_is_one_addressee(room: Mailroom) -> None:
    async def main() -> None:
        async with SmtpServer(Fault("rcpt", UNWANTED, times=None)) as server:
            room.serve(server.port)
            room.subscribe(7)
            for n in range(1, 8):
                room.change_subscriber(n, email="one@example.com" if n % 2 else "One@EXAMPLE.com")
            report = await room.cycle()
            assert (room.count(), report.problems) == ({"failed": 7}, [])

    asyncio.run(main())


def test_a_few_who_were_refused_before_the_channel_failed_are_judged_in_the_next_run(
    room: Mailroom, clock: Clock
) -> None:
    async def main() -> None:
        unknown = [Fault("rcpt", Say("550 5.1.1 unknown"), times=None, recipient=address(n)) for n in (1, 2)]
        quota = Fault("rcpt", QUOTA, recipient=address(3))
        async with SmtpServer(*unknown, quota) as server:
            room.serve(server.port)
            room.subscribe(4)
            await room.cycle()
            assert tries(room) == [("queued", 0)] * 4
            clock.let_pass(1)
            await room.cycle()
            assert room.states() == ["failed", "failed", "sent", "sent"]

    asyncio.run(main())


def test_those_whom_the_server_keeps_refusing_are_final_once_anybody_is_served(
    room: Mailroom, clock: Clock
) -> None:
    """They come first in one run and last in the next, so newcomers wait for one run at most."""
    faults = [Fault("rcpt", UNWANTED, times=None, recipient=address(n)) for n in range(1, 7)]

    async def main() -> None:
        async with SmtpServer(*faults) as server:
            room.serve(server.port)
            room.subscribe(6)
            await room.cycle()
            assert room.count() == {"queued": 6}
            room.subscribe(2, first=7)
            for _ in range(2):
                clock.let_pass(60)
                await room.cycle(hooks=ticking(clock))
            assert server.recipients() == [address(7), address(8)]
            assert room.count() == {"failed": 6, "sent": 2}

    asyncio.run(main())


def test_a_refusal_that_is_not_decided_for_long_is_written_before_its_lease_ends(
    room: Mailroom, clock: Clock
) -> None:
    async def main() -> None:
        faults = [
            Fault("rcpt", UNWANTED, recipient=address(1)),
            Fault("rcpt", Say("451 4.7.1 later"), times=None),
        ]
        async with SmtpServer(*faults) as server:
            room.serve(server.port)
            room.subscribe(3)
            seen: list[str] = []

            def checkpoint(name: str) -> None:
                if name == "deliver.committed":
                    seen.append(room.notice(1).state)

            # Of so many notices the first pages are written while the last are not asked about yet.
            room.subscribe(200, first=4)
            hooks = Hooks(on_delivery=lambda *_: clock.let_pass(10), checkpoint=checkpoint)
            await room.cycle(hooks=hooks)
            assert seen.index("failed") < len(seen) - 2
            assert "unknown" not in seen

    asyncio.run(main())


def test_a_quota_in_the_middle_of_the_outbox_as_people_see_it(
    new_room: Callable[..., Mailroom], nursery: Nursery
) -> None:
    """The whole program in real time: two are sent, eight wait untouched, and all commands say why."""

    async def main() -> None:
        async with SmtpServer(Fault("data", QUOTA, after=2, times=None)) as server:
            room = new_room()
            room.serve(server.port)
            room.subscribe(10)

            async def ask(*arguments: str) -> Child:
                environ = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", **room.environ}
                child = nursery.start(arguments, environ, room.folder)
                await asyncio.to_thread(child.wait)
                return child

            first = await room.run(nursery)
            assert first.code == 1, first.err
            assert room.count() == {"sent": 2, "queued": 8}
            assert {row.tries for row in room.notices() if row.state == "queued"} == {0}
            (problem,) = first.document["problems"]
            said = "550 5.4.5 Daily user sending limit exceeded (in reply to DATA)"
            assert said in problem
            assert first.document["notices"] == {"queued": 10, "sent": 2, "failed": 0, "held": 8}

            status, doctor = await ask("status"), await ask("doctor")
            assert (status.code, doctor.code) == (1, 1)
            assert "8 e-mails are not sent, because the mail channel stopped" in status.out
            for shown in (status.out, doctor.out):
                assert said in shown
                assert "wait until it renews, or raise it with the provider" in shown
                assert "@example.com" not in shown
            document = json.loads((await ask("status", "--json")).out)
            assert (document["healthy"], document["needs"][0]["count"]) == (False, 8)

            server.faults.clear()
            second = await room.run(nursery)
            assert second.code == 0, second.err
            assert second.document["notices"]["sent"] == 8
            assert Counter(server.recipients()) == Counter(address(n) for n in range(1, 11))
            status = await ask("status")
            assert status.code == 0, status.out
            assert "could not send" not in (await ask("doctor")).out

    asyncio.run(main())
