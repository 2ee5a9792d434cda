"""Markers: stable for ever, different for different payments, and found in any plan's name."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.core.markers import find_marker, marker_for, name_with_marker

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


@given(st.text(max_size=80), st.text(max_size=64), st.dates())
def test_the_marker_is_found_behind_any_plan_name(plan: str, reference: str, due_on: date) -> None:
    marker = marker_for(reference, due_on)
    assert find_marker(name_with_marker(plan, marker)) == marker


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
    marker = marker_for("acme", date(2026, 2, 1))
    assert find_marker(name_with_marker(plan, marker)) == marker


@pytest.mark.parametrize(
    "name",
    [
        "",
        "Gold plan",
        "RB-ZZZZZZZZZZZZZZZZ",
        "[RB-ZZZZZZZZZZZZZZZ]",
        "[RB-ZZZZZZZZZZZZZZZZZ]",
        "[rb-zzzzzzzzzzzzzzzz]",
        "[RB-ZZZZZZZZZZZZZZZI]",
        "[RB-ZZZZZZZZ ZZZZZZZ]",
        "[RB-" + "Z" * 16,
    ],
)
def test_what_only_resembles_a_marker_is_none(name: str) -> None:
    assert find_marker(name) is None
