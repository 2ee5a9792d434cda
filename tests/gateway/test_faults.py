"""Every exception class of httpx and httpcore, raised in the real client's lane, has its class.

A new class in a later version fails here until somebody has judged it.
"""

import asyncio
import socket
import ssl
from collections.abc import Iterator
from datetime import date
from typing import Any

import httpcore
import httpx
import pytest

from billing.core.outcomes import CreateOutcome, OutcomeKind
from billing.gateway import CallFailed, RecurringPayment
from billing.gateway.client import Endpoint
from billing.gateway.faults import NETWORK_FAULTS, DeadlinePassed, TooLarge, Unusable
from billing.gateway.resources import RECURRING_PAYMENTS
from billing.gateway.wire import Wire
from tests.support.scripted_api import BUSINESS_ID, KEY, LATER, NOW

NOT_SENT, UNKNOWN = OutcomeKind.NOT_SENT, OutcomeKind.UNKNOWN

# What the outcome is when the guard saw nothing leave, and when something may have left. For a fault
# of the network only the guard decides, for a class proves nothing: a ConnectTimeout, for one, has
# been seen with another transport after the server had the whole request.
BY_GUARD = (NOT_SENT, UNKNOWN)
JUDGED: dict[str, tuple[OutcomeKind, OutcomeKind]] = {
    "httpcore.ConnectError": BY_GUARD,
    "httpcore.ConnectTimeout": BY_GUARD,
    "httpcore.ConnectionNotAvailable": BY_GUARD,
    "httpcore.LocalProtocolError": BY_GUARD,
    "httpcore.NetworkError": BY_GUARD,
    "httpcore.PoolTimeout": BY_GUARD,
    "httpcore.ProtocolError": BY_GUARD,
    "httpcore.ProxyError": BY_GUARD,
    "httpcore.ReadError": BY_GUARD,
    "httpcore.ReadTimeout": BY_GUARD,
    "httpcore.RemoteProtocolError": BY_GUARD,
    "httpcore.TimeoutException": BY_GUARD,
    "httpcore.UnsupportedProtocol": BY_GUARD,
    "httpcore.WriteError": BY_GUARD,
    "httpcore.WriteTimeout": BY_GUARD,
    "httpx.CloseError": BY_GUARD,
    "httpx.ConnectError": BY_GUARD,
    "httpx.ConnectTimeout": BY_GUARD,
    "httpx.CookieConflict": BY_GUARD,
    "httpx.DecodingError": BY_GUARD,
    "httpx.HTTPError": BY_GUARD,
    "httpx.HTTPStatusError": BY_GUARD,
    "httpx.InvalidURL": BY_GUARD,
    "httpx.LocalProtocolError": BY_GUARD,
    "httpx.NetworkError": BY_GUARD,
    "httpx.PoolTimeout": BY_GUARD,
    "httpx.ProtocolError": BY_GUARD,
    "httpx.ProxyError": BY_GUARD,
    "httpx.ReadError": BY_GUARD,
    "httpx.ReadTimeout": BY_GUARD,
    "httpx.RemoteProtocolError": BY_GUARD,
    "httpx.RequestError": BY_GUARD,
    "httpx.RequestNotRead": BY_GUARD,
    "httpx.ResponseNotRead": BY_GUARD,
    "httpx.StreamClosed": BY_GUARD,
    "httpx.StreamConsumed": BY_GUARD,
    "httpx.StreamError": BY_GUARD,
    "httpx.TimeoutException": BY_GUARD,
    "httpx.TooManyRedirects": BY_GUARD,
    "httpx.TransportError": BY_GUARD,
    "httpx.UnsupportedProtocol": BY_GUARD,
    "httpx.WriteError": BY_GUARD,
    "httpx.WriteTimeout": BY_GUARD,
    "OSError": BY_GUARD,
    "TimeoutError": BY_GUARD,
    "ConnectionRefusedError": BY_GUARD,
    "ConnectionResetError": BY_GUARD,
    "BrokenPipeError": BY_GUARD,
    "socket.gaierror": BY_GUARD,
    "ssl.SSLError": BY_GUARD,
    "ssl.SSLCertVerificationError": BY_GUARD,
    "gateway.DeadlinePassed": BY_GUARD,
    "gateway.Unusable": BY_GUARD,
}
OF_OTHERS: dict[str, type[Exception]] = {
    "OSError": OSError,
    "TimeoutError": TimeoutError,
    "ConnectionRefusedError": ConnectionRefusedError,
    "ConnectionResetError": ConnectionResetError,
    "BrokenPipeError": BrokenPipeError,
    "socket.gaierror": socket.gaierror,
    "ssl.SSLError": ssl.SSLError,
    "ssl.SSLCertVerificationError": ssl.SSLCertVerificationError,
    "gateway.DeadlinePassed": DeadlinePassed,
    "gateway.Unusable": Unusable,
}


