"""Whatever befalls the conversations, cycle after cycle: every notice is accounted for, and there once."""

from __future__ import annotations

import asyncio
import random
from collections import Counter

import pytest

from tests.support.mailroom import RETRY_SECONDS, Clock, Mailroom, address, message_ids
from tests.support.smtp_server import Action, Cut, Fault, Say, SmtpServer

COUNT = 120
ACTIONS: list[Action] = [
    Cut(),
    Cut(reset=True),
    Cut(keep=True),
    Say("451 4.3.0 later"),
    Say("550 5.0.0 no"),
    Say("421 4.3.2 bye"),
]
PHASES = ["greeting", "ehlo", "mail", "rcpt", "data", "body", "dot", "replied", "rset", "quit"]


def some_faults(chance: random.Random, count: int) -> list[Fault]:
    faults = [
        Fault(chance.choice(PHASES), chance.choice(ACTIONS), after=chance.randrange(COUNT // 2))
        for _ in range(count)
    ]
    return [fault for fault in faults if fault.phase != "body" or isinstance(fault.action, Cut)]


@pytest.mark.parametrize("on_unknown", ["hold", "resend"])
@pytest.mark.parametrize("seed", range(3))
def test_every_notice_is_accounted_for_and_there_at_most_once_under_hold(
    room: Mailroom, clock: Clock, seed: int, on_unknown: str
) -> None:
    chance = random.Random(f"{seed}/{on_unknown}")

    async def main() -> None:
        async with SmtpServer(*some_faults(chance, 50)) as server:
            room.serve(server.port)
            room.set(mail__concurrency=chance.choice([1, 2, 4]), mail__on_unknown=on_unknown)
            room.subscribe(COUNT)
            doubtful: set[str] = set()
            for cycle in range(40):
                report = await room.cycle()
                rows = room.notices()
                doubtful |= {row.message_id for row in rows if row.state == "unknown"}
                assert report.notices_held == sum(row.state in ("queued", "unknown") for row in rows)
                clock.let_pass(RETRY_SECONDS * chance.randrange(1, 20))
                if chance.random() < 0.2:  # a restart between two cycles
                    await server.stop()
                    await server.start()
                if cycle == 3:
                    server.faults.clear()
                waiting = {"queued", "unknown"} if on_unknown == "resend" else {"queued"}
                if cycle > 3 and not waiting & {row.state for row in rows}:
                    break

            there = Counter(message_ids(server.mailbox))
            states = room.count()
            assert sum(states.values()) == COUNT
            assert states["queued"] == 0
            assert set(server.recipients()) <= {address(n) for n in range(1, COUNT + 1)}
            for row in room.notices():
                copies = there[row.message_id]
                if row.state == "sent":
                    assert copies == 1 or (copies > 1 and row.message_id in doubtful)
                elif row.state == "failed":
                    assert copies == 0 or row.message_id in doubtful
                assert copies <= 1 or on_unknown == "resend"
            if on_unknown == "resend":
                assert states["unknown"] == 0
                assert doubtful

    asyncio.run(main())
