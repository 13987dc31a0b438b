"""Whether bad endpoints cost a healthy one anything: the same load with and without them, in turn, in one run.

The healthy endpoint is nginx. Beside it stand some thirty endpoints that do everything wrong that
``bench.bad_endpoints`` knows, with events of their own: a backlog at the start, and a stream after it. Of a steady
load, below what the machine can do, the healthy endpoint's events a second and its p99 from acceptance to delivery
count. Under full load every attempt at a bad endpoint takes processor time that the healthy one could have used; how
much, is told, too. Runs with and without the bad endpoints take turns, so that a machine that slows down slows both.
The ledger has to be clean; otherwise the exit code is 1.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import NamedTuple

from bench import sink, system
from bench.bad_endpoints import BadEndpoints, bad_endpoints
from bench.feeder import Feeder
from bench.prepared import write_requests
from bench.service import Roombell
from bench.throughput import BUILD, Load, accepted_ids, bench_folder, loader_faults, output_of, start_wrk

CONNECTIONS = 128
BAD_AT_START = 200
BAD_PER_S = 5.0
"""Events of which every bad endpoint is owed one."""
RATIO_MAX = 1.1
_HEALTHY = "healthy"


class Trial(NamedTuple):
    """What one run showed of the healthy endpoint, and what the others cost meanwhile."""

    events_per_s: float
    latency_ms_p50: float
    latency_ms_p99: float
    cpu_us: float
    """Of all of Roombell's processes for each event of the healthy endpoint, in us; what was done for the others is
    in it."""
    bad_attempts_per_s: float
    bad_cores: float
    """Processors that playing the bad endpoints took."""
    faults: tuple[str, ...]


class Requests(NamedTuple):
    """A file of requests that were prepared."""

    path: Path
    bytes_each: int


def trial(load: Load, requests: Requests, bad: BadEndpoints | None) -> Trial:
    """One run on a fresh store."""
    with bench_folder() as folder:
        (folder / "requests").symlink_to(requests.path)
        with (
            sink.Sink(folder) as far_end,
            Roombell(
                folder, far_end.url, settings={"endpoints": _endpoints(far_end.url, bad), "stop_timeout": "1s"}
            ) as service,
            Feeder(service.port, "bad", per_s=BAD_PER_S, at_start=BAD_AT_START) if bad else nullcontext(),
        ):
            cpu_s, bad_cpu_s, started = system.tree_cpu_s(service.pid), _cpu_s(bad), time.monotonic()
            told = output_of(start_wrk(load, folder, requests.bytes_each, service.port))
            faults = loader_faults(told) + service.undelivered(_HEALTHY)
            seconds = time.monotonic() - started
            cpu_s, bad_cpu_s = system.tree_cpu_s(service.pid) - cpu_s, _cpu_s(bad) - bad_cpu_s
        ledger = sink.check(far_end.arrivals_path, accepted_ids(folder / "answers"))
        took_ms, bad_attempts = _recorded(service.store_path)
    return Trial(
        events_per_s=len(took_ms) / seconds,
        latency_ms_p50=statistics.median(took_ms),
        latency_ms_p99=took_ms[int(len(took_ms) * 0.99)],
        cpu_us=cpu_s / len(took_ms) * 1e6,
        bad_attempts_per_s=bad_attempts / seconds,
        bad_cores=bad_cpu_s / seconds,
        faults=(*ledger.faults, *faults),
    )


def _endpoints(url: str, bad: BadEndpoints | None) -> list[dict[str, object]]:
    others = bad.settings if bad else {}
    return [
        {"name": _HEALTHY, "url": url, "rooms": ["room-*"]},
        *({"name": name, "rooms": ["bad-*"], **settings} for name, settings in others.items()),
    ]


def _cpu_s(bad: BadEndpoints | None) -> float:
    return system.cpu_s(bad.pid) if bad else 0.0


def _recorded(store: Path) -> tuple[list[int], int]:
    """How long each of the healthy endpoint's deliveries took, in ms, and how many attempts the others got."""
    of_healthy = "JOIN lane ON lane.id = lane_id JOIN endpoint ON endpoint.id = lane.endpoint_id WHERE endpoint.name"
    took = f"SELECT settled_at_ms - owed_since_ms FROM delivery {of_healthy} = ? AND delivery.state = 'delivered'"
    connection = sqlite3.connect(f"file:{store}?mode=ro", uri=True)
    try:
        took_ms = sorted(ms for (ms,) in connection.execute(took, (_HEALTHY,)))
        attempts = connection.execute(f"SELECT count(*) FROM attempt {of_healthy} <> ?", (_HEALTHY,)).fetchone()[0]
    finally:
        connection.close()
    return took_ms, attempts