def subclasses(root: type[BaseException]) -> Iterator[type[BaseException]]:
    for each in root.__subclasses__():
        yield each
        yield from subclasses(each)


def library_classes() -> dict[str, type[Exception]]:
    """All exception classes that httpx and httpcore define, by library and name."""
    found = {
        f"{each.__module__.partition('.')[0]}.{each.__name__}": each
        for each in subclasses(Exception)
        if each.__module__.partition(".")[0] in ("httpx", "httpcore")
    }
    return {name: each for name, each in found.items() if issubclass(each, Exception)}


ALL = {**library_classes(), **OF_OTHERS}


def test_every_class_is_judged() -> None:
    assert sorted(ALL) == sorted(JUDGED)
    assert httpcore.ReadError in ALL.values()
    assert httpx.ReadError in ALL.values()


class Broken(httpx.AsyncBaseTransport):
    """A lane that raises, after the request has left or before."""

    def __init__(self, error: BaseException, sent: bool) -> None:
        self._error = error
        self._sent = sent
        self.closed = False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self._sent:
            request.extensions["guard"].leave()
        raise self._error

    async def aclose(self) -> None:
        self.closed = True
        raise httpcore.WriteError("closing can fail as well")


def an_error(kind: type[Exception]) -> Exception:
    if kind is httpx.HTTPStatusError:
        request = httpx.Request("POST", "https://example.org")
        return httpx.HTTPStatusError("500", request=request, response=httpx.Response(500))
    if issubclass(kind, httpx.StreamError) and kind is not httpx.StreamError:
        return kind()  # type: ignore[call-arg]
    return kind("the answer was: zoe@example.org")


def endpoint_over(lane: httpx.AsyncBaseTransport) -> Endpoint[RecurringPayment]:
    wire = Wire(
        "http://127.0.0.1:9/recurring-payment",
        timeout_seconds=5,
        credentials=lambda: (KEY, BUSINESS_ID),
        clock=lambda: NOW,
        make_lane=lambda _: lane,
    )
    return Endpoint(RECURRING_PAYMENTS, wire, "Example")


def create_over(lane: httpx.AsyncBaseTransport) -> CreateOutcome:
    return asyncio.run(endpoint_over(lane).create(a_payment(), LATER))


@pytest.mark.parametrize("sent", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("name", sorted(JUDGED))
def test_the_outcome_of_each_class(name: str, sent: bool) -> None:
    lane = Broken(an_error(ALL[name]), sent)
    outcome = create_over(lane)
    assert outcome.kind is JUDGED[name][sent]
    assert "@" not in outcome.detail
    assert outcome.detail
    assert lane.closed


@pytest.mark.parametrize("sent", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("name", sorted(JUDGED))
def test_reading_calls_raise_for_each_class(name: str, sent: bool) -> None:
    calls: list[Any] = [
        lambda made: made.list(5),
        lambda made: made.get("rp_1"),
        lambda made: made.delete("rp_1"),
    ]
    for call in calls:
        with pytest.raises(CallFailed) as caught:
            asyncio.run(call(endpoint_over(Broken(an_error(ALL[name]), sent))))
        assert caught.value.status is None
        assert not caught.value.unauthorized
        assert "@" not in str(caught.value)


@pytest.mark.parametrize(
    "kind", [TypeError, AssertionError, RuntimeError, RecursionError, MemoryError, TooLarge]
)
def test_faults_of_ours_never_pass_for_proof(kind: type[Exception]) -> None:
    """Before anything left they are raised; afterwards all that is known is that nothing is known."""
    assert not issubclass(kind, NETWORK_FAULTS)
    with pytest.raises(kind):
        create_over(Broken(kind(), sent=False))
    assert create_over(Broken(kind(), sent=True)).kind is UNKNOWN


@pytest.mark.parametrize("sent", [False, True])
@pytest.mark.parametrize("kind", [asyncio.CancelledError, KeyboardInterrupt, SystemExit])
def test_what_ends_the_program_is_raised_and_closes_the_lane(kind: type[BaseException], sent: bool) -> None:
    lane = Broken(kind(), sent)

    async def scene() -> None:
        with pytest.raises(kind):
            await endpoint_over(lane).create(a_payment(), LATER)

    asyncio.run(scene())
    assert lane.closed


def test_a_transport_that_answers_without_sending_proves_nothing_good() -> None:
    """Were the guard no longer asked before sending, this would be the sign of it."""

    class Silent(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            return httpx.Response(201, json={})

    assert create_over(Silent()).kind is NOT_SENT


def a_payment() -> RecurringPayment:
    return RecurringPayment(
        amount_micros=1_000_000,
        subscription_name="Gold",
        subscriber_name="C",
        subscriber_email="c@example.org",
        recurring_on=date(2026, 2, 1),
        interval_days=30,
    )
