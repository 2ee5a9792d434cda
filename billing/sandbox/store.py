"""The records of the sandbox: every version in memory, the latest one in the journal."""

import random
from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from typing import Any, NamedTuple

from billing.sandbox.errors import SandboxError
from billing.sandbox.journal import Journal
from billing.sandbox.resources import RESOURCES, STATUS_FIELD


def instant(moment: datetime) -> str:
    """Write a UTC moment as the API does: milliseconds and `Z`. Such texts sort by time."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Record(NamedTuple):
    """One version of one payment resource. `*_at` are instants as texts; `fields` is never changed."""

    resource: str
    id: str
    business_id: str
    business_name: str | None
    fields: dict[str, Any]
    status: str
    created_at: str
    changed_at: str
    deleted_at: str | None = None

    def data(self) -> dict[str, Any]:
        """The record as the API shows it."""
        resource = RESOURCES[self.resource]
        data = {resource.id_field: self.id, **self.fields}
        if resource.shows_status:
            data[STATUS_FIELD] = self.status
        data["createdAt"] = self.created_at
        return data

    def history(self) -> dict[str, Any]:
        """The record as the sandbox's own books show it, deleted ones too."""
        return {
            "resource": self.resource,
            "id": self.id,
            "businessId": self.business_id,
            "businessName": self.business_name,
            "status": self.status,
            "createdAt": self.created_at,
            "changedAt": self.changed_at,
            "deletedAt": self.deleted_at,
            "data": self.data(),
        }


class Store:
    """All records of all businesses. What is put here is in the journal before it is visible."""

    def __init__(self, journal: Journal | None = None) -> None:
        self._journal = journal
        self._current: dict[str, Record] = {}
        self._earlier: dict[str, list[Record]] = {}
        self._owned: dict[tuple[str, str], list[str]] = {}
        for entry in journal.take_replayed() if journal else ():
            try:
                self._remember(Record(**entry))
            except (TypeError, KeyError) as error:
                self.close()
                raise SandboxError(f"{journal}: {entry.get('id')} is not a record of this sandbox") from error

    def put(self, record: Record) -> None:
        """Store a new record or a new version of one. Raises OSError if the journal cannot be written."""
        if self._journal is not None:
            self._journal.append(record._asdict())
        self._remember(record)

    def mark(self, record: Record, status: str, at: str) -> Record:
        """Turn a record `paid` or `unpaid`, as the payer or a person at the sandbox does."""
        if record.status != status:
            record = record._replace(status=status, changed_at=at)
            self.put(record)
        return record

    def _remember(self, record: Record) -> None:
        previous = self._current.get(record.id)
        if previous is None:
            RESOURCES[record.resource]  # a record of no known resource must not get in
            self._owned.setdefault((record.resource, record.business_id), []).append(record.id)
        else:
            self._earlier.setdefault(record.id, []).append(previous)
        self._current[record.id] = record

    def find(self, resource: str, record_id: str, business_id: str | None = None) -> Record | None:
        """Return the living record of this resource, of this business if one is given."""
        record = self._current.get(record_id)
        if record is None or record.deleted_at is not None or record.resource != resource:
            return None
        return record if business_id is None or business_id == record.business_id else None

    def find_anywhere(self, record_id: str) -> Record | None:
        record = self._current.get(record_id)
        return record if record is not None and record.deleted_at is None else None

    def first(self, record_id: str) -> Record:
        """Return the record as it was created; after a restart, as it was then."""
        return self._earlier.get(record_id, [self._current[record_id]])[0]

    def as_of(self, record_id: str, moment: str) -> Record | None:
        """Return the record as it was at that instant, or None if it was not there."""
        current = self._current[record_id]
        versions: list[Record] = [*self._earlier.get(record_id, ()), current]
        if current.created_at > moment:
            return None
        # After a restart only the latest version is known; it then stands for all earlier ones.
        return next((version for version in reversed(versions) if version.changed_at <= moment), versions[0])

    def listed(
        self, owner: tuple[str, str], limit: int, order: str, rng: random.Random, moment: str | None
    ) -> list[Record]:
        """Return up to `limit` records of (resource, business id), as of `moment` (None: now)."""
        owned = self._owned.get(owner, [])
        ids = reversed(owned) if order == "newest" else iter(owned)
        records: Iterator[Record | None] = (
            self._current[record_id] if moment is None else self.as_of(record_id, moment) for record_id in ids
        )
        living = (record for record in records if record is not None and record.deleted_at is None)
        if order == "random":
            everything = list(living)
            return rng.sample(everything, min(limit, len(everything)))
        return list(islice(living, limit))

    def newest(self, offset: int, limit: int) -> list[Record]:
        """Return records of all businesses, deleted ones too, the newest first."""
        return list(islice(reversed(self._current.values()), offset, offset + limit))

    def everything(self) -> list[Record]:
        """Return the latest version of every record there ever was, the oldest first."""
        return list(self._current.values())

    def __len__(self) -> int:
        return len(self._current)

    def clear(self) -> None:
        if self._journal is not None:
            self._journal.clear()
        self._current.clear()
        self._earlier.clear()
        self._owned.clear()

    def close(self) -> None:
        if self._journal is not None:
            self._journal.close()
