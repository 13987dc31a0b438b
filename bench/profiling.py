"""Where the processor's time goes: py-spy looks at the service and its store's process under full load."""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from bench import system
from bench.service import Roombell
from bench.throughput import Load, run

SAMPLES_PER_S = 250
START_S = 1.5
"""Into the load: every lane has been made by then."""
LINES = 25

PARTS = (
    ("log", r"roombell/service/log|threading\.py"),
    ("ingest: HTTP", r"roombell/service/(?!metrics)"),
    ("metrics", r"roombell/service/metrics"),
    ("sign, verify", r"roombell/signing|hmac\.py|hashlib"),
    ("read events", r"roombell/events"),
    ("deliver: HTTP", r"roombell/transport"),
    ("engine", r"roombell/engine|roombell/notifier|roombell/wiring|random\.py|roombell/cli"),
    ("store: client", r"roombell/stores/sqlite/(client|child|wire)"),
    ("store: COMMIT and its fsync", r"_transaction"),
    ("store: statements", r"roombell/stores"),
    ("event loop, receiving", r"asyncio"),
)
"""Parts of the program by the innermost frame; the first that fits."""


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench profile", description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0, help="of load, nearly all of it watched (default 10)")
    parser.add_argument("--connections", type=int, default=128, help="of the saturating load (default 128)")
    options = parser.parse_args(arguments)
    spy = shutil.which("py-spy", path=f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin")
    if spy is None:
        print("The profile needs py-spy: pip install py-spy", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as folder:
        paths: list[Path] = []

        def watch(service: Roombell) -> None:
            time.sleep(START_S)
            pids = system.descendants(service.pid)
            paths.extend(Path(folder, f"{pid}.folded") for pid in pids)
            spies = [_spy(spy, pid, path, options.seconds - START_S) for pid, path in zip(pids, paths, strict=True)]
            for one in spies:
                one.wait()

        seen = run(Load(options.seconds, options.connections), during=watch)
        print(f"{seen.events_per_s:.0f} events/s while watched, {seen.cpu_us:.0f} us of processor time an event")
        for title, path in zip(("the service", "its store's process"), paths, strict=True):
            _report(title, path)
    for fault in seen.faults:
        print(fault)
    return 1 if seen.faults else 0


def _spy(spy: str, pid: int, path: Path, seconds: float) -> subprocess.Popen[bytes]:
    command = [spy, "record", "--rate", str(SAMPLES_PER_S), "--duration", str(round(seconds)), "--format", "raw"]
    command += ["--nonblocking", "--output", str(path), "--pid", str(pid)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _report(title: str, path: Path) -> None:
    parts: Counter[str] = Counter()
    lines: Counter[str] = Counter()
    for folded in path.read_text().splitlines():
        stack, _, count = folded.rpartition(" ")
        frame = stack.rpartition(";")[2]
        lines[frame] += int(count)
        parts[_part(frame)] += int(count)
    total = parts.total()
    print(f"\n{title}: {total} samples of {SAMPLES_PER_S} a second in which it was not idle")
    for name, count in parts.most_common():
        print(f"  {count / total:6.1%}  {name}")
    print("  by line:")
    for name, count in lines.most_common(LINES):
        print(f"  {count / total:6.1%}  {name}")


def _part(frame: str) -> str:
    return next((name for name, pattern in PARTS if re.search(pattern, frame)), "other")
