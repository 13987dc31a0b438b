"""What bad endpoints cost a healthy one: the same load alone, beside good ones, and beside bad ones, in one run.

The healthy endpoint is nginx. Beside it stand some thirty endpoints that do everything wrong that
``bench.bad_endpoints`` knows, with events of their own: a backlog at the start, and a stream after it; or, to compare,
as many good ones with the same events. Of a steady load, below what the machine can do, the healthy endpoint's events a
second and its latency from acceptance to delivery count, of full load the events a second. What the first seconds of
the load show is left out: everything is cold then.

Others share the processors and the disk whether they are well or not, and where there are two processors that is what
most of their price is. So two ratios are told: to the healthy endpoint alone, which is what company costs, and to it
beside good ones, which is what it costs that they are bad. The three take turns, so that a machine that slows down
slows all. The ledger has to be clean; otherwise the exit code is 1.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import statistics
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import NamedTuple

from bench import sink, system
from bench.bad_endpoints import bad_endpoints
from bench.feeder import Feeder
from bench.prepared import write_requests
from bench.service import Roombell
from bench.throughput import BUILD, Load, accepted_ids, bench_folder, loader_faults, output_of, start_wrk

CONNECTIONS = 128
OTHERS_AT_START = 200
RATIO_MAX = 1.1
WARM_UP_S = 2.0
_HEALTHY = "healthy"
_FIELDS = ("events_per_s", "latency_ms_p50", "latency_ms_p99", "cpu_us")


class Company(NamedTuple):
    """The other endpoints: their settings by name, and the process that plays them."""

    settings: Mapping[str, Mapping[str, object]]
    pid: int = 0


ALONE = Company({})


class Trial(NamedTuple):
    """What one run showed of the healthy endpoint, and what the others cost meanwhile."""

    events_per_s: float
    latency_ms_p50: float
    latency_ms_p99: float
    cpu_us: float
    """Of all of Roombell's processes for each event of the healthy endpoint, in us; what was done for the others is
    in it."""
    others_attempts_per_s: float
    others_cores: float
    """Processors that playing the others took."""
    faults: tuple[str, ...]


class Requests(NamedTuple):
    """A file of requests that were prepared."""

    path: Path
    bytes_each: int


class Record(NamedTuple):
    """What the store says of a run after its first seconds."""

    took_ms: list[int]
    """How long each of the healthy endpoint's deliveries took."""
    seconds: float
    others_attempts: int


def trial(load: Load, requests: Requests, others: Company, others_per_s: float) -> Trial:
    """One run on a fresh store.

    :param others_per_s: events of which every other endpoint is owed one.
    """
    with bench_folder() as folder:
        (folder / "requests").symlink_to(requests.path)
        with (
            sink.Sink(folder) as far_end,
            Roombell(
                folder, far_end.url, settings={"endpoints": _endpoints(far_end.url, others), "stop_timeout": "1s"}
            ) as service,
            Feeder(service.port, "other", per_s=others_per_s, at_start=OTHERS_AT_START)
            if others.settings
            else nullcontext(),
        ):
            cpu_s, others_cpu_s = system.tree_cpu_s(service.pid), _cpu_s(others)
            told = output_of(start_wrk(load, folder, requests.bytes_each, service.port))
            faults = loader_faults(told) + service.undelivered(_HEALTHY)
            cpu_s, others_cpu_s = system.tree_cpu_s(service.pid) - cpu_s, _cpu_s(others) - others_cpu_s
        accepted = accepted_ids(folder / "answers")
        ledger = sink.check(far_end.arrivals_path, accepted)
        record = _recorded(service.store_path)
    return Trial(
        events_per_s=len(record.took_ms) / record.seconds,
        latency_ms_p50=quantile(record.took_ms, 0.50),
        latency_ms_p99=quantile(record.took_ms, 0.99),
        cpu_us=cpu_s / len(accepted) * 1e6,
        others_attempts_per_s=record.others_attempts / record.seconds,
        others_cores=others_cpu_s / load.seconds,
        faults=(*ledger.faults, *faults),
    )


def quantile(took_ms: Sequence[int], share: float) -> float:
    """A quantile of times that are known in whole milliseconds, interpolated between them.

    A time of 3 ms is the difference of two whole numbers and stands for anything from 2 to 4; the quantile takes those
    that were read as 3 for spread evenly from 2.5 to 3.5.
    """
    counts, below = Counter(took_ms), 0
    wanted = share * len(took_ms)
    for ms, count in sorted(counts.items()):
        if below + count >= wanted:
            return ms - 0.5 + (wanted - below) / count
        below += count
    raise ValueError("there are no times")


def _endpoints(url: str, others: Company) -> list[dict[str, object]]:
    return [
        {"name": _HEALTHY, "url": url, "rooms": ["room-*"]},
        *({"name": name, "rooms": ["other-*"], **settings} for name, settings in others.settings.items()),
    ]


def _cpu_s(others: Company) -> float:
    return system.cpu_s(others.pid) if others.pid else 0.0


