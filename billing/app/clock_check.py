"""The doctor's look at the clock: does it agree with the API's?"""

from __future__ import annotations

from collections.abc import Iterator

from billing.core.clock import clock_problem
from billing.cycle.context import Gateway


def api_clock_faults(gateway: Gateway, quiet_seconds: float) -> Iterator[tuple[str, str]]:
    """What is wrong, as the latest answer of the API showed it, and what to do about it."""
    problem = clock_problem(gateway.clock_skew_seconds, quiet_seconds)
    if problem:
        yield problem, "set the clock: timedatectl set-ntp true"
