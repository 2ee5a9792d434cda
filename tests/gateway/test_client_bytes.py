"""What goes over the wire, byte by byte."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime
from typing import Any

import pytest

from billing import __version__
from billing.core.outcomes import OutcomeKind
from billing.gateway import Invoice, MilestonClient, MilestonGateway, PaymentLink, RecurringPayment
from tests.support.scripted_api import (
    BUSINESS_ID,
    EMAIL,
    KEY,
    LATER,
    MARKER,
    NAME,
    NOW,
    WALLET,
    ScriptedApi,
    client,
    echo,
    gateway,
    payment,
    reply,
    run_script,
    settings,
)

RECORD = {"recurringPaymentId": "rp_1", "amount": "19.90"}
ONE = {"statusCode": 200, "message": "ok", "recurringPaymentData": RECORD}
MANY = {"statusCode": 200, "message": "ok", "recurringPaymentData": [RECORD]}


def test_a_create_is_these_bytes() -> None:
    api, run = run_script(echo())
    outcome = run(lambda gateway: gateway.create(payment(), LATER))
    body = (
        f'{{"amount":"19.90","subscriptionName":"[{MARKER}] Gold","subscriberFullName":"{NAME}",'
        f'"subscriberEmail":"{EMAIL}","subscriberWalletAddress":"{WALLET}","currentPaymentStatus":"unpaid",'
        '"recurringDate":"2026-02-01T00:00:00.000Z","recurringInterval":30}'
    ).encode()
    head = (
        "POST /recurring-payment/create?businessName=Example HTTP/1.1\r\n"
        f"Host: 127.0.0.1:{api.port}\r\napikey: {KEY}\r\nbusinessid: {BUSINESS_ID}\r\n"
        "Content-Type: application/json\r\nAccept: application/json\r\nAccept-Encoding: identity\r\n"
        f"User-Agent: recurring-billing/{__version__}\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode()
    assert api.requests == [head + body]
    assert outcome.kind is OutcomeKind.CREATED
    assert outcome.remote_id == "rp_1"


def test_optional_fields_are_left_out() -> None:
    api, run = run_script(echo())
    run(lambda gateway: gateway.create(payment(wallet_address=None), LATER))
    assert b"subscriberWalletAddress" not in api.requests[0]
    assert b"addPdf" not in api.requests[0]


@pytest.mark.parametrize(
    ("business", "query"),
    [
        ("A&B Söhne GmbH", "A%26B%20S%C3%B6hne%20GmbH"),
        ("100% + more?#/=", "100%25%20%2B%20more%3F%23%2F%3D"),
        ("東京", "%E6%9D%B1%E4%BA%AC"),
    ],
)
def test_the_business_name_is_percent_encoded(business: str, query: str) -> None:
    async def scene() -> list[bytes]:
        async with (
            ScriptedApi(deque([reply(400), reply(400), reply(400)])) as api,
            client(api.url, business) as made,
        ):
            await made.recurring_payments.create(a_recurring_payment())
            await made.invoices.create(an_invoice())
            await made.payment_links.create(PaymentLink(amount_micros=1_000_000))
            return api.requests

    lines = [request.split(b"\r\n")[0].decode() for request in asyncio.run(scene())]
    assert lines == [
        f"POST /recurring-payment/create?businessName={query} HTTP/1.1",
        f"POST /invoice/create?businessName={query} HTTP/1.1",
        "POST /payment-link/create HTTP/1.1",
    ]


@pytest.mark.parametrize(
    ("call", "line", "body"),
    [
        (lambda made: made.recurring_payments.get("a/b c"[:3]), "GET /recurring-payment/a%2Fb", "{}"),
        (lambda made: made.recurring_payments.list(7), "GET /recurring-payment?limit=7", "{}"),
        (lambda made: made.recurring_payments.delete("rp_1"), "DELETE /recurring-payment/delete/rp_1", "{}"),
        (
            lambda made: made.recurring_payments.update("rp_1", RecurringPayment(payment_status="paid")),
            "PATCH /recurring-payment/update",
            '{"recurringPaymentId":"rp_1","currentPaymentStatus":"paid"}',
        ),
        (
            lambda made: made.payment_links.update("pl_1", PaymentLink(title="Ä", amount_micros=1)),
            "PATCH /payment-link/update",
            '{"paymentLinkId":"pl_1","amount":"0.000001","title":"Ä"}',
        ),
        (
            lambda made: made.invoices.update("in_1", Invoice(due_on=date(2026, 3, 31), add_pdf=False)),
            "PATCH /invoice/update",
            '{"invoiceId":"in_1","dueDate":"2026-03-31T00:00:00.000Z","addPdf":false}',
        ),
    ],
)
def test_the_other_calls(call: Callable[[MilestonClient], Awaitable[Any]], line: str, body: str) -> None:
    async def scene() -> bytes:
        async with ScriptedApi(deque([reply(500)])) as api, client(api.url) as made:
            with pytest.raises(Exception, match="HTTP 500"):
                await call(made)
            return api.requests[0]

    head, _, sent = asyncio.run(scene()).partition(b"\r\n\r\n")
    assert head.decode().startswith(line + " HTTP/1.1\r\n")
    assert (
        f"\r\napikey: {KEY}\r\nbusinessid: {BUSINESS_ID}\r\nContent-Type: application/json\r\n"
        in head.decode()
    )
    assert sent.decode() == body


def test_creating_the_other_resources() -> None:
    link = PaymentLink(amount_micros=2_500_000, title="T", redirect_url="https://example.org/thanks?a=1")

    async def scene() -> list[bytes]:
        async with ScriptedApi(deque([reply(400), reply(400)])) as api, client(api.url) as made:
            await made.payment_links.create(link)
            await made.invoices.create(an_invoice())
            return [request.partition(b"\r\n\r\n")[2] for request in api.requests]

    assert asyncio.run(scene()) == [
        b'{"amount":"2.50","title":"T","redirectUrl":"https://example.org/thanks?a=1"}',
        b'{"amount":"3.00","itemName":"Chair","customerEmail":"c@example.org","dueDate":"2026-02-28T00:00:00.000Z"}',
    ]


def test_the_due_date_is_a_date_in_no_zone() -> None:
    """Also where the clock runs fourteen hours ahead of UTC: the date must not move."""
    api, run = run_script(echo(), clock=lambda: datetime(2026, 12, 31, 23, 59, tzinfo=UTC))
    run(lambda gateway: gateway.create(payment(due_on=date(2024, 2, 29)), datetime(2027, 1, 1, tzinfo=UTC)))
    assert b'"recurringDate":"2024-02-29T00:00:00.000Z"' in api.requests[0]


def test_a_rotated_key_is_used_at_the_next_call() -> None:
    keys = iter([("old", "biz"), ("old", "biz"), ("new", "biz")])

    async def scene() -> list[bytes]:
        async with ScriptedApi(deque([echo(), echo(), echo()])) as api:
            async with MilestonGateway(settings(api.url), "Example", lambda: next(keys), lambda: NOW) as made:
                for _ in range(3):
                    await made.create(payment(), LATER)
            return api.requests

    assert [b"apikey: new" in request for request in asyncio.run(scene())] == [False, False, True]


def test_calls_share_one_connection() -> None:
    api, run = run_script(echo(), reply(200, ONE), reply(200, MANY), reply(200, {"statusCode": 200}))

    async def scene(gateway: MilestonGateway) -> None:
        await gateway.create(payment(), LATER)
        assert await gateway.get("rp_1")
        assert len(await gateway.list(5)) == 1
        assert await gateway.delete("rp_1")

    run(scene)
    assert len(api.requests) == 4
    assert api.connections == 1


def test_calls_at_once_get_a_connection_each_and_keep_them() -> None:
    async def scene() -> int:
        async with ScriptedApi(deque(echo() for _ in range(40))) as api, gateway(api.url) as made:
            for _ in range(5):
                outcomes = await asyncio.gather(*(made.create(payment(), LATER) for _ in range(8)))
                assert {outcome.kind for outcome in outcomes} == {OutcomeKind.CREATED}
            return api.connections

    assert asyncio.run(scene()) == 8


def test_proxy_variables_do_not_apply(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    _, run = run_script(echo())
    assert run(lambda gateway: gateway.create(payment(), LATER)).kind is OutcomeKind.CREATED


def a_recurring_payment() -> RecurringPayment:
    return RecurringPayment(
        amount_micros=1_000_000,
        subscription_name="Gold",
        subscriber_name="C",
        subscriber_email="c@example.org",
        recurring_on=date(2026, 2, 1),
        interval_days=30,
    )


def an_invoice() -> Invoice:
    return Invoice(
        amount_micros=3_000_000, item_name="Chair", customer_email="c@example.org", due_on=date(2026, 2, 28)
    )
