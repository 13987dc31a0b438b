"""Retries are made when they are due, not at the poll that exists for lost wake-ups."""

from __future__ import annotations

import asyncio

import pytest

from roombell.engine.lanes import HeldLimits
from roombell.engine.model import Answered
from roombell.engine.retry import RetryPolicy
from roombell.stores.memory import MemoryDisk, MemoryStore
from roombell.testing.virtual_time import run
from simulation.world import Endpoint, World, ok

ROOMS = 5
QUICK = RetryPolicy(attempts=1000, base_delay_ms=20, max_delay_ms=20)
SLOW_S = 20.0
IN_TIME_MS = 1000


def failing_at_first_and_then_slow(now_s, request, draw):
    """So that no end of a second attempt wakes anybody up in time for another one."""
    return (0.001, Answered(422, 1)) if request.attempt == 1 else (SLOW_S, Answered(200, 1))


@pytest.mark.parametrize("seed", range(20))
def test_a_retry_that_falls_due_while_the_store_is_asked_for_others_is_made_in_time(seed):
    async def main():
        disk = MemoryDisk()
        endpoint = Endpoint("app", failing_at_first_and_then_slow, retry=QUICK)
        world = World(seed, [endpoint], lambda: MemoryStore(disk))
        await world.start()
        await asyncio.gather(*(world.emit(f"EV_{room}", f"room-{room}") for room in range(ROOMS)))
        accepted_at_ms = world.clock.now_ms()
        await world.settle_down()
        await world.stop()
        world.check_all_delivered()
        assert max(arrival.at_ms for arrival in endpoint.arrivals) - accepted_at_ms < IN_TIME_MS

    run(main())


def test_a_lane_whose_result_got_lost_with_the_stores_answer_does_not_wait_for_its_lease_to_run_out():
    async def main():
        disk = MemoryDisk()
        endpoint = Endpoint("app", lambda now_s, request, draw: (0.5, Answered(200, 1)))
        world = World(1, [endpoint], lambda: MemoryStore(disk), lease_ms=600_000)
        await world.start()
        await world.emit("EV_1", "room")
        world.store.fault_share = 1.0
        world.store.only_unavailable = True
        await asyncio.sleep(1.0)
        world.store.fault_share = 0.0
        await world.emit("EV_2", "room")
        await world.settle_down(limit_s=30)
        await world.stop()
        world.check_all_delivered()
        world.check_order()

    run(main())


def test_memory_that_an_endpoint_frees_is_at_once_another_one_s():
    async def main():
        disk = MemoryDisk()
        taker = Endpoint("taker", lambda *_: (300.0, Answered(200, 1)), concurrency=1)
        waiter = Endpoint("waiter", ok())
        world = World(1, [taker, waiter], lambda: MemoryStore(disk), held=HeldLimits(deliveries_max=50))
        await world.start()
        ids = {endpoint.name: endpoint_id for endpoint_id, endpoint in world.by_id.items()}
        for number in range(70):
            await world.engine.submit(f"EV_{number}", "x", f"room-{number}", "", b"{}", to=(ids["taker"],))
        await world.engine.submit("EV_waits", "x", "room", "", b"{}", to=(ids["waiter"],))
        await asyncio.sleep(1)
        assert waiter.arrivals == []
        world.engine.pause(ids["taker"])
        paused_at_ms = world.clock.now_ms()
        while not waiter.arrivals:
            await asyncio.sleep(0.01)
        assert waiter.arrivals[0].at_ms - paused_at_ms < IN_TIME_MS
        await world.engine.stop(0)

    run(main())
