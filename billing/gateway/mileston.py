"""The payments API as the billing cycle uses it: recurring payments that carry a marker."""

from __future__ import annotations

import builtins
import ssl
from collections.abc import Callable
from datetime import date, datetime
from types import TracebackType
from typing import Any
from urllib.parse import quote

from billing.config.schema import Mileston
from billing.core import reasons
from billing.core.markers import find_marker, name_with_marker
from billing.core.outcomes import CreateOutcome, PaymentRequest, RecordChange, RemotePayment
from billing.core.remote_status import read_status
from billing.gateway.addresses import checkout_url
from billing.gateway.client import MilestonClient
from billing.gateway.errors import CallFailed
from billing.gateway.resources import RECURRING_PAYMENTS, Record, RecurringPayment


class MilestonGateway:
    """Creates, reads and deletes remote payments. Safe to use from many tasks of one event loop.

    `credentials` returns (API key, business id) and is called for every request. `clock` returns aware
    instants; only deadlines and Retry-After dates are compared with it. `on_call` receives each
    call's name, HTTP status (None without an answer) and seconds.
    """

    def __init__(
        self,
        settings: Mileston,
        business_name: str,
        credentials: Callable[[], tuple[str, str]],
        clock: Callable[[], datetime],
        *,
        on_call: Callable[[str, int | None, float], None] | None = None,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self._checkout = checkout_url(settings, RECURRING_PAYMENTS, "")
        self._client = MilestonClient(settings, business_name, credentials, clock, on_call, ssl_context)
        self._payments = self._client.recurring_payments

    async def create(self, request: PaymentRequest, send_by: datetime) -> CreateOutcome:
        """Create one payment and return what is proved about it; see `CreateOutcome`.

        Nothing is sent at or after `send_by`. Whatever is sent has an outcome within the time limit
        of a call after that. A mismatch names its remote id too, if it has one (`named_id`): no
        success, and no reason to send again. Raises nothing but `CancelledError`, which leaves the
        outcome unknown.
        """
        return await self._payments.create(
            RecurringPayment(
                amount_micros=request.amount_micros,
                subscription_name=name_with_marker(request.plan, request.marker),
                subscriber_name=request.name,
                subscriber_email=request.email,
                wallet_address=request.wallet_address,
                payment_status="unpaid",
                recurring_on=request.due_on,
                interval_days=request.interval_days,
            ),
            send_by,
        )

    async def list(self, limit: int) -> builtins.list[RemotePayment]:
        """Up to `limit` remote payments, in no promised order; those that aren't ours as well.

        Exactly as many as the API sent, so that fewer than `limit` means that there are no more.
        Raises `GatewayError`.
        """
        emails: dict[str, str] = {}

        def made(remote_id: str, name: str | None, email: str | None, *others: Any) -> RemotePayment:
            # A subscriber has many records, and one text will do for all of them.
            return _payment(remote_id, name, emails.setdefault(email or "", email or ""), *others)

        payments = await self._payments.list_as(limit, _SHOWN, made)
        if any(payment.marker and not payment.remote_id for payment in payments):
            # Left out, it would count as absent; taken in, it could be neither read nor deleted.
            raise CallFailed(f"{reasons.LIST_CALL}: {reasons.OURS_WITHOUT_ID}")
        return payments

    async def get(self, remote_id: str) -> RemotePayment | None:
        """One remote payment, or None if the API has none of that id. Raises `GatewayError`."""
        record = await self._payments.get(remote_id)
        return None if record is None else _as_payment(record)

    async def update(self, remote_id: str, change: RecordChange) -> RemotePayment | None:
        """Change one remote payment; as the answer shows it, or None if there is none of that id.

        May be repeated. Raises `GatewayError`; then it may have been changed all the same.
        """
        name = None if change.marker is None else name_with_marker(change.plan, change.marker)
        try:
            record = await self._payments.update(
                remote_id,
                RecurringPayment(
                    amount_micros=change.amount_micros,
                    subscription_name=name,
                    interval_days=change.interval_days,
                ),
            )
        except CallFailed as error:
            if error.status == 404:
                return None
            raise
        return _as_payment(record)

    async def delete(self, remote_id: str) -> bool:
        """True if it was deleted, False if there was none of that id. Raises `GatewayError`."""
        return await self._payments.delete(remote_id)

    @property
    def clock_skew_seconds(self) -> float | None:
        """How far our clock is ahead of the API's (behind: negative); None if it has told no time."""
        return self._client.clock_skew_seconds

    def checkout_url(self, remote_id: str) -> str:
        """The page where the subscriber pays."""
        return self._checkout + quote(remote_id, safe="")

    async def close(self) -> None:
        """Close all idle connections; calls still under way close theirs as they end."""
        await self._client.close()

    async def __aenter__(self) -> MilestonGateway:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()


# In the order of what `_payment` takes.
_SHOWN = (
    "subscription_name",
    "subscriber_email",
    "amount_micros",
    "payment_status",
    "recurring_on",
    "interval_days",
)


def _as_payment(record: Record[RecurringPayment]) -> RemotePayment:
    return _payment(record.remote_id, *(getattr(record.fields, name) for name in _SHOWN))


def _payment(
    remote_id: str,
    name: str | None,
    email: str | None,
    amount_micros: int | None,
    status: str | None,
    due_on: date | None,
    interval_days: int | None,
) -> RemotePayment:
    return RemotePayment(
        remote_id=remote_id,
        marker=find_marker(name or ""),
        amount_micros=amount_micros,
        email=email or "",
        status=read_status(status),
        due_on=due_on,
        interval_days=interval_days,
    )
