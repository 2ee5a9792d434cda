"""What stands between a planned payment and a second create; each test fails when its guard is gone."""

from __future__ import annotations

import asyncio
import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from billing.config import load_config
from billing.config.schema import Mileston
from billing.core.outcomes import CreateOutcome, OutcomeKind, PaymentRequest
from billing.core.states import PaymentState
from billing.cycle.plan import plan
from billing.errors import ConfigError
from billing.gateway.mileston import MilestonGateway
from billing.gateway.sockets import SendGuard, Sockets
from billing.lifecycle import sending
from billing.lifecycle.moves import move
from billing.lifecycle.sending import Result
from billing.sandbox.server import SandboxServer
from billing.store import payments
from billing.store.connection import Database
from billing.store.models import attempts
from billing.store.models import payments as payment_table
from tests.support.databases import set_subscription
from tests.support.fake_gateway import START, Died
from tests.support.rig import DAY, QUIET, TIMEOUT, Rig

REQUEST = PaymentRequest(
    "RB-0000000000000001", "Gold", 19_900_000, "Zoë Quill", "zoe@example.com", DAY, interval_days=28
)


def test_an_intent_is_committed_before_its_create_is_sent(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.subscribe()
    seen: list[tuple[str, int]] = []

    def look(_request: PaymentRequest) -> None:
        other = Database(f"sqlite:///{rig.path}")
        with other.read() as tx:
            state = tx.execute(select(payment_table.c.state)).scalar_one()
            seen.append((state, len(tx.execute(select(attempts)).all())))
        other.close()

    rig.api.on_create = look
    rig.cycle()

    assert seen == [("sending", 1)]


def test_what_a_dead_run_had_sent_is_found_and_not_sent_again(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.subscribe()
    rig.api.script.append("died")
    with pytest.raises(Died):
        rig.cycle()

    rig.cycles_at(1, 100, 200)

    assert len(rig.api.creates) == 1
    assert (rig.payment().state, rig.payment().remote_id) == ("open", "remote-1")


def test_what_a_dead_run_had_sent_is_looked_for_with_patience(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.subscribe()
    rig.api.script.append("died")
    rig.api.lag_seconds = QUIET - 5
    with pytest.raises(Died):
        rig.cycle()

    rig.cycles_at(1, QUIET + 2)

    assert len(rig.api.creates) == 1
    assert (rig.payment().state, rig.payment().remote_id) == ("open", "remote-1")


def test_a_payment_that_another_run_is_sending_is_not_taken_up(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.subscribe()
    rig.cycle((plan,))
    with rig.db.transaction() as tx:
        rows = payments.planned_page(tx, DAY, 0, 10)
        until = START + timedelta(minutes=1)
        sending.begin_sending(tx, "theirs", rows, START, until, until)
        with pytest.raises(RuntimeError, match="by another worker under our lock"):
            sending.begin_sending(tx, "ours", rows, START, until, until)

    assert rig.payment().run_id == "theirs"


def test_a_move_out_of_a_state_that_is_past_does_nothing(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.subscribe()
    rig.cycle((plan,))
    with rig.db.transaction() as tx:
        rows = payments.planned_page(tx, DAY, 0, 10)
        until = START + timedelta(minutes=1)
        sending.begin_sending(tx, "theirs", rows, START, until, until)
        # Somebody who had seen it held wants it planned; by now it is on the wire.
        moved = move(tx, [rows[0].id], PaymentState.HELD, PaymentState.PLANNED, START)

    assert moved == set()
    assert rig.payment().state == "sending"


def test_a_lease_outlives_whatever_its_sender_may_still_send(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.subscribe()
    leases: list[datetime] = []

    def look(_request: PaymentRequest) -> None:
        leases.append(rig.payment().lease_until)

    rig.api.on_create = look
    rig.cycle(exclusive=False)

    ((_, send_by),) = rig.api.creates
    assert leases == [send_by + timedelta(seconds=TIMEOUT)]


def test_an_outcome_that_comes_after_another_run_took_over_is_refused(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.subscribe()
    until = START + timedelta(minutes=1)
    rig.cycle((plan,))
    with rig.db.transaction() as tx:
        slept = payments.planned_page(tx, DAY, 0, 10)
        sending.begin_sending(tx, "sleeper", slept, START, until, until)
    later = START + timedelta(minutes=5)
    with rig.db.transaction() as tx:
        sending.recover(tx, "run:second", later, False, 10)
        move(tx, [slept[0].id], PaymentState.UNKNOWN, PaymentState.PLANNED, later)
        taken = payments.planned_page(tx, DAY, 0, 10)
        sending.begin_sending(tx, "second", taken, later, later + timedelta(minutes=1), later)

    proved_unsent = CreateOutcome(OutcomeKind.NOT_SENT, detail="its deadline had passed")
    with rig.db.transaction() as tx:
        results = [Result(slept[0], proved_unsent, later)]
        late = sending.record_outcomes(tx, "run:sleeper", later, DAY, "sleeper", results).stale

    assert [result.row.id for result in late] == [slept[0].id]
    assert (rig.payment().state, rig.payment().run_id) == ("sending", "second")


@pytest.mark.parametrize("slept", [timedelta(0), timedelta(hours=1)])
def test_nothing_leaves_once_the_time_to_send_by_has_passed(slept: timedelta) -> None:
    outcome, server_saw = asyncio.run(_create_after(slept))

    if slept:
        assert (outcome.kind, server_saw) == (OutcomeKind.NOT_SENT, 0)
    else:
        assert (outcome.kind, server_saw) == (OutcomeKind.CREATED, 1)


async def _create_after(slept: timedelta) -> tuple[CreateOutcome, int]:
    """One create by a process that sleeps when its connection stands and before it writes."""
    at = datetime(2026, 2, 1, tzinfo=UTC)
    readings = 0

    def clock() -> datetime:
        nonlocal readings
        readings += 1
        return at if readings == 1 else at + slept  # the first reading is before the connection

    async with SandboxServer() as server:
        settings = Mileston(recurring_payment_url=f"{server.url}/recurring-payment")
        async with MilestonGateway(settings, "Acme", lambda: ("key", "business"), clock) as gateway:
            outcome = await gateway.create(REQUEST, at + timedelta(seconds=20))
        return outcome, len(server.records())


def test_an_answer_about_another_payment_is_no_success() -> None:
    outcome = asyncio.run(_create_answered_with("RB-0000000000000002"))

    assert (outcome.kind, outcome.mismatch) == (OutcomeKind.UNKNOWN, True)


def test_a_connection_is_reset_and_not_left_to_the_kernel() -> None:
    async def scene(listener: socket.socket) -> None:
        sockets = Sockets()
        sockets.guard = SendGuard(lambda: START)
        stream = await sockets.connect_tcp(*listener.getsockname())
        other_end, _ = listener.accept()
        await stream.aclose()
        await asyncio.sleep(0)
        with other_end, pytest.raises(ConnectionResetError):
            other_end.recv(1)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        asyncio.run(scene(listener))


def test_a_quiet_time_that_is_too_short_for_live_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text('mileston.environment = "live"\nreconcile.quiet_seconds = 60', encoding="utf-8")

    with pytest.raises(ConfigError, match="needs 120 to 86400 seconds"):
        load_config(path, {"MILESTON_API_KEY": "key", "MILESTON_BUSINESS_ID": "business"})


def test_an_answer_about_this_payment_is_a_success() -> None:
    outcome = asyncio.run(_create_answered_with(REQUEST.marker))

    assert (outcome.kind, outcome.remote_id) == (OutcomeKind.CREATED, "remote-1")


async def _create_answered_with(marker: str) -> CreateOutcome:
    """One create against a server that answers with a record of this marker."""
    data = (
        f'{{"recurringPaymentId":"remote-1","amount":"19.90","subscriptionName":"Gold [{marker}]",'
        '"subscriberFullName":"Zoë Quill","subscriberEmail":"zoe@example.com",'
        '"currentPaymentStatus":"unpaid","recurringDate":"2026-02-01T00:00:00.000Z","recurringInterval":28}'
    )
    body = f'{{"statusCode":201,"message":"created","recurringPaymentData":{data}}}'.encode()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = f"HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        writer.write(head.encode() + b"Connection: close\r\n\r\n" + body)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1")
    port = server.sockets[0].getsockname()[1]
    settings = Mileston(recurring_payment_url=f"http://127.0.0.1:{port}/recurring-payment")
    now = datetime(2026, 2, 1, tzinfo=UTC)
    async with server, MilestonGateway(settings, "Acme", lambda: ("key", "b"), lambda: now) as gateway:
        return await gateway.create(REQUEST, now + timedelta(seconds=20))


def test_a_price_that_changed_while_a_payment_waited_to_be_sent_holds_for_the_next_attempt(
    tmp_path: Path,
) -> None:
    rig = Rig(tmp_path)
    subscription = rig.subscribe()

    def change(passed: str) -> None:
        if passed == "submit.committed" and rig.payment().state == "sending":
            with rig.db.transaction() as tx:
                set_subscription(tx, subscription, rig.clock(), amount_micros=25_000_000)
            rig.clock.to(3600)

    assert rig.cycle(checkpoint=change).not_sent == 1
    rig.cycle()

    assert [request.amount_micros for request, _ in rig.api.creates] == [25_000_000]
    assert (rig.payment().state, rig.payment().amount_micros) == ("open", 25_000_000)
