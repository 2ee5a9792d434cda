"""The Mileston payments API over httpx: typed calls, and creates whose outcomes rest on proof."""

from billing.gateway.client import Endpoint, MilestonClient
from billing.gateway.errors import CallFailed, Unauthorized
from billing.gateway.mileston import MilestonGateway
from billing.gateway.resources import Invoice, PaymentLink, Record, RecurringPayment

__all__ = [
    "CallFailed",
    "Endpoint",
    "Invoice",
    "MilestonClient",
    "MilestonGateway",
    "PaymentLink",
    "Record",
    "RecurringPayment",
    "Unauthorized",
]
