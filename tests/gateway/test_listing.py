"""A list as it streams in: whole records one by one, wherever the answer happens to be cut into parts."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.gateway.faults import TooLarge
from billing.gateway.listing import Listing, Malformed

KEY = "recurringPaymentData"
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def listed(body: bytes, size: int = 7, most: int = 100) -> tuple[list[Any], Listing]:
    taken: list[Any] = []
    listing = Listing(KEY, taken.append, most)
    for start in range(0, len(body), size):
        listing.feed(body[start : start + size])
    listing.finish()
    return taken, listing


@given(
    st.lists(VALUES, max_size=5), st.dictionaries(st.text(max_size=5), VALUES, max_size=3), st.integers(1, 40)
)
def test_it_reads_what_json_reads(rows: list[Any], around: dict[str, Any], size: int) -> None:
    around.pop(KEY, None)
    body = json.dumps({**around, KEY: rows, "zz": around}, ensure_ascii=False).encode()

    taken, listing = listed(body, size)

    assert (taken, listing.count, listing.has_array) == (rows, len(rows), True)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"recurringPaymentData": [1, 2',
        b"[" * 100_000,
        b"<html>",
        b'{"recurringPaymentData": []} x',
    ],
)
def test_what_is_no_document_or_is_cut_off_is_told_at_the_end(body: bytes) -> None:
    with pytest.raises(Malformed):
        listed(body, 65_536)


def test_two_arrays_of_that_name_are_no_list() -> None:
    with pytest.raises(Malformed):
        listed(b'{"recurringPaymentData": [1], "recurringPaymentData": []}')


def test_an_array_of_that_name_deeper_down_is_another() -> None:
    taken, listing = listed(b'{"data": {"recurringPaymentData": [1]}, "statusCode": 200}')
    assert (taken, listing.has_array, listing.status_code) == ([], False, 200)


def test_the_status_is_that_beside_the_array_and_not_one_within() -> None:
    _, listing = listed(
        b'{"recurringPaymentData": [{"statusCode": 500}], "statusCode": 201, "x": {"statusCode": 4}}'
    )
    assert listing.status_code == 201


@pytest.mark.parametrize("rows", ["[" + "{}," * 100 + "{}]", '[{"a":' * 40 + "1" + "}]" * 40])
def test_more_elements_than_may_be_or_deeper_ones_end_it_at_once(rows: str) -> None:
    with pytest.raises(TooLarge):
        listed(f'{{"recurringPaymentData": {rows}'.encode(), 65_536)
