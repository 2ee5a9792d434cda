"""Many rows in one statement: what a page of work costs is what its rows cost, on either database.

SQLite runs a prepared statement once a row without leaving the process; what is left is to turn values
into what it stores, a column at a time. PostgreSQL would pay for every row's own bind and execute; there
the rows travel as one array a column, and one statement unnests them.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from functools import lru_cache
from itertools import repeat
from typing import Any

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Connection,
    Date,
    FromClause,
    Insert,
    Row,
    Table,
    Update,
    bindparam,
    column,
    func,
    select,
    update,
)
from sqlalchemy.dialects import sqlite
from sqlalchemy.engine.interfaces import Dialect
from sqlalchemy.types import TypeEngine
from sqlmodel.sql.sqltypes import UTCDateTime

_WAS = "was_"

Rows = Sequence[Mapping[str, Any]]


def insert_rows(tx: Connection, table: Table, rows: Rows, *, skip_known: bool = False) -> int:
    """Insert rows that hold the same columns; answers how many are new.

    With `skip_known` a row that breaks a UNIQUE constraint is left out.
    """
    if not rows:
        return 0
    if tx.dialect.name == "sqlite":
        given = {name: bindparam(f"row_{name}", type_=table.c[name].type) for name in rows[0]}
        made = sqlite.insert(table).values(given)
        return _execute_many(tx, made.on_conflict_do_nothing() if skip_known else made, given, rows)
    statement = _from_arrays(table, rows)
    if skip_known:
        statement = statement.on_conflict_do_nothing()
    return tx.execute(statement, _arrays(rows), execution_options={"preserve_rowcount": True}).rowcount


def insert_returning(
    tx: Connection, table: Table, rows: Rows, *returning: ColumnElement[Any]
) -> list[Row[Any]]:
    """Insert the rows that break no UNIQUE constraint; answers `returning` of each that is new."""
    if not rows:
        return []
    if tx.dialect.name == "sqlite":
        statement = sqlite.insert(table).on_conflict_do_nothing().returning(*returning)
        return list(tx.execute(statement, list(rows)))
    statement = _from_arrays(table, rows).on_conflict_do_nothing().returning(*returning)
    return list(tx.execute(statement, _arrays(rows)))


def update_rows(
    tx: Connection,
    table: Table,
    rows: Rows,
    *where: ColumnElement[bool],
    by: Sequence[str] = ("id",),
    **alike: Any,
) -> int:
    """Update the rows of `table` that `by` and `where` pick; answers how many there were.

    Each of `rows` holds the columns `by`, the columns to be set, and as `was_x` what column x must still
    be; `alike` is set in all of them.
    """
    if not rows:
        return 0
    compared = {name: name.removeprefix(_WAS) for name in rows[0] if name in by or name.startswith(_WAS)}
    types = {name: table.c[name.removeprefix(_WAS)].type for name in rows[0]}
    if tx.dialect.name == "sqlite":
        given: Any = {name: bindparam(f"row_{name}", type_=kind) for name, kind in types.items()}
    else:
        given = _unnested(types).c
    statement = (
        update(table)
        .where(*(table.c[column] == given[name] for name, column in compared.items()), *where)
        .values({**{name: given[name] for name in types if name not in compared}, **alike})
    )
    if tx.dialect.name == "sqlite":
        return _execute_many(tx, statement, given, rows)
    return tx.execute(statement, _arrays(rows)).rowcount


def upsert_rows(tx: Connection, table: Table, rows: Rows, by: str, kept: Container[str]) -> None:
    """Insert rows; of those whose `by` is known already, update all columns but `kept`."""
    if not rows:
        return
    if tx.dialect.name == "sqlite":
        given = {name: bindparam(f"row_{name}", type_=table.c[name].type) for name in rows[0]}
        made: Any = sqlite.insert(table).values(given)
    else:
        made = _from_arrays(table, rows)
    changed = {name: made.excluded[name] for name in rows[0] if name != by and name not in kept}
    statement = made.on_conflict_do_update(index_elements=[by], set_=changed)
    if tx.dialect.name == "sqlite":
        _execute_many(tx, statement, given, rows)
    else:
        tx.execute(statement, _arrays(rows))


# --- SQLite ------------------------------------------------------------------------------------------


def _execute_many(tx: Connection, statement: Insert | Update, given: Iterable[str], rows: Rows) -> int:
    compiled = statement.compile(dialect=tx.dialect)
    names = {f"row_{name}": name for name in given}
    fixed = compiled.construct_params(dict.fromkeys(names))
    columns: list[Iterable[Any]] = []
    for place in compiled.positiontup or ():
        writer = _writer(compiled.binds[place].type, tx.dialect)
        if place in names:
            values = [row[names[place]] for row in rows]
            columns.append(values if writer is None else map(writer, values))
        else:
            columns.append(repeat(fixed[place] if writer is None else writer(fixed[place]), len(rows)))
    return tx.exec_driver_sql(str(compiled), list(zip(*columns, strict=True))).rowcount


def _writer(kind: TypeEngine[Any], dialect: Dialect) -> Callable[[Any], Any] | None:
    """What turns a value into what SQLite stores. For dates and instants SQLAlchemy's own write the same
    texts, several times slower."""
    if isinstance(kind, UTCDateTime):
        return _instant_text
    if isinstance(kind, Date):
        return _day_text
    return kind.dialect_impl(dialect).bind_processor(dialect)


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

    types = {name: table.c[name].type for name in rows[0]}
    given = select(*_unnested(types).c)
    return postgresql.insert(table).from_select(list(types), given, include_defaults=False)


def _unnested(types: Mapping[str, TypeEngine[Any]]) -> FromClause:
    arrays = [bindparam(f"all_{name}", type_=ARRAY(kind)) for name, kind in types.items()]
    columns = [column(name, kind) for name, kind in types.items()]
    return func.unnest(*arrays).table_valued(*columns, name="given").render_derived()


def _arrays(rows: Rows) -> dict[str, list[Any]]:
    return {f"all_{name}": [row[name] for row in rows] for name in rows[0]}
