"""Runs worlds: `--seeds N --start S --steps M --jobs J`, or one of them in full with `--seed N`."""

from __future__ import annotations

import argparse
import ast
import multiprocessing
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from .traits import LATER, TRAITS
from .world import Outcome, fingerprint, live_through, make, quick_collection

DEFAULT_STEPS = 8
_CHUNK = 8
Work = Callable[[int], Outcome]


def main() -> int:
    arguments = _arguments()
    fixed = {
        name: ast.literal_eval(value) for name, _, value in (each.partition("=") for each in arguments.set)
    }
    world = arguments.world or ("narrow" if arguments.only else "wide")
    fixed |= {"wide": world == "wide", "only": arguments.only, "later": arguments.later}
    if arguments.seed is not None:
        return _one(arguments.seed, arguments.last, steps=arguments.steps, **fixed)
    work = partial(live_through, steps=arguments.steps, **fixed)
    return _many(range(arguments.start, arguments.start + arguments.seeds), work, arguments.jobs)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.campaigns.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=500, help="how many worlds")
    parser.add_argument("--start", type=int, default=1, help="the first seed")
    parser.add_argument("--steps", type=int, default=DEFAULT_STEPS, help="starts of cycles in a world")
    parser.add_argument("--seed", type=int, help="only this world, with its whole history")
    parser.add_argument("--last", type=int, help="with --seed: only so many last lines")
    parser.add_argument("--set", action="append", default=[], metavar="OPTION=VALUE", help="fix an option")
    parser.add_argument(
        "--world",
        choices=("narrow", "wide"),
        help="wide, with the traits of traits.py, unless told otherwise",
    )
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="TRAIT",
        choices=TRAITS,
        help="a narrow world with this trait",
    )
    parser.add_argument(
        "--later",
        action="append",
        default=[],
        metavar="NAME",
        choices=LATER,
        help="also what is not expected to hold yet",
    )
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    return parser.parse_args()


def _one(seed: int, last: int | None, **options: Any) -> int:
    world = make(seed, **options)
    print(f"{world.options.shown()}\n")
    violations = world.run()
    print(world.trace.readable(last))
    print(f"\nfingerprint {fingerprint(world)}")
    for violation in violations:
        print(f"VIOLATION: {violation}")
    return 1 if violations else 0


def _many(seeds: range, work: Work, jobs: int) -> int:
    began = time.monotonic()
    counts: Counter[str] = Counter()
    failed: list[int] = []
    days = 0.0
    for done, outcome in enumerate(_outcomes(seeds, work, jobs), 1):
        counts.update(outcome.counts)
        days += outcome.seconds_lived / 86_400
        if outcome.violations:
            failed.append(outcome.seed)
            print(f"seed {outcome.seed}: {outcome.violations[0]}", flush=True)
        if done % 100 == 0 or done == len(seeds):
            rate = done / (time.monotonic() - began)
            print(f"{done} of {len(seeds)} seeds, {rate:.1f} a second, {len(failed)} failed", flush=True)
    _summary(counts, days)
    print(f"\n{len(seeds):,} seeds in {(time.monotonic() - began) / 60:.0f} minutes, {jobs} processes")
    if failed:
        print(f"\nFAILED: {len(failed)} seeds; see one with --seed and the same other options:")
        print(" ".join(map(str, sorted(failed)[:50])))
    return 1 if failed else 0


def _outcomes(seeds: range, work: Work, jobs: int) -> Iterator[Outcome]:
    if jobs <= 1:
        quick_collection()
        yield from map(work, seeds)
        return
    with multiprocessing.get_context("spawn").Pool(jobs, quick_collection) as pool:
        yield from pool.imap_unordered(work, seeds, _CHUNK)


def _summary(counts: Counter[str], days: float) -> None:
    print(f"\n{days / 365.25:,.0f} years of billing; what was exercised:")
    for what, count in sorted(counts.items()):
        print(f"  {count:>10,}  {what}")


if __name__ == "__main__":
    sys.exit(main())
