"""Reconciliation in a cycle: an unknown outcome is looked up by its marker."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support.business import Business

TODAY = "2026-03-01"


@pytest.mark.parametrize("fault", ["500", "garbage", "cut_after_commit", "slow_drip", "wrong_echo"])
def test_an_unknown_outcome_is_found_by_its_marker_and_never_sent_again(
    new_business: Callable[..., Business], fault: str
) -> None:
    business = new_business(mileston__timeout_seconds="0.7")
    business.subscribe("ada,Gold,Ada,ada@example.com,5,1 month,2026-03-01")
    business.sandbox.script(fault)

    first = business.run(TODAY)
    committed = len(business.remote())
    reports = [business.run(TODAY) for _ in range(3)]

    assert (first.due, first.unknown) == (1, 1)
    assert len(business.remote(live=False)) == 1
    assert sum(r.adopted for r in reports) == committed
    assert sum(r.created for r in reports) == 1 - committed
    assert all(r.conserved() for r in (first, *reports))
    assert business.payments()[0]["state"] == "open"
