"""What Prometheus reads: counters of this process, and gauges read from the database at each scrape.

No label and no value speaks of a customer. docs/deploy/README.md lists the names.
"""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_fd_to_metric_families
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

from billing import __version__
from billing.app.status import reading
from billing.config import Config
from billing.core.money import MICROS_PER_USDC
from billing.core.notices import DeliveryKind
from billing.core.states import NoticeKind, NoticeState, PaymentState
from billing.cycle.report import Report
from billing.errors import BillingError
from billing.store import figures, notices, payments
from billing.store.tx import Tx

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

CYCLE_OUTCOMES = ("ok", "attention", "stopped", "failed", "overlapped", "cut_off")
PAYMENT_OUTCOMES = ("created", "adopted", "not_sent", "rejected", "unknown", "held")
SCHEDULER_EVENTS = ("missed", "skipped", "error")
_CALL_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 30, 60)
_CALLS = ("create", "list", "get", "delete")
_UNAUTHORIZED = 401


class Metrics:
    """The counters of one process. Its methods may be called from any thread."""

    def __init__(self) -> None:
        self.registry = own = CollectorRegistry()
        self._cycles = Counter("billing_cycles", "Cycles by how they ended.", ["outcome"], registry=own)
        self._cycle_seconds = Counter("billing_cycle_seconds", "Seconds spent in cycles.", registry=own)
        self._payments = Counter(
            "billing_payments", "Payments by what cycles did with them.", ["outcome"], registry=own
        )
        self._amount = Counter(
            "billing_amount_created_usdc", "Sum of the payments created, in USDC.", registry=own
        )
        self._settled = Counter("billing_payments_settled", "Payments found to be paid.", registry=own)
        self._notices = Counter(
            "billing_notices",
            "Deliveries of notices by their result.",
            ["kind", "outcome"],
            registry=own,
        )
        self._calls = Histogram(
            "billing_api_call_seconds",
            "Calls to the payments API; status is 401, the response's class, or none without a response.",
            ["call", "status"],
            buckets=_CALL_SECONDS,
            registry=own,
        )
        self._scheduler = Counter(
            "billing_scheduler_events", "Ticks that the scheduler lost.", ["event"], registry=own
        )
        ProcessCollector(registry=self.registry)
        self._start_at_zero()

    def _start_at_zero(self) -> None:
        """Without this, a counter would appear with its first event, and Prometheus would see no increase."""
        for outcome in CYCLE_OUTCOMES:
            self._cycles.labels(outcome)
        for outcome in PAYMENT_OUTCOMES:
            self._payments.labels(outcome)
        for kind in NoticeKind:
            for delivery in DeliveryKind:
                self._notices.labels(kind.value, delivery.value)
        for name in SCHEDULER_EVENTS:
            self._scheduler.labels(name)
        for call in _CALLS:
            for status in ("2xx", "401", "4xx", "5xx", "none"):
                self._calls.labels(call, status)

    def note_report(self, report: Report) -> None:
        """A cycle that ran to its end."""
        self._cycles.labels(report.outcome).inc()
        self._cycle_seconds.inc(max(0.0, report.seconds))
        for outcome in PAYMENT_OUTCOMES:
            self._payments.labels(outcome).inc(max(0, getattr(report, outcome)))
        self._amount.inc(report.amount_created_micros / MICROS_PER_USDC)
        self._settled.inc(report.paid)

    def note_cycle(self, outcome: str) -> None:
        """A cycle that made no report: failed, overlapped or cut_off."""
        self._cycles.labels(outcome).inc()

    def note_call(self, name: str, status: int | None, seconds: float) -> None:
        """One call to the payments API; `name` is as `create recurring payment`."""
        shown = "none" if status is None else f"{status // 100}xx"
        if status == _UNAUTHORIZED:
            shown = "401"  # apart: a refused key has its own alert
        self._calls.labels(name.partition(" ")[0], shown).observe(seconds)

    def note_delivery(self, kind: str, outcome: str) -> None:
        self._notices.labels(kind, outcome).inc()

    def note_scheduler(self, event: str) -> None:
        self._scheduler.labels(event).inc()

    def expose(self, config: Callable[[], Config], now: datetime) -> bytes:
        """Everything as Prometheus reads it. Never raises for a database that can't be read."""
        return generate_latest(_Together([self.registry, _FromTheStore(config, now)]))


