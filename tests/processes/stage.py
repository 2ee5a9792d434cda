"""What tests with real processes share: a sandbox that can die, and an installation of the program."""

from __future__ import annotations

import http.client
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from io import BytesIO
from pathlib import Path
from typing import Any

from billing.app.documents import payment_document as document
from billing.app.importing import import_csv
from billing.app.runtime import open_store, utc_now
from billing.config import load_config
from billing.store import payments
from tests.processes.nursery import ROOT, Child, Nursery

BUSINESS = "business-1"
COPIER = "late"
"""The `businessName` of records that a test made itself."""
_HEADER = "reference,plan,name,email,amount,interval,starts_on\n"
_ROOMY_BYTES = 1024**3
_STARTS = 20
_NO_ANSWER = (OSError, http.client.HTTPException)


@contextmanager
def quick_folder() -> Iterator[Path]:
    """A temporary folder, in memory if the system has room there.

    Waiting for the disk would be most of these tests' time, and shows nothing here: what a process has
    written outlives its death anyway, and no test cuts the power.
    """
    memory = Path("/dev/shm")
    roomy = os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > _ROOMY_BYTES
    with tempfile.TemporaryDirectory(prefix="billing-tests-", dir=memory if roomy else None) as folder:
        yield Path(folder)


def until(what: str, holds: Callable[[], bool], seconds: float = 30.0) -> None:
    """Wait for a condition, however long a busy machine takes; fail with `what` if it never comes."""
    give_up = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < give_up, f"not within {seconds:g} s: {what}"
        time.sleep(0.01)


def _port_that_stays_ours() -> int:
    """A free port below those that the system gives to clients: while the sandbox is down, none takes it."""
    while True:
        port = random.randrange(12_000, 32_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


class SandboxProcess:
    """The sandbox, which can be killed and started again at the same address with the same records."""

    def __init__(self, data: Path, *options: str) -> None:
        self._data = data
        self._options = options
        self._port = _port_that_stays_ours()
        self.url = f"http://127.0.0.1:{self._port}"
        self.start()

    def start(self) -> None:
        """Start it, and return when it listens."""
        command = [sys.executable, "-m", "billing.sandbox", "--port", str(self._port)]
        for _ in range(_STARTS):
            self._process = subprocess.Popen(
                [*command, "--data", str(self._data), "--exit-with-parent", *self._options],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=ROOT,
            )
            assert self._process.stdout is not None
            if self._process.stdout.readline():
                return
            _, said = self._process.communicate()
            time.sleep(0.1)
        raise RuntimeError(f"the sandbox does not start: {said.decode()}")

    def kill(self) -> None:
        """`kill -9`: what it had not written down yet never happens."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """What is under way still takes effect."""
        self._end(signal.SIGTERM)

    def freeze(self) -> None:
        """Whoever asks gets no answer, until `thaw`."""
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def _end(self, number: signal.Signals) -> None:
        self._process.send_signal(number)
        self._process.communicate(timeout=30)

    @property
    def address(self) -> str:
        """What `mileston.recurring_payment_url` has to be."""
        return f"{self.url}/recurring-payment"

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """Use a control path."""
        return self._call(method, f"_sandbox/{path}", body or {}, {})

    def faults(self, orders: dict[str, Any]) -> None:
        """Replace the faults: `{"500": 0.1, "stale_list": "1:2"}`."""
        self.ask("PUT", "faults", orders)

    def script(self, *entries: str) -> None:
        """What befalls the next creates."""
        self.ask("POST", "script", {"script": list(entries)})

    def records(self) -> list[dict[str, Any]]:
        """Every recurring payment that there ever was, deleted ones too, in the order of creation."""
        found: list[dict[str, Any]] = self.ask("GET", "records")["records"]
        return found

    def live(self) -> list[dict[str, Any]]:
        return [record for record in self.records() if record["deletedAt"] is None]

    def charges(self) -> list[tuple[str, str]]:
        """(e-mail, due date) of everything that payers could pay now, sorted."""
        return sorted(map(charge_of, self.live()))

    def calls(self, call: str) -> int:
        """How many calls of a kind (`create`, `list`, …) came in, whatever became of them."""
        counts = self.ask("GET", "requests")["counts"].get("recurring-payment", {})
        return sum(counts.get(call, {}).values())

    def pay(self, remote_id: str) -> None:
        self.ask("POST", f"pay/{remote_id}")

    def unpay(self, remote_id: str) -> None:
        self.ask("POST", f"unpay/{remote_id}")

    def delete(self, record: dict[str, Any]) -> None:
        """Delete one, as a person at Mileston does."""
        headers = {"apikey": "sandbox-key", "businessid": record["businessId"]}
        self._call("DELETE", f"recurring-payment/delete/{record['id']}", {}, headers)

    def copy(self, record: dict[str, Any]) -> bool:
        """Make another one with the same fields, as a create does that arrives far too late.

        False if no good answer came: faults befall this create like any other.
        """
        not_sent = ("recurringPaymentId", "createdAt", "currentPaymentStatus")
        body = {key: value for key, value in record["data"].items() if key not in not_sent}
        headers = {"apikey": "sandbox-key", "businessid": record["businessId"]}
        with suppress(*_NO_ANSWER, ValueError):
            self._call("POST", f"recurring-payment/create?businessName={COPIER}", body, headers)
            return True
        return False

    def _call(self, method: str, path: str, body: Any, headers: dict[str, str]) -> Any:
        request = urllib.request.Request(
            f"{self.url}/{path}",
            json.dumps(body).encode(),
            {"Content-Type": "application/json", **headers},
            method=method,
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)


def charge_of(record: dict[str, Any]) -> tuple[str, str]:
    """Which (e-mail, due date) a record of the sandbox is for, without any of the program's markers."""
    return record["data"]["subscriberEmail"], record["data"]["recurringDate"][:10]


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

    def start(self, *arguments: str, largest_file: int | None = None, **environ: str) -> Child:
        """Start a command; keyword arguments are environment variables as they are."""
        return self.nursery.start(arguments, {**self.environ, **environ}, self.folder, largest_file)

    def billing(self, *arguments: str, **environ: str) -> Child:
        """Run a command to its end."""
        child = self.start(*arguments, **environ)
        child.wait()
        return child

    def start_run(self, as_of: str, **environ: str) -> Child:
        return self.start("run-once", "--json", "--as-of", as_of, **environ)

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
        text = _HEADER + "".join(f"{row}\n" for row in rows)
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

    def _config(self) -> Any:
        return load_config(None, self.environ)


def as_environment(settings: dict[str, Any]) -> dict[str, str]:
    """`{"cycle__concurrency": 4}` as the variables that say so."""
    return {f"BILLING_{key.upper()}": str(value) for key, value in settings.items()}


def adds_up(answer: dict[str, Any]) -> bool:
    """Whether the counts of a run's JSON conserve what was due."""
    counts = dict(answer["payments"])
    return bool(counts.pop("due") == sum(counts.values()))


def assert_sound(answers: Sequence[dict[str, Any]]) -> None:
    """Every run's counts add up, and none found a fault in itself."""
    for answer in answers:
        assert adds_up(answer), answer
        assert not any("add up" in problem for problem in answer["problems"]), answer
