"""The wide world: its traits come from the seed alone, and its oracles can fail."""

from __future__ import annotations

from random import Random

import pytest

from tests.campaigns.simulation.finds import FINDS, Find, replayed
from tests.campaigns.simulation.options import draw
from tests.campaigns.simulation.planted import STEPS, Planted, expect_found
from tests.campaigns.simulation.planted_wide import PLANTED_WIDE
from tests.campaigns.simulation.storing import stored_name
from tests.campaigns.simulation.traits import LATER, TRAITS, Traits, draw_traits


@pytest.mark.parametrize("fault", PLANTED_WIDE, ids=lambda fault: fault.name)
def test_a_planted_fault_is_found_in_a_wide_world(fault: Planted) -> None:
    expect_found(fault)


@pytest.mark.parametrize("find", [f for f in FINDS if f.trait not in LATER], ids=lambda find: find.finding)
def test_a_world_that_found_a_fault_comes_through_today(find: Find) -> None:
    assert not replayed(find)


def test_every_trait_is_off_in_a_share_of_the_wide_worlds_and_what_is_for_later_in_all() -> None:
    drawn = [draw_traits(seed, wide=True).named() for seed in range(1, 401)]
    for name in TRAITS:
        count = sum(name in traits for traits in drawn)
        if name in LATER:
            assert count == 0, name
        elif TRAITS[name].share == 1:  # an oracle, which holds in every world
            assert count == len(drawn), name
        else:
            assert 0 < count < len(drawn), name
    assert all("says" in draw_traits(seed, wide=True, later=["says"]).named() for seed in range(1, 20))


def test_a_trait_does_not_change_the_luck_of_the_narrow_world() -> None:
    narrow, wide = (draw(3, STEPS, Random(3), wide=wide) for wide in (False, True))
    assert (narrow.began, narrow.zone, narrow.mail_faults) == (wide.began, wide.zone, wide.mail_faults)
    assert narrow.traits == Traits()


def test_a_strength_can_be_set() -> None:
    assert draw(3, STEPS, Random(3), name_cut=20).traits.name_cut == 20


@pytest.mark.parametrize(
    ("traits", "kept"),
    [
        (Traits(name_cut=7), "Gold 🥇 "),
        (Traits(name_chars="cut"), "Gold "),
        (Traits(name_chars="strip"), "Gold  & b"),
        (Traits(name_case="upper"), "GOLD 🥇 & B"),
        (Traits(name_escaped=True), "Gold 🥇 &amp; b"),
    ],
)
def test_what_the_api_keeps_of_a_name(traits: Traits, kept: str) -> None:
    assert stored_name("Gold 🥇 & b", traits) == kept
