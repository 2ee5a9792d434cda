"""Deadlines, reuse of connections, cancellation: what must never leave, and what must never be reused."""

import asyncio
import gc
from datetime import datetime, timedelta

import pytest

from billing.core.outcomes import CreateOutcome, OutcomeKind
from billing.gateway import MilestonGateway, wire
from tests.support.scripted_api import (
    LATER,
    NOW,
    Connection,
    answer,
    echo,
    gateway,
    payment,
    raw,
    reply,
    run_script,
)

CREATED, NOT_SENT, UNKNOWN = OutcomeKind.CREATED, OutcomeKind.NOT_SENT, OutcomeKind.UNKNOWN
TOO_LATE = CreateOutcome(NOT_SENT, detail="its deadline had passed before it was sent")


class Clock:
    """Gives the listed instants one after the other, then the last one for ever."""

    def __init__(self, *seconds: float) -> None:
        self._instants = [NOW + timedelta(seconds=each) for each in seconds]

    def __call__(self) -> datetime:
        return self._instants.pop(0) if len(self._instants) > 1 else self._instants[0]


@pytest.mark.parametrize("late_by", [0, 0.001, 3600])
def test_nothing_is_sent_at_or_after_the_deadline(late_by: float) -> None:
    api, run = run_script(echo(), clock=Clock(late_by))
    assert run(lambda made: made.create(payment(), NOW)) == TOO_LATE
    assert api.connections == 0


def test_nothing_is_sent_when_connecting_took_too_long() -> None:
    """The first look is at connecting, the second right before the bytes go to the socket."""
    api, run = run_script(echo(), clock=Clock(0, 60))

    async def scene(made: MilestonGateway) -> CreateOutcome:
        outcome = await made.create(payment(), LATER)
        await asyncio.sleep(0.05)
        return outcome

    assert run(scene) == TOO_LATE
    assert (api.connections, api.bytes_seen) == (1, 0)


def test_nothing_is_sent_late_on_a_warm_connection() -> None:
    api, run = run_script(echo(), echo(), echo())

    async def scene(made: MilestonGateway) -> list[CreateOutcome]:
        first = await made.create(payment(), LATER)
        late = await made.create(payment(), NOW)
        return [first, late, await made.create(payment(), LATER)]

    first, late, last = run(scene)
    assert (first.kind, late, last.kind) == (CREATED, TOO_LATE, CREATED)
    assert len(api.requests) == 2


def test_a_connection_closed_while_idle_is_not_used() -> None:
    async def answer_and_close(connection: Connection) -> None:
        await echo()(connection)
        await connection.close()

    api, run = run_script(answer_and_close, echo())

    async def scene(made: MilestonGateway) -> list[OutcomeKind]:
        first = await made.create(payment(), LATER)
        await asyncio.sleep(0.05)
        return [first.kind, (await made.create(payment(), LATER)).kind]

    assert run(scene) == [CREATED, CREATED]
    assert (api.connections, len(api.requests)) == (2, 2)


def test_a_connection_closed_as_the_payment_arrives_is_unknown() -> None:
    """The server has read it all; it may have acted on it."""
    api, run = run_script(echo(), raw(b""), echo())

    async def scene(made: MilestonGateway) -> list[CreateOutcome]:
        return [await made.create(payment(), LATER) for _ in range(3)]

    first, lost, last = run(scene)
    assert (first.kind, lost.kind, last.kind) == (CREATED, UNKNOWN, CREATED)
    assert (api.connections, len(api.requests)) == (2, 3)


def test_a_connection_idle_for_long_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "_IDLE_SECONDS", 0.02)
    api, run = run_script(echo(), echo())

    async def scene(made: MilestonGateway) -> None:
        await made.create(payment(), LATER)
        await asyncio.sleep(0.05)
        await made.create(payment(), LATER)

    run(scene)
    assert api.connections == 2


def test_an_unasked_answer_is_not_taken_for_ours() -> None:
    """A server that answers twice: the second answer must not become that of the next payment."""

    async def answer_twice(connection: Connection) -> None:
        sent = await connection.request()
        record = {"recurringPaymentData": {**sent, "recurringPaymentId": "rp_1"}}
        await connection.send(answer(201, record) + answer(400, {"message": "not yours"}))

    api, run = run_script(answer_twice, echo(remote_id="rp_2"))

    async def scene(made: MilestonGateway) -> list[CreateOutcome]:
        return [await made.create(payment(), LATER) for _ in range(3)]

    first, second, third = run(scene)
    assert first.remote_id == "rp_1"
    assert second == CreateOutcome(
        NOT_SENT, detail="the connection was found unusable before the request was sent"
    )
    assert (third.kind, third.remote_id) == (CREATED, "rp_2")
    assert len(api.requests) == 2


