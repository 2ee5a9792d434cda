"""The sending process is killed for real: what it may have sent is unknown, and nobody gets a second copy."""

from __future__ import annotations

import asyncio
import random
import signal
from collections import Counter
from collections.abc import Callable

import pytest

from tests.support.mailroom import Mailroom, message_ids, until
from tests.support.nursery import Nursery
from tests.support.smtp_server import SmtpServer

COUNT = 30  # fewer than are taken up at once


@pytest.mark.parametrize("point", ["before-commit:1", "committed:1", "before-commit:2", "committed:2"])
def test_a_crash_at_a_commit_makes_unknown_what_was_being_sent(
    new_room: Callable[..., Mailroom], nursery: Nursery, point: str
) -> None:
    async def main() -> None:
        async with SmtpServer() as server:
            room = new_room()
            room.serve(server.port)
            room.subscribe(COUNT)
            child = await room.run(nursery, BILLING_CRASH_AT=f"deliver.{point}")
            assert child.code == -signal.SIGKILL, child.err
            left, arrived = room.count(), len(server.mailbox)
            if point == "before-commit:1":
                assert (left, arrived) == ({"queued": COUNT}, 0)
            if point == "committed:1":  # claimed, and not a byte on its way
                assert (left, arrived) == ({"sending": COUNT}, 0)

            await recover_and_judge(room, server, nursery)

    asyncio.run(main())


@pytest.mark.parametrize("seed", range(2))
def test_a_process_that_is_killed_while_it_sends_leaves_no_second_copy(
    new_room: Callable[..., Mailroom], nursery: Nursery, seed: int
) -> None:
    rng = random.Random(seed)

    async def main() -> None:
        async with SmtpServer() as server:
            room = new_room(mail__concurrency=rng.choice([1, 4]))
            room.serve(server.port)
            room.subscribe(COUNT)
            child = room.start(nursery)
            last_words = rng.randrange(1, COUNT)
            await until(lambda: len(server.mailbox) >= last_words or child.code is not None)
            child.kill()
            await asyncio.to_thread(child.wait)

            await recover_and_judge(room, server, nursery)

    asyncio.run(main())


@pytest.mark.parametrize("point", ["committed:1", "before-commit:2"])
def test_under_resend_what_a_crash_left_goes_out_as_the_same_message(
    new_room: Callable[..., Mailroom], nursery: Nursery, point: str
) -> None:
    async def main() -> None:
        async with SmtpServer() as server:
            room = new_room(mail__on_unknown="resend")
            room.serve(server.port)
            room.subscribe(COUNT)
            await room.run(nursery, BILLING_CRASH_AT=f"deliver.{point}")
            before = room.notices()
            answer = (await room.run(nursery)).document
            after = room.notices()
            assert room.count() == {"sent": COUNT}
            assert (answer["outcome"], answer["notices"]["failed"]) == ("ok", 0)
            assert [(row.message_id, row.sha256) for row in after] == [
                (row.message_id, row.sha256) for row in before
            ]
            bytes_of: dict[str, set[bytes]] = {}
            for mail in server.mailbox:
                bytes_of.setdefault(message_ids([mail])[0], set()).add(mail.raw)
            assert len(bytes_of) == COUNT
            assert {len(versions) for versions in bytes_of.values()} == {1}

    asyncio.run(main())


async def recover_and_judge(room: Mailroom, server: SmtpServer, nursery: Nursery) -> None:
    """The next runs finish the rest; the mailbox holds what the outbox says, as far as it can know."""
    left = room.count()
    child = await room.run(nursery)
    assert child.code == (1 if left["sending"] else 0), child.err
    answer = child.document
    assert answer["notices"]["failed"] == left["sending"]
    assert answer["outcome"] == ("attention" if left["sending"] else "ok")
    ends = room.notices()
    assert Counter(row.state for row in ends) == +Counter(
        unknown=left["sending"], sent=COUNT - left["sending"]
    )
    mailbox = Counter(message_ids(server.mailbox))

    again = await room.run(nursery)
    assert again.document["notices"]["sent"] == 0
    assert Counter(message_ids(server.mailbox)) == mailbox
    for row in ends:
        assert mailbox[row.message_id] in ((1,) if row.state == "sent" else (0, 1))
