"""/metrics through Prometheus's own parser; the dashboard and the alert rules against it."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from billing.app.cron_run import watched_run
from billing.app.metrics import Metrics
from billing.app.runtime import Hooks, run_once, utc_now
from billing.errors import BillingError
from tests.support.business import Business
from tests.support.nursery import ROOT
from tests.support.prometheus import Scrape, holds, names_in

DEPLOY = ROOT / "docs" / "deploy"
ALERTS = dict(re.findall(r"- alert: (\w+)\n\s+expr: (.*)", (DEPLOY / "alerts.yml").read_text()))
OTHERS = {"up", "node_textfile_mtime_seconds"}
"""Metrics that Prometheus and the node exporter bring."""
TODAY = utc_now().date()
Make = Callable[..., Business]


@dataclass
class Watched:
    """A business whose cycles are counted, as the daemon counts them."""

    business: Business
    metrics: Metrics = field(default_factory=Metrics)

    def cycle(self) -> None:
        hooks = Hooks(on_call=self.metrics.note_call, on_delivery=self.metrics.note_delivery)
        self.metrics.note_report(asyncio.run(run_once(self.business.config, TODAY, hooks)))

    def subscribe(self, count: int = 1) -> None:
        self.business.subscribe(*(f"s{i},P,N,s{i}@example.com,5,1 month,{TODAY}" for i in range(count)))

    def scrape(self, later: float = 0.0, **more: float) -> Scrape:
        """What Prometheus reads, as if so many hours had passed."""
        now = utc_now() + timedelta(hours=later)
        text = self.metrics.expose(lambda: self.business.config, now).decode()
        return Scrape.read(text, now.timestamp(), **more)


@pytest.fixture
def watched(business: Business) -> Watched:
    return Watched(business)


def test_prometheus_own_parser_reads_what_a_cycle_did(watched: Watched) -> None:
    watched.subscribe(3)
    watched.cycle()
    found = watched.scrape()

    def one(name: str, matchers: str = "") -> float:
        (value,) = found.select(name, matchers)
        return value

    assert one("billing_cycles_total", '{outcome="ok"}') == 1
    assert one("billing_payments_total", '{outcome="created"}') == 3
    assert one("billing_amount_created_usdc_total") == 15
    assert one("billing_notices_total", '{kind="payment_created",outcome="sent"}') == 3
    assert one("billing_api_call_seconds_count", '{call="create",status="2xx"}') == 3
    assert one("billing_payments_in_state", '{state="open"}') == 3
    assert one("billing_notices_in_state", '{state="sent"}') == 3
    assert one("billing_oldest_planned_age_seconds") == 0
    assert one("billing_database_up") == 1
    assert abs(one("billing_last_success_timestamp_seconds") - time.time()) < 3600
    assert not any(name.endswith("_created") for name in found.names)


def test_no_metric_speaks_of_a_customer(watched: Watched) -> None:
    watched.business.subscribe(f"ref-of-zoe,Gold,Zoë,zoe@example.org,5,1 month,{TODAY}")
    watched.cycle()
    text = watched.metrics.expose(lambda: watched.business.config, utc_now()).decode()
    (record,) = watched.business.remote()
    for word in ("zoe", "Zoë", "example.org", "Gold", record["id"], watched.business.id):
        assert word not in text


def test_every_query_of_the_dashboard_names_a_metric_that_exists(watched: Watched) -> None:
    watched.subscribe()
    watched.cycle()
    known = watched.scrape().names | OTHERS
    dashboard = json.loads((DEPLOY / "grafana-dashboard.json").read_text())
    queries = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]

    assert len(queries) > 15
    for query in queries:
        assert names_in(query), query
        assert names_in(query) <= known, query
        assert query.count("(") == query.count(")")


def test_every_alert_names_metrics_that_exist_and_the_readme_names_all_metrics(watched: Watched) -> None:
    watched.cycle()
    known = watched.scrape().names | OTHERS
    for name, expression in ALERTS.items():
        assert names_in(expression) <= known, name
    readme = (DEPLOY / "README.md").read_text()
    for name in {re.sub(r"_(bucket|count|sum)$", "", n) for n in known if n.startswith("billing_")}:
        shown = name if not name.startswith("billing_oldest") else name.split("_")[2]
        assert shown in readme, name


def test_when_all_is_well_no_alert_fires(watched: Watched) -> None:
    watched.subscribe(2)
    before = watched.scrape(up=1)
    watched.cycle()
    now = watched.scrape(up=1)
    assert [name for name, expression in ALERTS.items() if holds(expression, now, before)] == []


# Each failure as it really comes about; what Prometheus reads before and after it.
Readings = tuple[Scrape, Scrape]


def down(make: Make) -> Readings:
    it = Watched(make())
    it.cycle()
    return it.scrape(up=1), it.scrape(up=0)


def no_cycle(make: Make) -> Readings:
    it = Watched(make())
    it.cycle()
    return it.scrape(), it.scrape(later=3)


def cycles_fail(make: Make) -> Readings:
    """Counted from cron, run after run, in the node exporter's file."""
    business = make(watch__textfile="billing.prom")
    database = business.folder / "var" / "billing.db"
    file = business.folder / "billing.prom"
    asyncio.run(watched_run(business.config, TODAY, Hooks()))
    before = Scrape.read(file.read_text())
    database.write_text("no database")
    for _ in range(3):
        with suppress(BillingError):
            asyncio.run(watched_run(business.config, TODAY, Hooks()))
    return before, Scrape.read(file.read_text())


