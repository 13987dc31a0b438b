"""The promises, in virtual time, over seeds: what the far end sees while everything around it fails."""

from __future__ import annotations

import asyncio

import pytest

from roombell.engine.retry import RetryPolicy
from roombell.stores.memory import MemoryDisk, MemoryStore
from roombell.stores.sqlite.inline import InlineSqliteStore
from roombell.testing.virtual_time import run
from simulation.world import Endpoint, World, down_between, flaky, ok, refusing

PATIENT = RetryPolicy(attempts=1000, base_delay_ms=500, max_delay_ms=5_000)


def memory(_folder=None):
    disk = MemoryDisk()

    def make():
        disk.crash()
        return MemoryStore(disk)

    return make


def sqlite(folder):
    return lambda: InlineSqliteStore(folder / "roombell.db")


STORES = [pytest.param(memory, id="memory"), pytest.param(sqlite, id="sqlite")]


async def producers(world, rooms, per_room, *, gap_s):
    async def one(room):
        for n in range(1, per_room + 1):
            await world.emit(f"EV_{room}_{n}", f"room-{room}")
            await asyncio.sleep(gap_s * world.random.random())

    async with asyncio.TaskGroup() as group:
        for room in range(rooms):
            group.create_task(one(room), name=f"outside-{room}")


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("seed", range(5))
def test_every_event_arrives_once_and_in_order_while_nothing_fails(seed, store, tmp_path):
    async def main():
        world = World(seed, [Endpoint("a", ok()), Endpoint("b", ok(0.1))], store(tmp_path))
        await world.start()
        await producers(world, rooms=20, per_room=20, gap_s=0.02)
        await world.settle_down()
        await world.stop()
        world.check_all_delivered()
        world.check_order()
        world.check_gapless()
        world.check_concurrency()
        world.check_repeats(1)

    run(main())


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("seed", range(15))
def test_flaky_endpoints_and_a_failing_store_lose_and_reorder_nothing(seed, store, tmp_path):
    async def main():
        endpoints = [Endpoint("flaky", flaky(0.3), retry=PATIENT), Endpoint("steady", ok(), retry=PATIENT)]
        world = World(seed, endpoints, store(tmp_path), fault_share=0.05, lease_ms=20_000)
        await world.start()
        await producers(world, rooms=10, per_room=20, gap_s=0.1)
        await world.settle_down()
        await world.stop()
        world.check_all_delivered()
        world.check_order()
        world.check_gapless()
        world.check_concurrency()

    run(main())


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("seed", range(15))
def test_crashes_at_any_instant_lose_and_reorder_nothing(seed, store, tmp_path):
    async def main():
        endpoints = [Endpoint("flaky", flaky(0.2), retry=PATIENT), Endpoint("steady", ok(), retry=PATIENT)]
        world = World(seed, endpoints, store(tmp_path), lease_ms=20_000)
        await world.start()
        outside = asyncio.create_task(producers(world, rooms=10, per_room=20, gap_s=0.2), name="outside")
        crashes = 0
        while not outside.done():
            await asyncio.sleep(world.random.random())
            await world.crash()
            crashes += 1
            await world.start()
        await outside
        await world.settle_down()
        await world.stop()
        assert crashes > 2
        world.check_all_delivered()
        world.check_order()
        world.check_gapless()
        world.check_repeats(1 + crashes)

    run(main())


@pytest.mark.parametrize("seed", range(10))
def test_an_outage_of_thirty_five_seconds_at_one_event_a_second_loses_none_of_sixty(seed):
    async def main():
        world = World(seed, [Endpoint("app", down_between(10, 45))], memory())
        await world.start()
        for n in range(60):
            await world.emit(f"EV_{n}", "one-room")
            await asyncio.sleep(1.0)
        await world.settle_down()
        await world.stop()
        assert len(world.endpoints["app"].got) == 60
        world.check_order()
        world.check_gapless()

    run(main())


@pytest.mark.parametrize("seed", range(10))
def test_a_dead_endpoint_does_not_delay_a_healthy_one(seed):
    async def main():
        world = World(seed, [Endpoint("dead", refusing), Endpoint("healthy", ok(0.01))], memory())
        await world.start()
        await producers(world, rooms=50, per_room=10, gap_s=0.1)
        healthy = world.endpoints["healthy"]
        async with asyncio.timeout(1.0):
            while len(healthy.got) < 500:
                await asyncio.sleep(0.01)
        await world.stop(grace_s=1.0)
        world.check_order()

    run(main())
