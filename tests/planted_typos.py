"""`make check` plants misspelt columns on the money path, and mypy must refuse each of them.

    python -m tests.planted_typos

The program is copied aside, every typo is planted in the copy, and mypy reads it once.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent


@dataclass(frozen=True)
class Typo:
    """In `path`, `right` becomes `wrong`; `right` stands there once."""

    path: str
    right: str
    wrong: str


TYPOS = (
    # a column that is read
    Typo(
        "billing/cycle/submit.py",
        "self.ctx.brakes.admit(row.amount_micros)",
        "self.ctx.brakes.admit(row.amount)",
    ),
    Typo(
        "billing/cycle/reconcile.py",
        "seen.by_marker.get(row.marker, ())",
        "seen.by_marker.get(row.markers, ())",
    ),
    Typo(
        "billing/cycle/dun.py",
        "policy, row.payable_on, row.dunning_step",
        "policy, row.payable_on, row.dunning",
    ),
    Typo("billing/cycle/settle.py", "seen[row.remote_id]", "seen[row.remote]"),
    Typo("billing/cycle/plan.py", '"was_next_period": decision', '"was_next_periods": decision'),
    # a column that is written
    Typo("billing/lifecycle/payments.py", "            paid_at=now,\n", "            payed_at=now,\n"),
    Typo("billing/lifecycle/pauses.py", "        next_due_on=due,\n", "        next_due=due,\n"),
    Typo("billing/cycle/deliver.py", '"sha256": mail.sha256', '"sha265": mail.sha256'),
)


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        shutil.copytree(ROOT / "billing", copy / "billing", ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", copy)
        places = [plant(copy, typo) for typo in TYPOS]
        found = subprocess.run(
            [sys.executable, "-m", "mypy", "--no-error-summary", "--hide-error-context", "billing"],
            cwd=copy,
            capture_output=True,
            text=True,
            check=False,
        )
    missed = [
        place for place in places if not any(refused(place, line) for line in found.stdout.splitlines())
    ]
    for path, line in missed:
        print(f"{path}:{line}: mypy does not notice the misspelt column that was planted here")
    if missed:
        print(found.stdout, found.stderr, sep="\n")
    print(f"planted typos: {len(places) - len(missed)} of {len(places)} refused")
    return 1 if missed else 0


def plant(copy: Path, typo: Typo) -> tuple[str, int]:
    """Write the typo into the copy; returns its file and line."""
    path = copy / typo.path
    text = path.read_text(encoding="utf-8")
    if text.count(typo.right) != 1:
        raise SystemExit(f"{typo.path}: {typo.right!r} stands there {text.count(typo.right)} times, not once")
    path.write_text(text.replace(typo.right, typo.wrong), encoding="utf-8")
    return typo.path, text[: text.index(typo.right)].count("\n") + 1


def refused(place: tuple[str, int], line: str) -> bool:
    """Whether a line of mypy's tells of an error at a place, or in the few lines of its statement."""
    path, number = place
    parts = line.split(":")
    if len(parts) < 3 or parts[0] != path or not parts[1].isdigit() or "error" not in parts[2]:
        return False
    return abs(int(parts[1]) - number) <= 12


if __name__ == "__main__":
    sys.exit(main())
