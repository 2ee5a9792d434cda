"""Claims and leases, on both databases: whoever sends has claimed, and a lease that is over sends nothing."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from collections.abc import Callable

import pytest

from billing.app.runtime import Hooks, open_store, run_once
from billing.cycle import deliver
from billing.lifecycle import notices as outbox
from tests.support.databases import DIALECTS
from tests.support.mailroom import (
    QUEUE_ONLY,
    RETRY_SECONDS,
    STEPS,
    TODAY,
    Clock,
    Mailroom,
    message_ids,
)
from tests.support.nursery import Nursery
from tests.support.smtp_server import Cut, Fault, SmtpServer

LEASE_SECONDS = 15 * 60
PAGE = deliver.window(1)


@pytest.fixture(params=DIALECTS)
def room_dialect(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_every_notice_is_claimed_before_the_server_hears_of_it(room: Mailroom, clock: Clock) -> None:
    seen: list[Counter[str]] = []

    async def main() -> None:
        async with SmtpServer() as server:
            room.serve(server.port)
            room.subscribe(5)
            hooks = Hooks(on_delivery=lambda *_: seen.append(room.count()))
            await room.cycle(hooks=hooks)
            assert seen[0] == {"sending": 5}
            assert all(set(states) <= {"sending", "sent"} for states in seen)
            assert room.count() == {"sent": 5}

    asyncio.run(main())


def test_a_process_that_slept_through_its_lease_sends_nothing_more(room: Mailroom, clock: Clock) -> None:
    async def main() -> None:
        async with SmtpServer() as server:
            room.serve(server.port)
            room.subscribe(5)
            hooks = Hooks(on_delivery=lambda *_: clock.let_pass(LEASE_SECONDS + 1))
            await room.cycle(hooks=hooks)
            rows = room.notices()
            assert [(row.state, row.tries) for row in rows] == [("sent", 1)] + [("queued", 0)] * 4
            assert {row.server_reply for row in rows[1:]} == {"its lease had ended before it was sent"}
            assert len(server.mailbox) == 1
            await room.cycle()
            assert room.count() == {"sent": 5}
            assert set(Counter(message_ids(server.mailbox)).values()) == {1}

    asyncio.run(main())


def test_what_another_run_took_for_lost_stays_unknown_whatever_the_sleeper_says(
    room: Mailroom, clock: Clock
) -> None:
    """It sleeps with one message at the server's; the other run can't know what came of any of them."""

    def sleep_and_be_recovered(*_: object) -> None:
        clock.let_pass(LEASE_SECONDS + 1)
        with open_store(room.config) as db, db.transaction() as tx:
            recovered.append(outbox.recover(tx, clock(), exclusive=False))

    recovered: list[int] = []

    async def main() -> None:
        async with SmtpServer() as server:
            room.serve(server.port)
            room.subscribe(5)
            await room.cycle(hooks=Hooks(on_delivery=sleep_and_be_recovered))
            assert recovered == [5]
            assert room.count() == {"unknown": 5}
            assert len(server.mailbox) == 1
            clock.let_pass(86_400)
            await room.cycle()
            assert len(server.mailbox) == 1

    asyncio.run(main())


def test_the_dialects_agree_on_what_comes_of_a_mixed_outbox(room: Mailroom, clock: Clock) -> None:
    async def main() -> None:
        async with SmtpServer(Fault("dot", Cut()), Fault("rcpt", Cut(), after=3)) as server:
            room.serve(server.port)
            room.set(mail__on_unknown="resend")
            room.subscribe(5)
            room.change_subscriber(2, email="nobody")
            await room.cycle()
            assert room.states() == ["unknown", "failed", "sent", "sent", "sent"]
            clock.let_pass(RETRY_SECONDS)
            await room.cycle()
            assert room.states() == ["sent", "failed", "sent", "sent", "sent"]

    asyncio.run(main())


@pytest.mark.parametrize("room_dialect", ["postgresql"], indirect=True)
def test_several_workers_share_an_outbox_and_send_nothing_twice(room: Mailroom) -> None:
    count = 3 * PAGE

    async def main() -> None:
        async with SmtpServer() as server:
            room.serve(server.port)
            room.subscribe(count)
            await room.cycle(QUEUE_ONLY)
            reports = await asyncio.gather(*(run_once(room.config, TODAY, None, STEPS) for _ in range(3)))
            assert [report.notices_sent for report in reports] == [PAGE] * 3
            assert room.count() == {"sent": count}
            assert len({row.run_id for row in room.notices()}) == 3
            assert Counter(message_ids(server.mailbox)) == {row.message_id: 1 for row in room.notices()}

    asyncio.run(main())


@pytest.mark.parametrize("room_dialect", ["postgresql"], indirect=True)
def test_what_a_killed_worker_claimed_is_left_alone_until_its_lease_is_over(
    new_room: Callable[..., Mailroom], nursery: Nursery
) -> None:
    rest = 50

    async def main() -> None:
        async with SmtpServer() as server:
            room = new_room()
            room.serve(server.port)
            room.subscribe(PAGE + rest)
            killed = await room.run(nursery, BILLING_CRASH_AT="deliver.committed:1")
            assert killed.code == -signal.SIGKILL, killed.err

            for _ in range(2):
                assert (await room.run(nursery)).code == 0
                assert room.count() == {"sending": PAGE, "sent": rest}
            room.end_leases()
            last = await room.run(nursery)
            assert (last.code, last.document["notices"]["failed"]) == (1, PAGE)
            assert room.count() == {"unknown": PAGE, "sent": rest}
            assert set(Counter(message_ids(server.mailbox)).values()) == {1}
            assert len(server.mailbox) == rest

    asyncio.run(main())
