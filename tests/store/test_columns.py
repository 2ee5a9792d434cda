"""Columns and constraints that several tables share."""

from billing.core.states import NoticeState
from billing.store.columns import number_column, one_of, text_column


def test_a_text_is_never_null_and_empty_unless_told() -> None:
    column = text_column("cause")
    assert (column.name, column.nullable, str(column.server_default.arg)) == ("cause", False, "''")  # type: ignore[union-attr]


def test_a_number_is_zero_unless_told() -> None:
    column = number_column("tries")
    assert (column.nullable, str(column.server_default.arg)) == (False, "0")  # type: ignore[union-attr]


def test_a_state_is_one_of_its_members() -> None:
    check = one_of("state", NoticeState, "ck_state")
    assert check.name == "ck_state"
    assert str(check.sqltext).startswith("state IN ('queued', 'sending'")
