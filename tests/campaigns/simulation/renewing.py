"""An API whose records renew themselves, and what a change of a record does to that."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING

from .fates import Reply
from .records import Remote, person
from .storing import DAY, stored_name

if TYPE_CHECKING:
    from .api import ModelApi

_BEFORE_ANY_DAY = timedelta(hours=14)
"""So long before midnight UTC the day begins where it begins first."""


@dataclass(frozen=True, slots=True)
class Change:
    """What an update says; what is None stays."""

    remote_id: str
    interval_days: int
    name: str | None = None
    amount_micros: int | None = None
    charged_days: int = 0


@dataclass(slots=True)
class Renewals:
    """When records come back by themselves."""

    api: ModelApi

    @property
    def kind(self) -> str:
        return self.api.options.traits.renewals

    def made(self, remote: Remote) -> None:
        if self.kind and remote.wire:
            self._wait(remote)

    def paid(self, remote: Remote) -> None:
        """Some move the date on as soon as they are paid."""
        if "moves" in self.kind and remote.wire and not remote.handed_on:
            remote.changes(self.api.loop.time())
            remote.due_on = (_day(remote) + timedelta(days=remote.interval_days)).isoformat()
            self._wait(remote)

    def _wait(self, remote: Remote) -> None:
        """Until its interval has passed; of those that move when paid, until the date that they show."""
        api, interval = self.api, 0 if "moves" in self.kind else remote.interval_days
        remote.timer += 1
        at = datetime.combine(_day(remote), time(), UTC) + timedelta(days=interval)
        if "deaf" in self.kind or "moves" in self.kind:
            at -= _BEFORE_ANY_DAY
        elif "late" in self.kind:
            at += timedelta(days=api.odd.uniform(1.0, 4.0))
        seconds = (at - api.trace.now()).total_seconds()
        api.loop.outside_later(max(1.0, seconds), self._renew, remote, remote.timer)

    def _renew(self, remote: Remote, timer: int) -> None:
        """It is unpaid again by itself, and its date has moved on."""
        api = self.api
        if not remote.live or api.calm or timer != remote.timer:
            return
        if not remote.paid and "all" not in self.kind:
            return  # it waits to be paid; then it waits for its next date
        now = api.loop.time()
        remote.changes(now)
        if "moves" not in self.kind:
            remote.due_on = (_day(remote) + timedelta(days=remote.interval_days)).isoformat()
        api.trace.note("api", f"{remote.remote_id} renews itself", remote.due_on)
        api.trace.count("records that renewed themselves")
        if "moves" not in self.kind:
            self._wait(remote)
        if remote.paid:  # one that was never paid goes on asking for its own period
            remote.unpaid_again_at = now
            if "deaf" in self.kind and self._was_paid_late(remote):
                api.trace.count("paid so late that it came back at once (residual)")
                return
            api.loop.outside_later(2 * DAY, self._asks, remote, remote.due_on)

    def _was_paid_late(self, remote: Remote) -> bool:
        over = datetime.fromisoformat(remote.key[1]).replace(tzinfo=UTC) + timedelta(days=remote.charged_days)
        ago = timedelta(seconds=self.api.loop.time() - (remote.paid_at or 0.0))
        return self.api.trace.now() - ago >= over - _BEFORE_ANY_DAY

    def _asks(self, remote: Remote, due_on: str) -> None:
        """A record that came back asks for a period; does another ask for the very same?"""
        api = self.api
        if not remote.live or api.calm or remote.due_on != due_on or remote.key[1] == due_on:
            return
        key = (remote.key[0], due_on)
        others = [r for r in api.live(key) if r is not remote and r.wire and not r.handed_on]
        if others and not api.witness.was_let_go(remote):
            api.trace.violated(
                f"{key[0]} {due_on} is asked for twice: {remote.remote_id} renewed itself, "
                f"and {others[0].remote_id} was made"
            )

    def update(self, change: Change, by: str) -> Reply:
        """Fields change, the status never; with another name the record stands for the period it shows."""
        api = self.api
        remote = api.records.get(change.remote_id)
        if remote is None or not remote.live:
            return Reply(404)
        now = api.loop.time()
        remote.changes(now)
        remote.patched_at = now
        if change.name is None:
            api.witness.stopped(remote)
        else:
            self._stands_for(remote, change, by)
        if self.kind and (change.name is not None or "deaf" not in self.kind):
            remote.interval_days = change.interval_days
            if "moves" not in self.kind or change.name is not None:
                self._wait(remote)
            else:
                remote.timer += 1  # what moved when it was paid never comes back either
        api.trace.note("api", f"changed {remote.remote_id}", f"every {change.interval_days} days, by {by}")
        shown = remote.shown(now)
        assert shown is not None
        return Reply(200, shown=replace(shown, interval_days=change.interval_days))

    def _stands_for(self, remote: Remote, change: Change, by: str) -> None:
        api = self.api
        key = (person(remote.email), remote.due_on or remote.key[1])
        if key != remote.key:
            past = replace(remote, handed_on=True, unpaid_again_at=None, earlier=[])
            api.by_key[remote.key] = [past if r is remote else r for r in api.by_key[remote.key]]
            remote.key, remote.taken = key, True
            remote.charged_days = change.charged_days or change.interval_days
            api.by_key.setdefault(key, []).append(remote)
            api.trace.note("api", f"{remote.remote_id} stands for another period", f"{key[1]} by {by}")
            api.trace.count("records taken for the next period")
            api.witness.taken(remote)
        remote.name = stored_name(change.name or "", api.options.traits)
        remote.amount_micros = change.amount_micros or remote.amount_micros


def _day(remote: Remote) -> date:
    return date.fromisoformat(remote.due_on or remote.key[1])
