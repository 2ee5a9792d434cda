"""Which world found which fault of the program, and what its oracle said.

`python -m tests.campaigns.simulation.finds` replays them.

Each was found by its world on the code before its mending; a world that comes through says that its fault
is mended. Traits of `traits.LATER` are still found.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

from .__main__ import DEFAULT_STEPS
from .traits import LATER
from .world import live_through


@dataclass(frozen=True)
class Find:
    """A fault, the one trait that its world has besides the narrow ones, and the seed of that world."""

    finding: str
    trait: str
    seed: int
    said: str


FINDS = (
    Find("1: a name is cut", "name_cut", 1016, "unknown>planned, though it exists or will"),
    Find("1: a name is cut at a character", "name_chars", 1001, "does not settle"),
    Find("1: a name in small letters", "name_case", 1002, "unknown>planned, though it exists or will"),
    Find("2: the folder is put back", "folder_restores", 1040, "was charged twice"),
    Find("3: a standby is promoted", "failovers", 1022, "was charged twice"),
    Find("4: another tenant", "tenant", 1019, "which another tenant made"),
    Find("5: PAID", "status_spelling", 1006, "which it had seen paid"),
    Find("5: processing", "status_words", 1006, "which it had seen paid"),
    Find("6: a cap", "plain_cap", 1040, "unknown>planned, though it exists or will"),
    Find("6: an order", "list_by", 1162, "unknown>planned, though it exists or will"),
    Find("7, 8: another interval or day", "changing_terms", 1004, "when nothing was due"),
    Find("9: 417 for 00417", "mangled_imports", 1001, "a second subscription"),
    Find("10: the kernel delivers late", "late_bytes", 1000, "unknown>planned, though it exists or will"),
    Find("15: another amount was paid", "partial_payments", 1002, "got a receipt over"),
    Find("16: the old price", "changing_terms", 1035, "is charged the old price"),
    Find("17: columns are missing", "bare_imports", 1004, "when nothing was due"),
    Find("20: a delete does nothing", "deletes_ignored", 1009, "is void, lives at the API"),
    Find("20: not found for a minute", "gets_late", 1019, "was never told how to pay"),
    Find("21: a list that lags", "stale_status", 1000, "hours after paying"),
    Find("22: as of a past day", "past_as_of", 1009, "on the day on which it could first be paid"),
    Find("23: a count is not checked", "read_committed", 1029, "the event log says"),
    Find("24: brakes are not shared", "shared_brakes", 1010, "runs at once sent"),
    Find("11: no overdue notice before a pause", "ladder", 1001, "without any overdue notice before"),
    Find("13, 26: what the program says", "says", 1010, "says attention"),
    Find("14: throttling", "throttle_per_second", 1003, "does not settle"),
    Find("renewals", "renewals", 1002, "is asked for twice"),
)


def main() -> int:
    """Replay them all, and show which are still found. What belongs to later work is expected to be."""
    back = 0
    for find in FINDS:
        violations = replayed(find)
        said = next((v for v in violations if find.said in v), "; ".join(violations))
        found = "found" if find.said in said else "otherwise" if said else "mended"
        back += bool(said) and find.trait not in LATER
        print(
            f"{found:9} {find.finding}\n          --only {find.trait} --seed {find.seed}  {said}", flush=True
        )
    return 1 if back else 0


def replayed(find: Find) -> tuple[str, ...]:
    return live_through(find.seed, DEFAULT_STEPS, only=(find.trait,)).violations


if __name__ == "__main__":
    sys.exit(main())
