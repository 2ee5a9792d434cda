"""Every phase × every fault: the one answer that is true, and what the server's mailbox then holds."""

from __future__ import annotations

import asyncio

import pytest

from billing.config.secrets import Secret
from billing.core.notices import Delivery, DeliveryKind
from billing.errors import AccountRefused, MailError
from billing.mail.smtp import SmtpTransport
from tests.support.smtp_server import Action, Cut, Drip, Fault, Say, SmtpServer, Stall, a_mail, mail_settings

SENT, RETRY, FAILED, UNKNOWN, NOT_SENT = DeliveryKind
LARGE = 8_000_000  # bytes, more than all the buffers between the two

TEMPORARY = Say("451 4.3.0 try later")
PERMANENT = Say("554 5.7.1 we don't want it")
TOO_LARGE = Say("552 5.3.4 too large")  # also at MAIL FROM about the message alone
LEAVING = Say("421 4.3.2 shutting down")
NONSENSE = Say("hello?", then_cut=True)
LOSSES: list[Action] = [Cut(), Cut(reset=True), Stall(), NONSENSE]
KEPT: list[Action] = [Cut(keep=True), Cut(keep=True, reset=True), Stall(keep=True)]


def deliver(
    *faults: Fault, mails: int = 1, size: int = 0, **settings: object
) -> tuple[list[Delivery], SmtpServer]:
    """Hand some messages over, one after another, to a server with these faults."""

    async def main() -> tuple[list[Delivery], SmtpServer]:
        async with SmtpServer(*faults) as server:
            password = Secret("hunter2", "test") if settings.get("smtp_username") else None
            async with SmtpTransport(mail_settings(server.port, **settings), password) as transport:
                return [await transport.send(a_mail(n + 1, size=size)) for n in range(mails)], server

    return asyncio.run(main())


def time_limit(action: Action) -> float:
    return 0.6 if isinstance(action, Stall) else 20.0


BEFORE_THE_DOT = [
    (phase, action, kind)
    for phase in ("mail", "rcpt", "data")
    for action, kind in [
        *((loss, NOT_SENT) for loss in LOSSES),
        (LEAVING, NOT_SENT),
        (Say("250 2.0.0 fine") if phase == "data" else Say("354 what?"), NOT_SENT),
        (TEMPORARY, RETRY),
        (TOO_LARGE, FAILED),
        (Drip(), SENT),
    ]
]
AFTER_THE_DOT = [
    *(("dot", loss, UNKNOWN) for loss in LOSSES),
    *(("dot", kept, UNKNOWN) for kept in KEPT),
    ("dot", Say("354 again?"), UNKNOWN),
    ("dot", TEMPORARY, RETRY),
    ("dot", LEAVING, RETRY),
    ("dot", PERMANENT, FAILED),
    ("dot", Drip(), SENT),
    ("replied", Cut(), SENT),
    ("replied", LEAVING, SENT),
    ("quit", Cut(), SENT),
    ("quit", Stall(), SENT),
]


@pytest.mark.parametrize(("phase", "action", "kind"), BEFORE_THE_DOT + AFTER_THE_DOT, ids=str)
def test_each_fault_at_each_phase_has_its_delivery(phase: str, action: Action, kind: DeliveryKind) -> None:
    deliveries, server = deliver(Fault(phase, action), mails=2, smtp_timeout_seconds=time_limit(action))
    assert [delivery.kind for delivery in deliveries] == [kind, SENT]  # the next one gets through
    first_is_there = kind is SENT or getattr(action, "keep", False)
    assert server.recipients() == ["u1@example.com"] * first_is_there + ["u2@example.com"]


@pytest.mark.parametrize("action", [Cut(), Cut(reset=True), Cut(half=True), Stall()], ids=str)
def test_a_large_message_cut_in_the_middle_is_proved_not_sent(action: Action) -> None:
    deliveries, server = deliver(Fault("body", action), size=LARGE, smtp_timeout_seconds=1.0)
    assert [delivery.kind for delivery in deliveries] == [NOT_SENT]
    assert server.mailbox == []


