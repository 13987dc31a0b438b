"""Events a second, end to end: wrk -> POST /webhook -> verified -> on disk -> delivered to nginx -> recorded.

Everything runs on this machine and shares its processors: the load generator, Roombell and its store's process, and
the far end. A run counts only if its ledger is clean: every event that was answered 200 arrived, each lane's in order,
numbered one by one, and each is recorded as delivered. Otherwise the exit code is 1.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from bench import sink, system
from bench.prepared import BODY_BYTES, ROOMS, write_requests
from bench.service import Roombell

BUILD = Path(__file__).parents[1] / "build"
EVENTS_PER_S_MAX = 12_000
"""As many requests are prepared; a system that is faster ends its run early."""
DRAIN_S_MAX = 120.0
OTHERS_CORES_MAX = 0.1
HALF_LOAD_CONNECTIONS = 256
LOAD_SCRIPT = Path(__file__).parent / "load.lua"


class Load(NamedTuple):
    """What wrk is told."""

    seconds: float
    connections: int
    events_per_s: float = math.inf
    """Where it is finite, each connection pauses after an answer so that about so many come in all."""

    @property
    def pause_ms(self) -> float:
        return 0.0 if math.isinf(self.events_per_s) else self.connections / self.events_per_s * 1000

    @property
    def events_max(self) -> int:
        return round(self.seconds * min(EVENTS_PER_S_MAX, self.events_per_s * 1.5))


class Run(NamedTuple):
    """What one run showed. CPU is in microseconds for each event, latency from acceptance to the delivering answer."""

    events: int
    events_per_s: float
    cpu_us: float
    """Of all of Roombell's processes."""
    store_cpu_us: float
    """The store's process' share of it."""
    sink_cpu_us: float
    loader_cpu_us: float
    others_cores: float
    """Processors that were busy with what does not belong to the benchmark: noise, if it is not near 0."""
    latency_ms_p50: float
    latency_ms_p99: float
    backlog_max: int
    drain_s: float
    refused_503: int
    repeats: int
    commit_ms: float
    """Mean time of a transaction, from its begin to durable."""
    batch: float
    """Mean number of acceptances and settlements in a transaction."""
    faults: tuple[str, ...]


@contextmanager
def bench_folder() -> Iterator[Path]:
    """A folder on the disk that the checkout is on: a file system in memory would make fsync free."""
    BUILD.mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="bench-", dir=BUILD))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def run(load: Load, arguments: tuple[str, ...] = (), during: Callable[[Roombell], None] | None = None) -> Run:
    """One run on a fresh store.

    :param during: called once, while the load is on.
    """
    with bench_folder() as folder:
        request_bytes = write_requests(folder / "requests", load.events_max)
        with sink.Sink(folder) as far_end, Roombell(folder, far_end.url, arguments) as service:
            before = _Costs(service, far_end)
            started = time.monotonic()
            loader = start_wrk(load, folder, request_bytes, service.port)
            if during is not None:
                during(service)
            backlog_max = _watch(loader, service)
            told = output_of(loader)
            loaded = time.monotonic()
            counted = _drained(service)
            ended = time.monotonic()
            after = _Costs(service, far_end)
        accepted = accepted_ids(folder / "answers")
        ledger = sink.check(far_end.arrivals_path, accepted)
        events, p50, p99, store_faults = _recorded(service.store_path, accepted)
        return Run(
            events=events,
            events_per_s=events / (ended - started),
            cpu_us=(after.service_s - before.service_s) / events * 1e6,
            store_cpu_us=(after.store_s - before.store_s) / events * 1e6,
            sink_cpu_us=(after.sink_s - before.sink_s) / events * 1e6,
            loader_cpu_us=(after.loader_s - before.loader_s) / events * 1e6,
            others_cores=(after.others_s - before.others_s) / (ended - started),
            latency_ms_p50=p50,
            latency_ms_p99=p99,
            backlog_max=backlog_max,
            drain_s=ended - loaded,
            refused_503=refused(told),
            repeats=ledger.repeats,
            commit_ms=counted["roombell_commit_seconds_sum"] / counted["roombell_commit_seconds_count"] * 1000,
            batch=counted["roombell_commit_batch_size_sum"] / counted["roombell_commit_batch_size_count"],
            faults=(*ledger.faults, *store_faults, *loader_faults(told)),
        )


class _Costs:
    """Processor time used so far."""

    def __init__(self, service: Roombell, far_end: sink.Sink) -> None:
        self.service_s = system.tree_cpu_s(service.pid)
        self.store_s = self.service_s - system.cpu_s(service.pid)
        self.sink_s = system.tree_cpu_s(far_end.pid)
        self.loader_s = system.ended_children_cpu_s()
        ours_s = self.service_s + self.sink_s + self.loader_s + time.process_time()
        self.others_s = system.machine_cpu_s() - ours_s


def start_wrk(load: Load, folder: Path, request_bytes: int, port: int, *more: str) -> subprocess.Popen[str]:
    wrk = shutil.which("wrk")
    if wrk is None:
        sys.exit("The load comes from wrk: install it (on Debian: apt-get install wrk).")
    own = [folder / "requests", request_bytes, folder / "answers", load.pause_ms]
    command = [
        wrk,
        "-t1",
        f"-c{load.connections}",
        f"-d{math.ceil(load.seconds)}s",
        "--timeout",
        "30s",
        *more,
        "-s",
        LOAD_SCRIPT,
    ]
    command += [f"http://127.0.0.1:{port}/webhook", "--", *own]
    return subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def _watch(loader: subprocess.Popen[str], service: Roombell) -> int:
    """The largest backlog that is seen while the loader runs."""
    backlog_max = 0
    while True:
        try:
            loader.wait(1.0)
        except subprocess.TimeoutExpired:
            now = service.metrics()
            backlog_max = max(backlog_max, round(accepted_count(now) - delivered_count(now)))
        else:
            return backlog_max


