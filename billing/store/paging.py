"""Long lists, a page at a time, so that no transaction stays open while their reader thinks.

On SQLite with a rollback journal an open read keeps the billing cycle from committing; on PostgreSQL it
keeps VACUUM from its work.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

from sqlalchemy import ColumnElement, Select, bindparam, tuple_

from billing.store.connection import Database
from billing.store.tx import Tx

PAGE = 500
"""Rows read at once."""
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Listing(Generic[R]):
    """A list of rows of one type: its query, and the columns that put them in order.

    Those are unique together, never null, and among the columns of the query.
    """

    query: Select[Any]
    order: tuple[ColumnElement[Any], ...]

    def rows(self, tx: Tx) -> Iterator[R]:
        """All rows in order, streamed in one transaction."""
        found = tx.execute(self.query.order_by(*self.order).execution_options(yield_per=PAGE))
        yield from cast("Iterator[R]", found)

    def first(self, tx: Tx, count: int) -> list[R]:
        """The first rows in order, at most `count`."""
        return cast("list[R]", tx.execute(self.query.order_by(*self.order).limit(count)).all())


def paged(db: Database, listing: Listing[R]) -> Iterator[R]:
    """All rows in order, each page in a transaction of its own.

    What is added, changed or removed meanwhile may be there or not; no other row is missed or comes twice.
    """
    ordered = listing.query.order_by(*listing.order).limit(PAGE)
    following = ordered
    while True:
        with db.read() as tx:
            page = tx.execute(following).all()
        yield from cast("list[R]", page)
        if len(page) < PAGE:
            return
        last = page[-1]._mapping
        place = [bindparam(None, last[column], column.type) for column in listing.order]
        following = ordered.where(tuple_(*listing.order) > tuple_(*place))
