"""What a person does while all goes on, in virtual time: redrive, replay, cancel, unblock, pause, resume."""

from __future__ import annotations

import asyncio

import pytest

from roombell.engine.model import Answered, DeliveryState, EndpointState, OnDead
from roombell.engine.retry import RetryPolicy
from roombell.engine.selection import Selector
from roombell.engine.transitions import Verb
from roombell.testing.virtual_time import run
from simulation.test_policies import THREE_TRIES, emit_all, order_of
from simulation.test_promises import PATIENT, STORES, producers
from simulation.world import Endpoint, World, flaky, ok


class Refusing:
    """Refuses some events until told otherwise."""

    def __init__(self, *event_ids):
        self.refused = set(event_ids)

    def __call__(self, now_s, request, draw):
        return 0.01, Answered(422 if request.delivery.event_id in self.refused else 200, 1)


async def change(world, verb, selector=Selector(), *, limit=100):
    """The whole walk; how many were changed and how many left."""
    after, changed, left = None, 0, 0
    while True:
        step = await world._inner.change(
            selector, verb, reason="by hand", after=after, limit=limit, now_ms=world.clock.now_ms()
        )
        world.engine.look_again()
        changed, left, after = changed + step.changed, left + step.left, step.next
        if after is None:
            return changed, left


async def set_state(world, name, state):
    (id_,) = [id_ for id_, endpoint in world.by_id.items() if endpoint.name == name]
    await world._inner.set_endpoint_state(id_, state, reason="", now_ms=world.clock.now_ms())
    world.engine.pause(id_) if state is EndpointState.PAUSED else world.engine.resume(id_)


@pytest.mark.parametrize("store", STORES)
def test_a_blocked_lane_goes_on_in_order_when_its_delivery_is_redriven(store, tmp_path):
    async def main():
        behave = Refusing("EV_2", "EV_4")
        app = Endpoint("app", behave, retry=THREE_TRIES, on_dead=OnDead.BLOCK)
        world = World(1, [app], store(tmp_path))
        await world.start()
        await emit_all(world, "EV_1", "EV_2", "EV_3", "EV_4", "EV_5")
        await asyncio.sleep(600)
        assert order_of(app) == ["EV_1"]
        behave.refused.remove("EV_2")
        assert await change(world, Verb.REDRIVE) == (1, 0)
        await asyncio.sleep(600)
        assert order_of(app) == ["EV_1", "EV_2", "EV_3"]
        assert await change(world, Verb.REDRIVE) == (1, 0), "it is given as many attempts as at first"
        await asyncio.sleep(600)
        assert [a.attempt for a in app.arrivals if a.event_id == "EV_4"] == [1, 2, 3, 4, 5, 6]
        assert order_of(app) == ["EV_1", "EV_2", "EV_3"]
        unblocked = await world._inner.unblock(None, None, after=None, limit=9, now_ms=world.clock.now_ms())
        assert unblocked.lanes == 1
        world.engine.look_again()
        await world.settle_down()
        await world.stop()
        assert order_of(app) == ["EV_1", "EV_2", "EV_3", "EV_5"]
        world.check_order()

    run(main())


@pytest.mark.parametrize("store", STORES)
def test_a_delivery_that_died_of_age_is_sent_when_it_is_redriven(store, tmp_path):
    async def main():
        down = True

        def behave(now_s, request, draw):
            return 0.01, Answered(503 if down else 200, 1)

        retry = RetryPolicy(attempts=1000, base_delay_ms=1000, max_delay_ms=10_000, max_age_ms=60_000)
        app = Endpoint("app", behave, retry=retry)
        world = World(1, [app], store(tmp_path))
        await world.start()
        await emit_all(world, "EV_1", "EV_2")
        await asyncio.sleep(3600)
        (status,) = await world._inner.endpoints()
        assert (status.pending, status.dead) == (0, 2)
        down = False
        assert await change(world, Verb.REDRIVE) == (2, 0)
        await world.settle_down()
        await world.stop()
        assert order_of(app) == ["EV_1", "EV_2"]

    run(main())


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("seed", range(8))
def test_redriving_under_traffic_never_has_two_attempts_of_a_lane_under_way_and_loses_nothing(seed, store, tmp_path):
    async def main():
        impatient = RetryPolicy(attempts=2, base_delay_ms=50, max_delay_ms=100)
        app = Endpoint("app", flaky(0.5, delay_s=0.2), retry=impatient)
        world = World(seed, [app], store(tmp_path))
        await world.start()
        outside = asyncio.create_task(producers(world, rooms=5, per_room=30, gap_s=0.3), name="outside")
        while not outside.done():
            await asyncio.sleep(world.random.random())
            await change(world, Verb.REDRIVE, limit=1 + int(world.random.random() * 5))
        await outside
        async with asyncio.timeout(36_000):
            while len(app.got) < 150:
                await world.settle_down()
                await change(world, Verb.REDRIVE)
        await world.stop()
        world.check_all_delivered()
        world.check_concurrency()
        world.check_gapless()
        world.check_repeats(1)

    run(main())


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("seed", range(8))
def test_what_is_redriven_is_overtaken_by_the_one_attempt_under_way_at_most(seed, store, tmp_path):
    async def main():
        behave = Refusing("EV_3")
        app = Endpoint("app", lambda *turn: (0.5, behave(*turn)[1]), retry=RetryPolicy(attempts=1))
        world = World(seed, [app], store(tmp_path))
        await world.start()
        await emit_all(world, *(f"EV_{n}" for n in range(1, 13)))
        await asyncio.sleep(3 + world.random.random())
        behave.refused.clear()
        before = len(app.arrivals)
        assert await change(world, Verb.REDRIVE) == (1, 0)
        await world.settle_down()
        await world.stop()
        again = [a.event_id for a in app.arrivals].index("EV_3", 3)
        assert again <= before, "only what was under way came first"
        assert [a.sequence for a in app.arrivals[again:]] == sorted(a.sequence for a in app.arrivals[again:])
        assert len(app.got) == 12

    run(main())