def output_of(loader: subprocess.Popen[str]) -> str:
    assert loader.stdout is not None
    with loader.stdout as told:
        return told.read()


def _drained(service: Roombell) -> dict[str, float]:
    """The service's figures when all that was accepted is delivered and recorded, or nothing moves any more."""
    deadline = time.monotonic() + DRAIN_S_MAX
    while True:
        now = service.metrics()
        if delivered_count(now) >= accepted_count(now) or time.monotonic() > deadline:
            return now
        time.sleep(0.05)


def accepted_count(metrics: dict[str, float]) -> float:
    return metrics["roombell_events_accepted_total"]


def delivered_count(metrics: dict[str, float]) -> float:
    return metrics.get("roombell_delivery_latency_seconds_count", 0.0)


def accepted_ids(answers: Path) -> set[str]:
    return set(re.findall(r'"id":"([^"]+)"', answers.read_text()))


def _recorded(store: Path, accepted: set[str]) -> tuple[int, float, float, list[str]]:
    """Events in the store, p50 and p99 from acceptance to delivery in ms, and what is wrong there."""
    with sqlite3.connect(f"file:{store}?mode=ro", uri=True) as connection:
        ids = {event_id for (event_id,) in connection.execute("SELECT event_id FROM event")}
        rows = connection.execute("SELECT settled_at_ms - owed_since_ms FROM delivery WHERE state = 'delivered'")
        took_ms = sorted(ms for (ms,) in rows)
        attempts = connection.execute("SELECT count(*) FROM attempt WHERE status = 204").fetchone()[0]
    connection.close()
    faults = []
    if missing := accepted - ids:
        faults.append(f"{len(missing)} accepted events are not in the store, such as {min(missing)}")
    if not len(ids) == len(took_ms) == attempts:
        faults.append(f"{len(ids)} events, {len(took_ms)} recorded as delivered, {attempts} attempts with a 204")
    return len(ids), statistics.median(took_ms), took_ms[int(len(took_ms) * 0.99)], faults


def refused(told: str) -> int:
    found = re.search(r"Non-2xx or 3xx responses: (\d+)", told)
    return int(found[1]) if found else 0


def loader_faults(told: str) -> list[str]:
    return [line.strip() for line in told.splitlines() if "Socket errors" in line or "PANIC" in line]


def report(title: str, runs: Sequence[Run]) -> dict[str, float]:
    """Prints the medians with their ranges, and returns the medians."""
    print(f"\n{title}")
    medians = {}
    for name in Run._fields:
        if name == "faults":
            continue
        values = [float(getattr(one, name)) for one in runs]
        medians[name] = statistics.median(values)
        unit = {"events_per_s": "events/s", "cpu_us": "us/event"}.get(name, "")
        print(f"  {name:<16} {medians[name]:>10.1f} {unit:<9} [{min(values):.1f} .. {max(values):.1f}]")
    return medians


def parser_of(scenario: str, description: str | None) -> argparse.ArgumentParser:
    """A parser of the options that every scenario with runs of the service has."""
    parser = argparse.ArgumentParser(prog=f"python -m bench {scenario}", description=description)
    parser.add_argument("--seconds", type=float, default=10.0, help="load for each run (default 10)")
    parser.add_argument("--repeats", type=int, default=3, help="runs of which the median is taken (default 3)")
    parser.add_argument("--log-level", default="info", help="of roombell serve (default info, a line for each attempt)")
    parser.add_argument("--out", type=Path, default=BUILD / f"bench-{scenario}.json")
    return parser


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = parser_of("throughput", __doc__)
    parser.add_argument(
        "--connections", type=int, nargs="+", default=[128, 256], help="of the saturating loads (default 128 256)"
    )
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> int:
    options = _options(arguments)
    BUILD.mkdir(exist_ok=True)
    facts = system.machine(BUILD)
    facts["workload"] = f"{BODY_BYTES} byte bodies, {ROOMS} rooms, 1 endpoint, log level {options.log_level}"
    for name, value in facts.items():
        print(f"{name:<14}{value}")

    runs: list[Run] = []
    medians: dict[str, dict[str, float]] = {}

    def measure(title: str, load: Load) -> None:
        some = [run(load, ("--log-level", options.log_level)) for _ in range(options.repeats)]
        medians[title] = report(title, some)
        runs.extend(some)

    for connections in options.connections:
        measure(f"full load, {connections} connections", Load(options.seconds, connections))
    best = max(figures["events_per_s"] for figures in medians.values())
    measure("half load", Load(options.seconds, HALF_LOAD_CONNECTIONS, best / 2))

    faults = [fault for one in runs for fault in one.faults]
    print(f"\nsustained: {best:.0f} events/s, median of {options.repeats} runs of {options.seconds:g} s")
    print("ledger: " + ("; ".join(faults) if faults else "clean, all that was accepted arrived, once and in order"))
    if max(one.others_cores for one in runs) > OTHERS_CORES_MAX:
        print("This machine was busy with other things: the figures are lower than they would be.")
    figures = {"machine": facts, "medians": medians, "sustained_events_per_s": best, "faults": faults}
    options.out.write_text(json.dumps(figures | {"runs": [one._asdict() for one in runs]}, indent=2))
    print(f"written to {options.out}")
    return 1 if faults else 0
