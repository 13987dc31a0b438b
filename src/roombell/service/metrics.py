"""What the service counts, and ``/metrics``.

The hot path adds plain integers; Prometheus' objects are made at a scrape. (A labelled ``Counter.inc()`` of
prometheus_client costs a lock and a dictionary of tuples, about 1 us each; a delivery touches six of them.)
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Final

import msgspec
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from roombell.engine.decide import EXPIRED
from roombell.engine.health import decode
from roombell.engine.hooks import (
    AttemptFinished,
    CommitFailed,
    Committed,
    DeliveryDead,
    EventAccepted,
    EventRefused,
    LeaseLost,
    Record,
)
from roombell.engine.model import EndpointState, EndpointStatus
from roombell.engine.operations import operation_of
from roombell.engine.ports import Clock
from roombell.errors import RoombellError
from roombell.service import metric_table as table
from roombell.service.messages import Request, Response
from roombell.service.metric_table import Metric, MetricKind

_STATUS_AGE_S_MAX: Final = 1.0
_STATUS_WAIT_S_MAX: Final = 2.0
_PAGE_S: Final = 0.5

Labels = tuple[str, ...]


class Histogram:
    """Counts by bucket."""

    __slots__ = ("_bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Counts ``value`` in the first bucket whose bound it does not exceed."""
        self.counts[bisect_left(self._bounds, value)] += 1
        self.total += value

    def buckets(self) -> list[tuple[str, float]]:
        """Cumulated counts, as the exposition wants them."""
        names = [*(str(float(bound)) for bound in self._bounds), "+Inf"]
        return list(zip(names, map(float, accumulate(self.counts)), strict=True))


class Recorder:
    """Counts what the engine tells. ``observe`` is an engine hook."""

    def __init__(self) -> None:
        self.accepted = 0
        self.duplicates = 0
        self.leases_lost = 0
        self.dispatched: defaultdict[Labels, int] = defaultdict(int)
        self.attempts: defaultdict[Labels, int] = defaultdict(int)
        self.dead: defaultdict[Labels, int] = defaultdict(int)
        self.operations: defaultdict[Labels, int] = defaultdict(int)
        self.commit_failures: defaultdict[Labels, int] = defaultdict(int)
        self.latencies: dict[str, Histogram] = {}
        self.commit = Histogram(table.COMMIT.buckets)
        self.batch = Histogram(table.BATCH.buckets)

    def observe(self, record: Record) -> None:
        """Counts one record."""
        match record:
            case AttemptFinished():
                self._attempt(record)
            case EventAccepted(duplicate=duplicate):
                self.duplicates += duplicate
                self.accepted += not duplicate
            case Committed():
                self.commit.observe(record.commit_ms / 1000)
                self.batch.observe(record.accepts + record.settles)
            case DeliveryDead(endpoint=endpoint, reason=reason):
                self._operation(record)
                self.dead[endpoint, reason] += 1
                self.dispatched["drop" if reason == EXPIRED else "failure", reason] += 1
            case EventRefused(code=code):
                self.dispatched["drop", code] += 1
            case CommitFailed(code=code):
                self.commit_failures[(code,)] += 1
            case LeaseLost():
                self.leases_lost += 1
            case _:
                self._operation(record)

    def _operation(self, record: Record) -> None:
        operation = operation_of(record)
        if operation is not None:
            self.operations[operation.type, operation.endpoint] += 1

    def _attempt(self, record: AttemptFinished) -> None:
        endpoint, attempt = record.endpoint, record.attempt
        outcome = f"{attempt.status // 100}xx" if attempt.status else attempt.outcome
        self.attempts[endpoint, outcome] += 1
        if record.decision == "delivered":
            self.dispatched["success", ""] += 1
            histogram = self.latencies.get(endpoint)
            if histogram is None:
                histogram = self.latencies[endpoint] = Histogram(table.LATENCY.buckets)
            histogram.observe(record.latency_ms / 1000)


class Snapshot(msgspec.Struct, frozen=True):
    """What the service's other parts know at the moment of a scrape."""

    rejected_by_code: Mapping[str, int]
    answers_by_status: Mapping[int, int]
    ingest_waiting: int
    connections: int
    tasks: int
    log_lines_dropped: int


