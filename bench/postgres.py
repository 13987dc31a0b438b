"""Several workers on one PostgreSQL, beside one on SQLite, in the same run: ``python -m bench postgres``.

Everything shares this machine's processors, so more workers do not make it faster here: they show what a worker, the
server and each event cost. That is what an estimate for many machines is made of. As in ``throughput``, a run counts
only if its ledger is clean.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import psycopg
from bench import sink, system
from bench.prepared import BODY_BYTES, ROOMS, write_requests
from bench.service import Roombell
from bench.throughput import (
    BUILD,
    DRAIN_S_MAX,
    Load,
    accepted_count,
    accepted_ids,
    bench_folder,
    delivered_count,
    loader_faults,
    output_of,
    parser_of,
    run,
    start_wrk,
)

from roombell.engine.fleet import BEAT_S, JOIN_S

sys.path.append(str(Path(__file__).parents[1] / "tests"))  # the server that the tests start
from support.postgres import PostgresServer

SETTINGS = {"shared_buffers": "512MB", "max_wal_size": "4GB", "log_min_messages": "error"}


class Run(NamedTuple):
    """What one run showed."""

    events: int
    events_per_s: float
    workers_cpu_us: float
    """Of all of Roombell's processes, for each event."""
    database_cpu_us: float
    """Of all of PostgreSQL's processes, for each event; of the store's process where it is SQLite."""
    latency_ms_p50: float
    """From acceptance to the delivering answer."""
    latency_ms_p99: float
    batch: float
    """Mean number of acceptances and settlements in a transaction."""
    faults: tuple[str, ...]
    rows: float = 0.0
    """For each event, in all tables, when it is delivered."""
    table_bytes: float = 0.0
    """For each event, with indexes."""
    wal_bytes: float = 0.0
    """For each event: what is written first, and what a standby is sent."""
    connections: float = 0.0
    """The most that the workers had open."""


class Database:
    """A server of the benchmark's own on the disk that the checkout is on, with one empty database."""

    def __init__(self, stack: ExitStack) -> None:
        BUILD.mkdir(exist_ok=True)
        before, tempfile.tempdir = tempfile.tempdir, str(BUILD)
        try:
            self._server = stack.enter_context(PostgresServer(SETTINGS))
        finally:
            tempfile.tempdir = before
        self.url = self._server.new_database()

    def number(self, statement: str) -> float:
        """The one number that ``statement`` answers with."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            row = connection.execute(statement).fetchone()
        assert row is not None
        return float(row[0])

    @property
    def cpu_s(self) -> float:
        return system.tree_cpu_s(self._server.pid)

    @property
    def table_bytes(self) -> float:
        return self.number(
            "SELECT sum(pg_total_relation_size(oid)) FROM pg_class "
            "WHERE relnamespace = 'roombell'::regnamespace AND relkind = 'r'"
        )

    @property
    def wal_bytes(self) -> float:
        return self.number("SELECT pg_current_wal_insert_lsn() - '0/0'")

    @property
    def connections(self) -> float:
        return self.number("SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'roombell%'")

    def recorded(self, accepted: set[str]) -> tuple[list[int], float, list[str]]:
        """How long each event took from acceptance to delivery in ms, sorted; all rows; and what is wrong."""
        with psycopg.connect(self.url) as connection:
            ids = {event_id for (event_id,) in connection.execute("SELECT event_id FROM roombell.event")}
            took_ms = sorted(
                ms
                for (ms,) in connection.execute(
                    "SELECT settled_at_ms - owed_since_ms FROM roombell.delivery WHERE state = 'delivered'"
                )
            )
        attempts = self.number("SELECT count(*) FROM roombell.attempt WHERE status = 204")
        faults = []
        if missing := accepted - ids:
            faults.append(f"{len(missing)} accepted events are not in the database, such as {min(missing)}")
        if not len(ids) == len(took_ms) == attempts:
            faults.append(
                f"{len(ids)} events, {len(took_ms)} recorded as delivered, {attempts:.0f} attempts with a 204"
            )
        return took_ms, len(ids) + len(took_ms) + attempts, faults


def run_on_postgres(load: Load, workers: int, arguments: tuple[str, ...]) -> Run:
    """One run on an empty database of a server of its own."""
    with bench_folder() as folder, ExitStack() as stack:
        database = Database(stack)
        folders = [folder / str(number) for number in range(workers)]
        for one in folders:
            one.mkdir()
        with sink.Sink(folder) as far_end, ExitStack() as running:
            services = [running.enter_context(Roombell(one, far_end.url, arguments, database.url)) for one in folders]
            time.sleep(JOIN_S + 2 * BEAT_S)  # a worker that joins leaves its share to the others for so long
            cpu_s = sum(system.tree_cpu_s(service.pid) for service in services), database.cpu_s
            bytes_ = database.table_bytes, database.wal_bytes
            started = time.monotonic()
            connections, told = _load(load, folders, services, database)
            totals = _drained(services)
            took_s = time.monotonic() - started
            workers_cpu_s = sum(system.tree_cpu_s(service.pid) for service in services) - cpu_s[0]
            database_cpu_s = database.cpu_s - cpu_s[1]
        accepted = set().union(*(accepted_ids(one / "answers") for one in folders))
        ledger = sink.check(far_end.arrivals_path, accepted)
        took_ms, rows, faults = database.recorded(accepted)
        events = len(took_ms)
        return Run(
            events=events,
            events_per_s=events / took_s,
            workers_cpu_us=workers_cpu_s / events * 1e6,
            database_cpu_us=database_cpu_s / events * 1e6,
            latency_ms_p50=statistics.median(took_ms),
            latency_ms_p99=took_ms[int(events * 0.99)],
            batch=totals["roombell_commit_batch_size_sum"] / totals["roombell_commit_batch_size_count"],
            faults=(*ledger.faults, *faults, *(fault for one in told for fault in loader_faults(one))),
            rows=rows / events,
            table_bytes=(database.table_bytes - bytes_[0]) / events,
            wal_bytes=(database.wal_bytes - bytes_[1]) / events,
            connections=connections,
        )


def _load(
    load: Load, folders: Sequence[Path], services: Sequence[Roombell], database: Database
) -> tuple[float, list[str]]:
    """Loads all workers at once; the most connections that were seen, and what the loaders said."""
    share = Load(load.seconds, load.connections // len(services), load.events_per_s / len(services))
    loaders = []
    for number, (folder, service) in enumerate(zip(folders, services, strict=True)):
        count = load.events_max // len(services)
        request_bytes = write_requests(folder / "requests", count, first=number * count)
        loaders.append((share, folder, request_bytes, service.port))
    started = [start_wrk(*loader) for loader in loaders]
    connections = 0.0
    while any(loader.poll() is None for loader in started):
        connections = max(connections, database.connections)
        time.sleep(0.5)
    return connections, [output_of(loader) for loader in started]


def _drained(services: Sequence[Roombell]) -> dict[str, float]:
    """The workers' figures together, when all that was accepted is delivered, or nothing moves any more."""
    deadline = time.monotonic() + DRAIN_S_MAX
    while True:
        totals: dict[str, float] = {}
        for service in services:
            for name, value in service.metrics().items():
                totals[name] = totals.get(name, 0.0) + value
        if delivered_count(totals) >= accepted_count(totals) or time.monotonic() > deadline:
            return totals
        time.sleep(0.05)


