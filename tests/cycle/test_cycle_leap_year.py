"""Every day in turn: the API holds exactly the due dates that the rule gives.

With ACCEPTANCE=full every day of a year and more (`make crashtest`); otherwise those around 29 February.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from datetime import date, timedelta
from pathlib import Path

from dateutil.relativedelta import relativedelta

from billing.app.runtime import RECONCILE_STEPS
from billing.cycle.plan import plan
from billing.cycle.submit import submit
from tests.support.business import Business

START = date(2027, 12, 1)  # 2028 is a leap year
DAYS = 400 if os.environ.get("ACCEPTANCE") == "full" else 125

_STEPS = {
    "1 day": relativedelta(days=1),
    "10 days": relativedelta(days=10),
    "30": relativedelta(days=30),
    "1 week": relativedelta(weeks=1),
    "2 weeks": relativedelta(weeks=2),
    "1 month": relativedelta(months=1),
    "2 months": relativedelta(months=2),
    "3 months": relativedelta(months=3),
    "1 year": relativedelta(years=1),
}


def _rule(anchor: date, interval: str, last: date) -> list[str]:
    """Due dates by dateutil's arithmetic from the anchor, independent of the program's."""
    found, n = [], 0
    while (day := anchor + _STEPS[interval] * n) <= last:
        found.append(day.isoformat())
        n += 1
    return found


def subscribe(business: Business, subscriptions: dict[str, tuple[date, str]]) -> None:
    business.subscribe(
        *(
            f"{ref},{ref},N,{ref}@example.com,1,{interval},{anchor}"
            for ref, (anchor, interval) in subscriptions.items()
        )
    )


def test_a_leap_year_of_days_gives_exactly_the_due_dates_of_the_rule(business: Business) -> None:
    anchors = [date(2027, 12, day) for day in (28, 29, 30, 31)]
    subscriptions = {
        f"{interval.replace(' ', '-')}-{anchor.day}": (anchor, interval)
        for interval in _STEPS
        for anchor in (anchors if "day" not in interval else anchors[-1:])
    }
    # Durability is not what this test is about: a memory file system spares thousands of fsyncs.
    memory = Path("/dev/shm")
    folder = tempfile.mkdtemp(dir=memory if memory.is_dir() else None)
    business.environ["BILLING_DATABASE__URL"] = f"sqlite:///{folder}/billing.db"
    subscribe(business, subscriptions)

    reports = business.run_days(START, DAYS, (*RECONCILE_STEPS, plan, submit))
    shutil.rmtree(folder)

    assert {report.outcome for report in reports} == {"ok"}
    last = START + timedelta(days=DAYS - 1)
    expected = sorted(
        (ref, due)
        for ref, (anchor, interval) in subscriptions.items()
        for due in _rule(anchor, interval, last)
    )
    assert business.due_dates(live=False) == expected
