"""What every store does with endpoints, with age, and across closing and opening."""

from __future__ import annotations

from roombell.engine.model import (
    NO_LEASE,
    DeliveryState,
    EndpointId,
    EndpointState,
    Pruned,
    Reaped,
    Settled,
)
from roombell.errors import StoreError, StoreLocked
from roombell.testing.store_driver import (
    LEASE_MS,
    NOW_MS,
    MakeStore,
    StoreDriver,
    event,
    event_ids,
    opened,
    settle,
)

HOUR_MS = 3_600_000
DEFAULT_AGE = EndpointId(0)


class EndpointContract:
    """Endpoints are known by name; those that are not listed are kept, unsent."""

    async def test_registering_answers_for_each_listed_name(self, make_store: MakeStore) -> None:
        async with opened(make_store) as it:
            statuses = await it.store.register(["x", "y"], now_ms=NOW_MS)
            assert set(statuses) == {"x", "y"}
            status = statuses["x"]
            assert (status.name, status.state, status.reason) == ("x", EndpointState.ACTIVE, "")
            assert (status.changed_at_ms, status.pending, status.dead) == (NOW_MS, 0, 0)
            assert status.oldest_pending_at_ms is None
            again = await it.store.register(["y", "x"], now_ms=NOW_MS + 1)
            assert again == statuses

    async def test_an_endpoint_that_is_not_listed_is_removed_until_it_is_again(self, make_store: MakeStore) -> None:
        async with opened(make_store) as it:
            statuses = await it.store.register(["x", "y"], now_ms=NOW_MS)
            x = statuses["x"].endpoint_id
            await it.accept(event("a", x))
            assert set(await it.store.register(["y"], now_ms=NOW_MS + 1)) == {"y"}
            removed = await it.status(x)
            assert removed is not None
            assert (removed.state, removed.changed_at_ms, removed.pending) == (EndpointState.REMOVED, NOW_MS + 1, 1)
            assert removed.reason != ""
            assert (await it.acquire(x)).lanes == ()
            back = (await it.store.register(["x", "y"], now_ms=NOW_MS + 2))["x"]
            assert (back.endpoint_id, back.state, back.reason) == (x, EndpointState.ACTIVE, "")
            assert event_ids(await it.acquire_one(x)) == ["a"]

    async def test_an_active_endpoint_that_is_listed_keeps_no_reason(self, make_store: MakeStore) -> None:
        async with opened(make_store) as it:
            one = (await it.store.register(["x"], now_ms=NOW_MS))["x"].endpoint_id
            await it.store.set_endpoint_state(one, EndpointState.ACTIVE, reason="by hand", now_ms=NOW_MS + 1)
            status = (await it.store.register(["x"], now_ms=NOW_MS + 2))["x"]
            assert (status.state, status.reason, status.changed_at_ms) == (EndpointState.ACTIVE, "", NOW_MS)

    async def test_a_removed_endpoint_that_owes_nothing_is_not_told_of(self, make_store: MakeStore) -> None:
        async with opened(make_store) as it:
            await it.store.register(["x", "y"], now_ms=NOW_MS)
            await it.store.register(["y"], now_ms=NOW_MS)
            assert [status.name for status in await it.store.endpoints()] == ["y"]

    async def test_registering_makes_a_disabled_endpoint_active(self, make_store: MakeStore) -> None:
        async with opened(make_store) as it:
            one = await it.endpoint()
            await it.store.set_endpoint_state(one, EndpointState.DISABLED, reason="410", now_ms=NOW_MS + 1)
            disabled = await it.status(one)
            assert disabled is not None
            assert (disabled.state, disabled.reason) == (EndpointState.DISABLED, "410")
            assert disabled.changed_at_ms == NOW_MS + 1
            status = (await it.store.register(["backend"], now_ms=NOW_MS + 2))["backend"]
            assert (status.state, status.reason, status.changed_at_ms) == (EndpointState.ACTIVE, "", NOW_MS + 2)

    async def test_a_paused_endpoint_takes_deliveries_sends_none_and_stays_paused(self, make_store: MakeStore) -> None:
        async with opened(make_store) as it:
            one = await it.endpoint()
            await it.accept(event("a", one))
            await it.store.set_endpoint_state(one, EndpointState.PAUSED, reason="works", now_ms=NOW_MS + 1)
            assert (await it.lease_one(event("b", one, key="other"))).generation == NO_LEASE
            assert (await it.acquire(one)).lanes == ()
            status = (await it.store.register(["backend"], now_ms=NOW_MS + 2))["backend"]
            assert (status.state, status.reason, status.changed_at_ms) == (EndpointState.PAUSED, "works", NOW_MS + 1)
            assert status.pending == 2
            await it.store.set_endpoint_state(one, EndpointState.ACTIVE, reason="", now_ms=NOW_MS + 3)
            assert len((await it.acquire(one)).lanes) == 2

    async def test_a_paused_endpoint_that_is_not_listed_is_removed(self, make_store: MakeStore) -> None:
        async with opened(make_store) as it:
            one = await it.endpoint()
            await it.accept(event("a", one))
            await it.store.set_endpoint_state(one, EndpointState.PAUSED, reason="works", now_ms=NOW_MS)
            await it.store.register([], now_ms=NOW_MS)
            removed = await it.status(one)
            assert removed is not None
            assert removed.state is EndpointState.REMOVED

    async def test_health_is_kept_as_it_was_given(self, make_store: MakeStore) -> None:
        health = bytes(range(256))
        async with opened(make_store) as it:
            statuses = await it.store.register(["x", "y"], now_ms=NOW_MS)
            assert {status.health for status in statuses.values()} == {b""}
            await it.store.set_endpoint_health(statuses["x"].endpoint_id, health)
            again = await it.store.register(["x", "y"], now_ms=NOW_MS)
            assert [again[name].health for name in ("x", "y")] == [health, b""]
        async with opened(make_store) as it:
            assert [status.health for status in await it.store.endpoints()] == [health, b""]

    async def test_what_is_leased_when_its_endpoint_goes_can_still_be_settled(self, make_store: MakeStore) -> None:
        async with opened(make_store) as it:
            one = await it.endpoint()
            lane = await it.lease_one(event("a", one))
            await it.accept(event("b", one))
            await it.store.register(["other"], now_ms=NOW_MS)
            more = (await it.accept(event("c", one)))[0].placed[0]
            assert more.generation == lane.generation
            assert await it.settle(settle(lane, 1)) == (Settled(lost=False, pending=2),)

    async def test_counts_follow_what_happens(self, make_store: MakeStore) -> None:
        async with opened(make_store) as it:
            one = await it.endpoint()
            await it.accept(event("a", one, key="a", at_ms=NOW_MS - 9), event("b", one, key="b", at_ms=NOW_MS - 5))
            assert await counts(it, one) == (2, 0, NOW_MS - 9)
            lane = (await it.acquire(one, lanes_max=1)).lanes[0]
            assert await counts(it, one) == (2, 0, NOW_MS - 9)
            await it.accept(event("c", one, key="a", at_ms=NOW_MS - 7))
            await it.settle(settle(lane, 1, DeliveryState.DEAD, reason="rejected"))
            assert await counts(it, one) == (2, 1, NOW_MS - 7)
            await it.settle(settle(lane, 2))
            assert await counts(it, one) == (1, 1, NOW_MS - 5)