def run_on_sqlite(load: Load, arguments: tuple[str, ...]) -> Run:
    """The same on SQLite, which is one worker's alone."""
    one = run(load, arguments)
    return Run(
        events=one.events,
        events_per_s=one.events_per_s,
        workers_cpu_us=one.cpu_us - one.store_cpu_us,
        database_cpu_us=one.store_cpu_us,
        latency_ms_p50=one.latency_ms_p50,
        latency_ms_p99=one.latency_ms_p99,
        batch=one.batch,
        faults=one.faults,
    )


def _report(runs: dict[str, list[Run]]) -> dict[str, dict[str, float]]:
    """Prints the medians side by side, and gives them."""
    names = [name for name in Run._fields if name != "faults"]
    medians = {
        title: {name: statistics.median(float(getattr(one, name)) for one in some) for name in names}
        for title, some in runs.items()
    }
    print("\n" + " " * 18 + "".join(f"{title:>22}" for title in runs))
    for name in names:
        print(f"{name:<18}" + "".join(f"{figures[name]:>22.1f}" for figures in medians.values()))
    return medians


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = parser_of("postgres", __doc__)
    parser.add_argument("--connections", type=int, default=128, help="of the load, all workers together (default 128)")
    parser.add_argument("--events-per-s", type=float, default=math.inf, help="about so many (default: all it can)")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4], help="default 1 2 4")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> int:
    options = _options(arguments)
    BUILD.mkdir(exist_ok=True)
    facts = system.machine(BUILD)
    facts["workload"] = f"{BODY_BYTES} byte bodies, {ROOMS} rooms, 1 endpoint, log level {options.log_level}"
    for name, value in facts.items():
        print(f"{name:<14}{value}")
    load = Load(options.seconds, options.connections, options.events_per_s)
    serve = ("--log-level", options.log_level)
    runs: dict[str, list[Run]] = {}
    for _ in range(options.repeats):  # in turn, so that whatever else this machine does meets all of them
        runs.setdefault("SQLite, 1 worker", []).append(run_on_sqlite(load, serve))
        for workers in options.workers:
            title = f"PostgreSQL, {workers} worker{'s' if workers > 1 else ''}"
            runs.setdefault(title, []).append(run_on_postgres(load, workers, serve))
    medians = _report(runs)
    faults = [fault for some in runs.values() for one in some for fault in one.faults]
    print("\nledger: " + ("; ".join(faults) if faults else "clean, all that was accepted arrived, once and in order"))
    every = {title: [one._asdict() for one in some] for title, some in runs.items()}
    options.out.write_text(
        json.dumps({"machine": facts, "medians": medians, "runs": every, "faults": faults}, indent=2)
    )
    print(f"written to {options.out}")
    return 1 if faults else 0
