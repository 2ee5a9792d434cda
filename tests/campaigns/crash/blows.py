"""What is done to running processes. Each blow starts a run, strikes, and takes in what is left."""

from __future__ import annotations

import random
import signal
import sqlite3
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import psycopg
from sqlalchemy import select, text

from billing.store.models import attempts
from tests.support.nursery import Child

if TYPE_CHECKING:
    from tests.campaigns.crash.world import World

Blow = Callable[["World", random.Random, str], None]
_TRIES = 6
_SLOWLY = {"BILLING_MILESTON__REQUESTS_PER_SECOND": "6"}
_BLOCK = 4096


def undisturbed(world: World, rng: random.Random, _: str) -> None:
    began = time.monotonic()
    child, _name = world.start_run(rng)
    world.finish(child)
    world.span = 0.7 * world.span + 0.3 * (time.monotonic() - began)
    world.tally.blow("left alone")


def kill(world: World, rng: random.Random, point: str) -> None:
    """`kill -9` at a crash point, or at any moment. What ended before is struck at again."""
    for attempt in range(_TRIES):
        if point == "sweep.before-delete":
            world.make_duplicate(rng)
        passing = 1 if attempt or rng.random() < 0.8 else rng.randint(2, 3)
        more = {"BILLING_CRASH_AT": f"{point}:{passing}"} if point else {}
        child, _name = world.start_run(rng, **more)
        if not point and not child.ends_within(rng.uniform(0.01, 1.2 * world.span)):
            child.kill()
        if child.wait() == -signal.SIGKILL:
            world.tally.kill(point or "at random")
            return
        world.finish(child)
    world.put_back(("kill", ""))


def suspend(world: World, rng: random.Random, _: str) -> None:
    """SIGSTOP in the midst of sending, for longer than a lease; what it held must not be sent then."""
    from tests.campaigns.crash.world import LEASE_SECONDS

    for _attempt in range(_TRIES):
        child, name = world.start_run(rng, **_SLOWLY)
        if _wait_for_its_first_create(world, child, name):
            break
        world.finish(child)
    else:
        return
    child.signal(signal.SIGSTOP)
    if world.db.is_sqlite:
        _two_contenders(world, rng)
    time.sleep(LEASE_SECONDS + 1)
    woken_at = datetime.now(UTC)
    child.signal(signal.SIGCONT)
    world.finish(child)
    world.tally.blow("suspended past the lease, in the midst of sending")
    _check_sends_after(world, child, name, woken_at)


def _wait_for_its_first_create(world: World, child: Child, name: str) -> bool:
    while not world.made_by(name):
        if child.ends_within(0.05):
            return False
    return True


def _check_sends_after(world: World, child: Child, name: str, woken_at: datetime) -> None:
    """What it made after it woke must rest on an attempt that it began after it woke."""
    late = [r for r in world.made_by(name) if datetime.fromisoformat(r["createdAt"]) > woken_at]
    if not child.out:
        if late:
            world.tally.violation(f"a woken process failed and had sent {late}")
        return
    with world.db.read() as tx:
        query = select(attempts.c.started_at).where(attempts.c.run_id == child.document["run_id"])
        begun = sum(at >= woken_at for at in tx.execute(query).scalars())
    if len(late) > begun:
        world.tally.violation(f"a woken process sent {len(late)} with {begun} new attempts: {late}")


def _two_contenders(world: World, rng: random.Random) -> None:
    for contender in [world.start_run(rng)[0] for _ in range(2)]:
        if contender.wait() != 75:
            world.tally.violation(f"a contender ended with {contender.code}: {contender.err}")
        world.finish(contender)


def contend(world: World, rng: random.Random, _: str) -> None:
    """Others come while one works: they go at once. Then the holder is killed."""
    for _attempt in range(_TRIES):
        child, name = world.start_run(rng, **_SLOWLY)
        if _wait_for_its_first_create(world, child, name):
            child.signal(signal.SIGSTOP)  # so that it can't end before they came
            _two_contenders(world, rng)
            child.kill()
            child.wait()
            world.tally.kill("holding the lock")
            return
        world.finish(child)


def fill_disk(world: World, rng: random.Random, _: str) -> None:
    """No file can grow beyond a limit: the database's own, or one that its journal reaches first."""
    path = world.db.file
    assert path is not None
    beyond = path.stat().st_size + _BLOCK * rng.randrange(8)
    limit = rng.choice([beyond, _BLOCK * rng.randrange(1, 20)])
    child, _name = world.start_run(rng, limit)
    world.finish(child)
    world.tally.blow("disk full, and the run gave up" if not child.out else "disk nearly full")


def lock_database(world: World, rng: random.Random, _: str) -> None:
    """Another program holds the database for a while."""
    child, _name = world.start_run(rng)
    child.ends_within(rng.uniform(0, world.span / 2))
    seconds = rng.uniform(0.5, 2.5)
    path = world.db.file
    if path is not None:
        other = sqlite3.connect(path, timeout=10, isolation_level=None)
        try:
            other.execute("BEGIN IMMEDIATE")
            time.sleep(seconds)
            other.execute("ROLLBACK")
        finally:
            other.close()
    else:
        with psycopg.connect(world.installation.environ["BILLING_DATABASE__URL"]) as holder:
            holder.execute("LOCK TABLE payments IN EXCLUSIVE MODE")
            time.sleep(seconds)
    world.finish(child)
    world.tally.blow("database locked by another program")


def cut_connections(world: World, rng: random.Random, _: str) -> None:
    """PostgreSQL ends every connection of every worker, and none of the campaign's own."""
    child, _name = world.start_run(rng)
    child.ends_within(rng.uniform(0.01, world.span))
    with world.db.transaction() as tx:
        cut = tx.execute(
            text(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
                "WHERE datname = current_database() AND application_name = 'billing'"
            )
        ).scalar_one()
    world.finish(child)
    world.tally.blow("database connections cut", int(cut))


def kill_sandbox(world: World, rng: random.Random, _: str) -> None:
    """`kill -9` for the API's side, and a start on the same records."""
    child, _name = world.start_run(rng)
    child.ends_within(rng.uniform(0.01, world.span))
    with world.sandbox_lock:
        world.sandbox.kill()
        time.sleep(rng.uniform(0, 0.4))
        world.sandbox.start()
    world.finish(child)
    world.tally.blow("sandbox killed and started again")


BLOWS: dict[str, Blow] = {
    "undisturbed": undisturbed,
    "kill": kill,
    "suspend": suspend,
    "contend": contend,
    "fill_disk": fill_disk,
    "lock_database": lock_database,
    "cut_connections": cut_connections,
    "kill_sandbox": kill_sandbox,
}
