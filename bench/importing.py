"""How long a web application waits for ``from roombell import Receiver``, beside what it is made of.

    python -m bench import [runs]

Each run is a fresh interpreter with warm bytecode. What counts is the smallest processor time less that of an
interpreter that imports nothing: the wall time of an import on an idle machine.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Sequence

LIMIT_MS = 50
STATEMENTS = ("pass", "import msgspec", "import roombell.receiver", "from roombell import Receiver")


def measure(statement: str, runs: int, env: dict[str, str]) -> tuple[float, float]:
    """The smallest processor time and wall time, ms."""
    cpu_s, wall_s = [], []
    for _ in range(runs + 1):  # the first one writes the bytecode
        began_s = time.perf_counter()
        pid = os.posix_spawn(sys.executable, [sys.executable, "-c", statement], env)
        usage = os.wait4(pid, 0)[2]
        wall_s.append(time.perf_counter() - began_s)
        cpu_s.append(usage.ru_utime + usage.ru_stime)
    return min(cpu_s) * 1000, min(wall_s) * 1000


def main(arguments: Sequence[str]) -> int:
    runs = int(arguments[0]) if arguments else 15
    with tempfile.TemporaryDirectory() as folder:
        env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        env["PYTHONPYCACHEPREFIX"] = folder
        measured = {statement: measure(statement, runs, env) for statement in STATEMENTS}
    bare_cpu_ms, bare_wall_ms = measured["pass"]
    print(f"an interpreter that imports nothing: {bare_cpu_ms:.0f} ms of processor time, {bare_wall_ms:.0f} ms")
    for statement in STATEMENTS[1:]:
        cpu_ms, wall_ms = measured[statement]
        added, ratio = f"{cpu_ms - bare_cpu_ms:5.1f} ms more", f"{cpu_ms / bare_cpu_ms:.1f} times"
        print(f"{statement:<30} {added} ({ratio}), {wall_ms - bare_wall_ms:5.1f} ms of wall time")
    added_ms = measured[STATEMENTS[-1]][0] - bare_cpu_ms
    print(f"limit {LIMIT_MS} ms: {'kept' if added_ms < LIMIT_MS else 'missed'}")
    return 0 if added_ms < LIMIT_MS else 1