class RetentionContract:
    """Leases that ran out, deliveries too old to send and events too old to keep go, in small steps."""

    async def test_reaping_ends_expired_leases(self, make_store: MakeStore) -> None:
        async with opened(make_store) as it:
            one = await it.endpoint()
            old = await it.lease_one(event("a", one, key="a"), expires_at_ms=NOW_MS)
            fresh = await it.lease_one(event("b", one, key="b"), expires_at_ms=NOW_MS + 1)
            assert await it.store.reap(now_ms=NOW_MS, max_age_ms={}, limit=9) == Reaped(1, 0, more=False)
            settled = await it.settle(settle(old, 1), settle(fresh, 1))
            assert [answer.lost for answer in settled] == [True, False]
            assert (await it.acquire_one(one)).lane_id == old.lane_id

    async def test_reaping_ends_old_deliveries_of_lanes_that_nobody_works(self, make_store: MakeStore) -> None:
        async with opened(make_store) as it:
            one = await it.endpoint()
            await it.accept(event("old", one, at_ms=NOW_MS - HOUR_MS - 1), event("edge", one, at_ms=NOW_MS - HOUR_MS))
            await it.lease_one(event("held", one, key="held", at_ms=NOW_MS - 9 * HOUR_MS))
            reaped = await it.store.reap(now_ms=NOW_MS, max_age_ms={one: HOUR_MS}, limit=9)
            assert reaped == Reaped(0, 1, more=False)
            assert await counts(it, one) == (2, 1, NOW_MS - 9 * HOUR_MS)
            lane = await it.acquire_one(one)
            assert [(head.event_id, head.sequence) for head in lane.heads] == [("edge", 2)]

    async def test_reaping_goes_in_steps(self, make_store: MakeStore) -> None:
        async with opened(make_store) as it:
            one = await it.endpoint()
            await it.accept(*(event(f"a{n}", one, at_ms=NOW_MS - 2 * HOUR_MS) for n in range(3)))
            steps = [await it.store.reap(now_ms=NOW_MS, max_age_ms={one: HOUR_MS}, limit=2) for _ in range(2)]
            assert steps == [Reaped(0, 2, more=True), Reaped(0, 1, more=False)]
            assert await counts(it, one) == (0, 3, None)
            placed = await it.lease_one(event("next", one))
            assert (placed.sequence, placed.generation > NO_LEASE) == (4, True)

    async def test_old_deliveries_of_a_removed_endpoint_are_cancelled(self, make_store: MakeStore) -> None:
        async with opened(make_store) as it:
            one = await it.endpoint()
            await it.accept(event("a", one, at_ms=NOW_MS - 2 * HOUR_MS))
            active = await it.store.reap(now_ms=NOW_MS, max_age_ms={DEFAULT_AGE: HOUR_MS}, limit=9)
            assert active.deliveries_ended == 0
            await it.store.register([], now_ms=NOW_MS)
            removed = await it.store.reap(now_ms=NOW_MS, max_age_ms={DEFAULT_AGE: HOUR_MS}, limit=9)
            assert removed.deliveries_ended == 1
            status = (await it.store.register(["backend"], now_ms=NOW_MS))["backend"]
            assert (status.pending, status.dead) == (0, 0)

    async def test_reaping_ends_old_deliveries_of_blocked_lanes(self, make_store: MakeStore) -> None:
        async with opened(make_store) as it:
            one = await it.endpoint()
            lane = await it.lease_one(event("a", one))
            await it.accept(event("b", one, at_ms=NOW_MS - 2 * HOUR_MS))
            await it.settle(settle(lane, 1, DeliveryState.DEAD, reason="rejected", block=True))
            reaped = await it.store.reap(now_ms=NOW_MS, max_age_ms={one: HOUR_MS}, limit=9)
            assert reaped.deliveries_ended == 1
            assert await counts(it, one) == (0, 2, None)

    async def test_pruning_forgets_old_events_that_owe_nothing(self, make_store: MakeStore) -> None:
        async with opened(make_store) as it:
            one = await it.endpoint()
            lane = await it.lease_one(event("done", one, at_ms=NOW_MS - 2))
            await it.accept(event("owing", one, at_ms=NOW_MS - 2), event("nobody's", at_ms=NOW_MS - 2))
            await it.accept(event("young", at_ms=NOW_MS - 1))
            await it.settle(settle(lane, 1, DeliveryState.DEAD, reason="rejected"))
            assert await prune_all(it, NOW_MS - 1) == (2, 0)
            again = await it.accept(*(event(name) for name in ("done", "owing", "nobody's", "young")))
            assert [accepted.duplicate for accepted in again] == [False, True, False, True]
            assert await counts(it, one) == (1, 0, NOW_MS - 2)

    async def test_pruning_goes_in_steps(self, make_store: MakeStore) -> None:
        async with opened(make_store) as it:
            await it.accept(*(event(f"e{number}") for number in range(5)))
            first = await it.store.prune(before_ms=NOW_MS + 1, limit=2)
            assert first == Pruned(events=2, lanes=0, more=True)
            assert await prune_all(it, NOW_MS + 1) == (3, 0)

    async def test_an_event_that_owes_one_of_its_deliveries_is_kept(self, make_store: MakeStore) -> None:
        async with opened(make_store) as it:
            statuses = await it.store.register(["x", "y"], now_ms=NOW_MS)
            x, y = statuses["x"].endpoint_id, statuses["y"].endpoint_id
            lane = await it.lease_one(event("a", x, y))
            await it.settle(settle(lane, 1))
            assert await prune_all(it, NOW_MS + 1) == (0, 0)
            assert event_ids(await it.acquire_one(y)) == ["a"]

    async def test_an_empty_lane_goes_and_is_made_anew_with_another_id(self, make_store: MakeStore) -> None:
        async with opened(make_store) as it:
            one = await it.endpoint()
            lane = await it.lease_one(event("a", one))
            await it.settle(settle(lane, 1))
            assert await prune_all(it, NOW_MS + 1) == (1, 1)
            anew = await it.lease_one(event("b", one))
            assert anew.lane_id != lane.lane_id
            assert (anew.sequence, anew.generation) == (1, 1)
            assert await it.settle(settle(lane, 1)) == (Settled(lost=True),)

    async def test_a_lane_with_something_left_stays(self, make_store: MakeStore) -> None:
        async with opened(make_store) as it:
            one = await it.endpoint()
            lane = await it.lease_one(event("a", one, at_ms=NOW_MS - 9))
            await it.accept(event("b", one))
            await it.settle(settle(lane, 1), settle(lane, 2))
            assert await prune_all(it, NOW_MS) == (1, 0)
            assert (await it.lease_one(event("c", one))).sequence == 3

    async def test_a_blocked_lane_stays(self, make_store: MakeStore) -> None:
        async with opened(make_store) as it:
            one = await it.endpoint()
            lane = await it.lease_one(event("a", one))
            await it.settle(settle(lane, 1, DeliveryState.DEAD, reason="rejected", block=True))
            assert await prune_all(it, NOW_MS + 1) == (1, 0)
            assert (await it.lease_one(event("b", one))).generation == NO_LEASE
            assert await counts(it, one) == (1, 0, NOW_MS)


