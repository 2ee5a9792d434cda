"""The oracle of the mailbox: nothing false is told to anybody (that nothing arrives twice, `mailbox.py`).

It reads each mail in the moment in which the server takes it, and asks the API's history, not the program.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date
from typing import TYPE_CHECKING, NamedTuple
from zoneinfo import ZoneInfo

from billing.core.notices import RenderedMail

from .records import Key, Remote

if TYPE_CHECKING:
    from .world import World

_LONGEST_CYCLE = 8 * 3600.0
"""A cycle may sleep between its look and its notice; what was paid so long before is no news to it."""
_NUMBER = re.compile(r"RB-[0-9A-Z]{16}")
_DUNNING = ("payment_overdue", "subscription_paused", "subscription_cancelled")


class Letter(NamedTuple):
    """What the database says of one notice. Without a payment it is a person's act that is told."""

    kind: str
    subscription: int
    marker: str
    reference: str
    due_on: str
    amount_micros: int
    remote_id: str | None


class LetterReader:
    """Reads over everybody's shoulder."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.zone = ZoneInfo(world.options.zone)
        self.warned: set[str] = set()
        """Numbers of the payments that stood in an overdue notice that was sent, or refused for good."""
        self.queued_at: dict[str, float] = {}
        self._last = 0

    def committed(self) -> None:
        """Note when the notices of a transaction were written."""
        newest = self.world.store.rows("SELECT coalesce(max(id), 0) FROM notices")[0][0]
        if newest == self._last:
            return
        if newest < self._last:  # another database took the place of this one
            self._last = 0
        for (key,) in self.world.store.rows("SELECT dedupe_key FROM notices WHERE id > ?", self._last):
            self.queued_at.setdefault(key, self.world.loop.time())
        self._last = newest

    def read(self, mail: RenderedMail) -> None:
        """It was taken by the server."""
        for letter in self._letters(mail.dedupe_key):
            key = (f"{letter.reference}@example.com", letter.due_on)
            if letter.kind == "payment_received":
                self._receipt(letter, key)
            elif letter.kind == "payment_created":
                self._invitation(letter, key)
            elif letter.kind in _DUNNING:
                self._dunning(letter, key, self.queued_at.get(mail.dedupe_key, self.world.loop.time()))
            if letter.kind == "payment_overdue":
                self._warns(mail, letter)

    def refused(self, mail: RenderedMail) -> None:
        """The recipient's server refused it for good: that counts as a warning, too."""
        for letter in self._letters(mail.dedupe_key):
            if letter.kind == "payment_overdue":
                self._warns(mail, letter)

    def _warns(self, mail: RenderedMail, letter: Letter) -> None:
        numbers = set(_NUMBER.findall(mail.raw.decode()))
        if letter.marker not in numbers:
            self._false((letter.reference, letter.due_on), "got a statement in which it does not stand")
        self.warned |= numbers

    def _letters(self, dedupe_key: str) -> Iterator[Letter]:
        rows = self.world.store.rows(
            "SELECT n.kind, n.subscription_id, p.marker, s.reference, p.due_on, p.amount_micros, "
            "p.remote_id FROM notices n JOIN payments p ON p.id = n.payment_id "
            "JOIN subscriptions s ON s.id = p.subscription_id WHERE n.dedupe_key = ?",
            dedupe_key,
        )
        return (Letter(*row) for row in rows)

    def _receipt(self, letter: Letter, key: Key) -> None:
        paid = [r for r in self.world.api.by_key.get(key, ()) if r.paid_at is not None]
        if not paid:
            self._false(key, "got a receipt, and nobody had paid")
        elif all(r.amount_micros != letter.amount_micros for r in paid):
            sums = ", ".join(str(r.amount_micros) for r in paid)
            self._false(key, f"got a receipt over {letter.amount_micros}, and paid {sums}")

    def _invitation(self, letter: Letter, key: Key) -> None:
        remote = self._remote(letter)
        if remote is not None and remote.key != key:
            self._false(key, f"was shown the way to {remote.remote_id}, which is for {remote.key}")

    def _dunning(self, letter: Letter, key: Key, written: float) -> None:
        remote = self._remote(letter)
        what = letter.kind.replace("_", " ")
        is_end = letter.kind != "payment_overdue"
        if is_end and self.world.options.traits.ladder and letter.marker not in self.warned:
            self._false(key, f"was told {what}, without any overdue notice before")
        if remote is None:
            return
        if remote.was_paid(written - _LONGEST_CYCLE) and remote.was_paid(written):
            hours = (written - (remote.paid_at or 0.0)) / 3600
            self._false(key, f"was told {what} {hours:.0f} hours after paying")
        live = self.world.settings.mileston.environment == "live"
        if live and self._day(written) <= self._day(remote.made_at):
            self._false(key, f"was told {what} on the day on which it could first be paid")

    def _remote(self, letter: Letter) -> Remote | None:
        return self.world.api.records.get(letter.remote_id or "")

    def _day(self, seconds: float) -> date:
        return self.world.trace.instant(seconds).astimezone(self.zone).date()

    def _false(self, key: Key, what: str) -> None:
        self.world.trace.violated(f"{key[0]} {key[1]} {what}")