def _recorded(store: Path) -> Record:
    of_healthy = "JOIN lane ON lane.id = lane_id JOIN endpoint ON endpoint.id = lane.endpoint_id WHERE endpoint.name"
    took = f"SELECT owed_since_ms, settled_at_ms FROM delivery {of_healthy} = ? AND delivery.state = 'delivered'"
    attempts = f"SELECT count(*) FROM attempt {of_healthy} <> ? AND started_at_ms >= ?"
    connection = sqlite3.connect(f"file:{store}?mode=ro", uri=True)
    try:
        rows = connection.execute(took, (_HEALTHY,)).fetchall()
        since_ms = min(owed_ms for owed_ms, _ in rows) + round(WARM_UP_S * 1000)
        until_ms = max(settled_ms for _, settled_ms in rows)
        count = connection.execute(attempts, (_HEALTHY, since_ms)).fetchone()[0]
    finally:
        connection.close()
    took_ms = [settled_ms - owed_ms for owed_ms, settled_ms in rows if owed_ms >= since_ms]
    return Record(took_ms, (until_ms - since_ms) / 1000, count)


class Comparison(NamedTuple):
    """Runs under one load, made in turn."""

    alone: list[Trial]
    good: list[Trial]
    bad: list[Trial]

    def ratio(self, field: str, to: list[Trial]) -> float:
        """Beside bad endpoints over ``to``: the median over the rounds, each of which saw the same machine."""
        pairs = zip(to, self.bad, strict=True)
        return statistics.median(getattr(bad, field) / getattr(other, field) for other, bad in pairs)


def compare(load: Load, companies: tuple[Company, Company, Company], others_per_s: float, repeats: int) -> Comparison:
    compared = Comparison([], [], [])
    with tempfile.TemporaryDirectory(dir=BUILD) as folder:
        path = Path(folder, "requests").resolve()
        requests = Requests(path, write_requests(path, load.events_max))
        for number in range(repeats):
            turns = list(zip(compared, companies, strict=True))
            for made, company in turns if number % 2 == 0 else reversed(turns):
                made.append(trial(load, requests, company, others_per_s))
    return compared


def report(title: str, compared: Comparison) -> dict[str, dict[str, float]]:
    """Prints the medians, and returns the ratios to alone and to beside good ones."""
    print(f"\n{title:<34}{'alone':>10}{'+ good':>10}{'+ bad':>10}{'to alone':>10}{'to good':>10}")
    ratios: dict[str, dict[str, float]] = {"to_alone": {}, "to_good": {}}
    for field in _FIELDS:
        medians = [statistics.median(getattr(one, field) for one in some) for some in compared]
        to_alone = ratios["to_alone"][field] = compared.ratio(field, compared.alone)
        to_good = ratios["to_good"][field] = compared.ratio(field, compared.good)
        print(f"  {field:<32}{''.join(f'{one:>10.2f}' for one in medians)}{to_alone:>10.2f}{to_good:>10.2f}")
    for field in ("others_attempts_per_s", "others_cores"):
        medians = [statistics.median(getattr(one, field) for one in some) for some in compared]
        print(f"  {field:<32}{''.join(f'{one:>10.2f}' for one in medians)}")
    return ratios


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench bad-neighbours", description=__doc__)
    parser.add_argument("--seconds", type=float, default=8.0, help="load for each run, beyond the warm-up (default 8)")
    parser.add_argument("--repeats", type=int, default=4, help="runs of each kind for each load (default 4)")
    parser.add_argument("--rate", type=float, default=1000.0, help="events/s of the steady load (default 1000)")
    parser.add_argument("--others-rate", type=float, default=5.0, help="events/s for all the others (default 5)")
    parser.add_argument("--out", type=Path, default=BUILD / "bench-bad-neighbours.json")
    return parser.parse_args(arguments)


@contextmanager
def _companies() -> Iterator[tuple[Company, Company, Company]]:
    with bad_endpoints() as bad, tempfile.TemporaryDirectory() as folder, sink.Sink(Path(folder)) as well:
        good = {f"good-{number}": {"url": well.url} for number in range(len(bad.settings))}
        yield ALONE, Company(good, well.pid), Company(bad.settings, bad.pid)


def main(arguments: Sequence[str]) -> int:
    options = _options(arguments)
    BUILD.mkdir(exist_ok=True)
    facts = system.machine(BUILD)
    for name, value in facts.items():
        print(f"{name:<14}{value}")
    seconds = options.seconds + WARM_UP_S
    with _companies() as companies:
        bad = companies[-1].settings
        print(f"bad endpoints {len(bad)}: {', '.join(bad)}")
        steady = compare(Load(seconds, CONNECTIONS, options.rate), companies, options.others_rate, options.repeats)
        ratios = {"steady": report(f"steady load of {options.rate:g} events/s", steady)}
        full = compare(Load(seconds, CONNECTIONS), companies, options.others_rate, options.repeats)
        ratios["full"] = report("full load", full)
    faults = [fault for compared in (steady, full) for some in compared for one in some for fault in one.faults]
    print()
    for load, of_load in ratios.items():
        for to, words in (("to_alone", "than alone"), ("to_good", "than beside good ones")):
            rate, p99 = of_load[to]["events_per_s"], of_load[to]["latency_ms_p99"]
            kept = rate >= 1 / RATIO_MAX and p99 <= RATIO_MAX
            print(
                f"{load} load, beside bad endpoints rather {words}: {rate:.2f} of the events/s, {p99:.2f} of the p99; "
                f"within {RATIO_MAX - 1:.0%}: {'yes' if kept else 'no'}"
            )
    print("ledger: " + ("; ".join(faults) if faults else "clean, all that was accepted arrived, once and in order"))
    runs = {
        name: {kind: [one._asdict() for one in some] for kind, some in compared._asdict().items()}
        for name, compared in (("steady", steady), ("full", full))
    }
    options.out.write_text(json.dumps({"machine": facts, "ratios": ratios, "faults": faults, "runs": runs}, indent=2))
    print(f"written to {options.out}")
    return 1 if faults else 0
