"""A bounded number of worlds, and the proof that the simulator would notice if they were not well."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

from tests.campaigns.simulation.options import CREATE_FAULTS
from tests.campaigns.simulation.planted import BLIND_CAP, MOST_SEEDS, PLANTED, STEPS, Planted, expect_found
from tests.campaigns.simulation.world import Outcome, live_through

_WORLDS = 100
_ROOT = Path(__file__).parents[2]


@cache
def _lived(seed: int) -> Outcome:
    return live_through(seed, STEPS, wide=True)


@pytest.mark.parametrize("first", range(1, _WORLDS, 10))
def test_every_due_period_is_charged_once_whatever_the_world_does(first: int) -> None:
    for seed in range(first, first + 10):
        violations = _lived(seed).violations
        assert not violations, f"python -m tests.campaigns.simulation --seed {seed}: {violations}"


@pytest.mark.parametrize("fault", PLANTED, ids=lambda fault: fault.name)
def test_a_planted_fault_is_found(fault: Planted) -> None:
    expect_found(fault)


def test_the_same_seed_makes_the_same_history() -> None:
    first, second = _lived(7), live_through(7, STEPS, wide=True)
    assert first == second
    assert first.fingerprint != _lived(8).fingerprint


def test_a_seed_is_replayed_alike_in_another_process() -> None:
    # The order of sets of texts differs from process to process: nothing may depend on it.
    environment = {**os.environ, "PYTHONHASHSEED": "4711"}
    command = [
        sys.executable,
        "-m",
        "tests.campaigns.simulation",
        "--seed",
        "7",
        "--steps",
        str(STEPS),
        "--last",
        "1",
    ]
    shown = subprocess.run(
        command, cwd=_ROOT, env=environment, capture_output=True, text=True, check=True
    ).stdout
    assert f"fingerprint {_lived(7).fingerprint}" in shown


def test_nothing_is_vacuous_in_worlds_that_have_all_faults_at_once() -> None:
    faults = {name: most * 0.3 for name, most in CREATE_FAULTS.items() if name != "stored_wrong"}
    faults["duplicate"] = CREATE_FAULTS["duplicate"]
    everything = {"create_faults": faults, "crashes": 0.4, "stalls": 0.6, "restores": 1, "list_cap": 0}
    counts: Counter[str] = Counter()
    for seed in range(1, 16):
        outcome = live_through(seed, STEPS, **everything, stale_lists=0.3, mail_faults=0.4, people=0.6)
        assert not outcome.violations, f"seed {seed}: {outcome.violations}"
        counts.update(outcome.counts)
    for what in (
        "reported created",
        "reported adopted",
        "payment unknown>planned",
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
        assert counts[what], f"no world had: {what}"
    assert sum(what.startswith("create: ") for what in counts) > len(faults) / 2


def test_a_cap_that_hides_exactly_the_lost_ones_looks_like_their_absence() -> None:
    """The residual risk, shown: no list order or length gives such a cap away."""
    found = (
        v for seed in range(1, MOST_SEEDS + 1) for v in live_through(seed, STEPS, **BLIND_CAP).violations
    )
    assert any("though it exists" in violation for violation in found)
