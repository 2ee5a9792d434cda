"""The two mail servers of the acceptance test: aiosmtpd in a process of its own, and a real Postfix."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tests.campaigns.mail.fates import Judge
from tests.support.nursery import ROOT
from tests.support.ports import free_port
from tests.support.postfix import PolicyServer, Postfix, is_accepted
from tests.support.watchdog import watch

_PATIENCE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Taken:
    """A message that a server has accepted, by its own records."""

    message_id: str
    recipient: str
    sha256: str


class MailServer(Protocol):
    """It can be killed and started again on the same port, and forgets nothing of what it took."""

    port: int

    def start(self) -> None: ...

    def kill(self) -> None: ...

    def taken(self) -> list[Taken]: ...

    def put_off(self) -> int: ...

    def close(self) -> None: ...


class Aiosmtpd:
    """The server process, and the file in which it writes down what it takes."""

    def __init__(self, seed: int) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="aiosmtpd-")
        self._path = Path(self._folder.name) / "taken.jsonl"
        self._seed = seed
        self.port = free_port()
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "tests.campaigns.mail.accepting",
                str(self.port),
                self._path,
                str(self._seed),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
        )
        watch(self._process.pid)
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"ready\n", "aiosmtpd did not start"

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()

    def taken(self) -> list[Taken]:
        return [Taken(line["id"], line["to"], line["sha256"]) for line in self._lines() if "id" in line]

    def put_off(self) -> int:
        return sum("put_off" in line for line in self._lines())

    def close(self) -> None:
        self.kill()
        self._folder.cleanup()

    def _lines(self) -> Iterator[dict[str, str]]:
        with self._path.open() as file:
            yield from map(json.loads, file)


class RealMta(Postfix):
    """Postfix, which also asks a judge about every whole message before it takes it."""

    def __init__(self, seed: int) -> None:
        self._mind = Judge(seed, set())
        self._on_message = PolicyServer(lambda recipient: self._mind.on_message(recipient) or "DUNNO")
        super().__init__(lambda recipient: self._mind.on_recipient(recipient) or "DUNNO")
        self.__enter__()

    def taken(self) -> list[Taken]:
        """What lies in the maildir, once it has all arrived there.

        A server that was killed between a delivery and its note of it delivers that again, with the same
        queue id: it was accepted once.
        """
        self._wait_until_all_is_delivered()
        found = {}
        for path in (self._base / "mail/inbox/new").iterdir():
            message, queue_id = _as_accepted(path.read_bytes())
            found[message.message_id, queue_id] = message
        return list(found.values())

    def put_off(self) -> int:
        return len(self._mind.seen)

    def close(self) -> None:
        self._on_message.close()
        self.__exit__()

    def _configure(self) -> None:
        super()._configure()
        with (self._base / "etc/main.cf").open("a") as file:
            port = self._on_message.port
            file.write(f"smtpd_end_of_data_restrictions = check_policy_service inet:127.0.0.1:{port}\n")

    def _wait_until_all_is_delivered(self) -> None:
        """Wait as long as the queue gets shorter."""
        shortest, deadline = 1 << 30, time.monotonic() + _PATIENCE_SECONDS
        while waiting := self._queued():
            if waiting < shortest:
                shortest, deadline = waiting, time.monotonic() + _PATIENCE_SECONDS
            assert time.monotonic() < deadline, f"{waiting} messages stay in the queue\n{self.log()}"
            time.sleep(0.1)

    def _queued(self) -> int:
        queues = [self._base / "queue" / name for name in ("incoming", "active", "deferred")]
        return sum(is_accepted(path) for queue in queues for path in queue.rglob("*"))


_HEADERS_OF_THE_SERVER = re.compile(
    rb"(?:(?:Return-Path|X-Original-To|Delivered-To|Received):.*\n(?:[ \t].*\n)*)+"
)


def _as_accepted(raw: bytes) -> tuple[Taken, bytes]:
    """A message of the maildir as it came in, and the queue id that it was accepted under."""
    own = _HEADERS_OF_THE_SERVER.match(raw)
    assert own, raw[:500]
    queue_id = re.search(rb"\(Postfix\) with E?SMTP id (\w+)", own[0])
    recipient = re.search(rb"^Delivered-To: (.*)$", own[0], re.MULTILINE)
    sent = raw[own.end() :].replace(b"\n", b"\r\n")
    message_id = re.search(rb"^Message-ID: (\S+)\r$", sent, re.MULTILINE)
    assert queue_id, raw[:500]
    assert recipient, raw[:500]
    assert message_id, raw[:500]
    return Taken(message_id[1].decode(), recipient[1].decode(), hashlib.sha256(sent).hexdigest()), queue_id[1]
