"""Notices looked at by people: one as it would go out, and a sample of a kind."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from billing.app.mailing import Attachment, preview_notice, send_sample
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
        shown = preview_notice(business.config, db, notice["id"], NOW)

    body = sent.get_body(("plain",))
    assert body is not None
    assert (shown.text, shown.attachments) == (body.get_content(), [])
    assert (shown.mail.recipient, shown.mail.message_id) == ("ada@example.com", sent["Message-ID"])


def test_the_preview_of_a_receipt_names_its_pdf(new_business: Callable[..., Business]) -> None:
    business = new_business(mail__receipt_pdf="true")
    business.subscribe("ada,Gold,Ada,ada@example.com,19.90,1 month,2026-03-01")
    business.run("2026-03-01")
    (remote,) = business.remote()
    business.sandbox.pay(remote["id"])
    business.run("2026-03-01")
    (receipt,) = [notice for notice in business.notices() if notice["kind"] == "payment_received"]
    (attached,) = business.mails()[-1].iter_attachments()
    data = attached.get_payload(decode=True)
    assert isinstance(data, bytes)

    with business.store() as db:
        shown = preview_notice(business.config, db, receipt["id"], NOW)
    printed = business.billing("notices", "preview", str(receipt["id"]))
    document = json.loads(business.billing("notices", "preview", str(receipt["id"]), "--json").stdout)

    assert data.startswith(b"%PDF")
    assert shown.attachments == [Attachment("receipt-2026-000001.pdf", "application/pdf", len(data))]
    assert f"Attached: receipt-2026-000001.pdf (application/pdf, {len(data):,} bytes)" in printed.stdout
    assert document["attachments"] == [
        {"filename": "receipt-2026-000001.pdf", "type": "application/pdf", "bytes": len(data)}
    ]


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