def database_down(make: Make) -> Readings:
    it = Watched(make())
    it.cycle()
    before = it.scrape()
    (it.business.folder / "var" / "billing.db").unlink()
    return before, it.scrape()


def restarts(make: Make) -> Readings:
    it = Watched(make())
    before, now = it.scrape(), it.scrape()
    key = ("process_start_time_seconds", ())
    return before, Scrape(now.samples | {key: now.samples[key] + 60}, now.at)


def refused_key(make: Make) -> Readings:
    it = Watched(make())
    it.subscribe()
    it.business.sandbox.ask("PUT", "keys", {"keys": ["another"]})
    before = it.scrape()
    it.cycle()
    it.cycle()
    return before, it.scrape()


def api_fails(make: Make) -> Readings:
    it = Watched(make())
    it.subscribe(3)
    it.business.sandbox.faults(**{"500": 0.9})
    before = it.scrape()
    it.cycle()
    return before, it.scrape()


def unreachable(make: Make) -> Readings:
    it = Watched(make())
    it.business.environ["BILLING_MILESTON__RECURRING_PAYMENT_URL"] = "http://127.0.0.1:9/recurring-payment"
    it.subscribe()
    before = it.scrape()
    it.cycle()
    return before, it.scrape(later=3)


def unknown_for_long(make: Make) -> Readings:
    it = Watched(make())
    it.subscribe()
    it.business.sandbox.script("500")
    it.cycle()
    return it.scrape(), it.scrape(later=7)


def held(make: Make) -> Readings:
    it = Watched(make(cycle__max_payments_per_run="0"))
    it.subscribe()
    before = it.scrape()
    it.cycle()
    return before, it.scrape()


def never_looked_at(make: Make) -> Readings:
    it = Watched(make())
    it.subscribe()
    it.cycle()
    return it.scrape(), it.scrape(later=49)


def mail_server_gone(make: Make) -> Readings:
    it = Watched(
        make(mail__transport="smtp", mail__smtp_host="127.0.0.1", mail__smtp_port="9", mail__smtp_tls="none")
    )
    it.subscribe()
    it.cycle()
    return it.scrape(), it.scrape(later=3)


def mail_fails(make: Make) -> Readings:
    it = Watched(make())
    folder = it.business.folder / "own"
    folder.mkdir()
    (folder / "payment_created.txt").write_text("{% if %}")
    it.business.environ["BILLING_MAIL__TEMPLATES_DIR"] = str(folder)
    it.subscribe()
    before = it.scrape()
    it.cycle()
    return before, it.scrape()


def ticks_lost(make: Make) -> Readings:
    it = Watched(make())
    before = it.scrape()
    it.metrics.note_scheduler("error")
    return before, it.scrape()


def textfile_stale(make: Make) -> Readings:
    it = Watched(make())
    now = it.scrape(later=3)
    label = (("file", "/var/lib/node_exporter/billing.prom"),)
    key = ("node_textfile_mtime_seconds", label)
    return now, Scrape(now.samples | {key: time.time()}, now.at)


