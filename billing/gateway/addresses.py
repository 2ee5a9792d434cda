"""Where each resource lives, and where payers pay."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import httpx

from billing.config.schema import Mileston
from billing.errors import ConfigError
from billing.gateway.resources import INVOICES, PAYMENT_LINKS, RECURRING_PAYMENTS, Resource

_LIVE_CHECKOUT = "https://checkout.mileston.co"


def base_url(settings: Mileston, resource: Resource[Any]) -> str:
    """The address that a resource's calls start with.

    Mileston's own unless one is set, but never in the sandbox environment: there the other two
    resources are looked for beside `recurring_payment_url`, and without that it is a `ConfigError`.
    """
    given = {
        RECURRING_PAYMENTS.path: settings.recurring_payment_url,
        PAYMENT_LINKS.path: settings.payment_link_url,
        INVOICES.path: settings.invoice_url,
    }[resource.path]
    if given:
        return given.rstrip("/")
    if settings.environment == "live":
        return resource.live_url
    if not settings.recurring_payment_url:
        raise ConfigError(
            ["mileston.recurring_payment_url: not set; the sandbox environment must not call the live API"]
        )
    return f"{_origin(settings)}/{resource.path}"


def checkout_url(settings: Mileston, resource: Resource[Any], remote_id: str) -> str:
    """The page where the payer pays a record."""
    if settings.checkout_url:
        start = settings.checkout_url.rstrip("/")
    elif settings.recurring_payment_url:
        start = f"{_origin(settings)}/checkout"
    else:
        start = _LIVE_CHECKOUT
    return f"{start}/{resource.path}/{quote(remote_id, safe='')}"


def _origin(settings: Mileston) -> str:
    url = httpx.URL(settings.recurring_payment_url)
    return f"{url.scheme}://{url.netloc.decode('ascii')}"
