"""Likeness: what people and spreadsheets take for one another folds to one text, and little else does."""

from datetime import date

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from billing.core.likeness import Known, fold, similar

ANCHOR = date(2026, 1, 31)
LOOK_ALIKES = {
    "0": "oOоΟ",
    "o": "0О",
    "1": "lIi|",
    "l": "1Iӏ",
    "a": "аΑА",
    "e": "еЕΕ",
    "m": "Мм",
    "-": "‐–—−",
}


def known(reference: str, **changes: object) -> Known:
    fields = {"email": "zoe@example.org", "plan": "Gold", "anchor_on": ANCHOR} | changes
    return Known(reference, **fields)  # type: ignore[arg-type]


def someone_else(reference: str, line: int | None = None) -> Known:
    return known(reference, email=f"{reference}@example.com", line=line)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("00417", "417"),
        ("00417", "O417"),
        ("ACME-1", "acme-l"),
        ("ACME-1", "acme-I"),
        ("acme-007", "acme-7"),
        ("acme-000", "acme-0"),
        ("acme 1", "acme1"),
        ("ac\u200bme", "acme"),
        ("ac\u00adme", "acme"),
        ("ac\u00a0me", "acme"),
        ("acme–1", "acme-1"),
        ("АСМЕ", "acme"),  # Cyrillic
        ("ΑCΜΕ", "acme"),  # Greek
        ("ａｃｍｅ", "acme"),
        ("Straße", "STRASSE"),
        ("Zoe\u0308", "Zoë"),
        ("007a", "7a"),
    ],
)
def test_these_look_alike(one: str, other: str) -> None:
    assert fold(one) == fold(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("417", "4170"),
        ("417", "471"),
        ("acme-1", "acme-2"),
        ("cust-1-11", "cust-11-1"),
        ("acme1", "acme-1"),
        ("oslo", "slo"),
        ("olive", "live"),
        ("100", "1"),
        ("0", ""),
        ("Zoë", "Zoe"),
        ("gold", "bold"),
    ],
)
def test_these_do_not(one: str, other: str) -> None:
    assert fold(one) != fold(other)


@given(st.text(max_size=20))
@example("\u0345\u0301")
@example("0\u200b0\u20107")
def test_folding_twice_is_folding_once(text: str) -> None:
    assert fold(fold(text)) == fold(text)


@given(st.text("abcXYZäÖßéжШяΣλ0123 -_./", max_size=20))
def test_case_makes_no_difference(text: str) -> None:
    assert fold(text) == fold(text.upper()) == fold(text.lower()) == fold(text.swapcase())


@given(st.text("aelmoxz0123-", min_size=1, max_size=12), st.data())
def test_a_look_alike_in_any_place_makes_no_difference(text: str, data: st.DataObject) -> None:
    changed = "".join(data.draw(st.sampled_from(char + LOOK_ALIKES.get(char, ""))) for char in text)
    assert fold(changed) == fold(text)


@given(st.integers(0, 10**12), st.integers(0, 8))
def test_leading_zeros_of_a_number_make_no_difference(number: int, zeros: int) -> None:
    assert fold("0" * zeros + str(number)) == fold(str(number))


@given(st.lists(st.integers(0, 10**6), min_size=2, max_size=2, unique=True))
def test_different_numbers_stay_different(numbers: list[int]) -> None:
    assert fold(str(numbers[0])) != fold(str(numbers[1]))


# -- new ones among known ones --------------------------------------------------------------------------


def test_a_new_reference_that_looks_like_a_known_one_is_found_with_what_to_do() -> None:
    (found,) = similar([someone_else("417", line=4), someone_else("418", line=5)], [someone_else("00417")])
    assert (found.new.reference, found.known_reference, found.same_person) == ("417", "00417", False)
    said = str(found)
    assert said.startswith("line 4, column reference: '417' is new, but looks like the known '00417' (")
    assert said.endswith(
        "; write '00417' if it is the same subscription; to import both, say --allow-similar"
    )


def test_a_new_row_with_a_known_email_plan_and_anchor_is_found() -> None:
    new = known("zoe-2", email="ZOE@Bücher.example", plan="gold ", line=2)
    (found,) = similar([new], [known("acme", email="zoe@xn--bcher-kva.example")])
    assert found.same_person
    assert "line 2, column reference: 'zoe-2' is new, but has the e-mail, plan and starts_on of" in str(found)
    assert "zoe@" not in str(found).casefold()


@pytest.mark.parametrize(
    "difference", [{"email": "zoë@example.org"}, {"plan": "Silver"}, {"anchor_on": date(2026, 2, 1)}]
)
def test_all_three_must_be_known(difference: dict[str, object]) -> None:
    assert similar([known("zoe-2", **difference)], [known("acme")]) == []


def test_the_look_is_told_before_the_person_and_each_new_one_once_in_order() -> None:
    new = [known("new", line=2), known("ACME", line=3)]
    found = similar(new, [known("other"), known("acme"), known("аcme")])
    assert [(one.new.reference, one.known_reference) for one in found] == [("new", "other"), ("ACME", "acme")]


def test_what_is_stored_already_under_its_own_reference_is_not_like_itself() -> None:
    new = [known("417"), someone_else("x")]
    assert similar(new, [known("417"), someone_else("x")]) == []


def test_without_new_ones_the_known_are_not_even_read() -> None:
    def never() -> object:
        raise AssertionError

    assert similar([], (never() for _ in "x")) == []  # type: ignore[misc]
