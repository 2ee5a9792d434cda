"""Counting deliveries: each is told once with its kind and outcome, and goes on as it was."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import pytest

from billing.app.instrumentation import observed_renderer, observed_transport
from billing.core.notices import Delivery, DeliveryKind, NoticeFacts, RenderedMail
from billing.core.states import NoticeKind
from billing.cycle.context import nothing
from billing.errors import MailError, TemplateError
from billing.mail.samples import sample_letter
from tests.support.smtp_server import a_mail

NOW = datetime(2026, 3, 1, tzinfo=UTC)
MAIL = replace(a_mail(), dedupe_key="payment_created.RB-0123456789ABCDEF")


@dataclass
class Channel:
    """Ends every delivery alike; None: the channel is down."""

    kind: DeliveryKind | None

    async def send(self, mail: RenderedMail) -> Delivery:
        if self.kind is None:
            raise MailError("nobody is there")
        return Delivery(self.kind, "250 taken")


@pytest.mark.parametrize("kind", list(DeliveryKind))
def test_a_delivery_is_counted_by_its_kind_and_outcome(kind: DeliveryKind) -> None:
    counted: list[tuple[str, str]] = []
    transport = observed_transport(Channel(kind), lambda *what: counted.append(what))

    delivery = asyncio.run(transport.send(MAIL))

    assert delivery == Delivery(kind, "250 taken")
    assert counted == [("payment_created", kind.value)]


def test_a_channel_that_is_down_counts_as_not_sent_and_is_raised() -> None:
    counted: list[tuple[str, str]] = []
    transport = observed_transport(Channel(None), lambda *what: counted.append(what))

    with pytest.raises(MailError, match="nobody is there"):
        asyncio.run(transport.send(MAIL))

    assert counted == [("payment_created", "not_sent")]


class Broken:
    def render(self, letter: NoticeFacts, now: datetime) -> RenderedMail:
        raise TemplateError("payment_created.txt: line 3")


class Good:
    def render(self, letter: NoticeFacts, now: datetime) -> RenderedMail:
        return MAIL


def test_only_letters_that_cannot_be_rendered_are_counted_as_failed() -> None:
    counted: list[tuple[str, str]] = []
    letter = sample_letter(NoticeKind.PAYMENT_CREATED, "en")

    assert observed_renderer(Good(), lambda *what: counted.append(what)).render(letter, NOW) is MAIL
    with pytest.raises(TemplateError, match="line 3"):
        observed_renderer(Broken(), lambda *what: counted.append(what)).render(letter, NOW)

    assert counted == [("payment_created", "failed")]


def test_where_nobody_counts_nothing_stands_between() -> None:
    channel, renderer = Channel(DeliveryKind.SENT), Good()
    assert observed_transport(channel, nothing) is channel
    assert observed_renderer(renderer, nothing) is renderer
