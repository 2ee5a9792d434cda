"""Many messages over few connections: how they are shared, kept, replaced and given up."""

from __future__ import annotations

import asyncio
import random
from collections import Counter

import pytest

from billing.core.notices import Delivery, DeliveryKind
from billing.errors import ConfigError, MailError
from billing.mail.smtp import SmtpTransport
from tests.support.smtp_server import Action, Cut, Fault, Say, SmtpServer, Stall, a_mail, mail_settings

SENT, RETRY, FAILED, UNKNOWN, NOT_SENT = DeliveryKind
TOO_MANY = Say("421 4.7.0 too many connections from you")


def transport_to(server: SmtpServer, **settings: object) -> SmtpTransport:
    return SmtpTransport(mail_settings(server.port, **settings), None)


async def send_all(transport: SmtpTransport, count: int) -> list[Delivery]:
    return await asyncio.gather(*(transport.send(a_mail(n)) for n in range(count)))


def test_messages_one_after_another_share_one_connection() -> None:
    async def main() -> None:
        async with SmtpServer() as server:
            async with transport_to(server, concurrency=4) as transport:
                for n in range(10):
                    assert (await transport.send(a_mail(n))).kind is SENT
                assert server.connections == 1
            assert server.commands[-1] == "QUIT"

    asyncio.run(main())


def test_nothing_is_opened_when_there_is_nothing_to_send() -> None:
    async def main() -> None:
        async with SmtpServer() as server:
            async with transport_to(server):
                pass
            assert server.connections == 0

    asyncio.run(main())


def test_no_more_connections_than_lanes_however_many_tasks() -> None:
    async def main() -> None:
        async with SmtpServer() as server:
            async with transport_to(server, concurrency=3) as transport:
                deliveries = await send_all(transport, 60)
            assert {delivery.kind for delivery in deliveries} == {SENT}
            assert Counter(server.recipients()) == Counter(f"u{n}@example.com" for n in range(60))
            assert (server.connections, server.most_at_once, server.commands.count("QUIT")) == (3, 3, 3)

    asyncio.run(main())


def test_a_connection_is_replaced_after_a_hundred_messages() -> None:
    async def main() -> None:
        async with SmtpServer() as server:
            async with transport_to(server) as transport:
                deliveries = await send_all(transport, 250)
            assert {delivery.kind for delivery in deliveries} == {SENT}
            assert (server.connections, server.most_at_once, server.commands.count("QUIT")) == (3, 1, 3)

    asyncio.run(main())


@pytest.mark.parametrize("notice", ["", "421 4.4.2 idle for too long\r\n"])
def test_a_connection_that_was_closed_while_idle_is_replaced_unnoticed(notice: str) -> None:
    async def main() -> None:
        async with SmtpServer() as server, transport_to(server) as transport:
            assert (await transport.send(a_mail(1))).kind is SENT
            await server.close_idle(notice)
            assert (await transport.send(a_mail(2))).kind is SENT
            assert server.recipients() == ["u1@example.com", "u2@example.com"]

    asyncio.run(main())


@pytest.mark.parametrize("phase", ["mail", "rcpt", "data"])
@pytest.mark.parametrize(
    "action", [Cut(), Cut(reset=True), Say("421 4.7.0 enough for this connection")], ids=str
)
def test_a_kept_connection_that_ends_before_the_dot_is_replaced_unnoticed(
    phase: str, action: Cut | Say
) -> None:
    async def main() -> None:
        async with SmtpServer(Fault(phase, action, after=1)) as server, transport_to(server) as transport:
            assert [(await transport.send(a_mail(n))).kind for n in (1, 2)] == [SENT, SENT]
            assert (server.connections, server.recipients()) == (2, ["u1@example.com", "u2@example.com"])

    asyncio.run(main())


def test_a_kept_connection_that_ends_after_the_dot_is_not_tried_again() -> None:
    async def main() -> None:
        async with SmtpServer(Fault("dot", Cut(keep=True), after=1)) as server:
            async with transport_to(server) as transport:
                assert [(await transport.send(a_mail(n))).kind for n in (1, 2, 3)] == [SENT, UNKNOWN, SENT]
            assert server.recipients() == ["u1@example.com", "u2@example.com", "u3@example.com"]

    asyncio.run(main())


def test_a_server_that_restarts_between_messages_goes_unnoticed() -> None:
    async def main() -> None:
        async with SmtpServer() as server, transport_to(server) as transport:
            assert (await transport.send(a_mail(1))).kind is SENT
            await server.stop()
            await server.start()
            assert (await transport.send(a_mail(2))).kind is SENT

    asyncio.run(main())


