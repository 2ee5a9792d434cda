"""Every fault of the sandbox through the real client over a real socket: what is said, what is so."""

import asyncio
from datetime import date
from typing import Any, NamedTuple

import pytest

from billing.core.outcomes import CreateOutcome, OutcomeKind, RecordChange, RemotePayment, RemoteStatus
from billing.gateway import (
    CallFailed,
    Invoice,
    MilestonClient,
    MilestonGateway,
    PaymentLink,
    RecurringPayment,
    Unauthorized,
)
from billing.sandbox.faults import FAULT_OF_LIST, FAULTS_OF_ANY_CALL, FAULTS_OF_CREATE, SETTINGS
from billing.sandbox.server import SandboxServer
from tests.support.scripted_api import BUSINESS_ID, EMAIL, KEY, LATER, MARKER, NOW, payment, settings

CREATED, UNKNOWN = OutcomeKind.CREATED, OutcomeKind.UNKNOWN


OTHER_MARKER = "RB-BCDEFGHJKMNPQRST"


class Case(NamedTuple):
    """`stored`: whether the payment is there afterwards, whatever was said."""

    kind: OutcomeKind
    stored: bool
    status: int | None = None
    wait_seconds: float | None = None
    mismatch: bool = False
    order: str = ""


CREATES = {
    "500": Case(UNKNOWN, False, 500),
    "503": Case(UNKNOWN, False, 503, wait_seconds=7, order="503:7"),
    "429": Case(UNKNOWN, False, 429, wait_seconds=9, order="429:9"),
    "cut_before_commit": Case(UNKNOWN, False),
    "cut_after_commit": Case(UNKNOWN, True),
    "garbage": Case(UNKNOWN, True, 200),
    "slow_drip": Case(UNKNOWN, True, order="slow_drip:0.05"),
    "late_commit": Case(UNKNOWN, True, 504, order="late_commit:0"),
    "wrong_echo": Case(UNKNOWN, True, 201, mismatch=True),
    "huge": Case(UNKNOWN, True, order="huge:2"),
}


def test_every_fault_of_the_sandbox_has_its_case() -> None:
    assert sorted(CREATES) == sorted((*FAULTS_OF_ANY_CALL, *FAULTS_OF_CREATE))
    assert (FAULT_OF_LIST, *SETTINGS) == ("stale_list", "latency", "list_order", "list_cap", "per_second")


def gateway_to(server: SandboxServer, key: str = KEY, **changes: Any) -> MilestonGateway:
    return MilestonGateway(
        settings(f"{server.url}/recurring-payment", **changes),
        "A&B Söhne GmbH",
        lambda: (key, BUSINESS_ID),
        lambda: NOW,
    )


@pytest.mark.parametrize("name", sorted(CREATES))
def test_a_create_under_each_fault(name: str) -> None:
    case = CREATES[name]

    async def scene() -> tuple[CreateOutcome, int]:
        async with (
            SandboxServer(script=[case.order or name]) as server,
            gateway_to(server, timeout_seconds=0.5) as made,
        ):
            outcome = await made.create(payment(), LATER)
            await asyncio.sleep(0.02)
            stored = len(server.records())
            assert (await made.create(payment(), LATER)).kind is CREATED  # nothing stays broken
            return outcome, stored

    outcome, stored = asyncio.run(scene())
    assert outcome.kind is case.kind
    assert stored == case.stored
    assert outcome.status == case.status
    assert outcome.retry_after_seconds == case.wait_seconds
    assert outcome.mismatch is case.mismatch
    assert (outcome.remote_id is not None) is case.mismatch


@pytest.mark.parametrize("call", ["list", "get", "delete"])
@pytest.mark.parametrize("name", FAULTS_OF_ANY_CALL)
def test_the_other_calls_under_each_fault(name: str, call: str) -> None:
    async def scene() -> None:
        faults = {f"{call}.{name}": "1:0.05" if name == "slow_drip" else "1"}
        async with SandboxServer(faults=faults) as server, gateway_to(server, timeout_seconds=0.5) as made:
            remote_id = (await made.create(payment(), LATER)).remote_id
            assert remote_id is not None
            if (call, name) == ("delete", "garbage"):
                assert await made.delete(remote_id)  # a 2xx promises no body
                return
            with pytest.raises(CallFailed):
                await (made.list(5) if call == "list" else getattr(made, call)(remote_id))

    asyncio.run(scene())


def test_a_stale_list_is_a_list() -> None:
    async def scene() -> list[RemotePayment]:
        async with SandboxServer(faults={"stale_list": "1:60"}) as server, gateway_to(server) as made:
            await made.create(payment(), LATER)
            return await made.list(5)

    assert asyncio.run(scene()) == []


