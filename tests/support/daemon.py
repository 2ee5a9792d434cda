"""The daemon as a real process, and what it says: its log, its pages, and systemd's socket."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import threading
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from tests.support.business import Business
from tests.support.nursery import Child, Nursery
from tests.support.waiting import until


class RunningDaemon:
    """`billing daemon` for a business. Settings are keyword arguments: `schedule__every_minutes="1"`.

    An empty one is left to the config file.
    """

    def __init__(self, nursery: Nursery, business: Business, **settings: str) -> None:
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("BILLING_", "MILESTON_"))}
        own = {f"BILLING_{key.upper()}" if "__" in key else key: value for key, value in settings.items()}
        usual = {"BILLING_WATCH__LISTEN": "127.0.0.1:0", "BILLING_SCHEDULE__EVERY_MINUTES": "600"}
        environ = {**inherited, **usual, **business.environ, **own}
        self.child: Child = nursery.start(
            ["daemon", "--config", str(business.toml)],
            {name: value for name, value in environ.items() if value},
            business.folder,
        )

    def lines(self) -> list[dict[str, Any]]:
        """The log's complete lines."""
        try:
            text = self.child.err
        except FileNotFoundError:  # born, but not yet that far
            return []
        return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]

    def messages(self) -> list[str]:
        return [line["message"] for line in self.lines()]

    def wait_for(self, words: str, times: int = 1) -> str:
        """Wait until so many lines hold these words; the last of them."""

        def found() -> str:
            hits = [message for message in self.messages() if words in message]
            if len(hits) < times and self.child.code is not None:
                raise AssertionError(f"it ended with {self.child.code} before {words!r}:\n{self.child.err}")
            return hits[-1] if len(hits) >= times else ""

        return until(f"{times} × {words!r} in the log", found)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Signal it and wait for its end: at most the 30 seconds that are promised."""
        self.child.signal(number)
        return self.child.wait(30)

    def get(self, path: str) -> tuple[int, str]:
        """Status and body of one of its pages."""
        base = re.search(r"http://\S+?:\d+", self.wait_for("serving http"))
        assert base is not None
        try:
            with urllib.request.urlopen(base[0] + path, timeout=20) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def metric(self, name: str) -> float:
        """One sample of /metrics, named with its labels as there."""
        _, text = self.get("/metrics")
        found = re.search(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)
        assert found is not None, f"no {name} in\n{text}"
        return float(found[1])


class NotifySocket:
    """What systemd would hear. Use as a context manager."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "notify.sock"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(self.path))
        self._heard: list[str] = []
        self._listener = threading.Thread(target=self._listen)

    def heard(self) -> list[str]:
        """Every datagram until now."""
        return list(self._heard)

    def _say(self, word: str) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
            channel.sendto(word.encode(), str(self.path))

    def _listen(self) -> None:
        # As systemd does: at once, or the short queue of such a socket would fill up.
        while (word := self._socket.recv(4096).decode()) != "end":
            self._heard.append(word)

    def __enter__(self) -> NotifySocket:
        self._listener.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._say("end")
        self._listener.join()
        self._socket.close()
