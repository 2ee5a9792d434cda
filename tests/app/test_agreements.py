"""One agreement at a time: the same rules as for a file, the same answers, and nothing half done."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest
from sqlalchemy import update

from billing.app import agreements, decisions
from billing.app.agreements import Desk
from billing.app.importing import Permissions
from billing.config import Settings
from billing.config.schema import Reminders
from billing.errors import ImportRejected, UsageError
from billing.store import subscriptions
from billing.store.connection import Database
from billing.store.models import notices
from tests.support.databases import NOW, TODAY, a_payment, a_subscription
from tests.support.decisions import DAY, cancel, log, outbox

CELLS = {
    "plan": "Gold",
    "name": "Ada",
    "email": "ada@example.com",
    "amount": "19.90",
    "interval": "1 month",
    "starts_on": str(TODAY),
}


def desk(db: Database, **changes: Any) -> Desk:
    return Desk(db, Settings(), NOW, **changes)


def row_of(db: Database, reference: str = "ada") -> Any:
    with db.transaction() as tx:
        return subscriptions.find(tx, reference)


# -- add ----------------------------------------------------------------------------------------------


def test_one_is_added_as_a_file_would(db: Database) -> None:
    done = agreements.add(desk(db), "ada", CELLS | {"address": "1 Road | Bristol", "locale": "de"})
    row = row_of(db)
    assert (done.outcome, done.due_on, done.amount_micros) == ("added", TODAY, 19_900_000)
    assert (row.plan, row.amount_micros, row.address, row.status) == (
        "Gold",
        19_900_000,
        "1 Road\nBristol",
        "active",
    )
    assert [action for _, action, _ in log(db)] == ["added"]


def test_every_fault_is_named_with_its_option_and_nothing_is_added(db: Database) -> None:
    with pytest.raises(ImportRejected) as raised:
        agreements.add(desk(db), "ada", CELLS | {"amount": "1.500", "starts_on": "1.2.26", "email": "ada"})
    assert [fault.partition(":")[0] for fault in raised.value.faults] == [
        "--email",
        "--amount",
        "--starts-on",
    ]
    assert row_of(db) is None


def test_what_is_missing_is_named(db: Database) -> None:
    with pytest.raises(UsageError, match="--name, --email, --amount, --interval, --starts-on are missing"):
        agreements.add(desk(db), "ada", {"plan": "Gold"})


def test_a_known_reference_is_changed_and_not_added(db: Database) -> None:
    agreements.add(desk(db), "ada", CELLS)
    with pytest.raises(UsageError, match="billing subscriptions change ada"):
        agreements.add(desk(db), "ada", CELLS | {"amount": "5"})
    assert row_of(db).amount_micros == 19_900_000


@pytest.mark.parametrize("reference", ["ADA", "a da"])
def test_one_that_looks_like_a_known_one_needs_permission(db: Database, reference: str) -> None:
    agreements.add(desk(db), "ada", CELLS)
    with pytest.raises(ImportRejected, match="ada"):
        agreements.add(desk(db), reference, CELLS | {"email": "other@example.com"})
    agreements.add(desk(db, allow=Permissions(similar=True)), reference, CELLS)
    assert row_of(db, reference) is not None


def test_dates_that_contradict_each_other_are_refused(db: Database) -> None:
    with pytest.raises(ImportRejected, match=r"--ends-on: .* is before starts_on"):
        agreements.add(desk(db), "ada", CELLS | {"ends_on": str(TODAY - DAY)})


# -- change -------------------------------------------------------------------------------------------


AT_ONCE = Settings(reminders=Reminders(price_change_days=0))


def test_a_change_keeps_what_it_does_not_name_and_says_what_is_charged_next(db: Database) -> None:
    agreements.add(desk(db), "ada", CELLS | {"wallet_address": "0x" + "a" * 40})
    done = agreements.change(desk(db), "ada", {"amount": "9.90"})
    (told,) = done.told
    assert told.startswith(
        "ada: amount: 19.90 USDC -> 9.90 USDC; next charge: 9.90 USDC in the next run, for "
    )
    assert (row_of(db).amount_micros, row_of(db).wallet_address) == (9_900_000, "0x" + "a" * 40)


def test_a_higher_price_waits_until_it_was_told_long_enough(db: Database) -> None:
    agreements.add(desk(db), "ada", CELLS)
    done = agreements.change(desk(db), "ada", {"amount": "29.90", "name": "Ada L."})
    row = row_of(db)
    day = date(2026, 4, 1)  # the first due date that is 30 days after 1 February
    assert (row.amount_micros, row.name, row.change_on) == (19_900_000, "Ada L.", day)
    assert done.told[-1].startswith(
        f"ada: from {day} on: amount: 19.90 USDC -> 29.90 USDC; until then nothing "
    )
    (letter,) = outbox(db)
    assert (letter.kind, letter.due_on) == ("terms_changed", day)


def test_any_change_waits_for_the_day_that_is_named(db: Database) -> None:
    agreements.add(desk(db), "ada", CELLS)
    agreements.change(desk(db), "ada", {"amount": "9.90"}, date(2026, 5, 2))
    assert (row_of(db).amount_micros, row_of(db).change_on) == (19_900_000, date(2026, 6, 1))


def test_a_later_change_takes_the_place_of_one_that_waits(db: Database) -> None:
    agreements.add(desk(db), "ada", CELLS)
    agreements.change(desk(db), "ada", {"amount": "29.90"})
    agreements.change(desk(db), "ada", {"amount": "24.90"}, date(2026, 6, 1))
    assert row_of(db).change_on == date(2026, 6, 1)
    assert [(letter.due_on, letter.state) for letter in outbox(db)] == [
        (date(2026, 4, 1), "superseded"),
        (date(2026, 6, 1), "queued"),
    ]
    agreements.change(desk(db), "ada", {"amount": "9.90"})
    assert (row_of(db).change_on, row_of(db).amount_micros) == (None, 9_900_000)


def test_what_is_only_personal_leaves_what_waits(db: Database) -> None:
    agreements.add(desk(db), "ada", CELLS)
    agreements.change(desk(db), "ada", {"amount": "29.90"})
    agreements.change(desk(db), "ada", {"email": "new@example.com"})
    assert (row_of(db).change_on, row_of(db).email) == (date(2026, 4, 1), "new@example.com")
    assert [letter.state for letter in outbox(db)] == ["queued"]


def test_one_that_ends_before_can_not_be_changed_then(db: Database) -> None:
    agreements.add(desk(db), "ada", CELLS | {"ends_on": str(TODAY + 20 * DAY)})
    with pytest.raises(UsageError, match="ada can't be changed: no period is due on or after"):
        agreements.change(desk(db), "ada", {"amount": "29.90"})


def test_an_optional_text_is_emptied_and_a_needed_one_is_not(db: Database) -> None:
    agreements.add(desk(db), "ada", CELLS | {"ends_on": str(TODAY + 90 * DAY), "company": "Quill"})
    agreements.change(desk(db), "ada", {"ends_on": "", "company": ""})
    assert (row_of(db).ends_on, row_of(db).company) == (None, "")
    with pytest.raises(ImportRejected, match="--name: it is empty"):
        agreements.change(desk(db), "ada", {"name": " "})


def test_no_day_is_charged_twice_by_another_interval(db: Database) -> None:
    agreements.add(desk(db), "ada", CELLS)
    subscription = row_of(db)
    a_payment(db, subscription.id, TODAY, period_end_on=TODAY + 27 * DAY, state="open", remote_id="r1")
    done = agreements.change(Desk(db, AT_ONCE, NOW), "ada", {"interval": "1 week"})
    assert done.due_on == TODAY + 28 * DAY  # and no day is free
    assert row_of(db).anchor_on == TODAY + 28 * DAY


def test_a_dry_run_changes_nothing(db: Database) -> None:
    agreements.add(desk(db), "ada", CELLS)
    before = log(db)
    done = agreements.change(desk(db, dry_run=True), "ada", {"amount": "29.90"})
    assert (done.outcome, row_of(db).change_on) == ("changed", None)
    assert (row_of(db).amount_micros, log(db)) == (19_900_000, before)


def test_what_is_as_it_was_is_unchanged(db: Database) -> None:
    agreements.add(desk(db), "ada", CELLS)
    assert agreements.change(desk(db), "ada", {"amount": "19.90"}).outcome == "unchanged"


# -- undo ---------------------------------------------------------------------------------------------


def undo(db: Database) -> date | None:
    return decisions.undo_cancellation(db, "acme", NOW, Settings(), "they stay")


def test_an_end_that_is_to_come_is_taken_back(db: Database) -> None:
    a_subscription(db, next_due_on=TODAY + 5 * DAY, anchor_on=TODAY + 5 * DAY)
    cancel(db, at_period_end=True)
    assert undo(db) == TODAY + 5 * DAY
    row = row_of(db, "acme")
    assert (row.status, row.cancel_on, row.next_due_on) == ("active", None, TODAY + 5 * DAY)
    assert [notice.kind for notice in outbox(db)] == ["subscription_cancelled"]  # superseded when delivered


def test_who_was_told_of_the_end_is_told_that_it_goes_on(db: Database) -> None:
    a_subscription(db, next_due_on=TODAY + 5 * DAY, anchor_on=TODAY + 5 * DAY)
    cancel(db, at_period_end=True)
    with db.transaction() as tx:
        tx.execute(update(notices).values(tries=1))  # on its way, so it may be told already
    undo(db)
    assert [notice.kind for notice in outbox(db)] == ["subscription_cancelled", "subscription_resumed"]


def test_what_has_ended_or_was_never_to_end_is_not_taken_back(db: Database) -> None:
    a_subscription(db)
    with pytest.raises(UsageError, match="not cancelled"):
        undo(db)
    cancel(db)
    with pytest.raises(UsageError, match="reactivate acme"):
        undo(db)


# -- reactivate ---------------------------------------------------------------------------------------


def test_a_cancelled_one_begins_anew_behind_what_is_charged(db: Database) -> None:
    subscription = a_subscription(db)
    a_payment(
        db, subscription, TODAY, period_end_on=TODAY + 27 * DAY, state="paid", paid_at=NOW, remote_id="r1"
    )
    cancel(db)
    with pytest.raises(UsageError, match=f"charged already; write --from {TODAY + 28 * DAY}"):
        agreements.reactivate(desk(db), "acme", TODAY + DAY, "")
    done = agreements.reactivate(desk(db), "acme", None, "came back")
    row = row_of(db, "acme")
    assert (done.due_on, row.anchor_on, row.status, row.cancel_on) == (
        TODAY + 28 * DAY,
        TODAY + 28 * DAY,
        "active",
        None,
    )
    assert ("subscription_reactivated", f"came back; from {TODAY + 28 * DAY}") in [
        (action, detail) for _, action, detail in log(db)
    ]
    assert outbox(db)[-1].kind == "subscription_resumed"


def test_an_active_one_can_not_begin_anew_nor_can_one_in_the_past(db: Database) -> None:
    a_subscription(db)
    with pytest.raises(UsageError, match="is active"):
        agreements.reactivate(desk(db), "acme", None, "")
    cancel(db)
    with pytest.raises(UsageError, match="that day is past"):
        agreements.reactivate(desk(db), "acme", TODAY - timedelta(days=400), "")
    assert row_of(db, "acme").status == "cancelled"
