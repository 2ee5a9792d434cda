"""The main job through the production path: subscriptions in, remote payments and mail out."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from billing.app.runtime import Hooks
from tests.world import Business

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
        assert "March 1, 2026" in text
    assert mail["To"] == "Ada Lovelace <ada@example.com>"
    assert business.mail_names() == ["payment_created.ada.2026-03-01"]


def test_a_business_name_with_umlauts_and_an_ampersand_arrives(new_business: Callable[..., Business]) -> None:
    business = new_business(business__name="A&B Söhne GmbH")
    business.subscribe("ada,Gold,Ada,ada@example.com,19.90,1 month,2026-03-01")
    business.run(TODAY)

    assert [record["businessName"] for record in business.remote()] == ["A&B Söhne GmbH"]


def test_missed_periods_are_caught_up_to_the_limit_and_older_ones_wait(business: Business) -> None:
    business.subscribe("ada,Gold,Ada,ada@example.com,5,1 week,2026-02-01")

    report = business.run(TODAY)

    assert (report.due, report.created, report.held) == (5, 2, 3)
    assert [due for _, due in business.due_dates()] == ["2026-02-22", "2026-03-01"]
    assert report.outcome == "attention"
    states = {p["due_on"]: p["state"] for p in business.payments()}
    assert [day for day, state in states.items() if state == "held"] == [
        "2026-02-01",
        "2026-02-08",
        "2026-02-15",
    ]


def test_a_refusal_is_kept_with_the_words_of_the_api_and_not_tried_again(business: Business) -> None:
    # The sandbox refuses what Mileston would: this address passes our check, but has no @ there.
    business.subscribe("ada,Gold,Ada,ada@example.com,5,1 month,2026-03-01")
    with business.store() as db, db.transaction() as tx:
        tx.exec_driver_sql("UPDATE subscriptions SET email = 'nobody'")

    first, second = business.run(TODAY), business.run(TODAY)

    (payment,) = business.payments()
    assert (first.rejected, second.due) == (1, 0)
    assert payment["state"] == "rejected"
    assert "subscriberEmail" in payment["cause"]
    assert second.outcome == "attention"


@pytest.mark.parametrize("fault", ["500", "garbage", "cut_after_commit", "slow_drip", "wrong_echo"])
def test_an_unknown_outcome_is_found_by_its_marker_and_never_sent_again(
    new_business: Callable[..., Business], fault: str
) -> None:
    business = new_business(mileston__timeout_seconds="0.7")
    business.subscribe("ada,Gold,Ada,ada@example.com,5,1 month,2026-03-01")
    business.sandbox.script(fault)

    first = business.run(TODAY)
    committed = len(business.remote())
    reports = [business.run(TODAY) for _ in range(3)]

    assert (first.due, first.unknown) == (1, 1)
    assert len(business.remote(live=False)) == 1
    assert sum(r.adopted for r in reports) == committed
    assert sum(r.created for r in reports) == 1 - committed
    assert all(r.conserved() for r in (first, *reports))
    assert business.payments()[0]["state"] == "open"


def test_an_api_that_is_down_leaves_payments_planned(new_business: Callable[..., Business]) -> None:
    business = new_business()
    business.subscribe("ada,Gold,Ada,ada@example.com,5,1 month,2026-03-01")
    url = business.environ["BILLING_MILESTON__RECURRING_PAYMENT_URL"]
    business.environ["BILLING_MILESTON__RECURRING_PAYMENT_URL"] = "http://127.0.0.1:9/recurring-payment"

    down = business.run(TODAY)
    business.environ["BILLING_MILESTON__RECURRING_PAYMENT_URL"] = url
    up = business.run(TODAY)

    assert (down.due, down.not_sent, down.unknown) == (1, 1, 0)
    assert (up.due, up.created) == (1, 1)
    assert len(business.remote(live=False)) == 1


def test_many_are_created_once_each_over_several_pages(business: Business) -> None:
    business.subscribe(
        *(f"s{i},Plan {i},N {i},s{i}@example.com,{i + 1},1 month,2026-03-01" for i in range(1200))
    )
    seen: list[tuple[str, int, int]] = []

    report = business.run(TODAY, Hooks(progress=lambda *step: seen.append(step)))

    assert (report.due, report.created) == (1200, 1200)
    names = [name for name, _ in business.due_dates(live=False)]
    assert len(names) == len(set(names)) == 1200
    assert [step for step in seen if step[0] == "submit"][-1] == ("submit", 1200, 1200)
    assert report.notices_sent == 1200


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
