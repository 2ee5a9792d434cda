"""Markers: stable for ever, different for different payments, found in what the API kept of a name."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.core.markers import find_marker, holds_marker, marker_for, name_with_marker

OTHER = "RB-ZZZZZZZZZZZZZZZZ"


@pytest.mark.parametrize(
    ("reference", "due_on", "marker"),
    [
        # Written down once: a change would make every payment that is under way unrecognisable.
        ("acme", "2026-02-01", "RB-A4E7WC6V0QQ7E6VM"),
        ("acme", "2026-03-01", "RB-EY84QPMHD5410JK2"),
        ("Zoë & Söhne", "2024-02-29", "RB-FSX62T2J062A474Q"),
        ("", "1970-01-01", "RB-VZVVS6PZYJ23M5YV"),
    ],
)
def test_a_marker_never_changes(reference: str, due_on: str, marker: str) -> None:
    assert marker_for(reference, date.fromisoformat(due_on)) == marker


def test_a_hundred_thousand_payments_have_as_many_markers() -> None:
    start = date(2020, 1, 1)
    markers = {
        marker_for(f"customer-{i}", start + timedelta(days=31 * n)) for i in range(1000) for n in range(100)
    }
    assert len(markers) == 100_000


def test_a_reference_that_looks_like_another_with_its_date_has_another_marker() -> None:
    assert marker_for("a\n2026-02-01", date(2026, 2, 1)) != marker_for("a", date(2026, 2, 1))


@given(st.text(max_size=64), st.dates())
def test_a_marker_is_plain_text_that_survives_any_transport(reference: str, due_on: date) -> None:
    marker = marker_for(reference, due_on)
    assert len(marker) == 19
    assert marker.startswith("RB-")
    assert not set(marker[3:]) - set("0123456789ABCDEFGHJKMNPQRSTVWXYZ")


def test_an_empty_namespace_changes_nothing_and_every_other_one_does() -> None:
    day = date(2026, 2, 1)
    markers = {
        marker_for("acme", day),
        marker_for("acme", day, "shop"),
        marker_for("acme", day, "Shop"),
        marker_for("acme", day, kind="charge"),
        marker_for("acme", day, "shop", "charge"),
        marker_for('shop", "period', day),
    }
    assert len(markers) == 6
    assert marker_for("acme", day, "", "period") == "RB-A4E7WC6V0QQ7E6VM"
    # Written down once, as above.
    assert marker_for("acme", day, "shop") == "RB-8FJFX9Z17MF5E14F"
    assert marker_for("acme", day, kind="charge") == "RB-YST4A27DGZTX44ZG"


@given(
    st.tuples(st.text(max_size=8), st.text(max_size=8)), st.tuples(st.text(max_size=8), st.text(max_size=8))
)
def test_what_separates_namespace_and_reference_cannot_be_forged(
    ours: tuple[str, str], theirs: tuple[str, str]
) -> None:
    made = [marker_for(reference, date(2026, 2, 1), namespace) for namespace, reference in (ours, theirs)]
    assert (made[0] == made[1]) == (ours == theirs)


ACME = marker_for("acme", date(2026, 2, 1))


@given(st.text(max_size=80), st.text(max_size=64), st.dates())
def test_the_marker_is_found_before_any_plan_name(plan: str, reference: str, due_on: date) -> None:
    marker = marker_for(reference, due_on)
    assert find_marker(name_with_marker(plan, marker)) == marker


@given(st.text(max_size=80), st.integers(20, 100))
def test_the_marker_survives_a_name_cut_at_any_length_that_holds_it(plan: str, kept: int) -> None:
    assert find_marker(name_with_marker(plan, ACME)[:kept]) == ACME


@given(st.text(max_size=80), st.integers(0, 19))
def test_half_a_marker_is_none(plan: str, kept: int) -> None:
    assert find_marker(name_with_marker(plan, ACME)[:kept]) is None


@pytest.mark.parametrize(
    "stored",
    [
        f"[{ACME}] Gold plan".lower(),
        f"[{ACME}] Gold plan".upper(),
        f"[{ACME}] Gold plan".title(),
        f"{ACME} Gold plan",
        f"{ACME}",
        f"{ACME}]",
        f"[{ACME}",
        f"  [{ACME}]  Gold plan  ",
        f"\u00a0[{ACME}] Gold plan",
        f"[ {ACME} ] Gold plan",
        f"[{ACME}]\u00a0Gold",
        f"[{ACME}] Caf\u00e9 \ufffd\ufffd",
        f"[{ACME}] ",  # cut at a character of four bytes
    ],
)
def test_the_marker_is_read_however_the_api_writes_names(stored: str) -> None:
    assert find_marker(stored) == ACME


@pytest.mark.parametrize("stored", [f"Gold plan [{ACME}]", f"Gold plan [{ACME}]  ", f"gold [{ACME.lower()}]"])
def test_the_form_of_0_1_0_is_still_read(stored: str) -> None:
    assert find_marker(stored) == ACME


@pytest.mark.parametrize(
    "plan",
    [
        f"[{OTHER}]",
        f"Gold [{OTHER}] [{OTHER}]",
        OTHER,
        f"[{OTHER}",
        f"{OTHER}]",
        "[",
        "]",
        "[RB-",
        "[RB-]",
        "",
    ],
)
def test_a_plan_that_holds_another_marker_does_not_hide_the_payments_own(plan: str) -> None:
    assert find_marker(name_with_marker(plan, ACME)) == ACME


@pytest.mark.parametrize(
    "name",
    [
        "",
        "Gold plan",
        "Gold RB-ZZZZZZZZZZZZZZZZ",
        "Gold [RB-ZZZZZZZZZZZZZZZZ] plan",
        "[RB-ZZZZZZZZZZZZZZZ]",
        "[RB-ZZZZZZZZZZZZZZZZZ]",
        "XRB-ZZZZZZZZZZZZZZZZ",
        "[RB-ZZZZZZZZZZZZZZZI]",
        "[RB-ZZZZZZZZ ZZZZZZZ]",
        "[RB-ZZZZZZZZZZZZZZZ\u017f]",  # a long s is no S, whatever its letter case
        "Gold [RB-" + "Z" * 16,
    ],
)
def test_what_only_resembles_a_marker_is_none(name: str) -> None:
    assert find_marker(name) is None


@pytest.mark.parametrize("plan", [OTHER, f"Gold [{OTHER}] plan", f"gold {OTHER.lower()}", f"({OTHER})"])
def test_a_plan_that_holds_a_marker_is_known_as_such(plan: str) -> None:
    assert holds_marker(plan)


@pytest.mark.parametrize("plan", ["", "Gold", "RB-17", f"X{OTHER}", f"{OTHER}Z", "CURB-" + "Z" * 16])
def test_an_ordinary_plan_holds_no_marker(plan: str) -> None:
    assert not holds_marker(plan)
