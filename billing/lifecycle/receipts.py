"""Consecutive receipt numbers: without gaps in each year, given in the transaction that books a payment."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from sqlalchemy import update

from billing.store.bulk import insert_rows, update_rows
from billing.store.models import payments, receipt_years
from billing.store.tx import Tx


def number_receipts(tx: Tx, booked_on: date, payment_ids: Sequence[int]) -> None:
    """Give payments that were booked on a day of the business the next numbers of its year: `2026-000123`.

    The year's row is locked until the transaction ends, so a number that is rolled back is given again.
    """
    if not payment_ids:
        return
    year, count = booked_on.year, len(payment_ids)
    insert_rows(tx, receipt_years, [{"year": year, "last_number": 0}], skip_known=True)
    counted = (
        update(receipt_years)
        .where(receipt_years.c.year == year)
        .values(last_number=receipt_years.c.last_number + count)
        .returning(receipt_years.c.last_number)
    )
    first = int(tx.execute(counted).scalar_one()) - count + 1
    numbered = [
        {"id": payment_id, "receipt_number": f"{year}-{number:06}"}
        for number, payment_id in enumerate(sorted(payment_ids), first)
    ]
    update_rows(tx, payments, numbered)
