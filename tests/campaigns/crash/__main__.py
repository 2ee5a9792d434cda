"""The crash campaign: `python -m tests.campaigns.crash --database sqlite --kills 500`."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from tests.campaigns.crash.points import crash_points
from tests.campaigns.crash.tally import Tally
from tests.campaigns.crash.world import Shape, World
from tests.support.databases import postgresql_server
from tests.support.folders import quick_folder
from tests.support.nursery import Nursery

_KILLS_PER_WORLD = 100
# So many kills in one campaign must have struck every point.
_ENOUGH_FOR_ALL = 100


def main(argv: list[str]) -> int:
    """Run the campaign; answers 1 if the rule was broken, and says how to see it again."""
    given = _parser().parse_args(argv)
    workers = given.workers or (1 if given.database == "sqlite" else 3)
    if given.database == "sqlite" and workers != 1:
        _parser().error("on SQLite one worker runs at a time")
    began = time.monotonic()
    tally = Tally(given.database, crash_points())
    with _databases(given.database) as new_database, Nursery() as nursery:
        for number, kills in enumerate(_worlds(given.kills)):
            seed = given.seed + number
            with new_database() as url, quick_folder() as folder:
                World(nursery, folder, url, Shape(kills=kills, workers=workers), seed, tally).run()
            print(f"{given.database}: world {seed}, {tally.killed} kills so far", file=sys.stderr)
            if tally.violations:
                _say_how_to_repeat(given.database, kills, workers, seed)
                break
    if given.kills >= _ENOUGH_FOR_ALL and not tally.violations and tally.never_struck():
        tally.violation("not every crash point was struck")
    print("\n".join(tally.lines()))
    print(f"{tally.killed} kills in {(time.monotonic() - began) / 60:.0f} minutes")
    return 1 if tally.violations else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.campaigns.crash", description=__doc__)
    parser.add_argument("--database", choices=("sqlite", "postgresql"), required=True)
    parser.add_argument("--kills", type=int, default=_KILLS_PER_WORLD, help="default: %(default)s")
    parser.add_argument("--workers", type=int, default=0, help="at a time; default: 1 on SQLite, else 3")
    parser.add_argument("--seed", type=int, default=1, help="of the blows' order (default: %(default)s)")
    return parser


def _worlds(kills: int) -> Iterator[int]:
    while kills > 0:
        yield min(kills, _KILLS_PER_WORLD)
        kills -= _KILLS_PER_WORLD


@contextmanager
def _databases(database: str) -> Iterator[Callable[[], AbstractContextManager[str]]]:
    """Makes the URLs of fresh databases; '' on SQLite, where it is a file in the world's own folder."""
    if database == "sqlite":
        yield lambda: nullcontext("")
        return
    with postgresql_server() as server:
        yield server.empty


def _say_how_to_repeat(database: str, kills: int, workers: int, seed: int) -> None:
    given = f"--database {database} --kills {kills} --workers {workers} --seed {seed}"
    print(f"The rule was broken. Again: python -m tests.campaigns.crash {given}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
