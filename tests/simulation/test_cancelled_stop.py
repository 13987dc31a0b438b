"""A stop whose caller is cancelled leaves nothing running."""

from __future__ import annotations

import asyncio

import pytest

from roombell.engine.model import Answered
from roombell.stores.memory import MemoryDisk, MemoryStore
from roombell.testing.virtual_time import run
from simulation.world import Endpoint, World


@pytest.mark.parametrize("cancels", [1, 2, 3])
@pytest.mark.parametrize("store_hangs", [False, True])
def test_a_cancelled_stop_leaves_nothing_running(store_hangs, cancels):
    async def main():
        disk = MemoryDisk()
        slow = Endpoint("slow", lambda *_: (500.0, Answered(200, 1)))
        world = World(1, [slow], lambda: MemoryStore(disk))
        await world.start()
        await world.emit("EV_1", "room")
        await asyncio.sleep(0.1)
        world.store.hangs = store_hangs
        waiting = [world.engine.submit(f"EV_{n}", "x", "room", "", b"{}") for n in (2, 3)]
        stopping = asyncio.create_task(world.engine.stop(30))
        await asyncio.sleep(1)
        for _ in range(cancels):
            stopping.cancel()
            await asyncio.sleep(0)
        await asyncio.wait([stopping])
        await asyncio.sleep(0.1)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert all(future.done() for future in waiting)

    run(main())
