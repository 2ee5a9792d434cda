"""Keys, names and addresses are planted everywhere, and then looked for in everything that shows."""

import asyncio
import logging
import traceback
from collections import deque
from collections.abc import Awaitable, Sequence

import pytest

from billing.errors import GatewayError
from billing.gateway.resources import INVOICES, RECURRING_PAYMENTS, Invoice, RecurringPayment
from billing.gateway.wire import Call, Reply
from tests.support.scripted_api import (
    BUSINESS_ID,
    EMAIL,
    KEY,
    LATER,
    NAME,
    PRIVATE,
    WALLET,
    ScriptedApi,
    Step,
    answer,
    client,
    echo,
    gateway,
    payment,
    raw,
    reply,
)

EVERYTHING = f"{KEY} {BUSINESS_ID} {NAME} {EMAIL} {WALLET} {KEY.upper()} x{KEY}x {NAME.upper()}"
LOUD: list[Step] = [
    reply(400, {"message": EVERYTHING}),
    reply(401, {"message": EVERYTHING}),
    reply(500, {"message": EVERYTHING, "error": EVERYTHING}),
    reply(429, {"message": [EVERYTHING, EVERYTHING]}, f"Retry-After: {KEY}\r\nX-Echo: {KEY}\r\n"),
    reply(302, {}, f"Location: https://example.org/?{KEY}&{EMAIL}\r\n"),
    reply(201, {"recurringPaymentData": {"subscriberEmail": EVERYTHING, "recurringPaymentId": EVERYTHING}}),
    reply(201, EVERYTHING.encode()),
    raw(f"HTTP/1.1 nonsense {EVERYTHING}\r\n\r\n".encode()),
    raw(f"HTTP/1.1 201 OK\r\nbad header {EVERYTHING}\r\n\r\n".encode()),
    raw(EVERYTHING.encode()),
    raw(b"", then="reset"),
    raw(answer(200, b" " * 2_000_000)),
    echo(amount="1.00", subscriberFullName=EVERYTHING),
    echo(),
]


def shown(text: str, secrets: Sequence[str] = PRIVATE) -> list[str]:
    """Which of the planted secrets `text` shows, in any case."""
    return [secret for secret in secrets if secret.lower() in text.lower()]


@pytest.mark.parametrize("step", LOUD, ids=range(len(LOUD)))
def test_nothing_private_shows(step: Step, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    async def scene() -> None:
        async with (
            ScriptedApi(deque([step] * 5)) as api,
            client(api.url) as made,
            gateway(api.url) as the_gateway,
        ):
            payments = made.recurring_payments
            outcome = await the_gateway.create(payment(), LATER)
            assert shown(repr(outcome)) == []
            assert shown(await said_by(payments.update("rp_1", PERSON))) == []
            for call in (payments.list(2), payments.get("rp_1"), payments.delete("rp_1")):
                # These know of no subscriber whose name an answer could repeat.
                assert shown(await said_by(call), (KEY, BUSINESS_ID, EMAIL)) == []
            for each in (the_gateway, the_gateway._payments, payments, payments.wire):
                assert shown(repr(each)) == []

    asyncio.run(scene())
    logged = "\n".join(record.getMessage() for record in caplog.records if record.name != "asyncio")
    assert shown(logged) == []
    assert len([record for record in caplog.records if record.name == "billing.gateway"]) == 5


PERSON = RecurringPayment(subscriber_name=NAME, subscriber_email=EMAIL, wallet_address=WALLET)


async def said_by(call: Awaitable[object]) -> str:
    """Everything that a call's result or error could show."""
    try:
        return repr(await call)
    except GatewayError as error:
        return "\n".join([repr(error), str(error), *traceback.format_exception(error)])


def test_payloads_and_calls_show_nothing() -> None:
    record = RECURRING_PAYMENTS.from_wire(RECURRING_PAYMENTS.to_wire(PERSON))
    invoice = Invoice(customer_email=EMAIL)
    for each in (PERSON, record, invoice, [PERSON], {"x": invoice}, INVOICES, RECURRING_PAYMENTS):
        assert shown(repr(each)) == []
        assert shown(str(each)) == []
    assert shown(repr(Call("c", "POST", "u", "/p", EVERYTHING.encode(), 5))) == []  # type: ignore[arg-type]
    assert shown(repr(Reply(200, {}, EVERYTHING.encode(), (KEY, BUSINESS_ID), 0.1))) == []  # type: ignore[arg-type]


def test_one_line_a_call(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    async def scene() -> None:
        script = deque(
            [echo(), reply(400, {}), raw(b""), reply(404, {}), reply(200, {"recurringPaymentData": []})]
        )
        async with ScriptedApi(script) as api, gateway(api.url) as made:
            for _ in range(3):
                await made.create(payment(), LATER)
            await made.get("rp_7")
            await made.list(9)

    asyncio.run(scene())
    lines = [record for record in caplog.records if record.name not in ("asyncio",)]
    assert {record.name for record in lines} == {"billing.gateway"}
    assert [record.levelname for record in lines] == ["DEBUG", "INFO", "INFO", "INFO", "DEBUG"]
    words = [", ".join((text := record.getMessage().split(", "))[:1] + text[2:]) for record in lines]
    assert words == [
        "POST /recurring-payment/create: 201, rp_1",
        "POST /recurring-payment/create: 400, refused",
        "POST /recurring-payment/create: no answer, RemoteProtocolError",
        "GET /recurring-payment/rp_7: 404, rp_7",
        "GET /recurring-payment: 200, limit 9",
    ]
    assert all(" ms, " in record.getMessage() for record in lines)


def test_nothing_is_formatted_when_logging_is_off(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)

    async def scene() -> None:
        async with ScriptedApi(deque([echo(), reply(500, {})])) as api, gateway(api.url) as made:
            await made.create(payment(), LATER)
            await made.create(payment(), LATER)

    asyncio.run(scene())
    assert [record for record in caplog.records if record.name == "billing.gateway"] == []


# Messages.
