"""One business under fire: real processes, a real sandbox that misbehaves, and blows in random order."""

from __future__ import annotations

import random
import threading
import time
import traceback
import urllib.error
from collections import Counter, deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, timedelta
from http.client import HTTPException
from pathlib import Path
from typing import Any

from sqlalchemy import event

from billing.store.connection import Database
from tests.campaigns.crash.blows import BLOWS
from tests.campaigns.crash.tally import Tally
from tests.campaigns.crash.verdict import Plan, expected, judge_database, judge_records, what_came_of_it
from tests.support.installation import Installation, adds_up, subscription
from tests.support.nursery import Child, Nursery
from tests.support.sandbox import FOREIGN, Sandbox, charge_of

FIRST_DAY = date(2026, 1, 5)
TIMEOUT_SECONDS = 1
QUEUE_SECONDS = 5
"""`billing.cycle.submit` lets an intent wait this long for a lane."""
SEND_SECONDS = TIMEOUT_SECONDS + QUEUE_SECONDS
LEASE_SECONDS = SEND_SECONDS + TIMEOUT_SECONDS
# A late commit and a stale list together are longer than one quiet window, so that one look would not do,
# and shorter than two by some seconds for a busy machine: what the promise needs.
QUIET_SECONDS = 2.5
FAULTS = {
    "cut_after_commit": "0.12",
    "cut_before_commit": "0.08",
    "late_commit": "0.06:1.5",
    "500": "0.06",
    "503": "0.02:1",
    "garbage": "0.02",
    "list.500": "0.05",
    "get.cut_after_commit": "0.05",
    "delete.cut_after_commit": "0.2",
    "stale_list": "0.5:1.5",
    "latency": "1-25",
}
_NO_ANSWER = (OSError, HTTPException, urllib.error.URLError)
_SETTLE_SECONDS = 120.0


@dataclass(frozen=True)
class Shape:
    """How large a world is: its subscriptions and what is done to it."""

    subscriptions: int = 56
    kills: int = 100
    workers: int = 1


def plans_for(rng: random.Random, count: int) -> list[Plan]:
    """Subscriptions of all intervals that fall due all along the days."""
    kinds = [(1, "week"), (1, "week"), (1, "week"), (3, "day"), (10, "day"), (2, "week"), (1, "month")]
    return [
        Plan(f"s{n:03d}", FIRST_DAY + timedelta(days=rng.randrange(14)), *kinds[n % len(kinds)])
        for n in range(count)
    ]


def _last_words(err: str) -> str:
    """Why a process gave up, short enough to be counted by."""
    lines = err.strip().splitlines() or ["(it said nothing)"]
    return lines[-1].partition(" (")[0][:120]


def _introduce(connection: Any, _record: object) -> None:
    """The campaign's own connections have a name of their own."""
    connection.execute("SET application_name = 'campaign'")
    connection.commit()


