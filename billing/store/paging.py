"""Long lists, a page at a time, so that no transaction stays open while their reader thinks.

On SQLite with a rollback journal an open read keeps the billing cycle from committing; on PostgreSQL it
keeps VACUUM from its work.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, bindparam, tuple_

from billing.store.connection import Database

PAGE = 500
"""Rows read at once."""


def paged(db: Database, query: Select[Any], order: Sequence[ColumnElement[Any]]) -> Iterator[Row[Any]]:
    """All rows of `query` by `order`, columns of it that are unique together and never null.

    What is added, changed or removed meanwhile may be there or not; no other row is missed or comes twice.
    """
    ordered = query.order_by(*order).limit(PAGE)
    following = ordered
    while True:
        with db.read() as tx:
            page = tx.execute(following).all()
        yield from page
        if len(page) < PAGE:
            return
        last = page[-1]._mapping
        place = [bindparam(None, last[column], column.type) for column in order]
        following = ordered.where(tuple_(*order) > tuple_(*place))