def test_the_life_of_a_payment() -> None:
    async def scene() -> None:
        async with SandboxServer(api_keys=[KEY]) as server, gateway_to(server) as made:
            outcome = await made.create(payment(), LATER)
            assert (outcome.kind, outcome.status) == (CREATED, 201)
            remote_id = outcome.remote_id
            assert remote_id is not None
            ours = RemotePayment(
                remote_id, MARKER, 19_900_000, EMAIL, RemoteStatus.UNPAID, date(2026, 2, 1), 30
            )
            assert await made.list(5) == [ours]
            assert await made.get(remote_id) == ours
            assert made.checkout_url(remote_id) == f"{server.url}/checkout/recurring-payment/{remote_id}"
            assert server.records()[0]["businessName"] == "A&B Söhne GmbH"
            assert await made.delete(remote_id)
            assert await made.get(remote_id) is None
            assert not await made.delete(remote_id)

    asyncio.run(scene())


def test_a_record_is_changed_field_by_field() -> None:
    async def scene() -> None:
        async with SandboxServer(api_keys=[KEY]) as server, gateway_to(server) as made:
            remote_id = (await made.create(payment(), LATER)).remote_id or ""
            was = server.records()[0]["data"]
            never = await made.update(remote_id, RecordChange(36_500))
            assert never == await made.get(remote_id)
            assert never is not None
            assert never.interval_days == 36_500
            assert server.records()[0]["data"] == was | {"recurringInterval": 36_500}
            taken = await made.update(remote_id, RecordChange(31, OTHER_MARKER, "Gold", 5_000_000))
            assert taken is not None
            assert (taken.marker, taken.amount_micros, taken.interval_days) == (OTHER_MARKER, 5_000_000, 31)
            named = {"recurringInterval": 31, "subscriptionName": f"[{OTHER_MARKER}] Gold", "amount": "5.00"}
            assert server.records()[0]["data"] == was | named
            assert await made.update("nothing", RecordChange(31)) is None

    asyncio.run(scene())


def test_a_wrong_key() -> None:
    async def scene() -> CreateOutcome:
        async with SandboxServer(api_keys=["another"]) as server, gateway_to(server) as made:
            with pytest.raises(Unauthorized):
                await made.list(5)
            return await made.create(payment(), LATER)

    outcome = asyncio.run(scene())
    assert (outcome.kind, outcome.status) == (OutcomeKind.UNAUTHORIZED, 401)


def test_a_refusal() -> None:
    async def scene() -> CreateOutcome:
        async with SandboxServer() as server, gateway_to(server) as made:
            return await made.create(payment(email="nobody"), LATER)

    outcome = asyncio.run(scene())
    assert (outcome.kind, outcome.status) == (OutcomeKind.REFUSED, 400)
    assert outcome.detail.startswith("HTTP 400: ")


def test_all_calls_of_all_resources() -> None:
    recurring = RecurringPayment(
        amount_micros=1_500_000,
        subscription_name="Gold",
        subscriber_name="Zoë",
        subscriber_email=EMAIL,
        recurring_on=date(2026, 2, 1),
        interval_days=30,
    )
    link = PaymentLink(amount_micros=2_500_000, title="T")
    invoice = Invoice(
        amount_micros=3_000_000, item_name="Chair", customer_email=EMAIL, due_on=date(2026, 2, 28)
    )

    async def life(endpoint: Any, values: Any, changes: Any) -> None:
        outcome = await endpoint.create(values)
        assert outcome.kind is CREATED, outcome
        record = await endpoint.get(outcome.remote_id)
        assert record.fields.amount_micros == values.amount_micros
        changed = await endpoint.update(outcome.remote_id, changes)
        assert changed.fields.amount_micros == changes.amount_micros
        assert [each.remote_id for each in await endpoint.list(5)] == [outcome.remote_id]
        assert await endpoint.delete(outcome.remote_id)
        assert await endpoint.get(outcome.remote_id) is None

    async def scene() -> None:
        async with SandboxServer() as server:
            where = settings(f"{server.url}/recurring-payment")
            async with MilestonClient(where, "Example", lambda: (KEY, BUSINESS_ID), lambda: NOW) as made:
                await life(made.recurring_payments, recurring, RecurringPayment(amount_micros=9))
                await life(made.payment_links, link, PaymentLink(amount_micros=9))
                await life(made.invoices, invoice, Invoice(amount_micros=9))

    asyncio.run(scene())
