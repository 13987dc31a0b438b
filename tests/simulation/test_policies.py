"""What endpoints ask for and operators configure, in virtual time."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from roombell.engine.hooks import AttemptFinished, DeliveryDead, EndpointDisabled
from roombell.engine.lanes import HeldLimits
from roombell.engine.model import Answered, EndpointState, OnDead
from roombell.engine.retry import RetryPolicy
from roombell.engine.router import EventFilter
from roombell.errors import StoreFull, StoreUnavailable
from roombell.testing.virtual_time import run
from simulation.test_promises import PATIENT, STORES, memory
from simulation.world import Endpoint, World, down_between, flaky, ok, refusing

THREE_TRIES = RetryPolicy(attempts=3, base_delay_ms=100, max_delay_ms=1000)


def refuses(*event_ids, status=422):
    """Answers 2xx to all but some events."""

    def behave(now_s, request, draw):
        return 0.01, Answered(status if request.delivery.event_id in event_ids else 200, 1)

    return behave


async def emit_all(world, *event_ids, key="room"):
    for event_id in event_ids:
        await world.emit(event_id, key)


def order_of(endpoint):
    return [arrival.event_id for arrival in endpoint.arrivals if arrival.answered_ok]


@pytest.mark.parametrize("store", STORES)
def test_a_dead_delivery_is_skipped_and_leaves_the_one_hole_that_tells_of_it(store, tmp_path):
    async def main():
        seen = []
        app = Endpoint("app", refuses("EV_2"), retry=THREE_TRIES)
        world = World(1, [app], store(tmp_path), hooks=[seen.append])
        await world.start()
        await emit_all(world, "EV_1", "EV_2", "EV_3")
        await world.settle_down()
        await world.stop()
        assert order_of(app) == ["EV_1", "EV_3"]
        assert [a.sequence for a in app.arrivals if a.answered_ok] == [1, 3]
        assert [a.attempt for a in app.arrivals if a.event_id == "EV_2"] == [1, 2, 3]
        dead = [record for record in seen if isinstance(record, DeliveryDead)]
        assert [(d.event_id, d.reason, d.attempts) for d in dead] == [("EV_2", "attempts exhausted", 3)]

    run(main())


@pytest.mark.parametrize("store", STORES)
def test_a_dead_delivery_blocks_its_lane_and_no_other_where_the_endpoint_says_so(store, tmp_path):
    async def main():
        app = Endpoint("app", refuses("EV_2"), retry=THREE_TRIES, on_dead=OnDead.BLOCK)
        world = World(1, [app], store(tmp_path))
        await world.start()
        await emit_all(world, "EV_1", "EV_2", "EV_3", key="stuck")
        await emit_all(world, "EV_a", "EV_b", key="fine")
        await asyncio.sleep(600)
        assert order_of(app) == ["EV_1", "EV_a", "EV_b"]
        (status,) = await world.store.endpoints()
        assert (status.pending, status.dead) == (1, 1)
        await world.crash()
        await world.start()
        await asyncio.sleep(600)
        assert order_of(app) == ["EV_1", "EV_a", "EV_b"]
        await world.stop()

    run(main())


@pytest.mark.parametrize("store", STORES)
def test_410_stops_all_sending_keeps_what_is_owed_and_survives_a_restart_of_the_process(store, tmp_path):
    async def main():
        seen = []
        gone = True

        def behave(now_s, request, draw):
            return 0.01, Answered(410 if gone else 200, 1)

        app, other = Endpoint("app", behave), Endpoint("other", ok())
        world = World(1, [app, other], store(tmp_path), hooks=[seen.append])
        await world.start()
        await emit_all(world, "EV_1", "EV_2", "EV_3")
        await emit_all(world, "EV_x", key="another room")
        await asyncio.sleep(60)
        sent = len(app.arrivals)
        assert sent <= 2, "nothing is sent once the endpoint said it is gone"
        assert [type(r) for r in seen].count(EndpointDisabled) == 1
        status = {s.name: s for s in await world.store.endpoints()}
        assert (status["app"].state, status["app"].pending) == (EndpointState.DISABLED, 4)
        assert "410" in status["app"].reason
        assert len(other.got) == 4
        await asyncio.sleep(3600)
        assert len(app.arrivals) == sent
        gone = False
        await world.stop()
        await world.start()  # the operator's file lists it still: it is sent to again
        await world.settle_down()
        await world.stop()
        assert app.got == {"EV_1", "EV_2", "EV_3", "EV_x"}
        world.check_order()
        world.check_gapless()

    run(main())


@pytest.mark.parametrize("store", STORES)
def test_after_a_410_nothing_that_is_accepted_overtakes_what_is_owed(store, tmp_path):
    async def main():
        gone_at_ms = []

        def behave(now_s, request, draw):
            if request.delivery.event_id == "EV_gone" and not gone_at_ms:
                return 0.001, Answered(410, 1)
            return 0.05 * (1 + draw), Answered(200, 1)

        def hook(record):
            if isinstance(record, EndpointDisabled):
                gone_at_ms.append(world.clock.now_ms())

        app = Endpoint("app", behave, concurrency=64)
        world = World(1, [app], store(tmp_path), hooks=[hook])

        async def busy(room):
            for number in range(80):
                await world.emit(f"EV_{room}_{number}", room)
                await asyncio.sleep(0.01 * world.random.random())

        await world.start()
        rooms = [asyncio.create_task(busy(f"room {number}")) for number in range(20)]
        await asyncio.sleep(0.2)
        await world.emit("EV_gone", "another room")
        await asyncio.gather(*rooms)
        await asyncio.sleep(5)
        assert not [arrival for arrival in app.arrivals if arrival.at_ms > gone_at_ms[0] + 1]
        await world.stop()
        await world.start()  # the operator's file lists it still: it is sent to again
        await world.settle_down()
        await world.stop()
        world.check_order()
        world.check_gapless()
        world.check_all_delivered()

    run(main())


@pytest.mark.parametrize("retry_after", ["86400", "1000000000000", "Fri, 31 Dec 9999 23:59:59 GMT"])
def test_an_absurd_retry_after_does_not_stall_a_lane_for_a_day(retry_after):
    async def main():
        def behave(now_s, request, draw):
            return 0.01, Answered(429, 1, retry_after=retry_after) if now_s < 5 else Answered(200, 1)

        app = Endpoint("app", behave)
        world = World(1, [app], memory())
        await world.start()
        await emit_all(world, "EV_1", "EV_2")
        await world.settle_down(limit_s=400)
        await world.stop()
        assert order_of(app) == ["EV_1", "EV_2"]
        assert app.arrivals[1].at_ms - app.arrivals[0].at_ms <= 301_000

    run(main())


@pytest.mark.parametrize("store", STORES)
def test_what_a_removed_endpoint_is_owed_waits_for_its_return(store, tmp_path):
    async def main():
        app, other = Endpoint("app", down_between(0, 1e9)), Endpoint("other", ok())
        world = World(1, [app, other], store(tmp_path))
        await world.start()
        await emit_all(world, "EV_1", "EV_2")
        await world.stop()
        del world.endpoints["app"]
        await world.start()
        await emit_all(world, "EV_3")
        await asyncio.sleep(3600)
        status = {s.name: s for s in await world.store.endpoints()}
        assert (status["app"].state, status["app"].pending) == (EndpointState.REMOVED, 2)
        await world.stop()
        app.behave = ok()
        world.endpoints["app"] = app
        await world.start()
        await world.settle_down()
        await world.stop()
        assert order_of(app) == ["EV_1", "EV_2"], "it gets what it was owed, and not what came while it was away"
        assert order_of(other) == ["EV_1", "EV_2", "EV_3"]

    run(main())


def test_what_a_removed_endpoint_is_owed_is_cancelled_when_it_is_too_old():
    async def main():
        app, other = Endpoint("app", refusing, retry=PATIENT), Endpoint("other", ok())
        world = World(1, [app, other], memory())
        await world.start()
        await emit_all(world, "EV_1")
        await world.stop()
        del world.endpoints["app"]
        await world.start()
        world.clock.skew_ms = 71 * 3600_000
        await asyncio.sleep(60)
        assert {s.name: s.pending for s in await world.store.endpoints()} == {"app": 1, "other": 0}
        world.clock.skew_ms = 73 * 3600_000
        await asyncio.sleep(60)
        assert sum(s.pending for s in await world.store.endpoints()) == 0
        states = {(d.event_id, d.state, d.reason) for d in world._inner._disk.deliveries()}
        assert ("EV_1", "cancelled", "endpoint removed") in states
        await world.stop()

    run(main())


def test_an_endpoint_that_is_down_for_longer_than_the_greatest_age_abandons_by_age():
    async def main():
        patient = RetryPolicy(attempts=10**6, base_delay_ms=1000, max_delay_ms=600_000, max_age_ms=3600_000)
        app = Endpoint("app", refusing, retry=patient)
        world = World(1, [app], memory())
        await world.start()
        await emit_all(world, "EV_1", "EV_2", "EV_3")
        await asyncio.sleep(2 * 3600)
        ended = [(d.event_id, d.state, d.reason) for d in world._inner._disk.deliveries()]
        assert ended == [(f"EV_{n}", "dead", "expired") for n in (1, 2, 3)]
        await world.stop()

    run(main())


@pytest.mark.parametrize("store", STORES)
def test_a_full_disk_refuses_events_loses_none_and_is_over_when_there_is_room(store, tmp_path):
    async def main():
        app = Endpoint("app", flaky(0.2), retry=PATIENT)
        world = World(3, [app], store(tmp_path))
        await world.start()
        await emit_all(world, *[f"EV_{n}" for n in range(20)])
        world.store.full = True
        refused = 0
        for n in range(100):
            try:
                await world.engine.submit(f"EV_full_{n}", "x", "room", "room", b"{}")
            except StoreFull:
                refused += 1
            await asyncio.sleep(1)
        assert refused == 100
        sent = len(app.arrivals)
        world.store.full = False
        await emit_all(world, "EV_after")
        await world.settle_down()
        await world.stop()
        world.check_all_delivered()
        world.check_order()
        assert len(app.arrivals) - sent <= 21 * 5
        assert not any(event_id.startswith("EV_full") for event_id in app.got)

    run(main())


def test_clock_jumps_move_retries_and_never_the_order():
    async def main():
        app = Endpoint("app", flaky(0.4), retry=PATIENT)
        world = World(4, [app], memory(), lease_ms=60_000)
        await world.start()
        outside = asyncio.create_task(emit_all(world, *[f"EV_{n}" for n in range(60)]), name="outside")
        for skew_s in (3600, -1800, 30, -5, 7200, 0):
            await asyncio.sleep(2)
            world.clock.skew_ms = skew_s * 1000
        await outside
        await world.settle_down(limit_s=20_000)
        await world.stop()
        world.check_all_delivered()
        world.check_order()
        world.check_gapless()

    run(main())


def test_a_stop_gives_leases_back_so_that_the_next_start_goes_on_at_once():
    async def main():
        app = Endpoint("app", ok(0.5))
        world = World(5, [app], memory())
        await world.start()
        for n in range(200):
            await world.emit(f"EV_{n}", f"room-{n % 20}")
        started = asyncio.get_running_loop().time()
        await world.stop(grace_s=10)
        assert asyncio.get_running_loop().time() - started < 2
        await world.start()
        before = len(app.arrivals)
        await asyncio.sleep(1)
        assert len(app.arrivals) > before, "no lease has to run out first"
        await world.settle_down()
        await world.stop()
        world.check_repeats(1)
        world.check_all_delivered()
        world.check_order()

    run(main())


def test_a_stop_ends_in_time_though_an_endpoint_never_answers():
    async def main():
        app = Endpoint("app", ok(10_000))
        world = World(5, [app], memory())
        await world.start()
        await emit_all(world, "EV_1")
        started = asyncio.get_running_loop().time()
        await world.stop(grace_s=3)
        assert asyncio.get_running_loop().time() - started < 5

    run(main())


def test_a_stop_ends_in_time_though_an_endpoint_is_down_and_its_probe_falls_due_meanwhile():
    async def main():
        world = World(5, [Endpoint("down", refusing), Endpoint("silent", ok(10_000))], memory())
        await world.start()
        for number in range(10):
            await world.emit(f"EV_{number}", f"room-{number}")
        await asyncio.sleep(0.5)  # "down" is known to be down, and is probed after a second at most
        started = asyncio.get_running_loop().time()
        await world.stop(grace_s=3)
        assert asyncio.get_running_loop().time() - started < 5

    run(main())


@pytest.mark.parametrize("seed", range(5))
def test_every_accepted_event_is_accounted_for_with_all_its_attempts(seed):
    async def main():
        seen = []
        app = Endpoint("app", flaky(0.5), retry=THREE_TRIES)
        world = World(seed, [app, Endpoint("other", ok())], memory(), hooks=[seen.append])
        await world.start()
        for n in range(100):
            await world.emit(f"EV_{n}", f"room-{n % 7}")
        await world.settle_down()
        deliveries = list(world._inner._disk.deliveries())
        assert len(deliveries) == 200
        sent = Counter((a.lane, a.sequence) for e in world.endpoints.values() for a in e.arrivals)
        for d in deliveries:
            assert d.state in {"delivered", "dead"}
            assert bool(d.reason) == (d.state == "dead")
            assert [a.number for a in d.attempts] == list(range(1, len(d.attempts) + 1))
            assert len(d.attempts) == sent[f"{world.store.store_id}-{d.lane_id}", d.sequence]
        told = [r for r in seen if isinstance(r, AttemptFinished)]
        assert len(told) == sum(sent.values())
        await world.stop()

    run(main())


def test_filters_decide_who_is_owed_what():
    async def main():
        rooms = Endpoint("rooms", ok(), filter=EventFilter(include=("room_*",)))
        acme = Endpoint("acme", ok(), filter=EventFilter(rooms=("acme-*",)))
        world = World(1, [rooms, acme], memory())
        await world.start()
        await world.emit("EV_1", "acme-1", event_type="room_started")
        await world.emit("EV_2", "acme-1", event_type="track_published")
        await world.emit("EV_3", "other", event_type="room_finished")
        await world.emit("EV_4", "other", event_type="track_published")
        await world.settle_down()
        await world.stop()
        assert rooms.got == {"EV_1", "EV_3"}
        assert acme.got == {"EV_1", "EV_2"}

    run(main())


def test_a_repeated_event_is_answered_as_a_duplicate_and_delivered_once():
    async def main():
        app = Endpoint("app", ok())
        world = World(1, [app], memory())
        await world.start()
        first = await world.emit("EV_1", "room", body=b"one")
        again = await world.emit("EV_1", "room", body=b"two")
        await world.settle_down()
        await world.stop()
        assert (first.duplicate, again.duplicate) == (False, True)
        assert [a.body for a in app.arrivals] == [b"one"]

    run(main())


def test_a_backlog_of_a_hundred_thousand_is_held_by_the_store_and_slows_no_healthy_endpoint():
    async def main():
        limits = HeldLimits(deliveries_max=2000, body_bytes_max=1 << 20)
        dead = Endpoint("dead", down_between(0, 1e9), concurrency=64, retry=RetryPolicy())
        healthy = Endpoint("healthy", ok(0.01), concurrency=64, filter=EventFilter(include=("room_*",)))
        world = World(1, [dead, healthy], memory(), held=limits)
        await world.start()
        most = 0
        for start in range(0, 100_000, 500):
            futures = [
                world.engine.submit(f"EV_{n}", "track_published", f"room-{n % 2000}", "r", b"x" * 100)
                for n in range(start, start + 500)
            ]
            await asyncio.gather(*futures)
            most = max(most, world.engine.held)
        assert most <= limits.deliveries_max + 512
        latencies = []
        for n in range(100):
            await world.emit(f"EV_h{n}", f"healthy-{n % 10}", event_type="room_started")
            sent_ms = world.clock.now_ms()
            while f"EV_h{n}" not in healthy.got:
                await asyncio.sleep(0.005)
            latencies.append(world.clock.now_ms() - sent_ms)
        assert max(latencies) < 1000
        (status,) = [s for s in await world.store.endpoints() if s.name == "dead"]
        assert status.pending + status.dead == 100_100
        await world.stop(grace_s=1)

    run(main())


def test_one_room_with_thousands_of_events_goes_through_in_order_within_the_bounds():
    async def main():
        app = Endpoint("app", ok(0.001))
        world = World(1, [app], memory(), held=HeldLimits(deliveries_max=100))
        await world.start()
        for start in range(0, 3000, 300):
            await asyncio.gather(
                *[world.engine.submit(f"EV_{n}", "x", "one", "one", b"x") for n in range(start, start + 300)]
            )
        await world.settle_down()
        await world.stop()
        assert order_of(app) == [f"EV_{n}" for n in range(3000)]

    run(main())


@pytest.mark.parametrize("seed", range(4))
def test_an_endpoint_that_is_taken_away_and_brought_back_under_traffic_keeps_its_order(seed):
    async def main():
        app = Endpoint("app", ok(0.05), concurrency=64)
        world = World(seed, [app], memory())
        await world.start()
        policies = [endpoint.policy(id_) for id_, endpoint in world.by_id.items()]

        async def room(number):
            for n in range(60):
                await world.emit(f"EV_{number}_{n}", f"room-{number}")
                await asyncio.sleep(0.005 * world.random.random())

        rooms = [asyncio.create_task(room(number)) for number in range(20)]
        for _ in range(20):
            await asyncio.sleep(0.02)
            world.engine.configure([])
            await asyncio.sleep(0.004 * world.random.random())
            world.engine.configure(policies)
        await asyncio.gather(*rooms)
        await world.settle_down()
        await world.stop()
        world.check_order()

    run(main())


def test_a_stop_ends_though_the_store_never_answers():
    async def main():
        world = World(1, [Endpoint("app", ok())], memory())
        await world.start()
        await emit_all(world, "EV_1")
        await world.settle_down()
        world.store.hangs = True
        future = world.engine.submit("EV_2", "x", "room", "room", b"{}")
        started = asyncio.get_running_loop().time()
        await world.engine.stop(5.0)
        assert asyncio.get_running_loop().time() - started <= 10
        assert isinstance(future.exception(), StoreUnavailable)

    run(main())


def test_however_many_endpoints_never_answer_the_others_get_their_share():
    async def main():
        silent = [Endpoint(f"silent-{n}", ok(15.0), concurrency=64) for n in range(80)]
        healthy = Endpoint("healthy", ok(0.01), filter=EventFilter(include=("room_*",)), concurrency=64)
        for endpoint in silent:
            endpoint.filter = EventFilter(include=("track_*",))
        world = World(1, [*silent, healthy], memory())
        await world.start()
        for n in range(100):
            await world.emit(f"EV_t{n}", f"room-{n}", event_type="track_published")
        latencies = []
        for n in range(100):
            await world.emit(f"EV_h{n}", f"healthy-{n}", event_type="room_started")
            sent_s = asyncio.get_running_loop().time()
            while f"EV_h{n}" not in healthy.got:
                await asyncio.sleep(0.005)
            latencies.append(asyncio.get_running_loop().time() - sent_s)
        assert max(latencies) < 0.5
        await world.stop(grace_s=1)

    run(main())