@pytest.mark.parametrize("action", [Cut(), Cut(reset=True), Stall()], ids=str)
def test_a_small_message_cut_in_the_middle_is_unknown(action: Action) -> None:
    # All of it had left before the server cut: the dot may have arrived, for all we can know.
    deliveries, server = deliver(Fault("body", action), size=2000, smtp_timeout_seconds=time_limit(action))
    assert [delivery.kind for delivery in deliveries] == [UNKNOWN]
    assert server.mailbox == []


@pytest.mark.parametrize("phase", ["greeting", "ehlo", "auth"])
@pytest.mark.parametrize("action", [*LOSSES, LEAVING, TEMPORARY, PERMANENT], ids=str)
def test_a_fault_before_the_first_message_is_the_channels(phase: str, action: Action) -> None:
    login = {"smtp_username": "anna@example.com"} if phase == "auth" else {}

    async def main() -> None:
        async with SmtpServer(Fault(phase, action), extensions=("AUTH PLAIN LOGIN",)) as server:
            settings = mail_settings(server.port, smtp_timeout_seconds=time_limit(action), **login)
            async with SmtpTransport(settings, Secret("hunter2", "test")) as transport:
                with pytest.raises(MailError, match=f"127.0.0.1:{server.port}.*; ") as caught:
                    await transport.send(a_mail(1))
                with pytest.raises(MailError):  # and stays so, without asking the server again
                    await transport.send(a_mail(2))
            assert (server.connections, server.mailbox) == (1, [])
            assert "hunter2" not in str(caught.value)
            assert "@" not in str(caught.value)

    asyncio.run(main())


@pytest.mark.parametrize("phase", ["greeting", "ehlo", "rset", "quit"])
def test_a_slow_server_is_not_a_fault(phase: str) -> None:
    faults = [Fault(phase, Drip()), Fault("rcpt", PERMANENT)]
    deliveries, _server = deliver(*faults, mails=2)
    assert [delivery.kind for delivery in deliveries] == [FAILED, SENT]


def test_a_reply_that_drips_beyond_the_time_limit_is_given_up() -> None:
    deliveries, server = deliver(Fault("rcpt", Drip(0.1)), smtp_timeout_seconds=0.5)
    assert [delivery.kind for delivery in deliveries] == [NOT_SENT]
    assert server.mailbox == []


@pytest.mark.parametrize("phase", ["rcpt", "data"])
def test_a_refused_envelope_is_taken_back_before_the_next_message(phase: str) -> None:
    deliveries, server = deliver(Fault(phase, PERMANENT), mails=3)
    assert [delivery.kind for delivery in deliveries] == [FAILED, SENT, SENT]
    assert (server.connections, server.commands.count("RSET")) == (1, 1)


@pytest.mark.parametrize("action", [Cut(), TEMPORARY, PERMANENT, LEAVING], ids=str)
def test_a_connection_that_refuses_to_forget_is_replaced(action: Action) -> None:
    deliveries, server = deliver(Fault("rcpt", PERMANENT), Fault("rset", action), mails=2)
    assert [delivery.kind for delivery in deliveries] == [FAILED, SENT]
    assert (server.connections, server.recipients()) == (2, ["u2@example.com"])


@pytest.mark.parametrize("phase", ["mail", "rcpt", "data", "dot"])
def test_an_answer_about_the_account_stops_the_channel_and_is_shown_without_addresses(phase: str) -> None:
    async def main() -> None:
        fault = Fault(phase, Say("550 5.4.5 <anna@example.com> daily limit exceeded"), after=1, times=None)
        async with SmtpServer(fault) as server:
            async with SmtpTransport(mail_settings(server.port), None) as transport:
                assert (await transport.send(a_mail(1))).kind is SENT
                with pytest.raises(
                    AccountRefused, match=r"550 5\.4\.5 <address> daily limit .*; .* provider"
                ):
                    await transport.send(a_mail(2))
                asked = len(server.commands)
                with pytest.raises(MailError, match="daily limit"):
                    await transport.send(a_mail(3))
                assert len(server.commands) == asked
            assert server.recipients() == ["u1@example.com"]

    asyncio.run(main())


