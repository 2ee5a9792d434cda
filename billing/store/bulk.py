"""Many rows in one statement: what a page of work costs is what its rows cost, on either database.

SQLite runs a prepared statement once a row without leaving the process; what is left is to turn values
into what it stores, a column at a time. PostgreSQL would pay for every row's own bind and execute; there
the rows travel as one array a column, and one statement unnests them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from functools import lru_cache
from itertools import repeat
from typing import Any

from sqlalchemy import (
    ARRAY,
    BindParameter,
    Connection,
    Date,
    FromClause,
    Insert,
    Table,
    Update,
    bindparam,
    column,
    func,
    select,
    update,
)
from sqlalchemy.dialects import sqlite
from sqlalchemy.types import TypeEngine
from sqlmodel.sql.sqltypes import UTCDateTime

_WAS = "was_"

Rows = Sequence[Mapping[str, object]]
"""Rows of one shape: every one holds the same columns."""


def insert_rows(tx: Connection, table: Table, rows: Rows, *, skip_known: bool = False) -> int:
    """Insert rows that hold the same columns; returns how many are new.

    With `skip_known` a row that breaks a UNIQUE constraint is left out.
    """
    if not rows:
        return 0
    if tx.dialect.name == "sqlite":
        return _insert(table, tuple(rows[0]), skip_known).run(tx, rows)
    statement = _from_arrays(table, rows)
    if skip_known:
        statement = statement.on_conflict_do_nothing()
    return tx.execute(statement, _arrays(rows), execution_options={"preserve_rowcount": True}).rowcount


def insert_new(tx: Connection, table: Table, rows: Rows, key: str) -> dict[str, int]:
    """Insert the rows that break no UNIQUE constraint; returns the ids of the new ones by column `key`."""
    if not rows:
        return {}
    returning = (table.c[key], table.c.id)
    if tx.dialect.name == "sqlite":
        statement = sqlite.insert(table).on_conflict_do_nothing().returning(*returning)
        found = tx.execute(statement, [dict(row) for row in rows])
    else:
        arrays = _from_arrays(table, rows).on_conflict_do_nothing().returning(*returning)
        found = tx.execute(arrays, _arrays(rows))
    return {row[0]: row[1] for row in found}


def upsert_rows(tx: Connection, table: Table, rows: Rows, by: str, kept: Sequence[str]) -> None:
    """Insert rows; of those whose `by` is known already, update all columns but `kept`."""
    if not rows:
        return
    if tx.dialect.name == "sqlite":
        _upsert(table, tuple(rows[0]), by, tuple(kept)).run(tx, rows)
    else:
        tx.execute(_or_update(_from_arrays(table, rows), rows[0], by, kept), _arrays(rows))


def update_rows(
    tx: Connection,
    table: Table,
    rows: Rows,
    where: Mapping[str, object] | None = None,
    by: Sequence[str] = ("id",),
    **alike: object,
) -> int:
    """Update the rows of `table` that `by` picks and that are as `where` says; returns how many there were.

    Each of `rows` holds the columns `by`, the columns to be set, and as `was_x` what column x must still
    be; `alike` is set in all of them. None in `where` stands for NULL.
    """
    if not rows:
        return 0
    names, where = tuple(rows[0]), where or {}
    if tx.dialect.name == "sqlite":
        nulls = tuple(name for name, value in where.items() if value is None)
        prepared = _update(table, names, tuple(by), tuple(where), nulls, tuple(alike))
        fixed = {f"where_{name}": value for name, value in where.items()}
        return prepared.run(tx, rows, fixed | {f"set_{name}": value for name, value in alike.items()})
    given = _unnested(_types(table, names)).c
    conditions = [
        table.c[name].is_(None) if value is None else table.c[name] == value for name, value in where.items()
    ]
    statement = _updating(table, names, by, given, conditions, alike)
    return tx.execute(statement, _arrays(rows)).rowcount


def _types(table: Table, names: Iterable[str]) -> dict[str, TypeEngine[Any]]:
    return {name: table.c[name.removeprefix(_WAS)].type for name in names}


def _updating(
    table: Table,
    names: Sequence[str],
    by: Sequence[str],
    given: Any,
    where: Iterable[Any],
    alike: Mapping[str, Any],
) -> Update:
    compared = {name: name.removeprefix(_WAS) for name in names if name in by or name.startswith(_WAS)}
    return (
        update(table)
        .where(*(table.c[column] == given[name] for name, column in compared.items()), *where)
        .values({**{name: given[name] for name in names if name not in compared}, **alike})
    )


def _or_update(made: Any, names: Iterable[str], by: str, kept: Sequence[str]) -> Any:
    changed = {name: made.excluded[name] for name in names if name != by and name not in kept}
    return made.on_conflict_do_update(index_elements=[by], set_=changed)


# --- SQLite ------------------------------------------------------------------------------------------

_SQLITE = sqlite.dialect()


class _Prepared:
    """A compiled statement, and what turns the values of each of its places into what SQLite stores.

    Places are called `row_x` (from each row) or anything else (the same for all rows).
    """

    def __init__(self, statement: Insert | Update) -> None:
        compiled = statement.compile(dialect=_SQLITE)
        self._text = str(compiled)
        self._places = [(place, _writer(compiled.binds[place].type)) for place in compiled.positiontup or ()]

    def run(self, tx: Connection, rows: Rows, fixed: Mapping[str, object] | None = None) -> int:
        """Run it once a row; returns how many rows of the table it changed."""
        columns: list[Iterable[Any]] = []
        for place, writer in self._places:
            if fixed is not None and place in fixed:
                value = fixed[place]
                columns.append(repeat(value if writer is None else writer(value), len(rows)))
            else:
                name = place.removeprefix("row_")
                values = [row[name] for row in rows]
                columns.append(values if writer is None else map(writer, values))
        return tx.exec_driver_sql(self._text, list(zip(*columns, strict=True))).rowcount


@lru_cache(maxsize=64)
def _insert(table: Table, names: tuple[str, ...], skip_known: bool) -> _Prepared:
    made = sqlite.insert(table).values(_places(_types(table, names)))
    return _Prepared(made.on_conflict_do_nothing() if skip_known else made)


@lru_cache(maxsize=64)
def _upsert(table: Table, names: tuple[str, ...], by: str, kept: tuple[str, ...]) -> _Prepared:
    return _Prepared(_or_update(sqlite.insert(table).values(_places(_types(table, names))), names, by, kept))


@lru_cache(maxsize=64)
def _update(
    table: Table,
    names: tuple[str, ...],
    by: tuple[str, ...],
    where: tuple[str, ...],
    nulls: tuple[str, ...],
    alike: tuple[str, ...],
) -> _Prepared:
    conditions = [
        table.c[name].is_(None) if name in nulls else table.c[name] == value
        for name, value in _places(_types(table, where), "where_").items()
    ]
    fixed = _places(_types(table, alike), "set_")
    return _Prepared(_updating(table, names, by, _places(_types(table, names)), conditions, fixed))


def _places(types: Mapping[str, TypeEngine[Any]], prefix: str = "row_") -> dict[str, BindParameter[Any]]:
    return {name: bindparam(f"{prefix}{name}", type_=kind) for name, kind in types.items()}


def _writer(kind: TypeEngine[Any]) -> Callable[[Any], Any] | None:
    """What turns a value into what SQLite stores. For dates and instants SQLAlchemy's own write the same
    texts, several times slower."""
    if isinstance(kind, UTCDateTime):
        return _instant_text
    if isinstance(kind, Date):
        return _day_text
    return kind.dialect_impl(_SQLITE).bind_processor(_SQLITE)


def _day_text(day: date | None) -> str | None:
    return None if day is None else day.isoformat()


@lru_cache(maxsize=1024)  # a page of rows mostly has one
def _instant_text(at: datetime | None) -> str | None:
    if at is None:
        return None
    if at.tzinfo is None:
        raise ValueError("an instant without a time zone can't be stored")
    return at.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "microseconds")


# --- PostgreSQL --------------------------------------------------------------------------------------


def _from_arrays(table: Table, rows: Rows) -> Any:
    from sqlalchemy.dialects import postgresql

    given = select(*_unnested(_types(table, rows[0])).c)
    return postgresql.insert(table).from_select(list(rows[0]), given, include_defaults=False)


def _unnested(types: Mapping[str, TypeEngine[Any]]) -> FromClause:
    arrays = [bindparam(f"all_{name}", type_=ARRAY(kind)) for name, kind in types.items()]
    columns = [column(name, kind) for name, kind in types.items()]
    return func.unnest(*arrays).table_valued(*columns, name="given").render_derived()


def _arrays(rows: Rows) -> dict[str, list[Any]]:
    return {f"all_{name}": [row[name] for row in rows] for name in rows[0]}
