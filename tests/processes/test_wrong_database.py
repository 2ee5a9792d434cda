"""A database that belongs elsewhere is refused before anything is sent."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator

import pytest

from tests.support.installation import Installation, subscription
from tests.support.sandbox import Sandbox

DAY = "2026-01-05"
KEY = {"MILESTON_API_KEY": "key-1"}
Install = Callable[..., Installation]


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """A port that takes connections and notices the first one."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        yield server


def _live(listener: socket.socket) -> dict[str, str]:
    url = f"https://127.0.0.1:{listener.getsockname()[1]}/recurring-payment"
    return {
        **KEY,
        "BILLING_MILESTON__ENVIRONMENT": "live",
        "BILLING_MILESTON__RECURRING_PAYMENT_URL": url,
    }


def test_a_sandbox_database_is_not_billed_live(install: Install, listener: socket.socket) -> None:
    billing = install()
    billing.subscribe([subscription("s1", DAY)])

    run = billing.billing("run-once", "--json", **_live(listener))

    assert run.code == 78
    assert "belongs to the sandbox environment" in run.err
    assert run.out == ""
    with pytest.raises(BlockingIOError):
        listener.accept()


def test_a_live_database_is_not_touched_by_the_sandbox(
    install: Install, sandbox: Sandbox, listener: socket.socket
) -> None:
    billing = install()
    assert billing.billing("subscriptions", "list", "--json", **_live(listener)).code == 0

    run = billing.billing("run-once", "--json")

    assert run.code == 78
    assert "belongs to the live environment" in run.err
    assert sandbox.ask("GET", "requests")["counts"] == {}


def test_another_business_s_database_is_refused(install: Install, sandbox: Sandbox) -> None:
    billing = install()
    billing.subscribe([subscription("s1", DAY)])

    run = billing.billing("run-once", "--json", MILESTON_BUSINESS_ID="business-2")

    assert run.code == 78
    assert "belongs to another business" in run.err
    assert "business-2" not in run.err
    assert sandbox.ask("GET", "requests")["counts"] == {}
