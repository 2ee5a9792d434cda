"""One acceptance: an outbox is emptied into a mail server that is killed, refuses, and loses connections."""

from __future__ import annotations

import itertools
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from billing.cycle import deliver
from tests.campaigns.mail.fates import DOUBTFUL, REFUSED, Fate, fate_of
from tests.campaigns.mail.proxy import CuttingProxy
from tests.campaigns.mail.servers import MailServer, Taken
from tests.support.mailroom import Mailroom
from tests.support.nursery import Child, Nursery

CONCURRENCY = 4
_KILLS = [(0.15, "at once"), (0.35, "after the run"), (0.60, "at once")]
"""The server is killed when it has taken this share of the notices, and when it is started again."""
_SENDER_KILL = 0.80
_MOST_CYCLES = 200
_ENOUGH_FOR_ALL = 1000
"""So many notices meet every fate."""
_DIED = "the run died"


@dataclass
class Findings:
    """What came of it: a line of the table each, and what must not have happened."""

    facts: dict[str, Any] = field(default_factory=dict)
    violations: list[str] = field(default_factory=list)

    def must(self, holds: bool, what: str) -> None:
        if not holds:
            self.violations.append(what)


class Acceptance:
    """`run` empties the outbox under `hold`, judges, resends what is unknown, and judges again."""

    def __init__(self, server: MailServer, nursery: Nursery, notices: int, seed: int) -> None:
        self.server = server
        self.nursery = nursery
        self.count = notices
        self.seed = seed
        self.found = Findings()
        self.runs = 0
        self.seconds = 0.0
        self.server_kills = 0
        self.sender_kills = 0
        self._down = False
        self._blows = [*_KILLS, (_SENDER_KILL, "sender")]

    def run(self) -> Findings:
        with (
            tempfile.TemporaryDirectory(prefix="delivery-") as folder,
            CuttingProxy(self.server.port, self.seed) as self.proxy,
        ):
            database = f"sqlite:///{folder}/billing.db"
            self.room = Mailroom(
                Path(folder), database, mail__concurrency=CONCURRENCY, mail__retry_seconds="0.5"
            )
            self.room.serve(self.proxy.port)
            self.room.subscribe(self.count)
            self._cycles_until_none_is({"queued", "sending"})
            rows, taken = self.room.notices(), self.server.taken()
            self._judge_hold(rows, taken)
            self._tell(rows, taken)
            self._resend(rows, taken)
            self.room.close()
        return self.found

    def _cycles_until_none_is(self, waiting: set[str]) -> None:
        for _ in range(_MOST_CYCLES):
            self._one_run()
            states = self.room.count()
            if not waiting & set(states):
                return
            self._wait_for_the_next(waiting)
        self.found.must(False, f"not settled after {_MOST_CYCLES} runs: {dict(states)}")

    def _one_run(self) -> None:
        began = time.monotonic()
        child = self.room.start(self.nursery)
        killed = False
        while not child.ends_within(0.005):
            if self._blows and self.proxy.passed >= self._blows[0][0] * self.count:
                killed |= self._strike(child, self._blows.pop(0)[1])
        self.seconds += time.monotonic() - began
        self.runs += 1
        if self._down:
            self.server.start()
            self._down = False
        if not killed:
            fine = child.code in (0, 1) and "Traceback" not in child.err
            self.found.must(fine, f"run {self.runs} ended with {child.code}: {child.err[-500:]}")

    def _strike(self, child: Child, how: str) -> bool:
        """Kill the server or the sender; whether it was the sender."""
        if how == "sender":
            child.kill()
            self.sender_kills += child.wait() < 0
            return True
        self.server.kill()
        self.server_kills += 1
        if how == "at once":
            self.server.start()
        else:
            self._down = True
        return False

    def _wait_for_the_next(self, waiting: set[str]) -> None:
        """Sleep until the first notice that waits may be tried again."""
        times = [row.next_try_at for row in self.room.notices() if row.state in waiting - {"sending"}]
        if times:
            time.sleep(max(0.0, (min(times) - datetime.now(UTC)).total_seconds()))

    def _judge_hold(self, rows: list[Any], taken: list[Taken]) -> None:
        """Nobody has two, and what the outbox says of each notice is what the server's records say."""
        must = self.found.must
        states = Counter(row.state for row in rows)
        must(len(rows) == self.count, f"{len(rows)} notices instead of {self.count}")
        ends = ("sent", "failed", "unknown", "superseded", "queued")
        must(sum(states[end] for end in ends) == self.count, f"not accounted for: {dict(states)}")
        copies = Counter(message.message_id for message in taken)
        recipients = Counter(message.recipient for message in taken)
        must(max(recipients.values()) == 1, f"somebody got it twice: {recipients.most_common(3)}")
        must(max(copies.values()) == 1, f"taken twice: {copies.most_common(3)}")
        by_id = {message.message_id: message for message in taken}
        ours = {row.message_id for row in rows}
        must(set(by_id) <= ours, "the server has messages that nobody sent")
        for row in rows:
            self._judge_one(row, by_id.get(row.message_id))
        died = sum(row.server_reply.startswith(_DIED) for row in rows)
        must(
            died <= self.sender_kills * deliver.window(CONCURRENCY),
            f"{died} unknown by {self.sender_kills} crashes",
        )
        cut = sum(self.proxy.cuts[fate.value] for fate in DOUBTFUL)
        doubt = states["unknown"] - died
        most = cut + CONCURRENCY * self.server_kills
        must(doubt <= most, f"{doubt} unknown, where {most} answers were lost")
        if self.count >= _ENOUGH_FOR_ALL:
            struck = {*self.proxy.cuts, *({Fate.BUSY.value} if self.server.put_off() else ())}
            missing = {fate.value for fate in Fate if fate.value.startswith("cut")} - struck
            must(not missing, f"these cuts never happened: {missing}")
            must(self.server_kills == len(_KILLS), f"the server was killed {self.server_kills} times only")

    def _judge_one(self, row: Any, message: Taken | None) -> None:
        must = self.found.must
        name = f"{row.reference} ({row.state}, {row.server_reply})"
        if row.state == "sent":
            must(message is not None, f"{name}: the server does not have it")
        elif row.state != "unknown":
            must(message is None, f"{name}: the server has it")
        if message is not None:
            same = (message.recipient, message.sha256) == (row.to_address, row.sha256)
            must(same, f"{name}: other bytes or another recipient than the outbox says")
        refused = fate_of(row.email, self.seed) in REFUSED
        must(row.state in ("failed", "unknown") or not refused, f"{name}: it should have been refused")
        must(row.state != "failed" or refused, f"{name}: nobody refused it")

    def _tell(self, rows: list[Any], taken: list[Taken]) -> None:
        states = Counter(row.state for row in rows)
        there = Counter(message.message_id for message in taken)
        unknown = [row for row in rows if row.state == "unknown"]
        self.found.facts |= {
            "notices": len(rows),
            "sent": states["sent"],
            "failed (5xx)": states["failed"],
            "unknown, held": states["unknown"],
            "  by a lost answer": sum(not row.server_reply.startswith(_DIED) for row in unknown),
            "  by a killed sender": sum(row.server_reply.startswith(_DIED) for row in unknown),
            "  of them arrived": sum(there[row.message_id] for row in unknown),
            "superseded": states["superseded"],
            "queued": states["queued"],
            "duplicates": sum(copies - 1 for copies in there.values()),
            "put off by a 4xx": self.server.put_off(),
            "connections cut": sum(self.proxy.cuts.values()),
            "kinds of cuts": len(+self.proxy.cuts),
            "server killed": self.server_kills,
            "sender killed": self.sender_kills,
            "cycles": self.runs,
            "seconds in cycles": round(self.seconds, 1),
            "notices/s": round(len(rows) / self.seconds),
        }

    def _resend(self, held: list[Any], before: list[Taken]) -> None:
        """Now the operator chooses `resend`: each unknown notice goes out once more, the same bytes."""
        self.proxy.calm = True
        self.room.set(mail__on_unknown="resend")
        self._cycles_until_none_is({"queued", "sending", "unknown"})
        rows, taken = self.room.notices(), self.server.taken()
        doubtful = {row.message_id for row in held if row.state == "unknown"}
        arrived = {message.message_id for message in before}
        versions: dict[str, list[str]] = {}
        for message in taken:
            versions.setdefault(message.message_id, []).append(message.sha256)
        for row in rows:
            copies = versions.get(row.message_id, [])
            name = f"after resend, {row.reference} ({row.state})"
            wanted = (row.state == "sent") + (row.message_id in doubtful & arrived)
            self.found.must(len(copies) == wanted, f"{name}: {len(copies)} copies instead of {wanted}")
            self.found.must(set(copies) <= {row.sha256}, f"{name}: the copies differ")
        self.found.facts |= {
            "after resend: sent": sum(row.state == "sent" for row in rows),
            "  failed (5xx)": sum(row.state == "failed" for row in rows),
            "  second copies, same Message-ID": len(taken) - len(versions),
        }


def table(columns: dict[str, Findings]) -> list[str]:
    """The facts, a server a column."""
    names = list(dict.fromkeys(itertools.chain(*(found.facts for found in columns.values()))))
    width = max(map(len, names), default=0) + 2
    lines = [" " * width + "".join(f"{name:>12}" for name in columns)]
    for name in names:
        cells = (found.facts.get(name, "") for found in columns.values())
        lines.append(f"{name:<{width}}" + "".join(f"{cell:>12}" for cell in cells))
    return lines
