"""Figures of one run of a contestant, each in a process of its own, and medians over rounds."""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
_LONGEST_SECONDS = 1800


@dataclass
class Figures:
    """What one run took: `count` payments (or rows, or notices) in `seconds`.

    `cpu_seconds` is of the contestant's own processes: user and system, no database server's.
    """

    count: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_mb: float = 0.0
    more: dict[str, float] = field(default_factory=dict)

    @property
    def rate(self) -> float:
        return self.count / self.seconds

    @property
    def cpu_micros(self) -> float:
        """CPU µs for each of `count`."""
        return self.cpu_seconds / self.count * 1e6


def more(name: str) -> Callable[[Figures], float]:
    """What `middle` takes the median of: one of the figures of a contestant's own."""
    return lambda figures: figures.more[name]


def middle(figures: list[Figures], value: Callable[[Figures], float] = lambda f: f.rate) -> float:
    """The median over rounds."""
    return statistics.median(value(each) for each in figures)


def ratio(
    ours: list[Figures], theirs: list[Figures], value: Callable[[Figures], float] = lambda f: f.rate
) -> float:
    """The median of the ratios of each round, whose contestants ran one right after the other."""
    return statistics.median(value(a) / value(b) for a, b in zip(ours, theirs, strict=True))


def interleave(
    rounds: int, contestants: Mapping[str, Callable[[], Figures]], say: Callable[[str], None]
) -> dict[str, list[Figures]]:
    """Run all contestants once a round, each round beginning with another one."""
    found: dict[str, list[Figures]] = {name: [] for name in contestants}
    names = list(contestants)
    for number in range(rounds):
        for name in names[number % len(names) :] + names[: number % len(names)]:
            say(f"round {number + 1} of {rounds}: {name}")
            found[name].append(contestants[name]())
    return found


# --- the side of the benchmark -----------------------------------------------------------------------


def start(contestant: str, spec: Mapping[str, Any]) -> subprocess.Popen[str]:
    """A contestant's process; it waits for a line on its standard input once it is ready to begin."""
    command = [sys.executable, "-m", f"benchmarks.contestants.{contestant}", json.dumps(spec)]
    process = subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment()
    )
    assert process.stdout is not None
    if process.stdout.readline().strip() != "ready":
        process.kill()
        raise RuntimeError(f"{contestant} could not begin; its words are above")
    return process


def begin(process: subprocess.Popen[str]) -> None:
    """Let a contestant that is ready begin."""
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()


def finish(process: subprocess.Popen[str]) -> Figures:
    """Wait for a contestant's figures."""
    out, _ = process.communicate(timeout=_LONGEST_SECONDS)
    if process.returncode:
        raise RuntimeError(f"{process.args!r} failed; its words are above")
    return Figures(**json.loads(out.splitlines()[-1]))


def run(contestant: str, **spec: Any) -> Figures:
    process = start(contestant, spec)
    begin(process)
    return finish(process)


def run_command(*arguments: str, environ: Mapping[str, str] | None = None) -> Figures:
    """A whole process from start to end, with all that it imports: CPU and wall seconds."""
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**environment(), **(environ or {})},
        stdout=subprocess.DEVNULL,
    )
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{' '.join(arguments)} ended with {process.returncode}; its words are above")
    return Figures(1, time.perf_counter() - began, used.ru_utime + used.ru_stime)


def environment() -> dict[str, str]:
    """The environment without any setting of the program, nor a proxy, nor debugging aids."""
    unwanted = ("BILLING_", "MILESTON_", "PYTHON")
    return {key: value for key, value in os.environ.items() if not key.startswith(unwanted)}


# --- the side of a contestant ------------------------------------------------------------------------


def spec() -> dict[str, Any]:
    """What this contestant is asked to do."""
    found: dict[str, Any] = json.loads(sys.argv[1])
    return found


@contextmanager
def measured(count: int) -> Iterator[Figures]:
    """Measures what is inside, from the word to begin, and tells the benchmark."""
    figures = Figures(count)
    print("ready", flush=True)
    sys.stdin.readline()
    before, began = _cpu_seconds(), time.perf_counter()
    yield figures
    figures.seconds = time.perf_counter() - began
    figures.cpu_seconds += _cpu_seconds() - before
    figures.peak_mb = max(figures.peak_mb, peak_mb())
    print(json.dumps(asdict(figures)), flush=True)


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def peak_mb() -> float:
    """The most memory that this process ever held.

    Linux's own mark where there is one: `ru_maxrss` also counts the process that started this one.
    """
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    except OSError:
        pass
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / 1024 / (1024 if sys.platform == "darwin" else 1)
