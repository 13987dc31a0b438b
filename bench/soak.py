"""Half an hour of mixed misbehaviour: does anything grow that should not?

``roombell serve`` delivers to nginx and to some thirty endpoints that do everything wrong that ``bench.bad_endpoints``
knows; every few seconds each of them changes its ways, and is well at times. Events come at a steady pace, the
configuration is reloaded each minute, and what is settled is removed soon. Memory, descriptors, threads and tasks are
looked at all the while: after a time to warm up, the last third may not be above the first. What was accepted for the
healthy endpoint has to arrive, once and in order. Otherwise the exit code is 1.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import signal
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from bench import sink, system
from bench.bad_endpoints import bad_endpoints
from bench.feeder import Feeder
from bench.service import Roombell
from bench.throughput import BUILD, bench_folder

WARM_UP_SHARE = 0.25
"""Of the whole time. Interpreter, caches and the first backlog reach their size."""
SAMPLE_EVERY_S = 1.0
RELOAD_EVERY_S = 60.0
SHUFFLE_EVERY_S = 5.0
GROWTH_MAX = 1.1
SLACK = {"service_mib": 2.0, "store_mib": 2.0, "descriptors": 32.0, "threads": 2.0, "tasks": 64.0}
"""What each figure may grow by on top: the endpoints' moods differ from one third to the next."""
BAD_SETTINGS = {
    "rooms": ["bad-*"],
    "timeout": "3s",
    "retry": {"attempts": 5, "base_delay": "500ms", "max_delay": "5s", "max_age": "30s"},
}
_HEALTHY = "healthy"


class Sample(NamedTuple):
    """What was seen of the processes at one moment."""

    at_s: float
    service_mib: float
    store_mib: float
    descriptors: float
    threads: float
    tasks: float
    pending: float
    attempts: float


class Soak:
    """A running service and what was seen of it."""

    def __init__(self, service: Roombell, seconds: float) -> None:
        self.samples: list[Sample] = []
        self._service = service
        self._seconds = seconds
        self._started = time.monotonic()

    def run(self) -> None:
        """Looks, reloads and tells, until the time is over."""
        reload_at = RELOAD_EVERY_S
        for number in itertools.count():
            time.sleep(max(0.0, self._started + number * SAMPLE_EVERY_S - time.monotonic()))
            seen = self._sample()
            self.samples.append(seen)
            if seen.at_s >= self._seconds:
                return
            if seen.at_s >= reload_at:
                reload_at += RELOAD_EVERY_S
                os.kill(self._service.pid, signal.SIGHUP)
            if number % 30 == 0:
                told = ", ".join(f"{name} {value:.0f}" for name, value in seen._asdict().items() if name != "at_s")
                print(f"{seen.at_s:6.0f} s  {told}", flush=True)

    def _sample(self) -> Sample:
        pids = system.descendants(self._service.pid)
        metrics = self._service.metrics()
        return Sample(
            at_s=time.monotonic() - self._started,
            service_mib=system.rss_bytes(pids[0]) / 2**20,
            store_mib=sum(map(system.rss_bytes, pids[1:])) / 2**20,
            descriptors=sum(map(system.descriptors, pids)),
            threads=sum(map(system.threads, pids)),
            tasks=metrics["roombell_tasks"],
            pending=metrics["roombell_pending_deliveries"],
            attempts=metrics.get("roombell_attempts_total", 0.0),
        )

    def faults(self) -> list[str]:
        """Prints how each figure went; those that grew."""
        warm = [one for one in self.samples if one.at_s >= WARM_UP_SHARE * self._seconds]
        third = len(warm) // 3
        first, last = warm[:third], warm[-third:]
        print(f"\n{'median of':<14}{'first third':>14}{'last third':>14}{'at most':>14}")
        grew = []
        for name, slack in SLACK.items():
            before, after = (statistics.median(getattr(one, name) for one in some) for some in (first, last))
            bound = before * GROWTH_MAX + slack
            print(f"{name:<14}{before:>14.1f}{after:>14.1f}{bound:>14.1f}{'' if after <= bound else '  grew'}")
            if after > bound:
                grew.append(f"{name} grew from {before:.1f} to {after:.1f}")
        return grew


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0, help="how long (default 30)")
    parser.add_argument("--rate", type=float, default=50.0, help="events/s for the healthy endpoint (default 50)")
    parser.add_argument("--bad-rate", type=float, default=2.0, help="events/s for each of the others (default 2)")
    parser.add_argument("--out", type=Path, default=BUILD / "soak.json")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> int:
    options = _options(arguments)
    BUILD.mkdir(exist_ok=True)
    facts = system.machine(BUILD)
    for name, value in facts.items():
        print(f"{name:<14}{value}")
    with bench_folder() as folder, bad_endpoints(shuffle_every_s=SHUFFLE_EVERY_S) as bad:
        print(f"bad endpoints {len(bad.settings)}: {', '.join(bad.settings)}\n")
        with sink.Sink(folder) as far_end:
            endpoints = [{"name": _HEALTHY, "url": far_end.url, "rooms": [f"{_HEALTHY}-*"]}]
            endpoints += [{"name": name, **BAD_SETTINGS, **settings} for name, settings in bad.settings.items()]
            with Roombell(folder, far_end.url, settings={"endpoints": endpoints, "retention": "1m"}) as service:
                soak = Soak(service, options.minutes * 60)
                with (
                    Feeder(service.port, _HEALTHY, per_s=options.rate) as healthy,
                    Feeder(service.port, "bad", per_s=options.bad_rate),
                ):
                    soak.run()
                faults = soak.faults() + service.undelivered(_HEALTHY)
        ledger = sink.check(far_end.arrivals_path, healthy.accepted)
    faults += ledger.faults
    print(f"\nledger: {ledger.arrived} of {ledger.accepted} events arrived, {ledger.repeats} of them again")
    print("; ".join(faults) if faults else "Nothing grew, and nothing was lost.")
    samples = [one._asdict() for one in soak.samples]
    options.out.write_text(json.dumps({"machine": facts, "faults": faults, "samples": samples}, indent=2))
    print(f"written to {options.out}")
    return 1 if faults else 0
