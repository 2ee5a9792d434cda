"""Keys, names and addresses are planted everywhere, and then looked for in everything that shows."""

import asyncio
import logging
import traceback
from collections import deque
from collections.abc import Awaitable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.errors import GatewayError
from billing.gateway.redact import clean_message
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


@pytest.mark.parametrize(
    ("message", "clean"),
    [
        ("amount must be positive", "amount must be positive"),
        ("a\r\n\tb\x00c\u2028d  e", "a b c d e"),
        ("zero\u200bwidth \u202eright-to-left", "zerowidth right-to-left"),
        ("half \ud83d pair", "half pair"),
        (["first", 2, "second"], "first; second"),
        (None, ""),
        (5, ""),
        ({"a": "b"}, ""),
        ([], ""),
        ("mail bob@example.com, or <al@b.c>", "mail …, or <…>"),
        ("bob%40example.com?x", "…"),
        ('{"email":"bob@example.com","error":"bad"}', '{"email":"…","error":"bad"}'),
        ("Al already altered AL", "… already altered …"),
        ("KEY-1 inside xkey-1x and key-1", "… inside x…x and …"),
        ("Ana  Maria\nLópez owes; ANA MARIA LÓPEZ", "… owes; …"),
    ],
)
def test_cleaning(message: object, clean: str) -> None:
    assert clean_message(message, ["key-1"], ["Al", "Ana Maria López"]) == clean


def test_long_messages_are_cut() -> None:
    text = clean_message("word " * 1000, (), ())
    assert len(text) == 300
    assert text.endswith("…")


@given(st.text(max_size=50), st.sampled_from(["", " ", "\n", "\u200b", "x", "@"]), st.integers(0, 5000))
def test_a_secret_at_the_cut_never_shows(around: str, filler: str, count: int) -> None:
    message = filler * count + KEY + around + f" {EMAIL}"
    text = clean_message(message, [KEY], [EMAIL])
    assert len(text) <= 300
    for start in range(len(KEY) - 9):
        assert KEY[start : start + 10] not in text
    assert "quillfeather" not in text


@pytest.mark.parametrize("length", range(1, len(KEY) + 2))
def test_half_a_secret_at_the_reading_limit_does_not_show(length: int) -> None:
    """Blanks shrink: what stands at the far end of a long message can move to the front."""
    message = "no" + " " * (4000 - 2 - length) + KEY + " and more"
    assert clean_message(message, [KEY], []) in ("no", "no …", "")
    message = "no" + " " * (4000 - 2 - length) + NAME
    assert clean_message(message, [], [NAME]) in ("no", "no …", "")


@given(st.text(max_size=2000))
def test_cleaned_messages_are_one_printable_line(message: str) -> None:
    text = clean_message(message, ["s3cret"], ["Zoë"])
    assert text == text.strip()
    assert len(text.splitlines()) <= 1
    assert "\x00" not in text
    text.encode()  # no half surrogate pairs: they can't be stored


def test_cleaning_takes_no_long_even_for_hostile_messages() -> None:
    for message in ("a" * 1_000_000, "@" * 1_000_000, " @" * 500_000, "\x00" * 1_000_000, ["a@b"] * 100_000):
        assert len(clean_message(message, [KEY], [NAME])) <= 300