def test_bytes_that_came_while_idle_give_the_connection_up() -> None:
    async def answer_and_complain(connection: Connection) -> None:
        await echo()(connection)
        await asyncio.sleep(0.02)
        await connection.send(answer(408, {"message": "too slow"}))

    api, run = run_script(answer_and_complain, echo())

    async def scene(made: MilestonGateway) -> list[OutcomeKind]:
        first = await made.create(payment(), LATER)
        await asyncio.sleep(0.06)
        return [first.kind, (await made.create(payment(), LATER)).kind]

    assert run(scene) == [CREATED, CREATED]
    assert api.connections == 2


async def never_answer(connection: Connection) -> None:
    await connection.request()
    with pytest.raises(ConnectionResetError):
        await connection.reader.read()


def test_after_a_time_out_the_connection_is_closed() -> None:
    closed = asyncio.Event()

    async def watch(connection: Connection) -> None:
        await never_answer(connection)
        closed.set()

    api, run = run_script(watch, echo(), timeout_seconds=0.1)

    async def scene(made: MilestonGateway) -> list[OutcomeKind]:
        first = await made.create(payment(), LATER)
        await closed.wait()
        return [first.kind, (await made.create(payment(), LATER)).kind]

    assert run(scene) == [UNKNOWN, CREATED]
    assert api.connections == 2


@pytest.mark.parametrize("after_seconds", [0, 0.0005, 0.001, 0.002, 0.05])
def test_a_cancelled_create_is_raised_and_its_connection_closed(after_seconds: float) -> None:
    api, run = run_script(never_answer, never_answer, never_answer)

    async def scene(made: MilestonGateway) -> None:
        task = asyncio.create_task(made.create(payment(), LATER))
        await asyncio.sleep(after_seconds)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert made._payments.wire._free == []
        await asyncio.sleep(0.02)

    run(scene)
    gc.collect()  # a socket left open would warn here
    assert len(api.requests) <= 1


def test_cancelling_during_the_tls_handshake_leaves_no_socket() -> None:
    greeted, gone = asyncio.Event(), asyncio.Event()

    async def silent(connection: Connection) -> None:
        greeted.set()
        with pytest.raises(ConnectionResetError):
            await connection.reader.read()
        gone.set()

    api, run = run_script(silent)

    async def scene(_: object) -> None:
        async with gateway(api.url.replace("http:", "https:")) as secured:
            task = asyncio.create_task(secured.create(payment(), LATER))
            await greeted.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await gone.wait()

    run(scene)
    gc.collect()


def test_cancelling_many_at_once_leaves_the_rest_working() -> None:
    async def never(connection: Connection) -> None:
        await connection.request()
        if len(api.requests) == 20:
            all_there.set()
        await connection.reader.read()

    all_there = asyncio.Event()
    api, run = run_script(*[never] * 20, *[echo()] * 20)

    async def scene(made: MilestonGateway) -> list[OutcomeKind]:
        tasks = [asyncio.create_task(made.create(payment(), LATER)) for _ in range(20)]
        await all_there.wait()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return [(await made.create(payment(), LATER)).kind for _ in range(20)]

    assert set(run(scene)) == {CREATED}


def test_closing_lets_a_call_under_way_end() -> None:
    async def slow(connection: Connection) -> None:
        sent = await connection.request()
        await asyncio.sleep(0.05)
        await connection.send(answer(201, {"recurringPaymentData": {**sent, "recurringPaymentId": "rp_1"}}))
        assert await connection.reader.read() == b""

    _, run = run_script(slow)

    async def scene(made: MilestonGateway) -> CreateOutcome:
        task = asyncio.create_task(made.create(payment(), LATER))
        await asyncio.sleep(0.02)
        await made.close()
        outcome: CreateOutcome = await task
        assert made._payments.wire._free == []
        with pytest.raises(RuntimeError, match="closed"):
            await made.create(payment(), LATER)
        return outcome

    assert run(scene).kind is CREATED


def test_the_warmest_connection_is_used_first() -> None:
    api, run = run_script(*[reply(400, {})] * 12)

    async def scene(made: MilestonGateway) -> None:
        await asyncio.gather(*(made.create(payment(), LATER) for _ in range(4)))
        for _ in range(8):
            await made.create(payment(), LATER)

    run(scene)
    assert api.connections == 4
