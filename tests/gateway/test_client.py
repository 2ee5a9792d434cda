"""Reading, changing and deleting records; and where the calls and the payers are sent."""

import asyncio
from collections import deque
from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from billing.config.schema import Mileston
from billing.core.outcomes import RemotePayment, RemoteStatus
from billing.errors import GatewayError
from billing.gateway import (
    CallFailed,
    Invoice,
    MilestonGateway,
    PaymentLink,
    RecurringPayment,
)
from tests.support.scripted_api import (
    EMAIL,
    LATER,
    MARKER,
    NOW,
    ScriptedApi,
    Step,
    client,
    payment,
    raw,
    reply,
    run_script,
)

OURS: dict[str, Any] = {
    "recurringPaymentId": "rp_1",
    "amount": "19.90",
    "subscriptionName": f"[{MARKER}] Gold",
    "subscriberFullName": "Zoë",
    "subscriberEmail": EMAIL,
    "currentPaymentStatus": "paid",
    "recurringDate": "2026-02-01T00:00:00.000Z",
    "recurringInterval": 30,
}

SHOWN = RemotePayment("rp_1", MARKER, 19_900_000, EMAIL, RemoteStatus.PAID, date(2026, 2, 1), 30)


def one(record: object, status: int = 200) -> Step:
    return reply(status, {"statusCode": status, "message": "ok", "recurringPaymentData": record})


def listed(*records: object) -> list[RemotePayment]:
    _, run = run_script(one(list(records)))
    return run(lambda made: made.list(10))


def test_a_listed_payment() -> None:
    assert listed(OURS) == [SHOWN]
    assert listed() == []


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        ("paid", RemoteStatus.PAID),
        (" Paid\n", RemoteStatus.PAID),
        ("PAID", RemoteStatus.PAID),
        ("unpaid", RemoteStatus.UNPAID),
        ("Unpaid ", RemoteStatus.UNPAID),
        ("processing", RemoteStatus.UNCLEAR),
        ("not paid", RemoteStatus.UNCLEAR),
        ("pending", RemoteStatus.UNCLEAR),  # that is an invoice's word
        ("", RemoteStatus.UNCLEAR),
        (None, RemoteStatus.UNCLEAR),
        (True, RemoteStatus.UNCLEAR),
        (["paid"], RemoteStatus.UNCLEAR),
    ],
)
def test_only_the_two_words_are_a_status(raw: object, status: RemoteStatus) -> None:
    shown = listed({**OURS, "currentPaymentStatus": raw})[0]
    assert (shown.status, shown.paid) == (status, status is RemoteStatus.PAID)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"subscriptionName": "Gold"}, {"marker": None}),
        ({"subscriptionName": None}, {"marker": None}),
        ({"subscriptionName": ["x"]}, {"marker": None}),
        ({"subscriptionName": "[RB-TOOSHORT] Gold"}, {"marker": None}),
        ({"subscriptionName": f"[{MARKER}] Go"[:20]}, {}),
        ({"subscriptionName": f"Gold [{MARKER}]"}, {}),  # 0.1.0 wrote so
        ({"amount": "free"}, {"amount_micros": None}),
        ({"amount": "-1"}, {"amount_micros": None}),
        ({"amount": None}, {"amount_micros": None}),
        ({"amount": 1e300}, {"amount_micros": None}),
        ({"amount": 20}, {"amount_micros": 20_000_000}),
        ({"subscriberEmail": 7}, {"email": ""}),
        ({"recurringDate": "yesterday"}, {"due_on": None}),
        ({"recurringDate": "2026-03-01T00:00:00.000Z"}, {"due_on": date(2026, 3, 1)}),
        ({"recurringPaymentId": 12}, {"remote_id": "12"}),
    ],
)
def test_an_unreadable_field_is_no_error(change: dict[str, Any], expected: dict[str, Any]) -> None:
    shown = listed({**OURS, **change})[0]
    assert shown == replace(SHOWN, **expected)


def test_what_is_no_record_still_counts() -> None:
    """Were it left out, a full list would look like one that was not cut off at its limit."""
    shown = listed(OURS, None, 5, [], {}, {"recurringPaymentId": "a b"}, OURS)
    assert len(shown) == 7
    assert [payment.remote_id for payment in shown] == ["rp_1", "", "", "", "", "", "rp_1"]


@pytest.mark.parametrize("remote_id", [None, "", "a b", "..", {}])
def test_a_payment_of_ours_without_an_id_fails_the_list(remote_id: object) -> None:
    """It must neither count as absent nor be adopted."""
    with pytest.raises(GatewayError, match="no usable id"):
        listed({**OURS, "recurringPaymentId": remote_id})


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"recurringPaymentData": None},
        {"recurringPaymentData": {}},
        {"recurringPaymentData": "[]"},
        {"data": []},
        {"statusCode": 500, "recurringPaymentData": []},
        [],
        b"",
        b"<html>",
        b"[" * 500_000,
    ],
)
def test_a_list_without_its_array_is_an_error(body: object) -> None:
    _, run = run_script(reply(200, body))
    with pytest.raises(GatewayError, match="list recurring payment"):
        run(lambda made: made.list(10))


def test_the_size_limit_of_a_list_grows_with_its_length() -> None:
    many = [OURS | {"recurringPaymentId": f"rp_{number}"} for number in range(5000)]  # about 1.3 MB
    _, run = run_script(one(many), one(many), one(many))
    assert len(run(lambda made: made.list(5000))) == 5000
    _, run = run_script(one(many))
    with pytest.raises(CallFailed, match="too large"):
        run(lambda made: made.list(10))


