"""The Mileston sandbox as a process that tests can script, freeze, kill and start again."""

from __future__ import annotations

import http.client
import json
import signal
import subprocess
import sys
import time
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.support.nursery import ROOT
from tests.support.ports import free_port
from tests.support.watchdog import watch

COPIER = "late"
"""The `businessName` of records that a test made itself."""
_STARTS = 20
_NO_ANSWER = (OSError, http.client.HTTPException)


FOREIGN = "somebody@elsewhere.example"
"""Whose records `Sandbox.add_foreign` makes."""


class Sandbox:
    """The sandbox, which can be killed and started again at the same address with the same records."""

    def __init__(self, data: Path, *options: str) -> None:
        self._data = data
        self.options = list(options)
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        self.start()

    def start(self) -> None:
        """Start it, and return when it listens."""
        command = [sys.executable, "-m", "billing.sandbox", "--port", str(self._port)]
        for _ in range(_STARTS):
            self._process = subprocess.Popen(
                [*command, "--data", str(self._data), "--exit-with-parent", *self.options],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=ROOT,
            )
            watch(self._process.pid)  # it may be frozen, and then no end of its input is noticed
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

    def faults(self, **orders: Any) -> None:
        """Replace the faults: `faults(**{"500": 0.1, "stale_list": "1:2"})`."""
        self.ask("PUT", "faults", orders)

    def script(self, *entries: str) -> None:
        """What befalls the next creates."""
        self.ask("POST", "script", {"script": list(entries)})

    def records(self) -> list[dict[str, Any]]:
        """Every recurring payment that there ever was, deleted ones too, in the order of creation."""
        found: list[dict[str, Any]] = self.ask("GET", "records")["records"]
        return [record for record in found if record["resource"] == "recurring-payment"]

    def live(self) -> list[dict[str, Any]]:
        """Those that were not deleted."""
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

    def renew(self, order: str, today: str) -> None:
        """Records renew themselves from now on, by this date; see billing/sandbox/renewal.py."""
        self.ask("PUT", "renewals", {"renews": order, "today": today})

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

    def add_foreign(self, business: str, email: str = FOREIGN) -> None:
        """A record that somebody else makes in the same business."""
        body = {
            "amount": "1.00",
            "subscriptionName": "Made by hand",
            "subscriberFullName": "Somebody Else",
            "subscriberEmail": email,
            "recurringDate": "2026-01-05T00:00:00.000Z",
            "recurringInterval": 30,
        }
        headers = {"apikey": "sandbox-key", "businessid": business}
        with suppress(*_NO_ANSWER, ValueError):
            self._call("POST", "recurring-payment/create?businessName=by-hand", body, headers)

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
