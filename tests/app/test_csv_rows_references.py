"""References that stand twice, look alike or look wrecked: two subscriptions are never made of one."""

import io

import pytest

from billing.app.csv_rows import read_rows
from tests.support.csv_files import csv_file, read


def test_a_reference_that_stands_twice_is_named_with_its_first_line() -> None:
    rows, faults = read(csv_file({}, {"reference": "other"}, {"reference": " acme "}, {"reference": "last"}))
    assert faults == ["line 4, column reference: 'acme' stands already on line 2"]
    assert [row.line for row in rows] == [2, 3, 5]


@pytest.mark.parametrize(("first", "second"), [("00417", "417"), ("ACME-1", "acme-l"), ("Zoë 1", "ZOË1")])
def test_references_that_look_alike_are_asked_about(first: str, second: str) -> None:
    content = csv_file({"reference": first}, {"reference": second})
    rows, faults = read(content)
    assert faults == [
        f"line 3, column reference: {second!r} looks like {first!r} on line 2; correct one, or import it "
        "with --allow-similar if they are two subscriptions"
    ]
    assert [row.reference for row in rows] == [first]
    faults = []
    allowed = list(read_rows(io.BytesIO(content), faults, allow_similar=True))
    assert ([row.reference for row in allowed], faults) == ([first, second], [])


def test_a_person_may_vouch_for_a_reference_that_looks_wrecked_but_not_for_the_rest() -> None:
    content = csv_file({"reference": "4.17E+02", "name": "TRUE"}, {"reference": "x", "amount": "4.17E+02"})
    faults: list[str] = []
    (row,) = read_rows(
        io.BytesIO(content + csv_file({"reference": "y", "name": "http://x"})[len(csv_file()) :]),
        faults,
        allow_similar=True,
    )
    assert row.reference == "4.17E+02"
    assert [fault.partition(": ")[0] for fault in faults] == ["line 3, column amount", "line 4, column name"]


def test_what_is_known_already_is_not_asked_about_again() -> None:
    content = csv_file(*[{"reference": reference} for reference in ("00417", "417", "4.17E+02", "1-Mar")])
    asked: list[str] = []

    def is_known(reference: str) -> bool:
        asked.append(reference)
        return reference != "1-Mar"

    faults: list[str] = []
    rows = list(read_rows(io.BytesIO(content), faults, is_known=is_known))
    assert [row.reference for row in rows] == ["00417", "417", "4.17E+02"]
    assert [fault.partition(": ")[0] for fault in faults] == ["line 5, column reference"]
    assert asked == ["00417", "417", "4.17E+02", "1-Mar"]


@pytest.mark.parametrize("known", ["00417", "417"])
def test_of_two_that_look_alike_one_new_one_is_enough_to_ask(known: str) -> None:
    faults: list[str] = []
    content = csv_file({"reference": "00417"}, {"reference": "417"})
    list(read_rows(io.BytesIO(content), faults, is_known=lambda reference: reference == known))
    assert len(faults) == 1


def test_twice_the_same_reference_is_no_matter_of_likeness() -> None:
    faults: list[str] = []
    list(read_rows(io.BytesIO(csv_file({}, {})), faults, allow_similar=True))
    assert faults == ["line 3, column reference: 'acme' stands already on line 2"]
