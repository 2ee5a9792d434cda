"""The program as an installation uses it: every command is a process of its own."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

from billing.app.documents import payment_document as document
from billing.app.importing import import_csv
from billing.app.runtime import open_store, utc_now
from billing.config import Config, load_config
from billing.store import payments
from tests.support.business import HEADER, as_environment
from tests.support.nursery import ROOT, Child, Nursery

BUSINESS = "business-1"


def subscription(reference: str, starts_on: str, interval: str = "1 month", amount: str = "9.90") -> str:
    """A line of CSV; its e-mail address is `REFERENCE@example.com`."""
    who = f"Plan {reference},Name {reference},{reference}@example.com"
    return f"{reference},{who},{amount},{interval},{starts_on}"


class Installation:
    """One business's folder, settings and database. Every command is a process of its own.

    Settings are written as `reconcile__quiet_seconds=2`. `database_url` is a SQLite file in the
    folder unless one is given.
    """

    def __init__(
        self, nursery: Nursery, folder: Path, sandbox_address: str, database_url: str = "", **settings: object
    ) -> None:
        self.nursery = nursery
        self.folder = folder
        config = folder / "config.toml"
        config.touch()
        self.environ = {
            "BILLING_CONFIG": str(config),
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "HOME": str(folder),
            "USER": "tester",
            "MILESTON_BUSINESS_ID": BUSINESS,
            **as_environment(
                {
                    "database__url": database_url or f"sqlite:///{folder / 'billing.db'}",
                    "mileston__recurring_payment_url": sandbox_address,
                    "mail__outbox_dir": str(folder / "outbox"),
                    "mail__templates_dir": str(ROOT / "templates"),
                    "reminders__days_before": "[]",
                }
            ),
            **as_environment(settings),
        }

    def start(self, *arguments: str, **environ: str) -> Child:
        """Start a command; keyword arguments are environment variables as they are."""
        return self.nursery.start(arguments, {**self.environ, **environ}, self.folder)

    def billing(self, *arguments: str, **environ: str) -> Child:
        """Run a command to its end."""
        child = self.start(*arguments, **environ)
        child.wait()
        return child

    def start_run(self, as_of: str, largest_file: int | None = None, /, **environ: str) -> Child:
        """Start a cycle; with `largest_file` every write beyond so many bytes of a file fails."""
        arguments = ("run-once", "--json", "--as-of", as_of)
        return self.nursery.start(arguments, {**self.environ, **environ}, self.folder, largest_file)

    def run(self, as_of: str, **environ: str) -> dict[str, Any]:
        """One whole cycle, and what it answered with its exit code as `exit_code`."""
        child = self.start_run(as_of, **environ)
        code = child.wait()
        assert code in (0, 1), f"exit code {code}: {child.err}"
        assert child.out, child.err
        return {**child.document, "exit_code": code}

    def run_until_settled(self, as_of: str, runs: int = 60, pause: float = 0.2) -> list[dict[str, Any]]:
        """Cycles until one has nothing to do and nothing to ask; their answers."""
        answers = []
        for _ in range(runs):
            answers.append(self.run(as_of))
            if answers[-1]["outcome"] == "ok" and answers[-1]["payments"]["due"] == 0:
                return answers
            time.sleep(pause)
        raise AssertionError(f"not settled after {runs} runs: {answers[-1]}")

    def subscribe(self, rows: Iterable[str]) -> None:
        """Import lines of CSV (in this process)."""
        config = self._config()
        text = HEADER + "\n" + "".join(f"{row}\n" for row in rows)
        with open_store(config) as db:
            import_csv(db, BytesIO(text.encode()), config.settings, utc_now(), "person:tester")

    def payments(self, *states: str) -> list[dict[str, Any]]:
        """What `billing payments list --json` shows, read in this process."""
        with open_store(self._config()) as db, db.read() as tx:
            return [document(row) for row in payments.listing(tx, states)]

    def payment(self, reference: str) -> dict[str, Any]:
        """The only payment of a subscription."""
        (found,) = (row for row in self.payments() if row["subscription"] == reference)
        return found

    def states(self) -> dict[str, int]:
        """How many payments are in each state."""
        found: dict[str, int] = {}
        for row in self.payments():
            found[row["state"]] = found.get(row["state"], 0) + 1
        return found

    def _config(self) -> Config:
        return load_config(None, self.environ)


def adds_up(answer: dict[str, Any]) -> bool:
    """Whether the counts of a run's JSON conserve what was due."""
    counts = dict(answer["payments"])
    return bool(counts.pop("due") == sum(counts.values()))


def assert_sound(answers: Sequence[dict[str, Any]]) -> None:
    """Every run's counts add up, and none found a fault in itself."""
    for answer in answers:
        assert adds_up(answer), answer
        assert not any("add up" in problem for problem in answer["problems"]), answer
