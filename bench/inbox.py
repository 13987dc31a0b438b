"""A FastAPI application with an inbox under a steady load: how long a sender waits for its answer, and what it costs.

wrk -> POST /webhook -> verified -> on disk -> 200, and behind that one handler for each event. The run counts only if
its ledger is clean: every event that was answered 200 was handled, once, and each room's in the order of acceptance.
Otherwise the exit code is 1. It is 1, too, where fewer events a second were taken than asked for, or the answers took
longer than ``--p99-ms``.
"""

from __future__ import annotations

import argparse
import json
import re
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple, Self

from bench import system
from bench.prepared import write_requests
from bench.throughput import BUILD, DRAIN_S_MAX, Load, accepted_ids, bench_folder, loader_faults, refused, start_wrk

_START_S_MAX = 30.0
_TAKEN_SHARE_MIN = 0.97
"""wrk's pauses are drawn, so a run has a little more or less than was asked for."""
_ANSWER_S = 0.0025
"""What an answer takes, about: wrk pauses after it, so it has to pause for so much less."""
_UNITS = {"us": 0.001, "ms": 1.0, "s": 1000.0}


class Application:
    """The application in a process of its own."""

    def __init__(self, folder: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = int(probe.getsockname()[1])
        self.store, self.handled = folder / "inbox.db", folder / "handled"
        arguments = [f"sqlite:///{self.store}", self.handled, self.port]
        command = [sys.executable, "-m", "bench.inbox_app", *map(str, arguments)]
        self._process = subprocess.Popen(command)

    def owed(self) -> int:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/owed", timeout=30) as answer:
            return int(json.load(answer)["pending"])

    @property
    def cpu_s(self) -> tuple[float, float]:
        """Of the application itself, and of its store's process."""
        own_s = system.cpu_s(self._process.pid)
        return own_s, system.tree_cpu_s(self._process.pid) - own_s

    def __enter__(self) -> Self:
        deadline = time.monotonic() + _START_S_MAX
        while True:
            try:
                self.owed()
            except OSError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    self.__exit__()
                    sys.exit("The application did not start.")
                time.sleep(0.05)
            else:
                return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait()


class Run(NamedTuple):
    """What one run showed."""

    events_per_s: float
    """Answered 200."""
    answer_ms_p50: float
    answer_ms_p99: float
    """From the request to its answer, as the sender sees it."""
    cpu_us: float
    """Of the application for each event, its framework, the inbox and the handler in it."""
    store_cpu_us: float
    others_cores: float
    backlog: int
    """Events that were not handled yet when the load ended."""
    drain_s: float
    refused_503: int
    faults: tuple[str, ...]


def run(load: Load) -> Run:
    with bench_folder() as folder:
        request_bytes = write_requests(folder / "requests", load.events_max)
        with Application(folder) as app:
            machine_s, own_s, loader_s = system.machine_cpu_s(), app.cpu_s, system.ended_children_cpu_s()
            started = time.monotonic()
            told = start_wrk(load, folder, request_bytes, app.port, "--latency").communicate()[0]
            loaded = time.monotonic()
            backlog = app.owed()
            _drain(app)
            ended = time.monotonic()
            used_s = [after - before for after, before in zip(app.cpu_s, own_s, strict=True)]
            wrk_s = system.ended_children_cpu_s() - loader_s
            others_s = system.machine_cpu_s() - machine_s - sum(used_s) - wrk_s
        accepted = accepted_ids(folder / "answers")
        return Run(
            events_per_s=len(accepted) / (loaded - started),
            answer_ms_p50=_latency_ms(told, 50),
            answer_ms_p99=_latency_ms(told, 99),
            cpu_us=used_s[0] / len(accepted) * 1e6,
            store_cpu_us=used_s[1] / len(accepted) * 1e6,
            others_cores=others_s / (ended - started),
            backlog=backlog,
            drain_s=ended - loaded,
            refused_503=refused(told),
            faults=(*_ledger(app, accepted), *loader_faults(told)),
        )


def _drain(app: Application) -> None:
    deadline = time.monotonic() + DRAIN_S_MAX
    while app.owed() and time.monotonic() < deadline:
        time.sleep(0.05)


def _latency_ms(told: str, percent: int) -> float:
    found = re.search(rf"^\s*{percent}%\s+([\d.]+)(us|ms|s)\s*$", told, re.MULTILINE)
    assert found is not None, told
    return float(found[1]) * _UNITS[found[2]]


def _ledger(app: Application, accepted: set[str]) -> list[str]:
    """What is wrong with what was handled; nothing if all is well."""
    handled = [line.split() for line in app.handled.read_text().splitlines()]
    with closing(sqlite3.connect(f"file:{app.store}?mode=ro", uri=True)) as connection:
        order = connection.execute("SELECT room_name, event_id FROM event ORDER BY id").fetchall()
    faults = []
    if missing := accepted - {event_id for _, event_id in handled}:
        faults.append(f"{len(missing)} events were answered 200 and not handled, such as {min(missing)}")
    if len(handled) != len({event_id for _, event_id in handled}):
        faults.append("Some events were handled twice")
    if _by_room(order) != _by_room(handled):
        faults.append("Some room's events were not handled in the order of acceptance")
    return faults


def _by_room(rows: Sequence[Sequence[str]]) -> dict[str, list[str]]:
    rooms: dict[str, list[str]] = {}
    for room, event_id in rows:
        rooms.setdefault(room, []).append(event_id)
    return rooms


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench inbox", description=__doc__)
    parser.add_argument("--rate", type=float, default=5000.0, help="events a second (default 5000)")
    parser.add_argument("--seconds", type=float, default=10.0, help="of load (default 10)")
    parser.add_argument("--connections", type=int, default=64, help="of the senders (default 64)")
    parser.add_argument("--p99-ms", type=float, default=20.0, help="what answers may take (default 20)")
    options = parser.parse_args(arguments)
    BUILD.mkdir(exist_ok=True)
    for name, value in system.machine(BUILD).items():
        print(f"{name:<14}{value}")
    offered = 1 / (1 / options.rate - _ANSWER_S / options.connections)
    seen = run(Load(options.seconds, options.connections, offered))
    for name in Run._fields[:-1]:
        print(f"  {name:<16} {getattr(seen, name):>10.1f}")
    faults = list(seen.faults)
    if seen.events_per_s < options.rate * _TAKEN_SHARE_MIN:
        faults.append(f"{seen.events_per_s:.0f} events/s were taken, not {options.rate:.0f}")
    if seen.answer_ms_p99 > options.p99_ms:
        faults.append(f"answers took {seen.answer_ms_p99:.1f} ms at the 99th percentile, over {options.p99_ms:g} ms")
    print(
        "ledger: " + ("; ".join(faults) if faults else "clean, all that was answered 200 was handled, once, in order")
    )
    return 1 if faults else 0
