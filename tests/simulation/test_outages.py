"""Endpoints that are down, for a second or for a night, and endpoints that can take only so much."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from roombell.engine.health import PROBE_DELAY_MS_MAX
from roombell.engine.hooks import DeliveryDead, EndpointFailing, EndpointRecovered
from roombell.engine.model import Answered
from roombell.engine.retry import RetryPolicy
from roombell.testing.virtual_time import run
from simulation.test_promises import STORES, memory
from simulation.world import Endpoint, World, down_between, ok, refusing

HOUR_S = 3600


class Limited:
    """Answers in 20 ms as long as no more than ``capacity`` are at work; beyond it requests queue up."""

    def __init__(self, capacity, start_s=0.0):
        self.capacity, self.start_s = capacity, start_s
        self.free_at = [0.0] * capacity
        self.most_per_second = Counter()

    def __call__(self, now_s, request, draw):
        if now_s < self.start_s:
            return 0.001, Answered(503, 1)
        slot = min(range(self.capacity), key=self.free_at.__getitem__)
        done = max(now_s, self.free_at[slot]) + 0.02
        self.free_at[slot] = done
        self.most_per_second[int(now_s - self.start_s)] += 1
        latency_ms = round((done - now_s) * 1000)
        return done - now_s, Answered(200, latency_ms)


async def emit_many(world, count, rooms, *, over_s):
    """Events spread over a time, from a producer that is answered each time."""
    for number in range(count):
        await world.emit(f"EV_{number}", f"room-{number % rooms}")
        await asyncio.sleep(over_s / count)


def test_a_night_of_outage_loses_nothing_and_keeps_the_order():
    async def main():
        seen = []
        app = Endpoint("app", down_between(60, 60 + 12 * HOUR_S), concurrency=32)
        world = World(1, [app], memory(), hooks=[seen.append])
        await world.start()
        await emit_many(world, 40_000, rooms=500, over_s=12 * HOUR_S)
        await world.settle_down(limit_s=2 * HOUR_S)
        await world.stop()
        world.check_all_delivered()
        world.check_order()
        world.check_gapless()
        world.check_repeats(1)
        assert not [r for r in seen if isinstance(r, DeliveryDead)]
        assert Counter(type(r) for r in seen if isinstance(r, EndpointFailing | EndpointRecovered)) == {
            EndpointFailing: 1,
            EndpointRecovered: 1,
        }

    run(main())


@pytest.mark.parametrize("store", STORES)
def test_while_an_endpoint_is_down_no_delivery_uses_up_its_attempts(store, tmp_path):
    async def main():
        app = Endpoint("app", down_between(0, 6 * HOUR_S), retry=RetryPolicy(attempts=3))
        world = World(1, [app], store(tmp_path))
        await world.start()
        for number in range(20):
            await world.emit(f"EV_{number}", f"room-{number % 4}")
        await asyncio.sleep(5 * HOUR_S)
        (status,) = await world.store.endpoints()
        assert (status.pending, status.dead) == (20, 0)
        await world.settle_down(limit_s=2 * HOUR_S)
        await world.stop()
        world.check_all_delivered()
        world.check_order()

    run(main())


def test_an_endpoint_that_is_down_is_asked_once_a_minute_at_most():
    async def main():
        asked = []

        def behave(now_s, request, draw):
            asked.append(now_s)
            return refusing(now_s, request, draw)

        app = Endpoint("app", behave)
        world = World(1, [app], memory())
        await world.start()
        for number in range(500):
            await world.emit(f"EV_{number}", f"room-{number}")
        await asyncio.sleep(600)
        asked.clear()
        await asyncio.sleep(HOUR_S)
        assert 3600 / (PROBE_DELAY_MS_MAX / 1000) * 0.9 <= len(asked) <= 2 * 3600 / (PROBE_DELAY_MS_MAX / 1000)
        await world.stop()

    run(main())


def test_what_waits_for_an_endpoint_that_is_down_does_not_count_as_being_behind():
    async def main():
        world = World(1, [Endpoint("app", refusing)], memory())
        await world.start()
        for number in range(3000):
            await world.emit(f"EV_{number}", f"room-{number}")
        (status,) = await world.store.endpoints()
        assert status.pending == 3000
        assert world.engine._dispatcher.behind <= 1, "a probe at most: nothing here is for admission to mend"
        await world.stop()

    run(main())


@pytest.mark.parametrize("store", STORES)
def test_a_breaker_that_is_open_is_still_open_after_a_crash(store, tmp_path):
    async def main():
        asked = []

        def behave(now_s, request, draw):
            asked.append(now_s)
            return refusing(now_s, request, draw)

        world = World(1, [Endpoint("app", behave)], store(tmp_path))
        await world.start()
        for number in range(100):
            await world.emit(f"EV_{number}", f"room-{number}")
        await asyncio.sleep(600)
        await world.crash()
        asked.clear()
        await world.start()
        await asyncio.sleep(50)
        assert len(asked) <= 2, "only probes, though a hundred lanes are due"
        await world.stop()

    run(main())


@pytest.mark.parametrize("seed", range(2))
def test_after_an_outage_an_endpoint_gets_no_more_than_it_shows_it_can_take(seed):
    async def main():
        limited = Limited(capacity=4, start_s=2 * HOUR_S)
        app = Endpoint("app", limited, concurrency=256)
        world = World(seed, [app], memory())
        await world.start()
        for number in range(50_000 // 20):
            await asyncio.gather(
                *[
                    world.engine.submit(f"EV_{number}_{n}", "x", f"room-{n}-{number % 100}", "r", b"{}")
                    for n in range(20)
                ]
            )
        await asyncio.sleep(2 * HOUR_S + 120)
        capacity_per_s = limited.capacity / 0.02
        first = min(limited.most_per_second)
        assert limited.most_per_second[first] <= capacity_per_s + limited.capacity, "and those that end in the next"
        assert max(limited.most_per_second.values()) <= 1.5 * capacity_per_s
        await world.stop()

    run(main())


def test_the_limit_settles_near_what_the_endpoint_can_take():
    async def main():
        limited = Limited(capacity=8)
        world = World(1, [Endpoint("app", limited, concurrency=500)], memory())
        await world.start()
        for number in range(400):
            await asyncio.gather(
                *[world.engine.submit(f"EV_{number}_{n}", "x", f"room-{n}", "r", b"{}") for n in range(25)]
            )
        await world.settle_down()
        seconds = sorted(limited.most_per_second)[1:-1]
        rates = [limited.most_per_second[second] for second in seconds]
        assert min(rates) >= 0.7 * 8 / 0.02, "no capacity is left unused"
        await world.stop()

    run(main())


def test_an_event_that_makes_the_endpoint_fail_is_given_up_and_the_others_go_through():
    async def main():
        def behave(now_s, request, draw):
            return 0.01, Answered(500 if request.delivery.event_id == "EV_poison" else 200, 1)

        app = Endpoint("app", behave, retry=RetryPolicy(attempts=4, base_delay_ms=200, max_delay_ms=1000))
        world = World(1, [app], memory())
        await world.start()
        await world.emit("EV_poison", "bad-room")
        for number in range(200):
            await world.emit(f"EV_{number}", f"room-{number % 10}")
            await asyncio.sleep(0.05)
        await world.settle_down()
        (status,) = await world.store.endpoints()
        assert (status.pending, status.dead) == (0, 1)
        assert len(app.got) == 200
        await world.stop()

    run(main())


def test_a_rate_limit_is_kept_to_the_second_and_used_to_the_full():
    async def main():
        app = Endpoint("app", ok(0.005), rate_limit_per_s=20.0)
        world = World(1, [app], memory())
        await world.start()
        await asyncio.gather(*[world.emit(f"EV_{n}", f"room-{n}") for n in range(400)])
        await world.settle_down()
        await world.stop()
        times = sorted(arrival.at_ms for arrival in app.arrivals)
        for start in range(len(times)):
            within = [at_ms for at_ms in times[start : start + 60] if at_ms < times[start] + 1000]
            assert len(within) <= 41, "a second's worth saved up, and a second's worth"
        assert times[-1] - times[0] <= 21_000

    run(main())
