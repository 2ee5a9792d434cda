"""The pages: health, readiness and metrics."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime

from sqlalchemy import text

from billing.app.metrics import Metrics
from billing.web.pages import pages
from billing.web.server import Pages
from tests.support.business import Business


def of(business: Business, trouble: str = "", late: str = "") -> Pages:
    def when(_now: datetime) -> str:
        return late

    return pages(lambda: business.config, Metrics(), lambda: trouble, when)


def page(served: Pages, path: str) -> tuple[int, dict[str, object]]:
    answer = served[path]()
    return answer.status, json.loads(answer.body)


def test_healthz_is_about_the_process_alone(business: Business) -> None:
    assert page(of(business), "/healthz") == (200, {"healthy": True, "trouble": ""})
    status, document = page(of(business, trouble="no progress for 700 s"), "/healthz")
    assert (status, document["trouble"]) == (503, "no progress for 700 s")


def test_readyz_wants_the_database_its_schema_and_a_last_tick(business: Business) -> None:
    nothing_yet = page(of(business), "/readyz")
    assert not (business.folder / "var").exists()  # asking makes nothing
    business.run("2026-03-01")
    ready = page(of(business), "/readyz")
    late = page(of(business, late="the last tick is too old"), "/readyz")
    with business.store() as db, db.transaction() as tx:
        tx.execute(text("UPDATE alembic_version SET version_num = '0000'"))
    older = page(of(business), "/readyz")

    assert nothing_yet[0] == 503
    assert ready == (200, {"ready": True, "database": "ok", "schema": "ok", "last_tick": "ok"})
    assert (late[0], late[1]["last_tick"]) == (503, "the last tick is too old")
    assert (older[0], older[1]["database"]) == (503, "ok")
    assert "0000" in str(older[1]["schema"])


def test_readyz_does_not_depend_on_the_payments_api(new_business: Callable[..., Business]) -> None:
    business = new_business()
    business.run("2026-03-01")
    business.environ["BILLING_MILESTON__RECURRING_PAYMENT_URL"] = "http://127.0.0.1:9/recurring-payment"
    assert page(of(business), "/readyz")[0] == 200


def test_metrics_answer_without_a_database(business: Business) -> None:
    answer = of(business)["/metrics"]()
    assert answer.status == 200
    assert b"billing_database_up 0.0" in answer.body
    assert b"billing_cycles_total" in answer.body
