"""Every metric of the service, as data: the collector exposes these, and the reference page is made of them."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec


class MetricKind(StrEnum):
    """Prometheus' kinds."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Metric(msgspec.Struct, frozen=True):
    """One metric family. ``name`` is the full one, with ``_total`` where it is a counter."""

    name: str
    kind: MetricKind
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


_COUNTER, _GAUGE, _HISTOGRAM = MetricKind.COUNTER, MetricKind.GAUGE, MetricKind.HISTOGRAM

DISPATCH: Final = Metric(
    "livekit_webhook_dispatch_total",
    _COUNTER,
    "Webhooks by what became of them, under LiveKit's own name: `success` (delivered), `failure` (given up after its "
    "attempts), `drop` (grown too old, or not taken: the reason says which).",
    ("status", "reason"),
)
QUEUE_LENGTH: Final = Metric(
    "livekit_webhook_queue_length", _GAUGE, "Deliveries pending at all endpoints, under LiveKit's own name."
)
ACCEPTED: Final = Metric("roombell_events_accepted_total", _COUNTER, "Events written to the store.")
DUPLICATES: Final = Metric(
    "roombell_events_duplicate_total", _COUNTER, "Events that were in the store already; they are not delivered again."
)
REJECTED: Final = Metric(
    "roombell_events_rejected_total", _COUNTER, "Webhooks that were refused, by the error's code.", ("reason",)
)
ATTEMPTS: Final = Metric(
    "roombell_attempts_total",
    _COUNTER,
    "Attempts by how they ended: the class of the HTTP status (`2xx` to `5xx`), or the kind of failure.",
    ("endpoint", "outcome"),
)
LATENCY: Final = Metric(
    "roombell_delivery_latency_seconds",
    _HISTOGRAM,
    "From the acceptance of an event to the end of the attempt that delivered it.",
    ("endpoint",),
    (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0, 600.0, 3600.0, 86400.0),
)
PENDING: Final = Metric("roombell_pending_deliveries", _GAUGE, "Deliveries owed to an endpoint.", ("endpoint",))
OLDEST: Final = Metric(
    "roombell_oldest_pending_seconds",
    _GAUGE,
    "Age of the oldest delivery owed to an endpoint; 0 if none.",
    ("endpoint",),
)
ENDPOINT_ACTIVE: Final = Metric(
    "roombell_endpoint_active",
    _GAUGE,
    "1 if the endpoint is sent to, 0 if it is paused, disabled or removed.",
    ("endpoint",),
)
ENDPOINT_FAILING: Final = Metric(
    "roombell_endpoint_failing",
    _GAUGE,
    "1 while the endpoint is taken to be down and only probes are sent.",
    ("endpoint",),
)
BLOCKED: Final = Metric(
    "roombell_blocked_lanes",
    _GAUGE,
    "Lanes that wait until a person decides about a dead delivery (`on_dead: block`).",
    ("endpoint",),
)
OPERATIONS: Final = Metric(
    "roombell_operational_events_total",
    _COUNTER,
    "What an operator is told: `endpoint.failing`, `endpoint.disabled`, `endpoint.recovered`, `delivery.dead`, "
    "`backlog.growing`.",
    ("event", "endpoint"),
)
DEAD: Final = Metric(
    "roombell_dead_deliveries_total", _COUNTER, "Deliveries given up, by reason.", ("endpoint", "reason")
)
LEASES_LOST: Final = Metric(
    "roombell_leases_lost_total", _COUNTER, "Lanes that another worker took over while this one worked them."
)
COMMIT: Final = Metric(
    "roombell_commit_seconds",
    _HISTOGRAM,
    "How long a transaction took, from its begin to durable.",
    (),
    (0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0),
)
BATCH: Final = Metric(
    "roombell_commit_batch_size",
    _HISTOGRAM,
    "Accepts and settlements in one transaction.",
    (),
    (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0),
)
COMMIT_FAILURES: Final = Metric(
    "roombell_commit_failures_total",
    _COUNTER,
    "Transactions that could not be written, by the error's code.",
    ("reason",),
)
WAITING: Final = Metric("roombell_ingest_waiting", _GAUGE, "Webhooks whose sender waits until they are on disk.")
HTTP: Final = Metric("roombell_http_requests_total", _COUNTER, "Answers given, by HTTP status.", ("status",))
CONNECTIONS: Final = Metric("roombell_http_connections", _GAUGE, "Connections open to this service.")
TASKS: Final = Metric("roombell_tasks", _GAUGE, "Asyncio tasks of this process: some for each attempt under way.")
LOG_DROPPED: Final = Metric(
    "roombell_log_lines_dropped_total", _COUNTER, "Log lines dropped because nobody read them fast enough."
)
STATUS_AGE: Final = Metric(
    "roombell_endpoint_status_age_seconds",
    _GAUGE,
    "How old the figures per endpoint are; it grows while the store does not answer.",
)

METRICS: Final = (
    DISPATCH, QUEUE_LENGTH, ACCEPTED, DUPLICATES, REJECTED, ATTEMPTS, LATENCY, PENDING, OLDEST, ENDPOINT_ACTIVE,
    ENDPOINT_FAILING, BLOCKED, OPERATIONS, DEAD,
    LEASES_LOST, COMMIT, BATCH, COMMIT_FAILURES, WAITING, HTTP, CONNECTIONS, TASKS, LOG_DROPPED, STATUS_AGE,
)  # fmt: skip

_INTRODUCTION: Final = """\
# Metrics

`GET /metrics` answers in Prometheus' text format, or in OpenMetrics where the scraper asks for it. The names that
begin with `livekit_` are LiveKit's own, so that its dashboards keep working. Labels hold the names of configured
endpoints, statuses, and codes from fixed lists; never the name of a room or a participant, nor an id. Figures per
endpoint are read from the store at most once a second. The usual `process_*` and `python_*` metrics are there, too.

This page is made by `python -m roombell.service.metric_table`; a test holds it to the code.

| metric | kind | labels | meaning |
| --- | --- | --- | --- |
"""


def reference_page() -> str:
    """``docs/reference/metrics.md``."""
    rows = (
        f"| `{metric.name}` | {metric.kind} | {', '.join(f'`{label}`' for label in metric.labels)} | {metric.help} |\n"
        for metric in METRICS
    )
    return _INTRODUCTION + "".join(rows)


if __name__ == "__main__":
    import sys

    sys.stdout.write(reference_page())
