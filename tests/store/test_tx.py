"""The transaction that is handed around: whole or not at all, whoever writes in it, and named without SQL."""

import ast
from pathlib import Path

import pytest

import billing
from billing.core.event_text import EventAction
from billing.errors import StoreError
from billing.lifecycle import payments as verbs
from billing.lifecycle.moves import set_values
from billing.store.connection import Database
from billing.store.events import event, record
from billing.store.tx import Tx
from tests.support.databases import NOW, TODAY, a_payment, a_subscription
from tests.support.written import log_of, nothing_changes, payment_of


class PowerCut(Exception):
    pass


def test_what_a_database_hands_out_is_a_tx_to_write_and_to_read_with(db: Database) -> None:
    with db.transaction() as writing:
        assert isinstance(writing, Tx)
    with db.read() as reading:
        assert isinstance(reading, Tx)


def test_the_verbs_and_the_steps_take_it_under_this_name() -> None:
    root = Path(billing.__file__).parent
    wrong = []
    for path in sorted([*(root / "lifecycle").glob("*.py"), *(root / "cycle").glob("*.py")]):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.arg) and node.arg == "tx":
                annotation = ast.unparse(node.annotation) if node.annotation is not None else ""
                if annotation != "Tx":
                    wrong.append(f"{path.name}:{node.lineno} tx: {annotation}")
    assert not wrong, "\n".join(wrong)


def test_what_several_verbs_wrote_in_it_is_undone_together(db: Database) -> None:
    row = payment_of(db, a_payment(db, a_subscription(db)))

    def until_the_power_is_cut() -> None:
        with db.transaction() as tx:
            assert verbs.hold(tx, "run:1", NOW, [row], {row.id: "why"})
            record(tx, [event(NOW, "run:1", EventAction.ATTENTION)])
            raise PowerCut

    with nothing_changes(db), pytest.raises(PowerCut):
        until_the_power_is_cut()


def test_what_the_database_refuses_takes_all_of_it_back(db: Database) -> None:
    row = payment_of(db, a_payment(db, a_subscription(db)))

    def flagged_and_free_of_charge() -> None:
        with db.transaction() as tx:
            assert verbs.flag(tx, "run:1", NOW, row, "look")
            set_values(tx, row.id, NOW, amount_micros=0)

    with nothing_changes(db), pytest.raises(StoreError):
        flagged_and_free_of_charge()


def test_what_is_written_in_it_is_there_for_it_before_anybody_else_sees_it(db: Database) -> None:
    row = payment_of(db, a_payment(db, a_subscription(db)))
    with db.transaction() as tx:
        verbs.hold(tx, "run:1", NOW, [row], {row.id: "why"})
        assert verbs.hold(tx, "run:1", NOW, [row], {row.id: "why"}) == []
        assert log_of(db) == []  # another connection
    assert [line.action for line in log_of(db)] == ["held"]


def test_one_that_was_ended_writes_no_more(db: Database) -> None:
    row = payment_of(db, a_payment(db, a_subscription(db), TODAY))
    with db.transaction() as ended:
        pass
    with nothing_changes(db), pytest.raises(Exception, match="closed"):
        verbs.flag(ended, "run:1", NOW, row, "look")