@pytest.mark.parametrize("store", STORES)
def test_a_replay_sends_everything_again_in_order_with_the_same_ids_and_the_next_attempt(store, tmp_path):
    async def main():
        app = Endpoint("app", ok())
        world = World(1, [app], store(tmp_path))
        await world.start()
        await emit_all(world, "EV_1", "EV_2", "EV_3")
        await world.settle_down()
        began = Selector(as_of_ms=world.clock.now_ms())
        assert await change(world, Verb.REPLAY, began, limit=1) == (3, 0)
        await world.settle_down()
        await asyncio.sleep(1)
        assert await change(world, Verb.REPLAY, began, limit=1) == (0, 0), "a second run of the same does nothing"
        await world.stop()
        assert order_of(app) == ["EV_1", "EV_2", "EV_3"] * 2
        assert [(a.sequence, a.attempt) for a in app.arrivals[3:]] == [(1, 2), (2, 2), (3, 2)]

    run(main())


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("seed", range(8))
def test_cancelling_under_traffic_ends_every_delivery_once(seed, store, tmp_path):
    async def main():
        app = Endpoint("app", flaky(0.3, delay_s=0.2), retry=PATIENT, concurrency=2)
        world = World(seed, [app], store(tmp_path))
        await world.start()
        outside = asyncio.create_task(producers(world, rooms=5, per_room=30, gap_s=0.1), name="outside")
        while not outside.done():
            await asyncio.sleep(world.random.random())
            await change(world, Verb.CANCEL, Selector(ordering_key=f"room-{int(world.random.random() * 5)}"), limit=3)
        await outside
        await world.settle_down()
        found = (await world._inner.find(Selector(), after=None, limit=1000)).deliveries
        await world.stop()
        states = {delivery.event_id: delivery.state for delivery in found}
        assert set(states.values()) == {DeliveryState.DELIVERED, DeliveryState.CANCELLED}
        assert app.got == {id_ for id_, state in states.items() if state is DeliveryState.DELIVERED}
        world.check_order()
        world.check_repeats(1)

    run(main())


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("seed", range(8))
def test_pausing_and_resuming_under_traffic_keeps_order_and_sends_nothing_meanwhile(seed, store, tmp_path):
    async def main():
        app = Endpoint("app", flaky(0.2, delay_s=0.05), retry=PATIENT, concurrency=4)
        world = World(seed, [app], store(tmp_path), latency_s=0.05)
        await world.start()
        outside = asyncio.create_task(producers(world, rooms=5, per_room=60, gap_s=0.05), name="outside")
        while not outside.done():
            await asyncio.sleep(world.random.random())
            await set_state(world, "app", EndpointState.PAUSED)
            await asyncio.sleep(1)
            paused_at = len(app.arrivals)
            await asyncio.sleep(world.random.random())
            assert len(app.arrivals) == paused_at
            if world.random.random() < 0.3:
                await world.crash()
                await world.start()
                await asyncio.sleep(10)
                assert len(app.arrivals) == paused_at, "an endpoint that is paused stays so over a restart"
            await set_state(world, "app", EndpointState.ACTIVE)
        await outside
        await world.settle_down()
        await world.stop()
        world.check_all_delivered()
        world.check_order()
        world.check_gapless()

    run(main())