class EndpointFigures:
    """The store's figures per endpoint, asked for at most once a second; the last known ones if it does not answer."""

    def __init__(self, statuses: Callable[[], Awaitable[Sequence[EndpointStatus]]], clock: Clock) -> None:
        self._ask = statuses
        self._clock = clock
        self._asked_at_s: float | None = None
        self._told_at_s = clock.monotonic()
        self._task: asyncio.Task[None] | None = None
        self.statuses: Sequence[EndpointStatus] = ()

    @property
    def age_s(self) -> float:
        """How old the figures are."""
        return self._clock.monotonic() - self._told_at_s

    async def refresh(self) -> None:
        """Brings the figures up to date, or gives up after two seconds; the question then stays open."""
        now_s = self._clock.monotonic()
        fresh = self._asked_at_s is not None and now_s - self._asked_at_s < _STATUS_AGE_S_MAX
        if self._task is None and not fresh:
            self._asked_at_s = now_s
            self._task = asyncio.get_running_loop().create_task(self._fetch())
        if self._task is not None:
            await asyncio.wait((self._task,), timeout=_STATUS_WAIT_S_MAX)

    async def _fetch(self) -> None:
        try:
            self.statuses = await self._ask()
            self._told_at_s = self._clock.monotonic()
        except RoombellError:
            pass  # the age tells
        finally:
            self._task = None

    async def close(self) -> None:
        """Gives up a question that is still open."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait((self._task,))


class ServiceCollector(Collector):
    """Makes Prometheus' families of what was counted."""

    def __init__(
        self, recorder: Recorder, figures: EndpointFigures, snapshot: Callable[[], Snapshot], clock: Clock
    ) -> None:
        self._recorder = recorder
        self._figures = figures
        self._snapshot = snapshot
        self._clock = clock

    def describe(self) -> Iterable[Family]:
        """Registering collects nothing."""
        return ()

    def collect(self) -> Iterator[Family]:
        """Every family of the table, in its order."""
        samples = {**self._counted(), **self._measured()}
        for metric in table.METRICS:
            if metric.kind is MetricKind.HISTOGRAM:
                yield self._histogram(metric)
            else:
                yield _simple(metric, samples[metric.name])

    def _counted(self) -> dict[str, Mapping[Labels, float]]:
        recorder, snapshot = self._recorder, self._snapshot()
        return {
            table.DISPATCH.name: recorder.dispatched,
            table.ACCEPTED.name: {(): recorder.accepted},
            table.DUPLICATES.name: {(): recorder.duplicates},
            table.REJECTED.name: _rejected(snapshot),
            table.ATTEMPTS.name: recorder.attempts,
            table.OPERATIONS.name: recorder.operations,
            table.DEAD.name: recorder.dead,
            table.LEASES_LOST.name: {(): recorder.leases_lost},
            table.COMMIT_FAILURES.name: recorder.commit_failures,
            table.WAITING.name: {(): snapshot.ingest_waiting},
            table.HTTP.name: {(str(status),): count for status, count in snapshot.answers_by_status.items()},
            table.CONNECTIONS.name: {(): snapshot.connections},
            table.TASKS.name: {(): snapshot.tasks},
            table.LOG_DROPPED.name: {(): snapshot.log_lines_dropped},
        }

    def _measured(self) -> dict[str, Mapping[Labels, float]]:
        statuses, now_ms = self._figures.statuses, self._clock.now_ms()
        return {
            table.QUEUE_LENGTH.name: {(): sum(status.pending for status in statuses)},
            table.PENDING.name: {(status.name,): status.pending for status in statuses},
            table.OLDEST.name: {(status.name,): _oldest_s(status, now_ms) for status in statuses},
            table.ENDPOINT_ACTIVE.name: {
                (status.name,): float(status.state is EndpointState.ACTIVE) for status in statuses
            },
            table.ENDPOINT_FAILING.name: {(status.name,): float(decode(status.health).is_open) for status in statuses},
            table.BLOCKED.name: {(status.name,): status.blocked for status in statuses},
            table.STATUS_AGE.name: {(): self._figures.age_s},
        }

    def _histogram(self, metric: Metric) -> Family:
        recorder = self._recorder
        family = HistogramMetricFamily(metric.name, metric.help, labels=metric.labels)
        if metric is table.LATENCY:
            for endpoint, histogram in recorder.latencies.items():
                family.add_metric((endpoint,), histogram.buckets(), histogram.total)
        else:
            histogram = recorder.commit if metric is table.COMMIT else recorder.batch
            family.add_metric((), histogram.buckets(), histogram.total)
        return family


class MetricsPage:
    """``/metrics``."""

    def __init__(self, collector: ServiceCollector, figures: EndpointFigures, clock: Clock) -> None:
        self._figures, self._clock = figures, clock
        self._registry = CollectorRegistry()
        self._registry.register(collector)
        for collect in (ProcessCollector, PlatformCollector, GCCollector):
            collect(registry=self._registry)
        self._pages: dict[str, tuple[float, Response]] = {}

    async def handle(self, request: Request) -> Response:
        """All metrics, in the format that the scraper asks for; a page serves for ``_PAGE_S``, whoever asks."""
        encode, content_type = choose_encoder(request.text(b"accept") or "")
        made_s, page = self._pages.get(content_type, (0.0, None))
        if page is None or self._clock.monotonic() - made_s >= _PAGE_S:
            await self._figures.refresh()
            page = Response(200, encode(self._registry), content_type.encode())
            self._pages[content_type] = (self._clock.monotonic(), page)
        return page


def _simple(metric: Metric, samples: Mapping[Labels, float]) -> Family:
    family: CounterMetricFamily | GaugeMetricFamily
    if metric.kind is MetricKind.COUNTER:
        family = CounterMetricFamily(metric.name, metric.help, labels=metric.labels)
    else:
        family = GaugeMetricFamily(metric.name, metric.help, labels=metric.labels)
    for labels, value in samples.items():
        family.add_metric(labels, value)
    return family


def _oldest_s(status: EndpointStatus, now_ms: int) -> float:
    at_ms = status.oldest_pending_at_ms
    return 0.0 if at_ms is None else max(0.0, (now_ms - at_ms) / 1000)


def _rejected(snapshot: Snapshot) -> dict[Labels, float]:
    """A body that is too large is refused before the ingest sees it, so the answers tell of it."""
    rejected: dict[Labels, float] = {(code,): count for code, count in snapshot.rejected_by_code.items()}
    too_large = snapshot.answers_by_status.get(413, 0)
    return {**rejected, ("body_too_large",): too_large} if too_large else rejected
