"""The promises with several workers on one store, in virtual time, over seeds."""

from __future__ import annotations

import asyncio

import pytest

from roombell.engine.fleet import BEAT_S, JOIN_S, LIFE_S
from roombell.engine.model import EndpointState
from roombell.engine.retry import RetryPolicy
from simulation.fleet import FleetWorld, run_fleet
from simulation.test_promises import producers
from simulation.world import Endpoint, down_between, flaky, ok

PATIENT = RetryPolicy(attempts=1000, base_delay_ms=500, max_delay_ms=5_000)


@pytest.mark.parametrize("seed", range(5))
def test_three_workers_deliver_every_event_once_and_in_order(seed):
    async def main():
        world = FleetWorld(seed, [Endpoint("a", ok()), Endpoint("b", ok(0.1))])
        for _ in range(3):
            await world.join()
        await asyncio.sleep(JOIN_S + BEAT_S)
        await producers(world, rooms=20, per_room=20, gap_s=0.05)
        await world.settle_down()
        await world.stop_all()
        world.check_all_delivered()
        world.check_order()
        world.check_gapless()
        world.check_concurrency()
        world.check_repeats(1)
        assert all(len(sent) > 50 for sent in world.sent.values()), "each worker has its share"

    run_fleet(main())


@pytest.mark.parametrize("seed", range(12))
def test_killed_frozen_and_new_workers_lose_and_reorder_nothing(seed):
    async def main():
        endpoints = [Endpoint("flaky", flaky(0.2), retry=PATIENT), Endpoint("steady", ok(), retry=PATIENT)]
        world = FleetWorld(seed, endpoints, fault_share=0.03)
        for _ in range(3):
            await world.join()
        outside = asyncio.create_task(producers(world, rooms=10, per_room=40, gap_s=3.0), name="outside")
        zombies, kills = 0, 0
        while not outside.done():
            await asyncio.sleep(6.0 * world.random.random())
            up = [worker for worker in world.workers if worker.up]
            victim = world.random.choice(up)
            if world.random.random() < 0.5 and len(up) > 1:
                world.freeze(victim)
                zombies += 1
                asyncio.get_running_loop().call_later(40.0 * world.random.random(), world.thaw, victim)
            elif world.random.random() < 0.5:
                world.kill(victim)
                kills += 1
                await world.join()
        await outside
        await asyncio.sleep(41.0)
        await world.settle_down()
        await world.stop_all()
        assert zombies > 2
        assert kills > 1
        world.check_all_delivered()
        world.check_order()
        world.check_gapless()
        world.check_repeats(1 + zombies + kills)

    run_fleet(main())


@pytest.mark.parametrize("seed", range(3))
def test_a_lost_notification_costs_no_more_than_a_look_now_and_then(seed):
    async def main():
        world = FleetWorld(seed, [Endpoint("a", ok())], deaf=True)
        await world.join(delivers=False)
        await world.join()
        await asyncio.sleep(JOIN_S + BEAT_S)
        world.workers[1].engine._running = False  # producers reach the first one alone
        began_ms = world.clock.now_ms()
        await world.emit("EV_1", "room")
        await world.settle_down()
        assert world.endpoints["a"].arrivals[0].at_ms - began_ms < 6_000
        world.workers[1].engine._running = True
        await world.stop_all()

    run_fleet(main())


@pytest.mark.parametrize("limit", [1, 2, 7])
def test_concurrency_holds_for_the_fleet_while_workers_come_and_go(limit):
    async def main():
        world = FleetWorld(1, [Endpoint("a", ok(0.2), concurrency=limit, retry=PATIENT)])
        outside = asyncio.create_task(producers(world, rooms=20, per_room=10, gap_s=8.0), name="outside")
        for _ in range(4):
            await world.join()
            await asyncio.sleep(7.0)
        world.kill(world.workers[0])
        await asyncio.sleep(LIFE_S)
        await world.workers[1].engine.stop(10.0)
        await world.workers[1].store.close()
        await outside
        await world.settle_down()
        await world.stop_all()
        world.check_all_delivered()
        world.check_order()
        world.check_concurrency()
        assert world.endpoints["a"].in_flight_most == limit

    run_fleet(main())


def test_a_rate_holds_for_the_fleet():
    async def main():
        world = FleetWorld(1, [Endpoint("a", ok(0.01), rate_limit_per_s=10.0)])
        for _ in range(3):
            await world.join()
        await asyncio.sleep(JOIN_S + BEAT_S)
        for n in range(300):
            await world.emit(f"EV_{n}", f"room-{n}")
        began_s = asyncio.get_running_loop().time()
        await world.settle_down()
        took_s = asyncio.get_running_loop().time() - began_s
        assert 25.0 < took_s < 60.0
        times = sorted(at_s for sent in world.sent.values() for at_s, _, _ in sent)
        for at_s in range(int(began_s), int(began_s + took_s)):
            assert sum(at_s <= one < at_s + 1 for one in times) <= 10 + 3 * 4
        await world.stop_all()

    run_fleet(main())


def test_a_pause_and_an_end_of_it_reach_all_workers_within_a_beat():
    async def main():
        world = FleetWorld(1, [Endpoint("a", ok())], deaf=True)
        for _ in range(3):
            await world.join()
        await asyncio.sleep(JOIN_S + BEAT_S)
        one = next(iter(world.by_id))
        endpoint = world.endpoints["a"]
        await world.workers[0].store.set_endpoint_state(one, EndpointState.PAUSED, reason="works", now_ms=1)
        await asyncio.sleep(BEAT_S + 0.1)
        for n in range(30):
            await world.emit(f"EV_{n}", f"room-{n}")
        await asyncio.sleep(10.0)
        assert endpoint.arrivals == []
        await world.workers[0].store.set_endpoint_state(one, EndpointState.ACTIVE, reason="", now_ms=1)
        await asyncio.sleep(BEAT_S + 0.1)
        await world.settle_down(limit_s=10.0)
        for n in range(60):
            await world.emit(f"EV_later_{n}", f"room-{n}")
        await world.settle_down(limit_s=10.0)
        assert all(world.sent[worker.name] for worker in world.workers)
        await world.stop_all()

    run_fleet(main())


@pytest.mark.parametrize("seed", range(3))
def test_while_an_endpoint_is_down_one_worker_tests_it_and_all_go_on_when_it_is_up(seed):
    async def main():
        app = Endpoint("app", down_between(20, 320), retry=PATIENT)
        world = FleetWorld(seed, [app])
        for _ in range(3):
            await world.join()
        await asyncio.sleep(JOIN_S + BEAT_S)
        await producers(world, rooms=10, per_room=20, gap_s=20.0)
        await world.settle_down()
        late = [(at_s, name) for name, sent in world.sent.items() for at_s, _, _ in sent if 60 < at_s < 320]
        assert len({name for _, name in late}) == 1, "one worker probes"
        assert len(late) < 30
        assert len({name for name, sent in world.sent.items() for at_s, _, _ in sent if at_s >= 320}) > 1
        world.check_all_delivered()
        world.check_order()
        await world.stop_all()

    run_fleet(main())