def test_a_server_that_is_gone_stops_the_channel_until_it_is_entered_again() -> None:
    async def main() -> None:
        async with SmtpServer() as server:
            transport = transport_to(server, concurrency=2)
            async with transport:
                assert (await transport.send(a_mail(1))).kind is SENT
                await server.stop()
                for n in (2, 3, 4):
                    with pytest.raises(MailError, match="Connection refused"):
                        await transport.send(a_mail(n))
                await server.start()
                with pytest.raises(MailError):
                    await transport.send(a_mail(5))
            async with transport:
                assert (await transport.send(a_mail(2))).kind is SENT
            with pytest.raises(MailError, match="closed"):
                await transport.send(a_mail(3))
            assert server.recipients() == ["u1@example.com", "u2@example.com"]

    asyncio.run(main())


def test_a_server_with_room_for_fewer_connections_is_served_with_fewer() -> None:
    async def main() -> None:
        async with SmtpServer(Fault("greeting", TOO_MANY, times=None, after=2)) as server:
            async with transport_to(server, concurrency=8) as transport:
                deliveries = await send_all(transport, 80)
            assert {delivery.kind for delivery in deliveries} == {SENT}
            assert len(server.mailbox) == 80
            assert server.connections == 8  # each lane asked once and no more

    asyncio.run(main())


def test_a_server_with_room_for_nobody_stops_the_channel() -> None:
    async def main() -> None:
        async with SmtpServer(Fault("greeting", TOO_MANY, times=None)) as server:
            async with transport_to(server, concurrency=4) as transport:
                outcomes = await asyncio.gather(
                    *(transport.send(a_mail(n)) for n in range(9)), return_exceptions=True
                )
            assert all(isinstance(outcome, MailError) for outcome in outcomes)
            assert server.connections == 1

    asyncio.run(main())


def test_a_server_that_only_ever_cuts_is_given_up() -> None:
    async def main() -> None:
        async with SmtpServer(Fault("rcpt", Cut(), times=None)) as server:
            async with transport_to(server, concurrency=2) as transport:
                for n in range(7):
                    assert (await transport.send(a_mail(n))).kind is NOT_SENT
                with pytest.raises(MailError, match="7 times in a row"):
                    await transport.send(a_mail(8))
            assert server.connections == 7

    asyncio.run(main())


def test_a_cancelled_message_takes_its_connection_with_it_and_no_lane() -> None:
    async def main() -> None:
        async with SmtpServer(Fault("rcpt", Stall())) as server, transport_to(server) as transport:
            task = asyncio.create_task(transport.send(a_mail(1)))
            await server.heard("RCPT TO:<u1@example.com>")
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            async with asyncio.timeout(10):  # it doesn't wait for the answer to the first
                assert (await transport.send(a_mail(2))).kind is SENT
            assert server.recipients() == ["u2@example.com"]

    asyncio.run(main())


def test_sending_in_the_clear_is_refused_for_any_other_machine() -> None:
    with pytest.raises(ConfigError, match="smtp_tls"):
        SmtpTransport(mail_settings(25, smtp_host="mail.example.com"), None)


@pytest.mark.parametrize("seed", range(6))
def test_whatever_happens_every_message_is_accounted_for_and_there_at_most_once(seed: int) -> None:
    chance = random.Random(seed)
    actions: list[Action] = [
        Cut(),
        Cut(reset=True),
        Cut(keep=True),
        Say("451 4.3.0 later"),
        Say("552 5.0.0 too large"),
        Say("421 4.3.2 bye"),
    ]
    phases = ["mail", "rcpt", "data", "body", "dot", "replied", "rset"]
    faults = [
        Fault(chance.choice(phases), chance.choice(actions), after=chance.randrange(150)) for _ in range(60)
    ]

    async def main() -> None:
        async with SmtpServer(
            *(f for f in faults if f.phase != "body" or isinstance(f.action, Cut))
        ) as server:
            async with transport_to(server, concurrency=4) as transport:
                deliveries = await send_all(transport, 200)
            there = Counter(server.recipients())
            assert max(there.values()) == 1
            for n, delivery in enumerate(deliveries):
                if delivery.kind is not UNKNOWN:
                    assert there[f"u{n}@example.com"] == (delivery.kind is SENT), delivery
            assert len({delivery.kind for delivery in deliveries}) >= 4

    asyncio.run(main())
