"""Databases with years behind them, and the list that Mileston would show of them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, time, timedelta
from pathlib import Path

from sqlalchemy import text

from benchmarks.databases import NOW, TODAY, fill
from billing.core.money import format_amount
from billing.store.connection import Database

# Every subscription once for each month before, oldest first; SQLite alone.
_HISTORY = """
WITH RECURSIVE months(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM months WHERE n < :months),
past AS (SELECT s.id, s.amount_micros, n, date(s.next_due_on, '-' || n || ' months') AS due_on,
    date(s.next_due_on, '-' || (n - 1) || ' months', '-1 day') AS end_on,
    CASE WHEN n > 1 THEN 'paid' WHEN s.id <= :lost THEN 'unknown' WHEN s.id % :share = 0 THEN 'open'
      ELSE 'paid' END AS state, hex(randomblob(12)) AS random
  FROM months CROSS JOIN subscriptions s ORDER BY n DESC, s.id)
INSERT INTO payments (subscription_id, period, due_on, period_end_on, amount_micros, marker, state, cause,
  attention, attempts, remote_id, remote_from_at, remote_by_at, deadline_at, absent_looks, look_step,
  dunning_step, payable_on, paid_at, looked_at, created_at, updated_at, told_by, led_to_pause)
SELECT id, :months - n, due_on, end_on, amount_micros, 'RB-' || substr(
    replace(replace(replace(replace(random, '0', 'G'), '1', 'H'), '8', 'J'), '9', 'K'), 1, 16),
  state, '', '', 1, CASE WHEN state <> 'unknown' THEN 'h' || random END, due_on || ' 06:00:00.000000',
  CASE WHEN state <> 'unknown' THEN due_on || ' 06:00:15.000000' END, due_on || ' 06:00:15.000000', 0, 0, 0,
  due_on, CASE WHEN state = 'paid' THEN :now END, CASE WHEN state <> 'unknown' THEN :now END,
  :now, :now, '', 0
FROM past
"""
_LISTED = """
SELECT p.id, p.remote_id, p.marker, p.amount_micros, p.due_on, p.state, s.email, s.name
FROM payments p JOIN subscriptions s ON s.id = p.subscription_id ORDER BY p.id
"""


def fill_history(url: str, subscriptions: int, due: int, months: int, unpaid: int, lost: int = 0) -> None:
    """So many monthly subscriptions, `due` on each of the coming days, each with `months` payments behind it.

    About `unpaid` of the last month are still open, and of `lost` the answer to the create was lost.
    """
    days = [TODAY + timedelta(days=day) for day in range(max(1, subscriptions // due))]
    fill(url, days, due)
    db = Database(url)
    try:
        with db.engine.connect() as connection, connection.begin():
            now = f"{NOW:%Y-%m-%d %H:%M:%S.%f}"
            share = max(1, len(days) * due // max(1, unpaid))
            values = {"months": months, "now": now, "share": share, "lost": lost}
            connection.execute(text(_HISTORY), values)
    finally:
        db.close()


def write_list(url: str, path: Path, *, paid_since: bool = False) -> int:
    """The records of all payments, oldest first, one a line; how many. `paid_since`: all are paid by now."""
    db = Database(url)
    count = 0
    try:
        with db.engine.connect() as connection, connection.begin(), path.open("w") as file:
            for row in connection.execute(text(_LISTED)):
                due = datetime.combine(datetime.fromisoformat(row.due_on).date(), time(12), UTC)
                record = {
                    "recurringPaymentId": row.remote_id or f"lost-{row.id}",
                    "subscriptionName": f"[{row.marker}] Gold plan",
                    "amount": format_amount(row.amount_micros),
                    "subscriberFullName": row.name,
                    "subscriberEmail": row.email,
                    "recurringDate": f"{due:%Y-%m-%dT%H:%M:%S.000Z}",
                    "recurringInterval": 30,
                    "currentPaymentStatus": "paid" if paid_since or row.state == "paid" else "unpaid",
                }
                file.write(json.dumps(record) + "\n")
                count += 1
    finally:
        db.close()
    return count