class _Together(Collector):
    """Several collectors as one, without the `_created` gauges: process_start_time_seconds says that."""

    def __init__(self, parts: Iterable[CollectorRegistry | Collector]) -> None:
        self._parts = list(parts)

    def collect(self) -> Iterator[Metric]:
        for part in self._parts:
            for family in part.collect():
                family.samples = [s for s in family.samples if not s.name.endswith("_created")]
                yield family


class _FromTheStore(Collector):
    """What the database knows better than any counter: what there is, and how long it has waited."""

    def __init__(self, config: Callable[[], Config], now: datetime) -> None:
        self._config = config
        self._now = now

    def collect(self) -> Iterator[Metric]:
        build = GaugeMetricFamily("billing_build_info", "The program's version.", labels=["version"])
        build.add_metric([__version__], 1)
        yield build
        try:
            families = self._read()
            reachable = 1
        except BillingError:
            families, reachable = [], 0
        yield GaugeMetricFamily("billing_database_up", "Whether the database could be read.", reachable)
        yield from families

    def _read(self) -> list[Metric]:
        with reading(self._config()) as tx:
            return [*self._counts(tx), *self._ages(tx), self._last_success(tx)]

    def _counts(self, tx: Tx) -> Iterator[Metric]:
        found_payments = {state: count for state, (count, _) in payments.count_by_state(tx).items()}
        for what, found, states in (
            ("payments", found_payments, PaymentState),
            ("notices", notices.count_by_state(tx), NoticeState),
        ):
            family = GaugeMetricFamily(
                f"billing_{what}_in_state", f"{what.capitalize()} by state.", labels=["state"]
            )
            for state in states:
                family.add_metric([state.value], found.get(state.value, 0))
            yield family
        yield GaugeMetricFamily(
            "billing_payments_flagged",
            "Payments in any state that are flagged for a person to check.",
            figures.count_flagged(tx),
        )

    def _ages(self, tx: Tx) -> Iterator[Metric]:
        """0 where nothing waits."""
        oldest = figures.oldest(tx)
        for what, text, since in (
            ("planned", "For how long the oldest planned payment has waited to be sent.", oldest.planned),
            ("unknown", "For how long the oldest outcome has been unknown.", oldest.unknown),
            ("queued", "For how long the oldest queued notice has waited to be sent.", oldest.queued),
            (
                "look",
                "Of all unpaid payments, the longest time since one was last checked at Mileston.",
                oldest.look,
            ),
        ):
            age = (self._now - since).total_seconds() if since is not None else 0.0
            yield GaugeMetricFamily(f"billing_oldest_{what}_age_seconds", text, max(0.0, age))

    def _last_success(self, tx: Tx) -> Metric:
        success = figures.last_success(tx)
        return GaugeMetricFamily(
            "billing_last_success_timestamp_seconds",
            "When the last cycle that completed (ok or attention) ended; 0: none yet.",
            success.timestamp() if success is not None else 0.0,
        )


def write_textfile(path: Path, metrics: Metrics, config: Config, now: datetime) -> None:
    """Write everything for the node exporter, whole at once. Raises OSError.

    A process of cron lives for one run: what the file counted before is carried on.
    """
    earlier = _read_counters(path)
    together = _CarriedOn(metrics.registry, earlier)
    text = generate_latest(_Together([together, _FromTheStore(lambda: config, now)]))
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=".", suffix=".tmp", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(text)
            os.fchmod(file.fileno(), 0o644)  # the exporter runs as somebody else; nothing here is private
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise


_Key = tuple[str, tuple[tuple[str, str], ...]]


def _key(sample: Sample) -> _Key:
    return sample.name, tuple(sorted(sample.labels.items()))


def _read_counters(path: Path) -> dict[_Key, float]:
    """The counters of an earlier file; a file that can't be read counts from zero, as Prometheus allows."""
    try:
        with path.open(encoding="utf-8") as file:
            return {
                _key(sample): sample.value
                for family in text_fd_to_metric_families(file)
                if family.type in ("counter", "histogram")
                for sample in family.samples
                if math.isfinite(sample.value)
            }
    except (OSError, ValueError):
        return {}


class _CarriedOn(Collector):
    """A registry's counters with earlier values added; what only a living process has is left out."""

    def __init__(self, registry: CollectorRegistry, earlier: dict[_Key, float]) -> None:
        self._registry = registry
        self._earlier = earlier

    def collect(self) -> Iterator[Metric]:
        for family in self._registry.collect():
            if family.name.startswith("billing_"):
                family.samples = [
                    sample._replace(value=sample.value + self._earlier.get(_key(sample), 0.0))
                    for sample in family.samples
                ]
                yield family
