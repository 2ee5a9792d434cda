"""The digest: to the operator, when something needs a person, once a day for the same needs."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import date, timedelta
from email.message import EmailMessage
from typing import Any

import pytest

from billing.app import decisions
from billing.app.runtime import utc_now
from billing.cycle.cycle import STEPS
from billing.cycle.digest import _is_due, digest
from billing.lifecycle.needs import Need, needs
from tests.support.business import Business

DAY = date(2026, 3, 1)
Make = Callable[..., Business]
UNSENT = STEPS[:-1]
"""All steps but the last: what is queued stays so, and nothing is rendered."""
OPERATOR = {"business__operator_address": "operator@example.org"}


def digests(business: Business) -> list[dict[str, Any]]:
    return [notice for notice in business.notices() if notice["kind"] == "run_digest"]


def subscribe(business: Business, *references: str, starts_on: date = DAY) -> None:
    business.subscribe(*(f"{ref},P,N,{ref}@example.com,5,1 month,{starts_on}" for ref in references))


@pytest.fixture
def held(new_business: Make) -> Business:
    """Every payment is held."""
    return new_business(cycle__max_payments_per_run="0", **OPERATOR)


def test_it_comes_between_the_reminders_and_the_outbox() -> None:
    names = [step.__name__ for step in STEPS]
    assert names[names.index("remind") :] == ["remind", "digest", "deliver"]


def test_something_that_needs_a_person_is_mailed_with_what_to_type(held: Business) -> None:
    subscribe(held, "ada", "bob")
    report = held.run(DAY)
    (mail,) = held.mails()

    assert (report.notices_queued, report.notices_sent) == (1, 1)
    assert mail["To"] == "operator@example.org"
    assert mail["Subject"].startswith("Needs attention: one thing, billing run of ")
    text = mail.get_body(("plain",)).get_content()  # type: ignore[union-attr]
    for words in (
        "2 payments are held by a safety limit (10.00 USDC)",
        "payment 1 (ada, due on 2026-03-01), payment 2 (bob,",
        "billing payments release --all-held --cause safety-limit",
    ):
        assert words in " ".join(text.split())
    assert "example.com" not in text


def test_the_same_needs_are_mailed_once_a_day_and_again_on_the_next(held: Business) -> None:
    subscribe(held, "ada")
    for day in (DAY, DAY, DAY, DAY + timedelta(days=1), DAY + timedelta(days=1)):
        held.run(day, steps=UNSENT)
    assert [found["dedupe_key"] for found in digests(held)] == [
        "run_digest.2026-03-01.1",
        "run_digest.2026-03-02.1",
    ]


def test_what_joins_is_mailed_at_once_and_what_goes_is_not(held: Business) -> None:
    subscribe(held, "ada", "bob")
    held.run(DAY, steps=UNSENT)
    subscribe(held, "cy")
    held.run(DAY, steps=UNSENT)
    held.run(DAY, steps=UNSENT)
    assert len(digests(held)) == 2
    with held.store() as db:
        decisions.release(db, [1], utc_now(), "")  # and the next run holds it again: that is news
    held.run(DAY, steps=UNSENT)
    assert len(digests(held)) == 3

    held.environ["BILLING_CYCLE__MAX_PAYMENTS_PER_RUN"] = "1"
    with held.store() as db:
        decisions.release(db, [2], utc_now(), "")
    held.run(DAY, steps=UNSENT)
    assert len(digests(held)) == 3  # one less


def test_without_an_address_nobody_is_told(new_business: Make) -> None:
    business = new_business(cycle__max_payments_per_run="0")
    subscribe(business, "ada")
    business.run(DAY)
    assert business.notices() == []


@pytest.mark.parametrize(("asked_for", "count"), [("false", 0), ("true", 1)])
def test_when_all_is_well_it_comes_only_if_asked_for_and_once_a_day(
    new_business: Make, asked_for: str, count: int
) -> None:
    business = new_business(mail__digest_when_well=asked_for, **OPERATOR)
    for _ in range(2):
        business.run(DAY)
    assert len(digests(business)) == count
    if count:
        (mail,) = business.mails()
        assert mail["Subject"].startswith("All is well: ")


def test_a_refused_key_is_told_with_doctor_as_what_to_type(new_business: Make) -> None:
    business = new_business(**OPERATOR)
    subscribe(business, "ada")
    business.sandbox.ask("PUT", "keys", {"keys": ["another"]})
    for _ in range(3):
        business.run(DAY)
    (mail,) = business.mails()
    text = mail.get_body(("plain",)).get_content()  # type: ignore[union-attr]
    assert "The run stopped before it had sent everything" in text
    assert "refused the API key (401)" in text
    assert "billing doctor" in text


def test_a_list_of_hundreds_is_cut_short(held: Business) -> None:
    subscribe(held, *(f"s{i}" for i in range(300)))
    held.run(DAY)
    (mail,) = held.mails()
    text = mail.get_body(("plain",)).get_content()  # type: ignore[union-attr]
    assert text.count("billing payments release") == 1
    assert "300 payments are held" in text
    assert "and 297 more" in text


def test_notices_that_failed_are_told_but_no_digest_tells_of_itself(new_business: Make) -> None:
    business = new_business(**OPERATOR)
    folder = business.folder / "own"
    folder.mkdir()
    (folder / "payment_created.txt").write_text("{{ nobody_knows }}")
    business.environ["BILLING_MAIL__TEMPLATES_DIR"] = str(folder)
    subscribe(business, "ada")
    business.run(DAY)
    business.run(DAY)
    (told,) = digests(business)
    assert told["state"] == "sent"
    assert "1 e-mail could not be sent" in _text(business)
    assert "payment_created (ada)" in _text(business)

    (folder / "run_digest.txt").write_text("{{ nobody_knows }}")
    for _ in range(2):
        business.run(DAY + timedelta(days=1))
    assert [found["state"] for found in digests(business)] == ["sent", "failed"]
    with business.store() as db, db.read() as tx:
        now = utc_now()
        assert [need.count for need in needs(tx, now, False)] == [2]
        assert [need.count for need in needs(tx, now, False, digests=False)] == [1]


def _text(business: Business) -> str:
    return str(business.mails()[-1].get_body(("plain",)).get_content())  # type: ignore[union-attr]


def test_while_mail_is_down_only_the_newest_digest_waits(held: Business) -> None:
    subscribe(held, "ada")
    for offset in range(3):
        held.run(DAY + timedelta(days=offset), steps=UNSENT)
    states = [found["state"] for found in digests(held)]
    assert states[-1] == "queued"
    assert set(states[:-1]) == {"superseded"}


def test_the_step_can_be_run_by_itself(held: Business) -> None:
    subscribe(held, "ada")
    held.run(DAY)
    held.run(DAY + timedelta(days=1), steps=[digest])
    assert [found["state"] for found in digests(held)] == ["sent", "queued"]


def need(kind: str, count: int = 1, newest: str = "") -> Need:
    return Need(kind, kind, count, "", newest)


@pytest.mark.parametrize(
    ("found", "told", "due"),
    [
        ([], [], False),
        ([need("held")], [], True),
        ([need("held", 1, "a")], [{"held": [1, "a"]}], False),
        ([need("held", 2, "a")], [{"held": [1, "a"]}], True),  # one more
        ([need("held", 1, "b")], [{"held": [1, "a"]}], True),  # another one
        ([need("held", 1, "a")], [{"held": [2, "b"]}], False),  # one less
        ([need("held"), need("parked")], [{"held": [1, ""]}], True),  # of another kind
        ([need("held")], [{"held": [1, ""]}, {}], True),  # the last digest counts
        ([], [{"held": [1, ""]}], False),
    ],
)
def test_when_a_digest_is_due(found: list[Need], told: list[dict[str, Any]], due: bool) -> None:
    assert _is_due(found, told, when_well=False) is due


def test_what_it_remembers_is_small(held: Business) -> None:
    from billing.store.models import notices as table

    subscribe(held, *(f"s{i}" for i in range(300)))
    held.run(DAY)
    with held.store() as db, db.read() as tx:
        facts = tx.execute(table.select().where(table.c.kind == "run_digest")).one().facts
    assert len(facts) < 2500
    assert json.loads(facts)["marks"]["held.safety-limit"][0] == 300


@pytest.mark.parametrize(
    ("language", "paid", "gone"),
    [
        (
            "de",
            "sie war bezahlt, und Mileston meldet sie jetzt als unbezahlt",
            "sie ist nicht mehr bei Mileston",
        ),
        ("es", "estaba pagado, y Mileston dice ahora que no lo está", "ya no está en Mileston"),
        ("fr", "il était réglé, et Mileston le dit à présent impayé", "il n’est plus chez Mileston"),
        ("pt", "estava pago, e a Mileston diz agora que não está", "já não está na Mileston"),
    ],
)
def test_a_digest_of_flags_parked_payments_and_failed_steps_has_no_english_but_that_of_servers(
    new_business: Make, language: str, paid: str, gone: str
) -> None:
    business = new_business(business__locale=language, reconcile__when_absent="park", **OPERATOR)
    subscribe(business, "ada", "bob")
    business.run(DAY)
    ada, bob = business.remote()
    business.sandbox.pay(ada["id"])
    business.run(DAY)
    business.sandbox.unpay(ada["id"])
    business.sandbox.delete(bob)
    business.run(DAY)  # both are flagged
    subscribe(business, "cy")
    business.sandbox.script("cut_before_commit")
    for _ in range(3):
        business.run(DAY)
    assert business.payments()[-1]["state"] == "parked"
    business.sandbox.faults(**{"list.500": 1})
    business.run(DAY + timedelta(days=1))
    business.sandbox.faults()

    text = " ".join(plain(business.mails()[-1]).replace("\xa0", " ").replace("\u202f", " ").split())
    assert paid in text
    assert gone in text
    ours = re.sub(r"HTTP 500: Internal server error|billing [a-z -]+", "", text)
    assert not re.search(r"\b(the|it|its|that|with|and|is|could|not|of|payment)\b", ours), text


def plain(mail: EmailMessage) -> str:
    part = mail.get_body(("plain",))
    assert part is not None
    content: str = part.get_content()
    return content
