"""How faults are ordered: what is understood, what comes back, and what is refused with which words."""

import pytest

from billing.sandbox.errors import FaultError
from billing.sandbox.faults import NAMES, Dice, Fault, Settings, parse_orders, parse_script, parse_settings


def test_an_order_comes_back_as_it_is_understood() -> None:
    settings = parse_settings(
        {
            "500": 0.25,
            "Cut-After-Commit": "0.1",
            "late_commit": "0.1:2.5",
            "create.429": "0.05:9",
            "list.500": 0.5,
            "delete.slow-drip": "1:0.2",
            "stale-list": "1",
            "latency": "20-80",
            "list_order": "random",
            "list-cap": 100,
        }
    )
    order = {
        "500": "0.25",
        "cut_after_commit": "0.1",
        "late_commit": "0.1:2.5",
        "429": "0.05:9",
        "list.500": "0.5",
        "delete.slow_drip": "1:0.2",
        "stale_list": "1:3",
        "latency": "20-80",
        "list_order": "random",
        "list_cap": "100",
    }
    assert settings.as_mapping() == order
    assert parse_settings(order) == settings


def test_nothing_ordered_is_nothing() -> None:
    assert parse_settings({}) == Settings()
    assert Settings().as_mapping() == {}


@pytest.mark.parametrize("name", NAMES)
def test_every_name_can_be_ordered_with_dashes_and_underscores(name: str) -> None:
    value = {"list_order": "oldest"}.get(name, "1")
    assert parse_settings({name.replace("_", "-"): value}) == parse_settings({name: value}) != Settings()


def test_of_two_values_for_one_fault_the_last_one_counts() -> None:
    assert parse_settings({"cut-after-commit": 0.9, "cut_after_commit": 0.2}).as_mapping() == {
        "cut_after_commit": "0.2"
    }


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("cut_aftr_comit", 1, "did you mean cut_after_commit? Allowed are 500, 503, 429, cut_before_commit"),
        ("xyz", 1, "unknown fault 'xyz'. Allowed are 500,"),
        (
            "lists.500",
            1,
            "unknown call 'lists' in 'lists.500': allowed are create, get, list, update, delete",
        ),
        ("list.huge", 1, "huge affects only creates"),
        ("list.late_commit", 1, "late_commit affects only creates"),
        ("list.stale_list", 1, "stale_list is written without a call"),
        ("create.latency", 1, "latency is written without a call"),
        ("500", 1.1, "500=1.1: must be a number from 0 to 1"),
        ("500", -0.1, "must be a number from 0 to 1"),
        ("500", "nan", "must be a number from 0 to 1"),
        ("500", "often", "must be a number from 0 to 1"),
        ("500", True, "must be a number from 0 to 1"),
        ("500", None, "must be a number from 0 to 1"),
        ("500", "0.1:5", "500 takes a rate and nothing else"),
        ("503", "0.1:1.5", "must be a whole number"),
        ("late_commit", "0.1:-1", "must be a number from 0 to 86400"),
        ("late_commit", "0.1:", "must be a number from 0 to 86400"),
        ("latency", "-5", "latency=: must be a number"),
        ("latency", "80-20", "latency=20: must be a number from 80"),
        ("list_order", "sorted", "allowed are newest, oldest, random"),
        ("list_cap", "0", "must be a number from 1"),
        ("list_cap", "1.5", "must be a whole number"),
    ],
)
def test_a_bad_order_is_refused_with_what_is_allowed(name: str, value: object, says: str) -> None:
    with pytest.raises(FaultError) as refusal:
        parse_settings({name: value})
    assert says in str(refusal.value)


def test_rates_of_one_call_cannot_exceed_certainty() -> None:
    parse_settings({"500": 0.6, "503": 0.4, "list.500": 0.6})
    with pytest.raises(FaultError, match="of update add up to more than 1"):
        parse_settings({"update.500": 0.6, "update.503": 0.5})


def test_command_line_orders_are_name_and_value() -> None:
    assert parse_orders(["500=0.1", "list_order=oldest"]) == {"500": "0.1", "list_order": "oldest"}
    with pytest.raises(FaultError, match="'500' must be written NAME=VALUE"):
        parse_orders(["500"])


def test_a_script_is_understood_word_by_word() -> None:
    assert parse_script(["ok", "500", " cut-after-commit ", "503:7", "late_commit"]) == [
        None,
        Fault("500", 1),
        Fault("cut_after_commit", 1),
        Fault("503", 1, 7),
        Fault("late_commit", 1, 5),
    ]


@pytest.mark.parametrize("word", ["fine", "", "latency", "stale_list", "list_cap", "list.500", "500:1", 500])
def test_what_cannot_befall_a_create_cannot_stand_in_a_script(word: object) -> None:
    with pytest.raises(FaultError):
        parse_script([word])  # type: ignore[list-item]


def test_rates_come_out_as_ordered_and_exclude_one_another() -> None:
    dice = Dice(parse_settings({"500": 0.2, "429": 0.1}), (), seed=7)
    drawn = [fault.name if fault else "ok" for fault in (dice.draw("create") for _ in range(10_000))]
    assert drawn.count("500") == pytest.approx(2000, rel=0.1)
    assert drawn.count("429") == pytest.approx(1000, rel=0.1)
    assert dice.draw("list") is None


def test_latency_lies_between_its_bounds() -> None:
    dice = Dice(parse_settings({"latency": "20-80"}), (), seed=7)
    drawn = [dice.latency_seconds() for _ in range(1000)]
    assert 0.02 <= min(drawn) < 0.03
    assert 0.07 < max(drawn) <= 0.08
