"""The guard over what leaves, and how connections are made: the parts below HTTP, by themselves."""

import asyncio
import gc
import socket
from collections.abc import Callable

import httpcore
import pytest

from billing.gateway.faults import DeadlinePassed, Unusable
from billing.gateway.sockets import SendGuard, Sockets, Stream
from tests.support.scripted_api import LATER, NOW, run_script


def test_the_guard_sees_the_bytes_leave() -> None:
    guard = SendGuard(lambda: NOW, LATER)
    guard.check()
    assert not guard.sent
    guard.leave()
    assert guard.sent
    late = SendGuard(lambda: NOW, NOW)
    with pytest.raises(DeadlinePassed):
        late.leave()
    assert not late.sent


@pytest.mark.parametrize(
    "before",
    [
        Stream.eof_received,
        lambda stream: stream.connection_lost(None),
        lambda stream: stream.data_received(b"HTTP/1.1 408"),
    ],
)
def test_a_connection_that_ended_or_spoke_before_the_request_left_takes_nothing(
    before: Callable[[Stream], None],
) -> None:
    async def scene() -> bool:
        sockets = Sockets()
        sockets.guard = SendGuard(lambda: NOW)
        stream = Stream(sockets)
        await stream.write(b"POST")
        before(stream)
        with pytest.raises(Unusable):
            await stream.read(10)
        return sockets.guard.sent

    assert asyncio.run(scene()) is False


class Addresses(Sockets):
    """A host with several addresses; `seconds` says how long each takes, None that it refuses."""

    def __init__(self, seconds: dict[str, float | None]) -> None:
        super().__init__()
        self.guard = SendGuard(lambda: NOW)
        self.seconds = seconds
        self.tried: list[str] = []

    async def connect_to(self, address: str, port: int) -> Stream:
        self.tried.append(address)
        wait = self.seconds[address]
        if wait is None:
            raise ConnectionRefusedError(111, f"refused by {address}")
        await asyncio.sleep(wait)
        return await super().connect_to("127.0.0.1", port)


def connect_with(
    monkeypatch: pytest.MonkeyPatch, **seconds: float | None
) -> tuple[list[str], Exception | None]:
    """Which addresses were tried, and the error if none connected."""
    found = [(2, 1, 6, "", (address, 0)) for address in seconds]
    sockets = Addresses(seconds)
    api, run = run_script()

    async def scene(_: object) -> Exception | None:
        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", lookup)
        try:
            stream = await sockets.connect_tcp("somewhere", api.port)
        except httpcore.ConnectError as error:
            return error
        await stream.aclose()
        await asyncio.sleep(0.02)
        return None

    async def lookup(*_: object, **__: object) -> object:
        return found

    error = run(scene)
    gc.collect()  # the connections that came too late must be closed, too
    return sockets.tried, error


def test_the_first_address_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    assert connect_with(monkeypatch, a=0, b=0) == (["a"], None)


def test_the_next_address_is_tried_after_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    assert connect_with(monkeypatch, a=None, b=None, c=0, d=0) == (["a", "b", "c"], None)


def test_the_next_address_is_tried_when_one_takes_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("billing.gateway.sockets._NEXT_ADDRESS_SECONDS", 0.02)
    assert connect_with(monkeypatch, a=60, b=0) == (["a", "b"], None)
    assert connect_with(monkeypatch, a=0.04, b=60) == (["a", "b"], None)
    assert connect_with(monkeypatch, a=0.05, b=0.03) == (["a", "b"], None)
    assert connect_with(monkeypatch, a=0.05, b=None) == (["a", "b"], None)


def test_of_two_that_connect_at_once_one_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("billing.gateway.sockets._NEXT_ADDRESS_SECONDS", 0.01)

    class Together(Sockets):
        async def connect_to(self, address: str, port: int) -> Stream:
            made.append(await super().connect_to("127.0.0.1", port))
            await both.wait()
            return made[-1] if address == "b" else made[0]

    made: list[Stream] = []
    both = asyncio.Barrier(2)
    sockets = Together()
    sockets.guard = SendGuard(lambda: NOW)
    api, run = run_script()

    async def lookup(*_: object, **__: object) -> object:
        return [(2, 1, 6, "", (address, 0)) for address in "ab"]

    async def scene(_: object) -> list[bool]:
        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", lookup)
        winner = await sockets.connect_tcp("somewhere", api.port)
        closing = [stream._transport.is_closing() for stream in made if stream is not winner]
        await winner.aclose()
        return closing

    assert run(scene) == [True]


def test_a_server_that_sends_faster_than_is_read_has_to_wait() -> None:
    class Transport(asyncio.Transport):
        def pause_reading(self) -> None:
            told.append("pause")

        def resume_reading(self) -> None:
            told.append("resume")

    async def scene() -> int:
        stream = Stream(Sockets())
        with socket.socket() as unused:
            stream.connection_made(Transport({"socket": unused}))
        size = 0
        for _ in range(5):
            stream.data_received(b" " * 100_000)
        assert told == ["pause"]
        while size < 500_000:
            size += len(await stream.read(65_536))
        return size

    told: list[str] = []
    assert asyncio.run(scene()) == 500_000
    assert told == ["pause", "resume"]


def test_the_last_refusal_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    tried, error = connect_with(monkeypatch, a=None, b=None)
    assert tried == ["a", "b"]
    assert error is not None
    assert str(error.__cause__) == "[Errno 111] refused by b"
