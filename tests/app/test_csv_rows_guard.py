"""What an export guards against spreadsheets is the same subscription when it is imported again."""

from __future__ import annotations

import io

import pytest

from billing.app.csv_rows import guarded, read_rows

HEADER = "reference,plan,name,email,amount,interval,starts_on\n"


@pytest.mark.parametrize("reference", ["+49-1", "=a", "-b", "@c", "'+d", "plain", "'quoted"])
def test_a_guarded_reference_reads_as_itself(reference: str) -> None:
    faults: list[str] = []
    line = f"{guarded(reference)},P,N,n@example.com,5,1 month,2026-03-01\n"
    (row,) = read_rows(io.BytesIO((HEADER + line).encode()), faults)
    assert (row.reference, faults) == (reference, [])
