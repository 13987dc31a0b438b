"""The machine, and what processes cost on it."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import resource
import sqlite3
import statistics
import tempfile
import time
from pathlib import Path

_PROBES = 200
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def machine(folder: Path) -> dict[str, object]:
    """Everything about this machine that the figures depend on."""
    return {
        "cpus": os.cpu_count(),
        "cpu": _cpu_name(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "store": "SQLite, WAL, synchronous=FULL: one fsync for each commit",
        "fdatasync_ms": fdatasync_ms(folder),
        "load_average": [round(one, 2) for one in os.getloadavg()],
        "roombell": importlib.metadata.version("roombell"),
    }


def fdatasync_ms(folder: Path) -> dict[str, float]:
    """What it costs to make 4 KiB at the end of a file durable, where the store will be."""
    took: list[float] = []
    with tempfile.NamedTemporaryFile(dir=folder) as file:
        for _ in range(_PROBES):
            os.write(file.fileno(), bytes(4096))
            started = time.perf_counter()
            os.fdatasync(file.fileno())
            took.append((time.perf_counter() - started) * 1000)
    took.sort()
    return {"p50": round(statistics.median(took), 3), "p99": round(took[int(_PROBES * 0.99)], 3)}


def descendants(pid: int) -> list[int]:
    """The process and all processes that it started, as far as they live."""
    found = [pid]
    for thread in Path(f"/proc/{pid}/task").iterdir():
        for child in (thread / "children").read_text().split():
            found += descendants(int(child))
    return found


def cpu_s(pid: int) -> float:
    """Processor time, user and system, that a process has used, and that its children which ended have used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(int(field) for field in fields[11:15]) / _TICKS_PER_S


def tree_cpu_s(pid: int) -> float:
    """The same for a process and all its descendants."""
    return sum(cpu_s(one) for one in descendants(pid))


def rss_bytes(pid: int) -> int:
    """Resident memory."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def descriptors(pid: int) -> int:
    """How many are open."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def threads(pid: int) -> int:
    """How many there are."""
    return len(list(Path(f"/proc/{pid}/task").iterdir()))


def ended_children_cpu_s() -> float:
    """Processor time of our children that have ended and were waited for."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def machine_cpu_s() -> float:
    """Processor time that anything on this machine has used: all but idling and waiting for disks."""
    with Path("/proc/stat").open() as stat:
        fields = [int(field) for field in stat.readline().split()[1:9]]
    return (sum(fields) - fields[3] - fields[4]) / _TICKS_PER_S


def _cpu_name() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