FAILURES: dict[str, Callable[[Make], Readings]] = {
    "BillingDown": down,
    "BillingNoCycle": no_cycle,
    "BillingCyclesFail": cycles_fail,
    "BillingDatabaseDown": database_down,
    "BillingRestarts": restarts,
    "BillingKeyRefused": refused_key,
    "BillingStopped": refused_key,
    "BillingApiFails": api_fails,
    "BillingPaymentsWait": unreachable,
    "BillingOutcomesUnknown": unknown_for_long,
    "BillingNeedsAPerson": held,
    "BillingSettlementStale": never_looked_at,
    "BillingMailWaits": mail_server_gone,
    "BillingMailFails": mail_fails,
    "BillingTicksLost": ticks_lost,
    "BillingTextfileStale": textfile_stale,
}


@pytest.mark.parametrize("alert", ALERTS)
def test_each_alert_fires_on_its_failure(alert: str, new_business: Make) -> None:
    before, now = FAILURES[alert](new_business)
    assert holds(ALERTS[alert], now, before)


def test_from_cron_the_counters_go_on_from_file_to_file(new_business: Make) -> None:
    business = new_business(watch__textfile="metrics/billing.prom")
    file = business.folder / "metrics" / "billing.prom"
    readings = []
    for day in range(3):
        business.subscribe(f"s{day},P,N,s{day}@example.com,5,1 month,{TODAY}")
        asyncio.run(watched_run(business.config, TODAY, Hooks()))
        readings.append(Scrape.read(file.read_text()))

    created = [reading.select("billing_payments_total", '{outcome="created"}') for reading in readings]
    calls = [
        reading.select("billing_api_call_seconds_count", '{call="create",status="2xx"}')
        for reading in readings
    ]
    assert created == calls == [[1], [2], [3]]
    assert readings[-1].select("billing_payments_in_state", '{state="open"}') == [
        3
    ]  # a gauge does not add up
    assert not any(name.startswith("process_") for name in readings[-1].names)
    assert file.stat().st_mode & 0o777 == 0o644
    assert [path.name for path in file.parent.iterdir()] == ["billing.prom"]


@pytest.mark.parametrize(
    "damage",
    [
        "",
        "not metrics at all {",
        '# TYPE billing_cycles_total counter\nbilling_cycles_total{outcome="ok"} NaN\n',
    ],
)
def test_a_damaged_textfile_is_replaced(new_business: Make, damage: str) -> None:
    business = new_business(watch__textfile="billing.prom")
    file = business.folder / "billing.prom"
    file.write_text(damage)
    asyncio.run(watched_run(business.config, TODAY, Hooks()))
    assert Scrape.read(file.read_text()).select("billing_cycles_total", '{outcome="ok"}') == [1]


def test_a_textfile_that_cannot_be_written_fails_no_run(
    new_business: Make, caplog: pytest.LogCaptureFixture
) -> None:
    business = new_business(watch__textfile="no/such/billing.prom")
    (business.folder / "no").write_text("a file where a directory should be")
    report = asyncio.run(watched_run(business.config, TODAY, Hooks()))
    assert report.outcome == "ok"
    assert "watch.textfile" in caplog.text


def test_an_overlapping_run_is_counted_as_such(new_business: Make) -> None:
    from billing.store.lock import cycle_lock

    business = new_business(watch__textfile="billing.prom")
    asyncio.run(watched_run(business.config, TODAY, Hooks()))
    with cycle_lock(business.folder / "var" / "billing.db"), pytest.raises(BillingError):
        asyncio.run(watched_run(business.config, TODAY, Hooks()))
    found = Scrape.read((business.folder / "billing.prom").read_text())
    assert found.select("billing_cycles_total", '{outcome="overlapped"}') == [1]
    assert found.select("billing_cycles_total", '{outcome="failed"}') == [0]


def test_a_name_without_prom_is_refused(new_business: Make) -> None:
    with pytest.raises(BillingError, match=r"end in \.prom"):
        _: Any = new_business(watch__textfile="billing.txt").config


def test_the_file_is_found_beside_the_config(new_business: Make) -> None:
    business = new_business(watch__textfile="here.prom")
    assert business.config.resolve(business.config.settings.watch.textfile) == Path(
        business.folder / "here.prom"
    )