class LifeContract:
    """A store keeps what it was given when it is closed and opened."""

    async def test_everything_is_there_after_reopening(self, make_store: MakeStore) -> None:
        async with opened(make_store) as it:
            store_id = it.store.store_id
            one = await it.endpoint()
            lane = await it.lease_one(event("a", one, body=b"payload", at_ms=NOW_MS - 3))
            await it.accept(event("b", one, at_ms=NOW_MS - 2), event("c", one, at_ms=NOW_MS - 1))
            await it.settle(settle(lane, 1, DeliveryState.DEAD, reason="rejected"))
        async with opened(make_store) as it:
            assert it.store.store_id == store_id
            assert await counts(it, one) == (2, 1, NOW_MS - 2)
            assert (await it.accept(event("a", one)))[0].duplicate
            again = await it.acquire_one(one, now_ms=NOW_MS + LEASE_MS)
            assert (again.lane_id, again.generation) == (lane.lane_id, lane.generation + 1)
            assert [(head.event_id, head.sequence) for head in again.heads] == [("b", 2), ("c", 3)]

    async def test_a_lane_that_went_leaves_its_id_to_nobody_after_reopening(self, make_store: MakeStore) -> None:
        async with opened(make_store) as it:
            one = await it.endpoint()
            lane = await it.lease_one(event("a", one))
            await it.settle(settle(lane, 1))
            assert await prune_all(it, NOW_MS + 1) == (1, 1)
        async with opened(make_store) as it:
            assert (await it.lease_one(event("b", one))).lane_id > lane.lane_id

    async def test_the_store_id_is_eight_hexadecimal_digits(self, make_store: MakeStore) -> None:
        async with opened(make_store) as it:
            assert len(it.store.store_id) == 8
            assert set(it.store.store_id) <= set("0123456789abcdef")

    async def test_closing_twice_is_fine_and_a_closed_store_refuses(self, make_store: MakeStore) -> None:
        async with opened(make_store) as it:
            store = it.store
            await store.close()
            await store.close()
            try:
                await store.endpoints()
            except StoreError:
                pass
            else:
                raise AssertionError("a closed store answered")


