"""What the API's list showed in this cycle."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from datetime import datetime

from billing.core.coverage import CoverageProof
from billing.core.outcomes import RemotePayment


class Observation:
    """One reading of the list. `asked_at` is the instant before it was asked for.

    `agreeing` names markers whose one record is surely the one that stands for their payment.

    Its size is bounded by `reconcile.max_records`; a record takes about 400 bytes.
    """

    def __init__(
        self,
        asked_at: datetime,
        remotes: Sequence[RemotePayment],
        proof: CoverageProof,
        agreeing: Collection[str] = (),
    ) -> None:
        self.asked_at = asked_at
        self.proof = proof
        self.by_id = {remote.remote_id: remote for remote in remotes}
        # Nearly every marker has one record: a tuple is the smallest that holds it.
        self.by_marker: dict[str, tuple[RemotePayment, ...]] = {}
        self._unmarked: dict[int | None, list[RemotePayment]] = defaultdict(list)
        for remote in remotes:
            if remote.marker is not None:
                self.by_marker[remote.marker] = (*self.by_marker.get(remote.marker, ()), remote)
            else:
                self._unmarked[remote.amount_micros].append(remote)

        self.in_question = [
            marker for marker, alike in self.by_marker.items() if len(alike) > 1 or marker not in agreeing
        ]
        """The markers that may contradict what we know of their payment: of years of history hardly any."""

    @property
    def unmarked_ids(self) -> list[str]:
        """The ids of the records that bear no marker of our form."""
        return [remote.remote_id for remote in self.unmarked]

    @property
    def unmarked(self) -> list[RemotePayment]:
        """The records that bear no marker of our form."""
        return [remote for alike in self._unmarked.values() for remote in alike]

    def unclaimed(self, amount_micros: int, claimed: set[str]) -> list[RemotePayment]:
        """Records without a marker of ours that could be of this amount and stand for no payment of ours."""
        alike = (*self._unmarked.get(amount_micros, ()), *self._unmarked.get(None, ()))
        return [remote for remote in alike if remote.remote_id not in claimed]