class World:
    """One business, its sandbox and its processes, until so many of them were killed."""

    def __init__(
        self, nursery: Nursery, folder: Path, database_url: str, shape: Shape, seed: int, tally: Tally
    ) -> None:
        self.tally = tally
        self.shape = shape
        self.seed = seed
        rng = random.Random(f"{seed}/world")
        self.plans = plans_for(rng, shape.subscriptions)
        faults = [word for name, rate in FAULTS.items() for word in ("--fault", f"{name}={rate}")]
        self.sandbox = Sandbox(folder / "records.jsonl", "--seed", str(seed), *faults)
        self.installation = Installation(
            nursery,
            folder,
            self.sandbox.address,
            database_url,
            mileston__timeout_seconds=TIMEOUT_SECONDS,
            reconcile__quiet_seconds=QUIET_SECONDS,
            reconcile__page_size=rng.choice([50, 500]),
            cycle__concurrency=8,
            cycle__catch_up_limit=1000,
            dunning__final_action="keep",
            reminders__days_before="[3, 1]",
            mail__on_unknown="resend",
            mail__retry_seconds="0.5",
        )
        self.installation.subscribe(
            subscription(plan.reference, plan.starts_on.isoformat(), plan.interval) for plan in self.plans
        )
        self.db = Database(self.installation.environ["BILLING_DATABASE__URL"])
        if not self.db.is_sqlite:
            event.listen(self.db.engine, "connect", _introduce)
        self.day = FIRST_DAY
        self.span = 0.5
        """About how long an undisturbed run takes, in seconds."""
        self.lock = threading.Lock()
        self.sandbox_lock = threading.Lock()
        self._names = 0
        self._deck = self._shuffled_deck(rng)

    def _shuffled_deck(self, rng: random.Random) -> deque[tuple[str, str]]:
        """(kind of blow, crash point or '') in the order in which they fall."""
        kills, sqlite = self.shape.kills, self.db.is_sqlite
        points = list(self.tally.points)
        rng.shuffle(points)
        cards = [("kill", points[n * 3 // 5 % len(points)] if n % 5 < 3 else "") for n in range(kills)]
        often = {
            "suspend": 40,
            "lock_database": 25,
            "kill_sandbox": 15,
            "undisturbed": 8,
            **({"fill_disk": 12, "contend": 12} if sqlite else {"cut_connections": 12}),
        }
        for kind, every in often.items():
            cards += [(kind, "")] * max(1, kills // every)
        rng.shuffle(cards)
        return deque(cards)

    def next_card(self) -> tuple[str, str] | None:
        with self.lock:
            return self._deck.popleft() if self._deck else None

    def put_back(self, card: tuple[str, str]) -> None:
        with self.lock:
            self._deck.append(card)

    def start_run(
        self, rng: random.Random, largest_file: int | None = None, /, **environ: str
    ) -> tuple[Child, str]:
        """A run of its own name, for a day on which something is due; the API keeps the name."""
        with self.lock:
            self._names += 1
            name = f"worker-{self._names}"
            self.day += timedelta(days=rng.random() < 0.6)
            day = self.day.isoformat()
        return self.installation.start_run(day, largest_file, BILLING_BUSINESS__NAME=name, **environ), name

    def finish(self, child: Child) -> None:
        """Take in a process that was not killed by us; whatever it says must be consistent."""
        code = child.wait()
        if "Traceback" in child.err or code not in (0, 1, 75):
            self.tally.violation(f"exit code {code}, and on stderr: {child.err[-700:]}")
        elif code == 75:
            self.tally.blow("contenders sent away (75)")
        elif not child.out:
            self.tally.fact("runs that gave up: " + _last_words(child.err))
        elif not adds_up(child.document):
            self.tally.violation(f"the counts do not add up: {child.out}")
        else:
            self.tally.fact("runs that ended by themselves")

    def made_by(self, name: str) -> list[dict[str, Any]]:
        """What the sandbox has of the creates of one process."""
        with suppress(*_NO_ANSWER):
            return [record for record in self.sandbox.records() if record["businessName"] == name]
        return []

    def live(self) -> list[dict[str, Any]]:
        with suppress(*_NO_ANSWER):
            return self.sandbox.live()
        return []

    def pay_some(self, rng: random.Random) -> None:
        """Payers pay: never one of two for the same period, which is not theirs to sort out."""
        live = self.live()
        seen = Counter(map(charge_of, live))
        for record in live:
            if record["status"] == "unpaid" and seen[charge_of(record)] == 1 and rng.random() < 0.3:
                with suppress(*_NO_ANSWER):
                    self.sandbox.pay(record["id"])

    def make_duplicate(self, rng: random.Random) -> None:
        """A create that arrives far too late: the program must find and delete it."""
        live = self.live()
        if live and self.sandbox.copy(rng.choice(live)):
            self.tally.blow("duplicates made")

    def run(self) -> None:
        """Blows from all workers at once until every card is played; then settle and judge."""
        try:
            threads = [
                threading.Thread(target=self._guarded, args=(lambda n=number: self._worker(n),))
                for number in range(self.shape.workers)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            self._guarded(self._settle_and_judge)
        finally:
            self.db.close()
            self.sandbox.stop()

    def _guarded(self, act: Callable[[], None]) -> None:
        """A fault of the campaign itself must not pass for a success."""
        try:
            act()
        except Exception as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            self.tally.violation(f"the campaign failed: {type(error).__name__}: {error} ({where})")

    def _worker(self, number: int) -> None:
        rng = random.Random(f"{self.seed}/{number}")
        while (card := self.next_card()) is not None:
            kind, point = card
            BLOWS[kind](self, rng, point)
            if rng.random() < 0.25:
                self.pay_some(rng)

    def _settle_and_judge(self) -> None:
        """Nothing misbehaves any more: cycles until nothing is left to do; then the rule must hold."""
        self.sandbox.faults()
        through = self.day.isoformat()
        give_up = time.monotonic() + _SETTLE_SECONDS
        quiet_runs = 0
        while quiet_runs < 2 and time.monotonic() < give_up:
            if self.installation.payments("held"):
                self.installation.billing("payments", "release", "--all-held", "--reason", "the campaign")
            child = self.installation.start_run(through)
            self.finish(child)
            done = bool(child.out) and child.code == 0 and not child.document["payments"]["due"]
            # A dead worker's lease that is not over yet is nothing that a run waits for.
            done = done and not self.installation.payments("sending")
            quiet_runs = quiet_runs + 1 if done and not child.document["notices"]["held"] else 0
            if not done:
                # A list as long as a cap could be proves nothing until a longer one was seen, and on this
                # last day no subscription makes it longer: others do.
                if records := self.sandbox.records():
                    self.sandbox.add_foreign(records[0]["businessId"])
                time.sleep(0.3)
        records = [each for each in self.sandbox.records() if charge_of(each)[0] != FOREIGN]
        wanted = expected(self.plans, self.day)
        found: Sequence[str] = [
            *judge_records(wanted, records),
            *judge_database(self.db, wanted, records, SEND_SECONDS),
        ]
        for what in found[:20]:
            self.tally.violation(f"seed {self.seed}: {what}")
        for name, count in what_came_of_it(self.db).items():
            self.tally.fact(name, count)