class SoleOwnerContract:
    """A store that is one worker's alone."""

    async def test_no_lease_outlives_its_owner(self, make_store: MakeStore) -> None:
        async with opened(make_store) as it:
            assert not it.store.shared
            one = await it.endpoint()
            lane = await it.lease_one(event("a", one))
        async with opened(make_store) as it:
            assert await it.settle(settle(lane, 1)) == (Settled(lost=True),)
            assert event_ids(await it.acquire_one(one)) == ["a"]

    async def test_a_second_opener_is_refused_until_the_first_closes(self, make_store: MakeStore) -> None:
        async with opened(make_store) as it:
            second = make_store()
            try:
                await second.open()
            except StoreLocked:
                await second.close()
            else:
                raise AssertionError("two stores have one storage open")
            await it.endpoint()
        async with opened(make_store) as it:
            assert len(await it.store.endpoints()) == 1

    async def test_a_lease_that_ran_long_is_due_at_once_after_reopening(self, make_store: MakeStore) -> None:
        async with opened(make_store) as it:
            one = await it.endpoint()
            await it.lease_one(event("a", one), expires_at_ms=NOW_MS + 1_000 * LEASE_MS)
        async with opened(make_store) as it:
            assert event_ids(await it.acquire_one(one)) == ["a"]


async def counts(it: StoreDriver, endpoint_id: EndpointId) -> tuple[int, int, int | None]:
    """Pending, dead, and when the oldest pending one was accepted."""
    status = await it.status(endpoint_id)
    assert status is not None
    return status.pending, status.dead, status.oldest_pending_at_ms


async def prune_all(it: StoreDriver, before_ms: int) -> tuple[int, int]:
    """Prunes step by step until nothing is left to do; how many events and lanes went."""
    events = lanes = 0
    while True:
        pruned = await it.store.prune(before_ms=before_ms, limit=3)
        events, lanes = events + pruned.events, lanes + pruned.lanes
        if not pruned.more:
            return events, lanes
