"""A bounded number of worlds, and the proof that the simulator would notice if they were not well."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from .planted import PLANTED, Planted
from .world import live_through

STEPS = 8
_WORLDS = 100
_MOST_SEEDS = 60
_ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("first", range(1, _WORLDS, 10))
def test_every_due_period_is_charged_once_whatever_the_world_does(first: int) -> None:
    for seed in range(first, first + 10):
        violations = live_through(seed, STEPS).violations
        assert not violations, f"python -m tests.simulation --seed {seed}: {violations}"


@pytest.mark.parametrize("fault", PLANTED, ids=lambda fault: fault.name)
def test_a_planted_fault_is_found(fault: Planted) -> None:
    options = {"steps": STEPS, **fault.options}
    with fault.plant():
        for seed in range(1, _MOST_SEEDS + 1):
            found = live_through(seed, **options).violations
            if any(fault.found_as in violation for violation in found):
                return
    pytest.fail(f"{_MOST_SEEDS} worlds did not show that the program {fault.name}")


def test_the_same_seed_makes_the_same_history() -> None:
    first, second = live_through(7, STEPS), live_through(7, STEPS)
    assert first == second
    assert first.fingerprint != live_through(8, STEPS).fingerprint


def test_a_seed_is_replayed_alike_in_another_process() -> None:
    # The order of sets of texts differs from process to process: nothing may depend on it.
    environment = {**os.environ, "PYTHONHASHSEED": "4711"}
    command = [sys.executable, "-m", "tests.simulation", "--seed", "7", "--steps", str(STEPS), "--last", "1"]
    shown = subprocess.run(
        command, cwd=_ROOT, env=environment, capture_output=True, text=True, check=True
    ).stdout
    assert f"fingerprint {live_through(7, STEPS).fingerprint}" in shown


def test_the_worlds_are_not_vacuous() -> None:
    counts: dict[str, int] = {}
    for seed in range(1, 25):
        for what, count in live_through(seed, STEPS).counts.items():
            counts[what] = counts.get(what, 0) + count
    for what in (
        "reported created",
        "reported adopted",
        "payment unknown>planned",
        "create: lost_reply",
        "create: late",
        "duplicates swept",
        "list: stale",
        "deadline passed before it was sent",
        "crash at committed",
        "crash at before-commit",
        "restores, marked",
        "runs that slept and went on",
        "mail fault: lost_after_dot",
        "person pauses",
    ):
        assert counts.get(what), f"no world had: {what}"


def test_a_cap_that_hides_exactly_the_lost_ones_looks_like_their_absence() -> None:
    """The residual risk, shown: no list order or length gives such a cap away."""
    options = {
        "steps": STEPS,
        "blind_cap": True,
        "list_cap": 3,
        "list_order": "oldest",
        "create_faults": {"lost_reply": 0.4},
        "restores": 0,
        "spells": 0,
        "subscriptions": 5,
    }
    found = (v for seed in range(1, _MOST_SEEDS + 1) for v in live_through(seed, **options).violations)
    assert any("though it exists" in violation for violation in found)
