"""Against a real mail server: every message is there once, and every refusal is known for what it is."""

from __future__ import annotations

import asyncio
from collections import Counter
from threading import Lock

import pytest

from billing.core.notices import Delivery, DeliveryKind
from billing.errors import MailError
from billing.mail.smtp import SmtpTransport
from tests.support.postfix import Postfix, why_no_mta
from tests.support.smtp_server import a_mail, mail_settings

pytestmark = pytest.mark.skipif(bool(why_no_mta()), reason=why_no_mta() or "a real mail server is here")

SENT, RETRY, FAILED, UNKNOWN, NOT_SENT = DeliveryKind


async def send_all(transport: SmtpTransport, numbers: list[int]) -> dict[int, Delivery]:
    deliveries = await asyncio.gather(*(transport.send(a_mail(n, size=5000)) for n in numbers))
    return dict(zip(numbers, deliveries, strict=True))


def test_hundreds_of_messages_with_greylisting_and_bad_addresses() -> None:
    asked: Counter[str] = Counter()
    lock = Lock()

    def judge(recipient: str) -> str:
        with lock:
            asked[recipient] += 1
        number = int(recipient[1:].partition("@")[0])
        if number % 50 == 7:
            return f"550 5.1.1 <{recipient}>: no such user"
        if number % 3 == 0 and asked[recipient] == 1:
            return "451 4.7.1 Greylisted, come back later"
        return "DUNNO"

    async def main(port: int) -> dict[int, Delivery]:
        async with SmtpTransport(mail_settings(port, concurrency=4), None) as transport:
            first = await send_all(transport, list(range(300)))
            again = [n for n, delivery in first.items() if delivery.kind is RETRY]
            return first | await send_all(transport, again)

    with Postfix(judge) as mta:
        deliveries = asyncio.run(main(mta.port))
        failed = {n for n, delivery in deliveries.items() if delivery.kind is FAILED}
        mta.wait_until_delivered()
        there = Counter(mta.recipients())
        assert b"\r\n.a line that begins with a dot" in mta.messages()[0].replace(b"\n", b"\r\n")
    assert failed == {7, 57, 107, 157, 207, 257}
    assert deliveries[7].server_reply == (
        "550 5.1.1 <address>: Recipient address rejected: <address>: no such user (in reply to RCPT TO)"
    )
    assert {delivery.kind for delivery in deliveries.values()} == {SENT, FAILED}
    assert there == Counter(f"u{n}@example.com" for n in range(300) if n not in failed)


def test_a_server_that_is_killed_and_restarted_gets_every_message_once() -> None:
    async def cycle(port: int, numbers: list[int], mta: Postfix | None) -> dict[int, Delivery | None]:
        """One cycle of a caller: what `MailError` stopped was not sent; the server dies in the middle."""
        outcomes: dict[int, Delivery | None] = {}

        async def lane(transport: SmtpTransport) -> None:
            while numbers:
                n = numbers.pop()
                try:
                    outcomes[n] = await transport.send(a_mail(n))
                except MailError:
                    outcomes[n] = None
                    return
                if mta is not None and len(outcomes) == 60:
                    await asyncio.to_thread(mta.kill)

        async with SmtpTransport(mail_settings(port, concurrency=4), None) as transport:
            await asyncio.gather(*(lane(transport) for _ in range(4)))
        return outcomes

    with Postfix() as mta:
        waiting = list(range(200))
        before = asyncio.run(cycle(mta.port, waiting, mta))
        assert waiting  # the channel stopped
        mta.start()
        waiting += [n for n, delivery in before.items() if delivery is None or delivery.kind is NOT_SENT]
        after = asyncio.run(cycle(mta.port, waiting, None))
        outcomes = before | after
        sent = [n for n, delivery in outcomes.items() if delivery is not None and delivery.kind is SENT]
        mta.wait_until_delivered()
        there = Counter(mta.recipients())
    assert sorted(outcomes) == list(range(200))
    assert set(there.values()) == {1}
    assert set(there) >= {f"u{n}@example.com" for n in sent}
    others = [outcomes[n] for n in set(outcomes) - set(sent)]
    assert {delivery and delivery.kind for delivery in others} <= {UNKNOWN}
