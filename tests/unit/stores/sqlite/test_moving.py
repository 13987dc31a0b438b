"""A file that a store is moved from: what is no such file, and how much of one is held in memory."""

from __future__ import annotations

import os
import tracemalloc
from collections.abc import Sequence as Seq
from pathlib import Path

import pytest

from roombell.errors import StoreError
from roombell.stores.moving import CHUNK_BYTES_MAX, START, Contents, Move, Place, Row, Table
from roombell.stores.sqlite.inline import InlineSqliteStore
from roombell.stores.sqlite.inspect import inspect
from roombell.stores.sqlite.moving import opened_source
from roombell.testing.store_driver import event, opened

EVENTS = 40
BODY_BYTES = 1_000_000


class Nowhere:
    """A ``Target`` that keeps nothing."""

    async def begin(self, contents: Contents) -> Place | None:
        return START

    async def add(self, table: Table, rows: Seq[Row], before: Place, after: Place) -> None: ...

    async def rows(self, table: Table, after: Row | None, limit: int) -> list[Row]:
        return []

    async def finish(self, contents: Contents) -> None: ...


async def fill(path: Path, *, events: int = 1, body_bytes: int = 1) -> None:
    async with opened(lambda: InlineSqliteStore(path)) as it:
        one = await it.endpoint()
        for number in range(events):
            await it.accept(event(f"EV_{number}", one, body=b"x" * body_bytes))


async def test_no_more_bodies_are_in_memory_than_one_transaction_carries(tmp_path: Path) -> None:
    await fill(tmp_path / "store.db", events=EVENTS, body_bytes=BODY_BYTES)
    with opened_source(tmp_path / "store.db") as source:
        move = Move(source, Nowhere())
        tracemalloc.start()
        carried = [moved.rows async for moved in move.carry(START) if moved.table == "event"]
        _, peak_bytes = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert carried == list(range(2, EVENTS + 1, 2))
    assert peak_bytes < 3 * CHUNK_BYTES_MAX


@pytest.mark.parametrize("name", ["%20 #'\"?.db", os.fsdecode(b"\xff.db")])
async def test_any_name_of_a_file_is_taken(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    await fill(path)
    assert inspect(path).exists
    with opened_source(path) as source:
        assert source.contents().rows["event"] == 1


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    os.mkfifo(path)
    held = os.open(path, os.O_RDWR)  # whoever opens it does not wait in this test
    with pytest.raises(StoreError, match="is a device, a pipe or a socket"), opened_source(path):
        pass
    os.close(held)