@pytest.mark.parametrize("code", [530, 535, 538])
@pytest.mark.parametrize("phase", ["mail", "rcpt"])
def test_a_server_that_wants_a_login_first_burns_no_notice(phase: str, code: int) -> None:
    with pytest.raises(MailError, match=rf"{code} 5.7.0 log in .*BILLING_SMTP_PASSWORD"):
        deliver(Fault(phase, Say(f"{code} 5.7.0 log in <anna@example.com>")))


def test_the_servers_words_are_kept_without_addresses() -> None:
    line = (
        '550-5.1.1 <u1@example.com>: u1 or "u 1"@x.example unknown\r\n550 5.1.1 \x1b[31mask\u202e p@x.example'
    )
    (delivery,), _server = deliver(Fault("rcpt", Say(line)))
    assert delivery.server_reply == (
        "550 5.1.1 <address>: u1 or <address> unknown 5.1.1 [31mask <address> (in reply to RCPT TO)"
    )


def test_a_mailbox_name_without_its_domain_is_left_out_of_the_words() -> None:
    async def main() -> Delivery:
        async with (
            SmtpServer(Fault("rcpt", Say("550 5.1.1 Anna.Smith: no such user"))) as server,
            SmtpTransport(mail_settings(server.port), None) as transport,
        ):
            return await transport.send(a_mail(recipient="anna.smith@example.com"))

    assert asyncio.run(main()).server_reply == "550 5.1.1 <address>: no such user (in reply to RCPT TO)"


def test_endless_words_are_cut() -> None:
    words = "552 " + "no anna@example.com " * 150
    (delivery,), _server = deliver(Fault("dot", Say(words)))
    assert delivery.kind is FAILED
    assert len(delivery.server_reply) <= 300
    assert "anna" not in delivery.server_reply


def test_what_arrives_is_byte_for_byte_what_was_rendered() -> None:
    _deliveries, server = deliver(size=30_000)
    assert server.mailbox[0].raw == a_mail(1, size=30_000).raw
    assert server.mailbox[0].sender == "billing@example.com"
    assert server.commands[1].startswith("MAIL FROM:<billing@example.com> SIZE=")


@pytest.mark.parametrize(
    ("raw", "arrives"),
    [
        (b".\r\n..\r\n.x", b".\r\n..\r\n.x\r\n"),
        (b"no line end", b"no line end\r\n"),
        ("bytes above 127: ä\r\n".encode(), "bytes above 127: ä\r\n".encode()),
    ],
)
def test_awkward_bodies_arrive_whole(raw: bytes, arrives: bytes) -> None:
    async def main() -> None:
        async with SmtpServer() as server:
            async with SmtpTransport(mail_settings(server.port), None) as transport:
                assert (await transport.send(a_mail(raw=raw))).kind is SENT
            assert server.mailbox[0].raw == arrives

    asyncio.run(main())


@pytest.mark.parametrize(
    "mail",
    [
        a_mail(recipient="a b@example.com"),
        a_mail(recipient="a@example.com> SIZE=1"),
        a_mail(recipient="a@example.com\r\nRCPT TO:<b@example.com>"),
        a_mail(recipient="ä@example.com"),
        a_mail(recipient="nobody"),
        a_mail(raw=b"Subject: x\r\n\r\nend\n.\nMAIL FROM:<evil@example.com>\r\n"),
        a_mail(raw=b"Subject: x\r\n\r\nend\r.\rMAIL FROM:<evil@example.com>\r\n"),
    ],
)
def test_what_could_smuggle_a_command_fails_alone(mail: object) -> None:
    async def main() -> None:
        async with SmtpServer() as server:
            async with SmtpTransport(mail_settings(server.port), None) as transport:
                assert (await transport.send(mail)).kind is FAILED  # type: ignore[arg-type]
                assert (await transport.send(a_mail(2))).kind is SENT
            assert server.recipients() == ["u2@example.com"]

    asyncio.run(main())
