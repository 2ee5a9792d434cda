"""Before the first message: the name that we give in EHLO, and logins that fail for now or for good."""

from __future__ import annotations

import asyncio

import pytest

from billing.config.secrets import Secret
from billing.core.notices import DeliveryKind
from billing.errors import MailError
from billing.mail.smtp import SmtpTransport
from tests.support.smtp_server import Fault, Say, SmtpServer, a_mail, mail_settings


def smtp_transport(port: int, **settings: object) -> SmtpTransport:
    values = {"smtp_username": "anna", "concurrency": 4} | settings
    return SmtpTransport(mail_settings(port, **values), Secret("hunter2", "test"))


@pytest.mark.parametrize(
    ("name", "said"),
    [("", "EHLO [127.0.0.1]"), ("billing.example.com", "EHLO billing.example.com")],
)
def test_ehlo_says_our_address_or_the_name_that_is_set(name: str, said: str) -> None:
    async def main() -> None:
        async with SmtpServer() as server:
            async with smtp_transport(server.port, smtp_username="", helo_name=name) as transport:
                assert (await transport.send(a_mail(1))).kind is DeliveryKind.SENT
            assert server.commands[0] == said

    asyncio.run(main())


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("454 4.7.0 Temporary authentication failure", "the notices wait for the next run"),
        ("421 4.7.0 Too many login attempts", "the notices wait for the next run"),
        ("432 4.7.12 A password transition is needed", "check mail.smtp_username and BILLING_SMTP_PASSWORD"),
        (
            "535 5.7.8 Username and Password not accepted",
            "check mail.smtp_username and BILLING_SMTP_PASSWORD",
        ),
    ],
)
def test_a_login_that_fails_says_whether_the_password_is_to_be_checked(line: str, says: str) -> None:
    async def main() -> None:
        async with SmtpServer(Fault("auth", Say(line)), extensions=("AUTH PLAIN",)) as server:
            with pytest.raises(MailError) as caught:
                await smtp_transport(server.port).probe()
            assert f"refused the login: {line}; {says}" in str(caught.value)

    asyncio.run(main())


def test_a_login_that_fails_for_the_moment_costs_a_lane_and_not_the_channel() -> None:
    async def main() -> None:
        later = Fault("auth", Say("454 4.7.0 too many logins"), after=1, times=None)
        async with SmtpServer(later, extensions=("AUTH PLAIN",)) as server:
            async with smtp_transport(server.port) as transport:
                deliveries = await asyncio.gather(*(transport.send(a_mail(n)) for n in range(12)))
            assert {delivery.kind for delivery in deliveries} == {DeliveryKind.SENT}
            assert server.connections <= 4

    asyncio.run(main())
