"""Ordering keys over several databases: the promises hold while shards move, in virtual time, over seeds."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from roombell.testing.virtual_time import run
from simulation.sharding import SHARDS, Fleet, Watched, shard_of
from simulation.test_promises import PATIENT
from simulation.world import Endpoint, down_between, flaky, ok

ROOMS = 24
EXPECTED = [3, 2, 6, 4]
"""Where four keys belong: written down, since it may never change."""


def endpoint(name, behave):
    return Endpoint(name, Watched(behave), concurrency=64, retry=PATIENT)


async def producers(fleet, per_room, gap_s=0.2):
    async def one(room):
        for number in range(1, per_room + 1):
            await fleet.emit(f"EV_{room}_{number}", f"room-{room}")
            await asyncio.sleep(gap_s * fleet.random.random())

    async with asyncio.TaskGroup() as group:
        for room in range(ROOMS):
            group.create_task(one(room), name=f"outside-{room}")


async def movers(fleet, moves, **how):
    for _ in range(moves):
        await asyncio.sleep(2 * fleet.random.random())
        await fleet.move(fleet.random.randrange(SHARDS), **how)


def faults(fleet):
    return [fault for one in fleet.places[0].world.endpoints.values() for fault in one.behave.faults()]


def check_promises(fleet):
    world = fleet.places[0].world
    assert faults(fleet) == []
    world.check_all_delivered()
    world.check_gapless()


def test_a_key_belongs_to_one_shard_for_ever_and_keys_are_spread_evenly():
    assert [shard_of(key) for key in ("room-1", "room-2", "räum", "")] == EXPECTED
    counts = Counter(shard_of(f"room-{number}") for number in range(20_000))
    assert len(counts) == SHARDS
    assert max(counts.values()) < 1.1 * 20_000 / SHARDS


@pytest.mark.parametrize("seed", range(6))
def test_shards_that_move_under_traffic_lose_and_reorder_nothing(seed):
    async def main():
        fleet = Fleet(seed, [endpoint("flaky", flaky(0.3)), endpoint("steady", ok())])
        await fleet.start()
        async with asyncio.TaskGroup() as group:
            group.create_task(producers(fleet, 60), name="outside")
            group.create_task(movers(fleet, 4), name="outside-mover")
        await fleet.settle_down()
        check_promises(fleet)
        fleet.places[0].world.check_repeats(1)

    run(main())


@pytest.mark.parametrize("seed", range(4))
def test_shards_that_move_while_stores_fail_lose_and_reorder_nothing(seed):
    async def main():
        fleet = Fleet(seed, [endpoint("flaky", flaky(0.2)), endpoint("steady", ok())], fault_share=0.03)
        await fleet.start()
        async with asyncio.TaskGroup() as group:
            group.create_task(producers(fleet, 40), name="outside")
            group.create_task(movers(fleet, 3), name="outside-mover")
        await fleet.settle_down()
        check_promises(fleet)

    run(main())


@pytest.mark.parametrize("seed", range(4))
def test_a_power_cut_in_the_middle_of_a_move_loses_and_reorders_nothing(seed):
    async def main():
        fleet = Fleet(seed, [endpoint("slow", flaky(0.2, 0.5)), endpoint("steady", ok())])
        await fleet.start()
        sending = asyncio.create_task(producers(fleet, 30), name="outside")
        await asyncio.sleep(1.0)
        for shard in range(3):
            moving = asyncio.create_task(fleet.move(shard), name="outside-mover")
            await asyncio.sleep(0.3 * fleet.random.random())
            await fleet.crash()
            await moving
        await sending
        await fleet.settle_down()
        check_promises(fleet)
        fleet.places[0].world.check_repeats(1 + 3)

    run(main())


def test_an_endpoint_that_is_down_holds_up_no_other_while_a_shard_moves():
    async def main():
        fleet = Fleet(1, [endpoint("down", down_between(0, 600)), endpoint("steady", ok())])
        await fleet.start()
        async with asyncio.TaskGroup() as group:
            group.create_task(producers(fleet, 20), name="outside")
            for shard in range(SHARDS):
                group.create_task(fleet.move(shard), name=f"outside-mover-{shard}")
        await fleet.settle_down()
        check_promises(fleet)
        steady = fleet.places[0].world.endpoints["steady"]
        assert max(end_s for spans in steady.behave.spans.values() for _, end_s, _ in spans) < 60

    run(main())


def test_a_move_that_does_not_wait_for_the_old_store_is_caught_by_these_checks():
    async def main():
        fleet = Fleet(1, [endpoint("slow", flaky(0.3, 0.5))])
        await fleet.start()
        async with asyncio.TaskGroup() as group:
            group.create_task(producers(fleet, 40), name="outside")
            group.create_task(movers(fleet, 4, waiting=False), name="outside-mover")
        await fleet.settle_down()
        assert faults(fleet)

    run(main())
