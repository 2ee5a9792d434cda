"""Counting what cycles do, without the cycle knowing of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from billing.core.notices import Delivery, DeliveryKind, NoticeFacts, RenderedMail
from billing.cycle.context import Renderer, Transport, nothing
from billing.errors import ConfigError, MailError, TemplateError

if TYPE_CHECKING:
    from billing.app.metrics import Metrics

OnDelivery = Callable[[str, str], None]


def new_metrics(wanted_by: str) -> Metrics:
    """Counters for Prometheus. Raises `ConfigError` if the setting asks for what is not installed."""
    try:
        from billing.app.metrics import Metrics
    except ImportError as error:
        advice = "pip install 'recurring-billing[metrics]'"
        raise ConfigError([f"{wanted_by}: needs prometheus-client: {advice}"]) from error
    return Metrics()


def observed_transport(transport: Transport, on_delivery: OnDelivery) -> Transport:
    """The transport, or one around it that tells `on_delivery` the notice's kind and the outcome."""
    return transport if on_delivery is nothing else _Transport(transport, on_delivery)


def observed_renderer(renderer: Renderer, on_delivery: OnDelivery) -> Renderer:
    """As `observed_transport`, for notices that fail because they can't be rendered."""
    return renderer if on_delivery is nothing else _Renderer(renderer, on_delivery)


@dataclass(frozen=True)
class _Transport:
    inner: Transport
    on_delivery: OnDelivery

    async def send(self, mail: RenderedMail) -> Delivery:
        kind = mail.dedupe_key.partition(".")[0]
        try:
            delivery = await self.inner.send(mail)
        except MailError:
            self.on_delivery(kind, DeliveryKind.NOT_SENT.value)
            raise
        self.on_delivery(kind, delivery.kind.value)
        return delivery


@dataclass(frozen=True)
class _Renderer:
    inner: Renderer
    on_delivery: OnDelivery

    def render(self, letter: NoticeFacts, now: datetime) -> RenderedMail:
        try:
            return self.inner.render(letter, now)
        except TemplateError:
            self.on_delivery(letter.kind.value, DeliveryKind.FAILED.value)
            raise
