"""Records that renew themselves: noticed before anything is sent, stopped, or taken for the next period."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from billing.core.outcomes import RemotePayment, RemoteStatus
from billing.core.renewal import NEVER_DAYS, RENEWED
from billing.core.states import PaymentState
from billing.cycle.observe import observe
from billing.cycle.plan import plan
from billing.cycle.reconcile import reconcile
from billing.cycle.recover import recover
from billing.cycle.renewals import look_back, stop_renewals
from billing.cycle.report import Report
from billing.cycle.settle import settle
from billing.cycle.submit import submit
from billing.lifecycle import payments as lifecycle
from billing.store import payments as stored
from billing.store.models import events, payments, subscriptions
from tests.support.databases import NOW, a_payment
from tests.support.fake_gateway import Died, FakeGateway, Made
from tests.support.rig import DAY, QUIET, Rig

BEFORE = date(2026, 1, 1)
STEPS = (recover, observe, reconcile, plan, look_back, submit, settle, stop_renewals)
STOP: dict[str, Any] = {"mileston": {"timeout_seconds": 15.0, "renewal": "stop"}}


def business(folder: Path, *references: str, state: str = "paid", **settings: Any) -> Rig:
    """Subscriptions whose January was charged, and whose February is due today."""
    rig = Rig(folder, **settings)
    for reference in references or ("acme",):
        row_id = rig.subscribe(reference, anchor_on=BEFORE, next_period=1)
        remote_id, marker = f"jan-{reference}", f"RB-JANUARY{reference.upper():A>9.9}"
        paid = {"paid_at": NOW} if state == "paid" else {"looked_at": NOW, "payable_on": BEFORE}
        a_payment(
            rig.db,
            row_id,
            BEFORE,
            state=state,
            remote_id=remote_id,
            marker=marker,
            remote_from_at=NOW,
            remote_by_at=NOW,
            period_end_on=date(2026, 1, 31),
            **paid,
        )
        status = RemoteStatus.PAID if state == "paid" else RemoteStatus.UNPAID
        shown = RemotePayment(remote_id, marker, 19_900_000, f"{reference}@example.com", status, BEFORE, 31)
        rig.api.made.append(Made(shown, rig.clock()))
    return rig


def cycle(rig: Rig) -> Report:
    return rig.cycle(STEPS)


def of(rig: Rig, reference: str = "acme") -> tuple[Any, Any]:
    """The payments of January and February."""
    before, following = rig.payments(reference)
    return before, following


def shown(api: FakeGateway, remote_id: str) -> RemotePayment:
    return next(remote for remote in api.live if remote.remote_id == remote_id)


def logged(rig: Rig) -> list[str]:
    with rig.db.read() as tx:
        return list(tx.execute(select(events.c.action).order_by(events.c.id)).scalars())


def release(rig: Rig) -> None:
    """A person releases the payment of February."""
    with rig.db.transaction() as tx:
        row = stored.find(tx, of(rig)[1].id)
        assert row is not None
        assert lifecycle.release(tx, "person", rig.clock(), row, "looked at", None)


# -- keep: the canary ----------------------------------------------------------------------------------


def test_records_that_stay_as_they_are_change_nothing(tmp_path: Path) -> None:
    rig = business(tmp_path, "ada", "bob")
    report = cycle(rig)
    assert (report.created, report.outcome) == (2, "ok")
    assert "update jan-ada" not in rig.api.asked


def test_two_records_that_came_back_stop_the_run(tmp_path: Path) -> None:
    rig = business(tmp_path, "ada", "bob", "cy")
    rig.api.renew("jan-ada", DAY)
    rig.api.renew("jan-cy", DAY)
    report = cycle(rig)
    assert rig.api.creates == []
    assert (report.due, report.not_sent, report.outcome) == (3, 3, "stopped")
    assert 'mileston.renewal = "stop"' in report.stopped
    assert [of(rig, name)[1].state for name in ("ada", "bob", "cy")] == ["planned"] * 3


def test_a_single_one_is_flagged_and_the_next_of_its_subscription_waits(tmp_path: Path) -> None:
    rig = business(tmp_path, "ada", "bob")
    rig.api.renew("jan-ada", DAY)
    report = cycle(rig)
    before, following = of(rig, "ada")
    assert before.attention.startswith(RENEWED)
    assert (following.state, report.held, report.created) == ("held", 1, 1)
    assert "jan-ada" in following.cause


def test_one_that_a_person_released_is_sent(tmp_path: Path) -> None:
    rig = business(tmp_path)
    rig.api.renew("jan-acme", DAY)
    cycle(rig)
    release(rig)
    assert cycle(rig).created == 1


def test_the_list_gives_a_record_away_that_the_sample_would_miss(tmp_path: Path) -> None:
    names = [f"s{n:02d}" for n in range(20)]
    rig = business(tmp_path, *names)
    for name in names[-2:]:
        rig.api.renew(f"jan-{name}", DAY)
    assert cycle(rig).outcome == "stopped"
    assert rig.api.creates == []


def test_unpaid_again_on_the_same_day_is_no_renewal(tmp_path: Path) -> None:
    rig = business(tmp_path, "ada", "bob")
    rig.api.renew("jan-ada", BEFORE)
    rig.api.renew("jan-bob", BEFORE)
    report = cycle(rig)
    assert report.created == 2
    assert "unpaid" in of(rig, "ada")[0].attention
    assert not of(rig, "ada")[0].attention.startswith(RENEWED)


# -- stop ----------------------------------------------------------------------------------------------


def test_what_is_booked_paid_gets_an_interval_that_never_comes_and_nothing_else_changes(
    tmp_path: Path,
) -> None:
    rig = Rig(tmp_path, **STOP)
    rig.subscribe()
    cycle(rig)
    remote_id = rig.payment().remote_id
    rig.api.pay(remote_id)
    rig.clock.to(QUIET)
    was = shown(rig.api, remote_id)
    cycle(rig)
    now = shown(rig.api, remote_id)
    assert now.interval_days == NEVER_DAYS
    assert (now.status, now.marker, now.amount_micros, now.due_on) == (
        RemoteStatus.PAID,
        was.marker,
        was.amount_micros,
        was.due_on,
    )
    assert rig.payment().renewal_off_at == rig.clock()
    assert "renewal_stopped" in logged(rig)
    rig.api.asked.clear()
    cycle(rig)
    assert not any(asked.startswith("update") for asked in rig.api.asked)


def test_an_unpaid_record_keeps_its_interval_while_its_period_lasts(tmp_path: Path) -> None:
    rig = Rig(tmp_path, **STOP)
    rig.subscribe()
    cycle(rig)
    rig.clock.to(QUIET)
    cycle(rig)
    assert shown(rig.api, rig.payment().remote_id).interval_days == 28


def test_what_has_ended_is_stopped_though_unpaid(tmp_path: Path) -> None:
    rig = Rig(tmp_path, **STOP)
    rig.subscribe()
    cycle(rig)
    with rig.db.transaction() as tx:
        tx.execute(update(subscriptions).values(status="cancelled", next_due_on=None))
    cycle(rig)
    assert shown(rig.api, rig.payment().remote_id).interval_days == NEVER_DAYS


def test_a_period_that_is_over_already_is_created_with_an_interval_that_never_comes(tmp_path: Path) -> None:
    rig = Rig(tmp_path, **STOP)
    rig.subscribe(anchor_on=BEFORE, next_due_on=BEFORE)
    cycle(rig)
    assert [request.interval_days for request, _ in rig.api.creates] == [NEVER_DAYS, 28]


def test_switched_on_in_a_running_business_the_record_before_is_stopped_before_the_next_is_sent(
    tmp_path: Path,
) -> None:
    rig = business(tmp_path, **STOP)
    rig.api.on_create = lambda _request: rig.api.asked.append("create")
    report = cycle(rig)
    assert (report.created, report.outcome) == (1, "ok")
    assert rig.api.asked.index("update jan-acme") < rig.api.asked.index("create")


@pytest.mark.parametrize("state", ["paid", "open"])
def test_what_can_not_be_read_delays_the_next_one(tmp_path: Path, state: str) -> None:
    rig = business(tmp_path, state=state, reconcile={"look_first_up_to": 0}, **STOP)
    rig.api.broken = True
    report = rig.cycle((plan, look_back, submit))
    assert rig.api.creates == []
    assert (report.due, report.not_sent, report.outcome) == (1, 1, "attention")
    assert of(rig)[1].state == "planned"
    rig.api.broken = False
    assert cycle(rig).created == 1


def test_what_is_not_known_to_exist_delays_the_next_one(tmp_path: Path) -> None:
    rig = Rig(tmp_path, **STOP)
    row_id = rig.subscribe(anchor_on=BEFORE, next_period=1)
    a_payment(rig.db, row_id, BEFORE, state="unknown", deadline_at=NOW, remote_from_at=NOW)
    report = rig.cycle((plan, look_back, submit))
    assert rig.api.creates == []
    assert (report.not_sent, report.outcome) == (1, "attention")


# -- taken for the next period -------------------------------------------------------------------------


def test_a_record_that_came_back_stands_for_the_next_period(tmp_path: Path) -> None:
    rig = business(tmp_path, **STOP)
    rig.api.renew("jan-acme", DAY)
    report = cycle(rig)
    before, following = of(rig)
    assert rig.api.creates == []
    assert (report.due, report.created, report.outcome) == (1, 1, "ok")
    assert (before.state, before.remote_id, before.former_remote_id) == ("paid", None, "jan-acme")
    assert (following.state, following.remote_id) == ("open", "jan-acme")
    assert (following.remote_from_at, following.remote_by_at) == (NOW, NOW)
    remote = shown(rig.api, "jan-acme")
    assert (remote.marker, remote.amount_micros, remote.interval_days) == (following.marker, 19_900_000, 28)
    assert remote.status is RemoteStatus.UNPAID
    assert "handed_on" in logged(rig)


def test_it_is_taken_with_the_price_of_now(tmp_path: Path) -> None:
    rig = business(tmp_path, **STOP)
    rig.api.renew("jan-acme", DAY)
    with rig.db.transaction() as tx:
        tx.execute(update(subscriptions).values(amount_micros=25_000_000))
    cycle(rig)
    assert shown(rig.api, "jan-acme").amount_micros == of(rig)[1].amount_micros == 25_000_000


def test_when_it_is_paid_that_is_booked_once_for_the_next_period(tmp_path: Path) -> None:
    rig = business(tmp_path, **STOP)
    rig.api.renew("jan-acme", DAY)
    cycle(rig)
    rig.api.pay("jan-acme")
    rig.clock.to(QUIET)
    assert cycle(rig).paid == 1
    rig.clock.to(2 * QUIET)
    assert cycle(rig).paid == 0
    before, following = of(rig)
    assert (before.state, following.state) == ("paid", "paid")
    assert (before.former_remote_id, following.remote_id) == ("jan-acme", "jan-acme")


def test_a_list_that_lags_does_not_book_it(tmp_path: Path) -> None:
    rig = business(tmp_path, **STOP)
    rig.api.renew("jan-acme", DAY)
    cycle(rig)
    rig.clock.to(QUIET)
    old = RemotePayment(
        "jan-acme", of(rig)[0].marker, 19_900_000, "acme@example.com", RemoteStatus.PAID, BEFORE, 31
    )
    rig.api.listed = [old]
    cycle(rig)
    assert of(rig)[1].state == "open"
    assert "get jan-acme" in rig.api.asked


def test_a_run_that_dies_after_the_change_finds_it_by_its_number(tmp_path: Path) -> None:
    rig = business(tmp_path, **STOP)
    rig.api.renew("jan-acme", DAY)
    rig.api.dies_after_update = True
    with pytest.raises(Died):
        cycle(rig)
    rig.api.dies_after_update = False
    rig.clock.to(QUIET)
    report = cycle(rig)
    before, following = of(rig)
    assert (following.state, following.remote_id) == ("open", "jan-acme")
    assert (before.remote_id, before.former_remote_id) == (None, "jan-acme")
    assert report.adopted == 1
    assert rig.api.creates == []


def test_one_that_was_paid_in_the_last_moment_is_not_taken(tmp_path: Path) -> None:
    rig = business(tmp_path, **STOP)
    rig.api.renew("jan-acme", DAY)

    def pay_at_the_second_look() -> None:
        if rig.api.asked.count("get jan-acme") == 2:
            rig.api.pay("jan-acme")

    rig.api.meanwhile = pay_at_the_second_look
    report = rig.cycle((plan, look_back, submit))
    assert report.created == 0
    assert of(rig)[1].state == PaymentState.PLANNED
    assert "update jan-acme" not in rig.api.asked


def test_one_that_came_back_before_it_was_seen_paid_is_a_persons_matter(tmp_path: Path) -> None:
    rig = business(tmp_path, state="open", **STOP)
    rig.api.renew("jan-acme", DAY)
    report = cycle(rig)
    before, following = of(rig)
    assert rig.api.creates == []
    assert (following.state, report.held) == ("held", 1)
    assert before.attention.startswith(RENEWED)
    release(rig)
    assert cycle(rig).created == 1


def test_where_the_interval_is_not_heard_every_record_is_read_before_the_next_is_sent(tmp_path: Path) -> None:
    names = [f"s{n:02d}" for n in range(12)]
    rig = business(tmp_path, *names, reconcile={"look_first_up_to": 0}, **STOP)
    with rig.db.transaction() as tx:
        tx.execute(update(payments).values(renewal_off_at=NOW))
    for name in names:
        rig.api.renew(f"jan-{name}", DAY)
    report = cycle(rig)
    assert rig.api.creates == []
    assert report.created == len(names)
    assert {of(rig, name)[1].remote_id for name in names} == {f"jan-{name}" for name in names}


def test_a_record_that_came_back_beside_the_one_of_its_period_is_told(tmp_path: Path) -> None:
    rig = business(tmp_path)
    cycle(rig)  # February has a record of its own
    rig.api.renew("jan-acme", DAY)
    rig.settings = rig.settings.model_copy(
        update={"mileston": rig.settings.mileston.model_copy(update={"renewal": "stop"})}
    )
    rig.clock.to(QUIET)
    cycle(rig)
    before, following = of(rig)
    assert before.attention.startswith(RENEWED)
    assert "delete jan-acme" in before.attention
    assert following.remote_id != "jan-acme"
    assert rig.api.deleted == []


def test_an_interval_that_stays_is_told_and_tried_again(tmp_path: Path) -> None:
    rig = business(tmp_path, **STOP)
    rig.api.deaf = True
    report = cycle(rig)
    assert report.outcome == "attention"
    assert any("keeps the interval of 31 days" in problem for problem in report.problems)
    assert of(rig)[0].renewal_off_at is None