class Comparison(NamedTuple):
    """Runs under one load, in pairs that were made one after the other."""

    alone: list[Trial]
    beside: list[Trial]

    def ratio(self, field: str) -> float:
        """With the bad endpoints over without: the median over the pairs, each of which saw the same machine."""
        pairs = zip(self.alone, self.beside, strict=True)
        return statistics.median(getattr(beside, field) / getattr(alone, field) for alone, beside in pairs)


def compare(load: Load, bad: BadEndpoints, repeats: int) -> Comparison:
    compared = Comparison([], [])
    with tempfile.TemporaryDirectory(dir=BUILD) as folder:
        path = Path(folder, "requests").resolve()
        requests = Requests(path, write_requests(path, load.events_max))
        for number in range(repeats):
            for beside in (False, True) if number % 2 == 0 else (True, False):
                made = trial(load, requests, bad if beside else None)
                (compared.beside if beside else compared.alone).append(made)
    return compared


def report(title: str, compared: Comparison) -> dict[str, float]:
    """Prints the medians, and returns the ratios."""
    print(f"\n{title:<38}{'alone':>12}{'beside':>12}{'ratio':>8}")
    ratios = {}
    for field in ("events_per_s", "latency_ms_p50", "latency_ms_p99", "cpu_us"):
        alone, beside = (statistics.median(getattr(one, field) for one in some) for some in compared)
        ratios[field] = compared.ratio(field)
        print(f"  {field:<36}{alone:>12.1f}{beside:>12.1f}{ratios[field]:>8.2f}")
    for field in ("bad_attempts_per_s", "bad_cores"):
        print(f"  {field:<48}{statistics.median(getattr(one, field) for one in compared.beside):>12.2f}")
    return ratios


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench bad-neighbours", description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0, help="load for each run (default 10)")
    parser.add_argument("--repeats", type=int, default=4, help="pairs of runs for each load (default 4)")
    parser.add_argument("--rate", type=float, default=1000.0, help="events/s of the steady load (default 1000)")
    parser.add_argument("--out", type=Path, default=BUILD / "bench-bad-neighbours.json")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> int:
    options = _options(arguments)
    BUILD.mkdir(exist_ok=True)
    facts = system.machine(BUILD)
    for name, value in facts.items():
        print(f"{name:<14}{value}")
    with bad_endpoints() as bad:
        print(f"bad endpoints {len(bad.settings)}: {', '.join(bad.settings)}")
        steady = compare(Load(options.seconds, CONNECTIONS, options.rate), bad, options.repeats)
        ratios = {"steady": report(f"steady load of {options.rate:g} events/s", steady)}
        full = compare(Load(options.seconds, CONNECTIONS), bad, options.repeats)
        ratios["full"] = report("full load", full)
    trials = [one for compared in (steady, full) for some in compared for one in some]
    faults = [fault for one in trials for fault in one.faults]
    rate, p99, full_rate = (
        ratios["steady"]["events_per_s"],
        ratios["steady"]["latency_ms_p99"],
        ratios["full"]["events_per_s"],
    )
    kept = rate >= 1 / RATIO_MAX and p99 <= RATIO_MAX
    print(
        f"\nbeside bad endpoints: {rate:.2f} of the events/s, {p99:.2f} of the p99; within {RATIO_MAX - 1:.0%}: "
        f"{'yes' if kept else 'no'}"
    )
    print(f"under full load, when all share the processors: {full_rate:.2f} of the events/s")
    print("ledger: " + ("; ".join(faults) if faults else "clean, all that was accepted arrived, once and in order"))
    runs = {
        name: {"alone": [one._asdict() for one in compared.alone], "beside": [one._asdict() for one in compared.beside]}
        for name, compared in (("steady", steady), ("full", full))
    }
    options.out.write_text(json.dumps({"machine": facts, "ratios": ratios, "faults": faults, "runs": runs}, indent=2))
    print(f"written to {options.out}")
    return 1 if faults else 0
