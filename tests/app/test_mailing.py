"""Notices looked at by people: one as it would go out, and a sample of a kind."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from billing.app.mailing import preview_notice, send_sample
from billing.core.notices import DeliveryKind
from billing.core.states import NoticeKind
from billing.errors import UsageError
from tests.support.business import Business

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def test_a_preview_is_the_mail_that_went_out(business: Business) -> None:
    business.subscribe("ada,Gold,Ada,ada@example.com,19.90,1 month,2026-03-01")
    business.run("2026-03-01")
    (notice,) = business.notices()
    (sent,) = business.mails()

    with business.store() as db:
        mail, text = preview_notice(business.config, db, notice["id"], NOW)

    body = sent.get_body(("plain",))
    assert body is not None
    assert text == body.get_content()
    assert (mail.recipient, mail.message_id) == ("ada@example.com", sent["Message-ID"])


def test_a_notice_that_does_not_exist_is_refused(business: Business) -> None:
    with business.store() as db, pytest.raises(UsageError, match="there is no notice 4711"):
        preview_notice(business.config, db, 4711, NOW)


def test_two_samples_are_two_mails(business: Business) -> None:
    for second in (1, 2):
        now = NOW.replace(second=second)
        sample = send_sample(business.config, NoticeKind.PAYMENT_OVERDUE, "me@example.com", "de", now)
        assert asyncio.run(sample).kind is DeliveryKind.SENT

    first, other = business.mails()
    assert first["To"] == other["To"]
    assert "me@example.com" in first["To"]
    assert first["Message-ID"] != other["Message-ID"]
