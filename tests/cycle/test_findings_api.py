"""Faults that were found with a Mileston of unusual habits: the smallest input of each, over a socket."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from tests.support.business import HEADER, Business
from tests.support.odd_api import Data, OddApi, odd_api

DAY = "2026-03-01"
LONG_PLAN = "Gold plan with a name of sixty-two characters for the members too"
Make = Callable[..., Business]


@pytest.fixture
def api() -> Iterator[OddApi]:
    with odd_api() as opened:
        yield opened


@pytest.fixture
def make(new_business: Make, api: OddApi) -> Make:
    def make_one(**settings: str) -> Business:
        return new_business(mileston__recurring_payment_url=api.url, **settings)

    return make_one


def row(reference: str, plan: str = "Gold", starts_on: str = DAY, amount: str = "19.90") -> str:
    return f"{reference},{plan},Member,{reference}@example.com,{amount},1 month,{starts_on}"


def payment_of(business: Business, reference: str) -> Data:
    (found,) = [each for each in business.payments() if each["subscription"] == reference]
    return found


def mails_of(business: Business, kind: str) -> int:
    return len([name for name in business.mail_names() if kind in name])


# -- 1: names that are stored otherwise than they were sent ---------------------------------------------


@pytest.mark.parametrize(
    "stored_name",
    [
        lambda name: name[:64],
        lambda name: name[:20],
        lambda name: name[:7],
        str.upper,
        str.lower,
        lambda name: name.replace("[", "&#91;").replace("]", "&#93;"),
        lambda name: "".join(c for c in name if c.isalnum() or c == " "),
        lambda _name: "",
        lambda _name: "Subscription",
    ],
    ids=["cut at 64", "cut at 20", "cut at 7", "upper", "lower", "escaped", "stripped", "empty", "another"],
)
@pytest.mark.parametrize("answer", ["ok", "lost"])
def test_a_name_that_is_changed_at_mileston_never_leads_to_a_second_charge(
    make: Make, api: OddApi, stored_name: Callable[[str], str], answer: str
) -> None:
    """Finding 1."""
    api.stored_name = stored_name
    api.answers.append(answer)
    business = make()
    business.subscribe(row("ada", LONG_PLAN))

    reports = [business.run(DAY) for _ in range(6)]

    assert len(api.records) == 1
    assert api.gone == []
    payment = payment_of(business, "ada")
    assert payment["state"] in ("open", "parked")
    if payment["state"] == "open":
        assert payment["remote_id"] == "r-1"
        assert mails_of(business, "payment_created") == 1
    else:
        assert reports[-1].outcome == "attention"


def test_a_person_may_vouch_for_a_record_whose_name_was_changed(make: Make, api: OddApi) -> None:
    api.stored_name = lambda _name: "Subscription"
    api.answers.append("lost")
    business = make()
    business.subscribe(row("ada"))
    for _ in range(3):
        business.run(DAY)
    payment = payment_of(business, "ada")
    assert payment["state"] == "parked"

    words = ("payments", "resolve", str(payment["id"]), "--remote-id", "r-1")
    done = business.billing(*words, "--despite-mismatch", "--reason", "seen in the dashboard")

    assert done.returncode == 0, done.stderr
    assert payment_of(business, "ada")["state"] == "open"
    business.run(DAY)
    assert list(api.records) == ["r-1"]


def test_an_api_that_cuts_every_name_short_is_no_alarm(make: Make, api: OddApi) -> None:
    api.stored_name = lambda name: name[:12]
    business = make()
    business.subscribe(*(row(f"m{n:02d}") for n in range(30)))

    report = business.run(DAY)

    assert (report.outcome, report.adopted, report.held) == ("ok", 30, 0)
    assert {payment["state"] for payment in business.payments()} == {"open"}
    assert len(api.records) == 30


# -- 15: another amount was paid ------------------------------------------------------------------------


def test_what_was_paid_with_another_amount_is_told_and_gets_no_receipt(make: Make, api: OddApi) -> None:
    """Finding 15."""
    business = make()
    business.subscribe(row("ada"))
    business.run(DAY)
    (record,) = api.records.values()
    record["amount"] = "1.00"
    api.pay()

    report = business.run(DAY)

    assert report.outcome == "attention"
    assert (payment_of(business, "ada")["state"], mails_of(business, "payment_received")) == ("open", 0)
    status = business.billing("status")
    assert status.returncode == 1
    assert "it was paid with 1.00 USDC at Mileston" in status.stdout


# -- 5: statuses of other spelling and other meaning ----------------------------------------------------


@pytest.mark.parametrize("word", ["PAID", "Paid", "pAiD", " paid "])
def test_paid_is_paid_in_any_letter_case(make: Make, api: OddApi, word: str) -> None:
    """Finding 5."""
    api.status = lambda status: word if status == "paid" else status.upper()
    business = make()
    business.subscribe(row("ada"))
    business.run(DAY)
    api.pay()
    for day in ("2026-03-02", "2026-03-20"):
        business.run(day)
    payment = payment_of(business, "ada")
    if word.strip() == word:
        assert payment["state"] == "paid"
    assert mails_of(business, "overdue") == 0
    assert api.gone == []


@pytest.mark.parametrize("word", ["processing", "refunded", "pending", "", "unpaid?"])
def test_a_status_that_is_neither_is_not_dunned_not_deleted_and_told(
    make: Make, api: OddApi, word: str
) -> None:
    business = make()
    business.subscribe(row("ada"))
    business.run(DAY)
    api.status = lambda _status: word
    # A double of ours, which would be deleted if it were unpaid.
    api.create(next(iter(api.records.values())) | {"recurringPaymentId": "r-9"})

    reports = [business.run(day) for day in ("2026-03-03", "2026-03-15", "2026-03-30")]

    assert mails_of(business, "overdue") == mails_of(business, "paused") == 0
    assert api.gone == []
    assert {report.outcome for report in reports} == {"attention"}
    assert payment_of(business, "ada")["state"] == "open"
    assert "neither paid nor unpaid" in business.billing("payments", "list", "--attention", "--json").stdout


# -- 6: lists that are cut, in any order ----------------------------------------------------------------


@pytest.mark.parametrize(
    "sort_key",
    [
        lambda data: data["recurringDate"],
        lambda data: data["createdAt"],
        lambda data: data["subscriberEmail"][::-1],
        lambda data: hash(data["recurringPaymentId"]),
        None,
    ],
    ids=["due date", "oldest", "nothing", "hash", "newest"],
)
@pytest.mark.parametrize("cap", [10, 7])
def test_a_capped_list_in_any_order_proves_no_absence_of_what_it_may_hide(
    make: Make, api: OddApi, sort_key: Callable[[Data], object] | None, cap: int
) -> None:
    """Finding 6: a new subscription that starts in the past, and its answer is lost."""
    business = make()
    business.subscribe(*(row(f"m{n}", starts_on=f"2026-02-{n + 1:02d}") for n in range(12)))
    for day in (4, 8, 12):
        business.run(f"2026-02-{day:02d}")
    api.sort_key, api.cap = sort_key, cap
    api.answers.append("lost")
    business.subscribe(row("late", starts_on="2026-02-05"))

    for _ in range(5):
        business.run("2026-02-13")

    ours = Counter(email for email, _, _ in api.charges())
    assert ours["late@example.com"] == 1
    assert set(ours.values()) == {1}
    assert api.gone == []


def test_a_cap_equal_to_the_number_of_our_records_proves_nothing(make: Make, api: OddApi) -> None:
    api.cap, api.sort_key = 10, lambda data: data["createdAt"]
    business = make()
    business.subscribe(*(row(f"m{n}") for n in range(10)))
    business.run(DAY)
    api.answers.append("lost")
    business.subscribe(row("late"))
    for _ in range(5):
        business.run(DAY)
    assert len([email for email, _, _ in api.charges() if email == "late@example.com"]) == 1


# -- 16, 17, 9: imports ---------------------------------------------------------------------------------


def test_an_imported_price_is_what_a_held_payment_charges_when_it_is_released(
    make: Make, api: OddApi
) -> None:
    """Finding 16."""
    business = make(cycle__max_payments_per_run="1")
    business.subscribe(row("a1", amount="10.00"), row("a2", amount="10.00"))
    business.run(DAY)
    (held,) = [each for each in business.payments() if each["state"] == "held"]
    reference = held["subscription"]
    file = business.folder / "new.csv"
    file.write_text(f"{HEADER}\n{row(reference, amount='12.00')}\n")

    imported = business.billing("subscriptions", "import", str(file))
    released = business.billing("payments", "release", str(held["id"]))
    business.run(DAY)

    assert f"the held payment due {DAY}: 10.00 USDC -> 12.00 USDC" in imported.stdout
    assert "12.00 USDC" in released.stdout
    assert (f"{reference}@example.com", DAY, "12.00") in api.charges()


def test_a_file_without_the_optional_columns_erases_nothing(make: Make, api: OddApi) -> None:
    """Finding 17."""
    business = make()
    full = (
        "reference,plan,name,email,amount,interval,starts_on,bill_from,ends_on,wallet_address,locale,"
        "company,tax_id,address"
    )
    wallet = "0x" + "ab" * 20
    business.subscribe(
        f"ada,Gold,Ada,ada@example.com,5,1 month,2026-01-01,2026-03-01,2026-12-31,{wallet},de,"
        "Ada Ltd,GB1,1 Road | Town",
        header=full,
    )
    before = json.loads(business.billing("subscriptions", "show", "ada", "--json").stdout)
    business.subscribe("ada,Gold,Ada,ada@example.com,5,1 month,2026-01-01")
    after = json.loads(business.billing("subscriptions", "show", "ada", "--json").stdout)

    optional = ("bill_from", "ends_on", "wallet_address", "locale", "company", "tax_id", "address")
    for field in (*optional, "next_due_on"):
        assert before[field], field
        assert after[field] == before[field], field
    business.run(DAY)
    assert [due for _, due, _ in api.charges()] == [DAY]


@pytest.mark.parametrize(
    ("known", "new"),
    [("00417", "417"), ("Acme-1", "ACME-1"), ("a-1", "a‐1"), ("o1", "ο1"), ("m 1", "m1")],
    ids=["zeros", "case", "hyphen", "greek o", "space"],
)
def test_a_reference_that_looks_like_a_known_one_is_asked_about(
    make: Make, api: OddApi, known: str, new: str
) -> None:
    """Finding 9."""
    business = make()
    business.subscribe(f"{known},Gold,Ada,ada@example.com,5,1 month,{DAY}")
    file = business.folder / "again.csv"
    file.write_text(f"{HEADER}\n{new},Gold,Ada,ada@example.com,5,1 month,{DAY}\n")

    refused = business.billing("subscriptions", "import", str(file))

    assert refused.returncode == 1
    assert known in refused.stderr
    assert len(json.loads(business.billing("subscriptions", "list", "--json").stdout)) == 1


# -- 20: deletes that do nothing ------------------------------------------------------------------------


def test_a_delete_that_is_answered_and_not_done_is_told(make: Make, api: OddApi) -> None:
    """Finding 20."""
    business = make()
    business.subscribe(row("ada"))
    business.run(DAY)
    payment = payment_of(business, "ada")
    api.deletes = False

    voided = business.billing("payments", "void", str(payment["id"]))
    assert voided.returncode != 0
    assert "r-1" in voided.stderr
    api.pay()
    report = business.run("2026-03-02")

    assert payment_of(business, "ada")["state"] in ("open", "paid")
    assert report.paid == 1 or report.outcome == "attention"


def test_records_that_answer_404_for_a_minute_lose_no_first_mail(make: Make, api: OddApi) -> None:
    business = make()
    business.subscribe(row("ada"))
    api.not_found = 3
    for _ in range(4):
        business.run(DAY)
    assert len(api.records) == 1
    assert payment_of(business, "ada")["state"] == "open"
    assert mails_of(business, "payment_created") == 1


# -- 21, 22: dunning in time ----------------------------------------------------------------------------


def test_a_list_that_lags_leads_to_no_overdue_notice_for_what_is_paid(make: Make, api: OddApi) -> None:
    """Finding 21: the list goes on showing it as unpaid, the record itself does not."""
    business = make(dunning__final_action="cancel")
    business.subscribe(row("ada"))
    business.run(DAY)
    api.freeze_list()
    api.pay()
    for day in ("2026-03-02", "2026-03-04", "2026-03-08", "2026-03-20", "2026-03-31"):
        business.run(day)
    assert mails_of(business, "overdue") == mails_of(business, "cancelled") == 0
    assert mails_of(business, "payment_received") == 1
    assert payment_of(business, "ada")["state"] == "paid"
