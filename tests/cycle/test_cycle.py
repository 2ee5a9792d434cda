"""The main job through the production path: subscriptions in, remote payments and mail out."""

from __future__ import annotations

from collections.abc import Callable

from tests.support.business import Business

TODAY = "2026-03-01"


def test_a_due_subscription_is_created_once_with_exactly_its_facts(business: Business) -> None:
    business.subscribe("ada,Gold plan,Ada Lovelace,ada@example.com,19.9,1 month,2026-03-01")

    report = business.run(TODAY)

    (record,) = business.remote()
    (payment,) = business.payments()
    assert record["data"] == {
        "recurringPaymentId": payment["remote_id"],
        "amount": "19.90",
        "subscriptionName": f"[{payment['marker']}] Gold plan",
        "subscriberFullName": "Ada Lovelace",
        "subscriberEmail": "ada@example.com",
        "currentPaymentStatus": "unpaid",
        "recurringDate": "2026-03-01T00:00:00.000Z",
        "recurringInterval": 31,
        "createdAt": record["data"]["createdAt"],
        **({"addPdf": record["data"]["addPdf"]} if "addPdf" in record["data"] else {}),
    }
    assert record["businessName"] == "Example Business"
    assert (payment["state"], payment["attempts"]) == ("open", 1)
    assert report.outcome == "ok"
    assert (report.due, report.created, report.amount_created_micros) == (1, 1, 19_900_000)


def test_a_second_run_bills_nobody_and_mails_nobody(business: Business) -> None:
    business.subscribe("ada,Gold,Ada,ada@example.com,19.90,1 month,2026-03-01")
    business.run(TODAY)
    mails = business.mail_names()

    again = business.run(TODAY)

    assert (again.due, again.created, again.notices_queued) == (0, 0, 0)
    assert len(business.remote(live=False)) == 1
    assert business.mail_names() == mails


def test_the_mail_names_amount_date_and_pay_link(business: Business) -> None:
    business.subscribe("ada,Gold,Ada Lovelace,ada@example.com,19.90,1 month,2026-03-01")
    business.run(TODAY)

    (mail,) = business.mails()
    (payment,) = business.payments()
    link = f"{business.sandbox.url}/checkout/recurring-payment/{payment['remote_id']}"
    for kind in ("plain", "html"):
        text = mail.get_body((kind,)).get_content()  # type: ignore[union-attr]
        assert link in text
        assert "19.90" in text
        assert "March 1, 2026" in text.replace("\xa0", " ").replace("&#160;", " ")
    assert mail["To"] == "Ada Lovelace <ada@example.com>"
    assert business.mail_names() == ["payment_created.ada.2026-03-01"]


def test_a_business_name_with_umlauts_and_an_ampersand_arrives(new_business: Callable[..., Business]) -> None:
    business = new_business(business__name="A&B Söhne GmbH")
    business.subscribe("ada,Gold,Ada,ada@example.com,19.90,1 month,2026-03-01")
    business.run(TODAY)

    assert [record["businessName"] for record in business.remote()] == ["A&B Söhne GmbH"]


def test_an_outbox_that_cannot_be_written_to_keeps_nobody_from_being_billed(business: Business) -> None:
    business.subscribe("ada,Gold,Ada,ada@example.com,19.90,1 month,2026-02-01")
    (business.folder / "a-file").write_text("in the way")
    business.environ["BILLING_MAIL__OUTBOX_DIR"] = str(business.folder / "a-file" / "outbox")
    report = business.run("2026-02-01")
    assert (report.created, report.outcome) == (1, "attention")
    assert "can't be written to" in report.problems[0]
    assert [notice["state"] for notice in business.notices()] == ["queued"]
    del business.environ["BILLING_MAIL__OUTBOX_DIR"]
    assert business.run("2026-02-01").notices_sent == 1
