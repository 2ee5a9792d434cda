"""Where the calls and the payers are sent."""

from typing import Any

import pytest

from billing.config.schema import Mileston
from billing.errors import ConfigError
from billing.gateway import (
    MilestonClient,
    MilestonGateway,
)
from tests.support.scripted_api import (
    NOW,
)


def addresses(made: MilestonClient) -> list[str]:
    return [str(each.wire.base_url) for each in (made.recurring_payments, made.payment_links, made.invoices)]


def a_client(**values: Any) -> MilestonClient:
    return MilestonClient(Mileston(**values), "Example", lambda: ("key", "biz"), lambda: NOW)


def a_gateway(**values: Any) -> MilestonGateway:
    return MilestonGateway(Mileston(**values), "Example", lambda: ("key", "biz"), lambda: NOW)


def test_live_addresses_are_the_defaults() -> None:
    assert addresses(a_client(environment="live")) == [
        "https://recurring-service.mileston.co/recurring-payment",
        "https://payment-service.mileston.co/payment-link",
        "https://invoice-service.mileston.co/invoice",
    ]


def test_set_addresses_win() -> None:
    given = {
        "recurring_payment_url": "https://a.example/x",
        "payment_link_url": "https://b.example/y",
        "invoice_url": "https://c.example/z/",
    }
    assert addresses(a_client(environment="live", **given)) == [
        "https://a.example/x",
        "https://b.example/y",
        "https://c.example/z",
    ]


def test_the_sandbox_never_calls_the_live_api() -> None:
    with pytest.raises(ConfigError, match=r"mileston\.recurring_payment_url"):
        a_gateway()
    assert addresses(a_client(recurring_payment_url="http://127.0.0.1:8788/recurring-payment")) == [
        "http://127.0.0.1:8788/recurring-payment",
        "http://127.0.0.1:8788/payment-link",
        "http://127.0.0.1:8788/invoice",
    ]


@pytest.mark.parametrize(
    ("values", "url"),
    [
        ({"environment": "live"}, "https://checkout.mileston.co/recurring-payment/rp%2F1"),
        (
            {"recurring_payment_url": "http://127.0.0.1:8788/recurring-payment"},
            "http://127.0.0.1:8788/checkout/recurring-payment/rp%2F1",
        ),
        (
            {"recurring_payment_url": "http://[::1]:8788/recurring-payment"},
            "http://[::1]:8788/checkout/recurring-payment/rp%2F1",
        ),
        (
            {
                "environment": "live",
                "recurring_payment_url": "https://a.example/r",
                "checkout_url": "https://pay.example/c",
            },
            "https://pay.example/c/recurring-payment/rp%2F1",
        ),
    ],
)
def test_the_checkout_page(values: dict[str, Any], url: str) -> None:
    assert a_gateway(**values).checkout_url("rp/1") == url
