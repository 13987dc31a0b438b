"""How many events a second the SQLite store accepts and settles, and what an event costs in processor time.

    python -m bench store [seconds for each figure] [folder for the file]

Each event is accepted for one endpoint in one commit, leased there, and settled in the next: the shape of the hot
path. ``inline`` runs SQLite in this process, ``process`` in the store's own, where both processes are counted.
"""

from __future__ import annotations

import asyncio
import os
import platform
import resource
import sqlite3
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from roombell.engine.model import (
    Accept,
    AttemptRecord,
    Batch,
    DeliveryState,
    EndpointId,
    Grant,
    LaneId,
    Placed,
    Settle,
)
from roombell.engine.ports import Store
from roombell.stores.sqlite.client import SqliteStore
from roombell.stores.sqlite.inline import InlineSqliteStore

BODY = b"x" * 900
ROOMS = 2_000
ENDPOINTS = 50
LEASE_MS = 30_000


def settle(placed: Placed, now_ms: int) -> Settle:
    return Settle(
        lane_id=placed.lane_id,
        generation=placed.generation,
        sequence=placed.sequence,
        state=DeliveryState.DELIVERED,
        attempt=AttemptRecord(1, now_ms, 3, "answered", 200, ""),
        settled_at_ms=now_ms,
    )


async def run(store: Store, batch_size: int, seconds: float) -> int:
    """Accepts and settles for so long; returns how many events."""
    names = [f"endpoint-{number}" for number in range(ENDPOINTS)]
    ids = [status.endpoint_id for status in (await store.register(names, now_ms=0)).values()]
    grants = tuple(Grant(endpoint_id, batch_size) for endpoint_id in ids)
    done, owed = 0, {}
    deadline = time.perf_counter() + seconds
    while time.perf_counter() < deadline:
        now_ms = time.time_ns() // 1_000_000
        accepts = tuple(accept(done + index, ids, now_ms) for index in range(batch_size))
        settles = tuple(settle(placed, now_ms) for placed in owed.values())
        batch = Batch("bench", now_ms + LEASE_MS, accepts, grants, settles)
        result = await store.commit(batch)
        assert not any(settled.lost for settled in result.settled)
        heads: dict[LaneId, Placed] = {}
        for accepted in result.accepted:
            assert accepted.placed[0].lane_id not in heads, "a lane has one delivery at a time in this bench"
            heads[accepted.placed[0].lane_id] = accepted.placed[0]
        owed = heads
        done += batch_size
    return done


def accept(number: int, ids: list[EndpointId], now_ms: int) -> Accept:
    room = number % ROOMS
    return Accept(
        event_id=f"EV_{os.urandom(6).hex()}{number}",
        event_type="participant_joined",
        ordering_key=f"room-{room}",
        room_name=f"room-{room}",
        body=BODY,
        accepted_at_ms=now_ms,
        endpoints=(ids[room % ENDPOINTS],),
    )


def cpu_s() -> float:
    return sum(
        usage.ru_utime + usage.ru_stime
        for usage in (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN))
    )


async def measure(kind: type[InlineSqliteStore | SqliteStore], batch_size: int, seconds: float, folder: str) -> str:
    before_s = cpu_s()
    store = kind(Path(folder) / f"{kind.__name__}-{batch_size}.db")
    await store.open()
    started = time.perf_counter()
    events = await run(store, batch_size, seconds)
    took = time.perf_counter() - started
    await store.close()
    cost_us = (cpu_s() - before_s) / events * 1e6
    return f"{kind.__name__:18} batch {batch_size:4}: {events / took:8.0f} events/s, {cost_us:6.1f} us of CPU an event"


def main(arguments: Sequence[str]) -> int:
    seconds = float(arguments[0]) if arguments else 5.0
    parent = arguments[1] if len(arguments) > 1 else None
    print(
        f"{os.cpu_count()} CPUs, {platform.machine()}, Python {platform.python_version()}, "
        f"SQLite {sqlite3.sqlite_version}, WAL, synchronous=FULL"
    )
    with tempfile.TemporaryDirectory(dir=parent) as folder:
        for kind in (InlineSqliteStore, SqliteStore):
            for batch_size in (8, 128):
                print(asyncio.run(measure(kind, batch_size, seconds, folder)), flush=True)
    return 0