def test_limits_must_be_positive() -> None:
    api, run = run_script()
    with pytest.raises(ValueError, match="positive"):
        run(lambda made: made.list(0))
    assert api.connections == 0


def test_getting_a_payment() -> None:
    _, run = run_script(one(OURS), one({"recurringPaymentId": "rp_1"}))
    assert run(lambda made: made.get("rp_1")) == SHOWN


def test_getting_a_sparse_payment() -> None:
    _, run = run_script(one({"recurringPaymentId": "rp_1"}))
    assert run(lambda made: made.get("rp_1")) == RemotePayment("rp_1", None, None, "", RemoteStatus.UNCLEAR)


def test_what_is_not_there() -> None:
    _, run = run_script(reply(404, {"message": "none"}), reply(404, b""))

    async def scene(made: Any) -> tuple[object, object]:
        return await made.get("rp_1"), await made.delete("rp_1")

    assert run(scene) == (None, False)


@pytest.mark.parametrize("data", [None, {}, [OURS], {**OURS, "recurringPaymentId": "rp_2"}])
def test_another_record_than_the_one_asked_for_is_an_error(data: object) -> None:
    _, run = run_script(one(data))
    with pytest.raises(GatewayError, match="does not show the record"):
        run(lambda made: made.get("rp_1"))


@pytest.mark.parametrize("body", [{"statusCode": 200, "message": "Deleted"}, b"", b"gone", {}])
def test_deleting(body: object) -> None:
    _, run = run_script(reply(200, body))
    assert run(lambda made: made.delete("rp_1")) is True


@pytest.mark.parametrize("remote_id", ["", ".", "..", "a b", "é", "a\r\nb", "x" * 201])
def test_ids_that_the_api_could_not_have_given_are_not_sent(remote_id: str) -> None:
    api, run = run_script()
    for call in (lambda made: made.get(remote_id), lambda made: made.delete(remote_id)):
        with pytest.raises(GatewayError, match="not an id"):
            run(call)
    assert api.connections == 0


def test_creates_need_their_fields() -> None:
    async def scene() -> None:
        async with client("http://127.0.0.1:9/recurring-payment") as made:
            with pytest.raises(ValueError, match="subscription_name, subscriber_name"):
                await made.recurring_payments.create(RecurringPayment(amount_micros=1))
            with pytest.raises(ValueError, match="needs item_name, customer_email, due_on"):
                await made.invoices.create(Invoice(amount_micros=1))
            with pytest.raises(ValueError, match="needs amount_micros"):
                await made.payment_links.create(PaymentLink(title="T"))

    asyncio.run(scene())


def test_the_other_resources_in_full() -> None:
    """One life of a payment link and of an invoice, through the same code."""
    link = {"paymentLinkId": "pl_1", "amount": "2.50", "title": "T"}
    bill = {
        "invoiceId": "in_1",
        "amount": "3",
        "itemName": "Chair",
        "customerEmail": EMAIL,
        "dueDate": "2026-02-28",
    }
    script = [
        reply(201, {"paymentData": link, "paymentLink": "https://x.example/pl_1"}),
        reply(200, {"paymentData": link, "paymentLink": "https://x.example/pl_1"}),
        reply(200, {"paymentData": [link, {**link, "paymentLink": "https://x.example/2"}]}),
        reply(200, {"paymentData": {**link, "title": "U"}}),
        reply(200, {"statusCode": 200}),
        reply(201, {"invoiceData": bill, "invoiceLink": "https://x.example/in_1"}),
        reply(200, {"invoiceData": bill, "invoiceLink": 5}),
        reply(201, {"invoiceData": {**bill, "itemName": "Table"}}),
    ]

    async def scene() -> None:
        async with ScriptedApi(deque(script)) as api, client(api.url) as made:
            links, invoices = made.payment_links, made.invoices
            assert (await links.create(PaymentLink(amount_micros=2_500_000))).remote_id == "pl_1"
            record = await links.get("pl_1")
            assert record is not None
            assert (record.fields.title, record.link) == ("T", "https://x.example/pl_1")
            assert [each.link for each in await links.list(2)] == ["", "https://x.example/2"]
            assert (await links.update("pl_1", PaymentLink(title="U"))).fields.title == "U"
            assert await links.delete("pl_1")
            asked = Invoice(
                amount_micros=3_000_000, item_name="Chair", customer_email=EMAIL, due_on=date(2026, 2, 28)
            )
            assert (await invoices.create(asked)).remote_id == "in_1"
            bill_record = await invoices.get("in_1")
            assert bill_record is not None
            assert (bill_record.fields, bill_record.link) == (asked, "")
            assert (await invoices.create(asked)).mismatch

    asyncio.run(scene())


def test_calls_are_counted_for_whoever_wants_to_know() -> None:
    seen: list[tuple[str, int | None, float]] = []

    async def scene() -> None:
        async with ScriptedApi(deque([one(OURS, 200), reply(503, {}), raw(b"")])) as api:
            settings = Mileston(recurring_payment_url=api.url)
            keys = ("key", "biz")
            async with MilestonGateway(
                settings, "Example", lambda: keys, lambda: NOW, on_call=lambda *call: seen.append(call)
            ) as made:
                await made.get("rp_1")
                await made.create(payment(), LATER)
                await made.create(payment(), LATER)

    asyncio.run(scene())
    assert [(name, status) for name, status, _ in seen] == [
        ("get recurring payment", 200),
        ("create recurring payment", 503),
        ("create recurring payment", None),
    ]
    assert all(0 < seconds < 5 for *_, seconds in seen)


# Addresses.
