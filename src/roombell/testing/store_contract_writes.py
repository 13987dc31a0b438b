"""What every store does with accepts and settles."""

from __future__ import annotations

from roombell.engine.model import NO_LEASE, DeliveryState, EndpointState, Grant, Release, Renew, Settled
from roombell.testing.store_driver import (
    LEASE_MS,
    NOW_MS,
    MakeStore,
    event,
    event_ids,
    opened,
    settle,
)

LATER_MS = NOW_MS + 5_000


class AcceptContract:
    """An event goes in with all its deliveries, once."""

    async def test_sequences_count_from_one_without_a_gap_in_each_lane(self, make_store: MakeStore) -> None:
        async with opened(make_store) as it:
            one = await it.endpoint()
            first = await it.accept(event("a", one), event("b", one, key="other"), event("c", one))
            second = await it.accept(event("d", one))
            places = [accepted.placed[0] for accepted in first + second]
            assert [place.sequence for place in places] == [1, 1, 2, 3]
            assert places[0].lane_id == places[2].lane_id == places[3].lane_id != places[1].lane_id

    async def test_each_endpoint_has_a_lane_of_its_own_for_a_key(self, make_store: MakeStore) -> None:
        async with opened(make_store) as it:
            statuses = await it.store.register(["x", "y"], now_ms=NOW_MS)
            x, y = statuses["x"].endpoint_id, statuses["y"].endpoint_id
            (accepted,) = await it.accept(event("a", x, y))
            assert [place.endpoint_id for place in accepted.placed] == [x, y]
            assert accepted.placed[0].lane_id != accepted.placed[1].lane_id

    async def test_an_event_that_no_endpoint_wants_is_kept_and_known(self, make_store: MakeStore) -> None:
        async with opened(make_store) as it:
            assert (await it.accept(event("a")))[0].placed == ()
            assert [accepted.duplicate for accepted in await it.accept(event("a"))] == [True]

    async def test_a_known_event_id_is_a_duplicate_and_writes_nothing(self, make_store: MakeStore) -> None:
        async with opened(make_store) as it:
            one = await it.endpoint()
            within = await it.accept(event("a", one), event("a", one, key="other"))
            after = await it.accept(event("a", one), event("b", one))
            assert [accepted.duplicate for accepted in within + after] == [False, True, True, False]
            assert within[1].placed == after[0].placed == ()
            assert after[1].placed[0].sequence == 2
            status = await it.status(one)
            assert status is not None
            assert status.pending == 2

    async def test_a_duplicate_uses_up_no_grant(self, make_store: MakeStore) -> None:
        async with opened(make_store) as it:
            one = await it.endpoint()
            await it.accept(event("a", one))
            accepts = (event("a", one, key="other"), event("b", one, key="third"))
            _, accepted = await it.accept(*accepts, grants=(Grant(one, 1),))
            assert accepted.placed[0].generation != NO_LEASE

    async def test_grants_lease_idle_lanes_in_the_order_they_are_met(self, make_store: MakeStore) -> None:
        async with opened(make_store) as it:
            one = await it.endpoint()
            accepts = tuple(event(key, one, key=key) for key in ("a", "b", "a2", "c"))
            accepted = await it.accept(*accepts, grants=(Grant(one, 2),))
            assert [a.placed[0].generation > NO_LEASE for a in accepted] == [True, True, False, False]
            left = await it.acquire(one)
            assert [lane.ordering_key for lane in left.lanes] == ["a2", "c"]

    async def test_a_grant_serves_its_endpoint_alone(self, make_store: MakeStore) -> None:
        async with opened(make_store) as it:
            statuses = await it.store.register(["x", "y"], now_ms=NOW_MS)
            x, y = statuses["x"].endpoint_id, statuses["y"].endpoint_id
            (accepted,) = await it.accept(event("a", x, y), grants=(Grant(y, 5),))
            assert [place.generation > NO_LEASE for place in accepted.placed] == [False, True]

    async def test_more_for_a_lane_that_the_owner_holds_comes_with_its_generation(self, make_store: MakeStore) -> None:
        async with opened(make_store) as it:
            one = await it.endpoint()
            first = await it.lease_one(event("a", one))
            ours = (await it.accept(event("b", one)))[0].placed[0]
            theirs = (await it.as_owner("worker-2").accept(event("c", one)))[0].placed[0]
            assert (ours.generation, ours.sequence) == (first.generation, 2)
            assert [place.granted for place in (first, ours, theirs)] == [True, False, False]
            assert (theirs.generation, theirs.sequence) == (NO_LEASE, 3)
            assert [place.elsewhere for place in (first, ours, theirs)] == [False, False, True]

    async def test_an_owner_holds_its_lane_past_expiry_until_it_is_taken(self, make_store: MakeStore) -> None:
        async with opened(make_store) as it:
            one = await it.endpoint()
            first = await it.lease_one(event("a", one), expires_at_ms=NOW_MS)
            late = (await it.accept(event("b", one, at_ms=LATER_MS)))[0].placed[0]
            assert late.generation == first.generation

    async def test_a_waiting_lane_is_no_idle_lane(self, make_store: MakeStore) -> None:
        async with opened(make_store) as it:
            one = await it.endpoint()
            await it.accept(event("a", one))
            (accepted,) = await it.accept(event("b", one, at_ms=LATER_MS), grants=(Grant(one, 1),))
            assert accepted.placed[0].generation == NO_LEASE
            assert accepted.placed[0].due_at_ms == NOW_MS
            lane = await it.acquire_one(one)
            assert event_ids(lane) == ["a", "b"]

    async def test_what_stands_behind_a_retry_is_due_with_it(self, make_store: MakeStore) -> None:
        async with opened(make_store) as it:
            one = await it.endpoint()
            lane = await it.lease_one(event("a", one))
            await it.settle(settle(lane, 1, DeliveryState.PENDING, due_at_ms=LATER_MS))
            (accepted,) = await it.accept(event("b", one), grants=(Grant(one, 1),))
            assert (accepted.placed[0].generation, accepted.placed[0].due_at_ms) == (NO_LEASE, LATER_MS)

    async def test_nothing_is_due_in_a_lane_that_is_held_or_blocked(self, make_store: MakeStore) -> None:
        async with opened(make_store) as it:
            one = await it.endpoint()
            lane = await it.lease_one(event("a", one))
            held = (await it.accept(event("b", one)))[0].placed[0]
            await it.settle(settle(lane, 1, DeliveryState.DEAD, block=True))
            blocked = (await it.accept(event("c", one)))[0].placed[0]
            assert [place.due_at_ms for place in (lane, held, blocked)] == [None, None, None]

    async def test_no_lane_of_an_endpoint_that_is_not_active_is_leased(self, make_store: MakeStore) -> None:
        async with opened(make_store) as it:
            one = await it.endpoint()
            await it.store.set_endpoint_state(one, EndpointState.DISABLED, reason="410", now_ms=NOW_MS)
            placed = await it.lease_one(event("a", one))
            assert placed.generation == NO_LEASE
            await it.store.set_endpoint_state(one, EndpointState.ACTIVE, reason="", now_ms=NOW_MS)
            assert event_ids(await it.acquire_one(one)) == ["a"]


class SettleContract:
    """What became of an attempt is written while the lease lasts, and never after."""

    async def test_the_last_settlement_of_a_lane_ends_its_lease(self, make_store: MakeStore) -> None:
        async with opened(make_store) as it:
            one = await it.endpoint()
            lane = await it.lease_one(event("a", one))
            await it.accept(event("b", one))
            assert await it.settle(settle(lane, 1)) == (Settled(lost=False, pending=1),)
            assert await it.settle(settle(lane, 2)) == (Settled(lost=False, pending=0),)
            assert not await it.renew(lane, NOW_MS + 2 * LEASE_MS)
            again = await it.lease_one(event("c", one))
            assert (again.sequence, again.generation) == (3, lane.generation + 1)

    async def test_an_event_in_the_same_commit_as_the_last_settlement_keeps_the_lease(
        self, make_store: MakeStore
    ) -> None:
        async with opened(make_store) as it:
            one = await it.endpoint()
            lane = await it.lease_one(event("a", one))
            result = await it.store.commit(it.batch(event("b", one), settles=(settle(lane, 1),)))
            assert result.accepted[0].placed[0].generation == lane.generation
            assert result.settled == (Settled(lost=False, pending=1),)
            assert await it.settle(settle(lane, 2)) == (Settled(lost=False, pending=0),)

    async def test_settlements_of_one_lane_in_one_commit_follow_each_other(self, make_store: MakeStore) -> None:
        async with opened(make_store) as it:
            one = await it.endpoint()
            lane = await it.lease_one(event("a", one))
            await it.accept(event("b", one))
            settled = await it.settle(settle(lane, 1), settle(lane, 2))
            assert settled == (Settled(lost=False, pending=1), Settled(lost=False, pending=0))

    async def test_a_retry_ends_the_lease_and_waits_until_it_is_due(self, make_store: MakeStore) -> None:
        async with opened(make_store) as it:
            one = await it.endpoint()
            lane = await it.lease_one(event("a", one, body=b"payload"))
            retry = settle(lane, 1, DeliveryState.PENDING, due_at_ms=LATER_MS)
            assert await it.settle(retry) == (Settled(lost=False, pending=1),)
            early = await it.acquire(one, now_ms=LATER_MS - 1)
            assert (early.lanes, early.next_due_at_ms) == ((), LATER_MS)
            again = await it.acquire_one(one, now_ms=LATER_MS)
            assert again.generation == lane.generation + 1
            head = again.heads[0]
            assert (head.sequence, head.attempts, head.body) == (1, 1, b"payload")

    async def test_a_retry_holds_its_place_before_newer_events(self, make_store: MakeStore) -> None:
        async with opened(make_store) as it:
            one = await it.endpoint()
            lane = await it.lease_one(event("a", one))
            await it.settle(settle(lane, 1, DeliveryState.PENDING, due_at_ms=LATER_MS))
            await it.accept(event("b", one))
            assert (await it.acquire(one)).lanes == ()
            assert event_ids(await it.acquire_one(one, now_ms=LATER_MS)) == ["a", "b"]

    async def test_attempts_are_counted_and_a_settlement_without_one_counts_none(self, make_store: MakeStore) -> None:
        async with opened(make_store) as it:
            one = await it.endpoint()
            await it.accept(event("a", one))
            lane = await it.acquire_one(one)
            for number in (1, 2, 0):
                await it.settle(settle(lane, 1, DeliveryState.PENDING, number=number, due_at_ms=NOW_MS))
                lane = await it.acquire_one(one)
            assert lane.heads[0].attempts == 2
            dead = settle(lane, 1, DeliveryState.DEAD, number=0, reason="expired")
            assert await it.settle(dead) == (Settled(lost=False, pending=0),)

    async def test_attempts_that_do_not_count_are_no_strikes(self, make_store: MakeStore) -> None:
        async with opened(make_store) as it:
            one = await it.endpoint()
            await it.accept(event("a", one))
            strikes = []
            for number, counted in ((1, True), (2, False), (3, True), (0, True)):
                lane = await it.acquire_one(one)
                strikes.append((lane.heads[0].attempts, lane.heads[0].strikes))
                retry = settle(lane, 1, DeliveryState.PENDING, number=number, due_at_ms=NOW_MS, counted=counted)
                await it.settle(retry)
            lane = await it.acquire_one(one)
            assert [*strikes, (lane.heads[0].attempts, lane.heads[0].strikes)] == [
                (0, 0),
                (1, 1),
                (2, 1),
                (3, 2),
                (3, 2),
            ]

    async def test_a_worker_that_lost_its_lane_changes_nothing(self, make_store: MakeStore) -> None:
        async with opened(make_store) as it:
            one = await it.endpoint()
            lost = await it.lease_one(event("a", one), expires_at_ms=NOW_MS)
            other = it.as_owner("worker-2")
            taken = await other.acquire_one(one)
            assert taken.generation == lost.generation + 1
            assert await it.settle(settle(lost, 1)) == (Settled(lost=True),)
            await it.release(lost)
            assert not await it.renew(lost, NOW_MS + 2 * LEASE_MS)
            status = await it.status(one)
            assert status is not None
            assert status.pending == 1
            assert await other.settle(settle(taken, 1)) == (Settled(lost=False, pending=0),)

    async def test_a_settlement_after_the_lease_ended_is_lost(self, make_store: MakeStore) -> None:
        async with opened(make_store) as it:
            one = await it.endpoint()
            lane = await it.lease_one(event("a", one))
            await it.release(lane)
            assert await it.settle(settle(lane, 1)) == (Settled(lost=True),)

    async def test_a_settlement_past_expiry_counts_while_nobody_took_the_lane(self, make_store: MakeStore) -> None:
        async with opened(make_store) as it:
            one = await it.endpoint()
            lane = await it.lease_one(event("a", one), expires_at_ms=NOW_MS)
            assert await it.settle(settle(lane, 1)) == (Settled(lost=False, pending=0),)

    async def test_a_lost_settlement_leaves_the_rest_of_its_commit_alone(self, make_store: MakeStore) -> None:
        async with opened(make_store) as it:
            one = await it.endpoint()
            lost = await it.lease_one(event("a", one))
            await it.release(lost)
            held = await it.lease_one(event("b", one, key="other"))
            assert [s.lost for s in await it.settle(settle(lost, 1), settle(held, 1))] == [True, False]

    async def test_a_blocked_lane_is_never_acquired_and_takes_more(self, make_store: MakeStore) -> None:
        async with opened(make_store) as it:
            one = await it.endpoint()
            lane = await it.lease_one(event("a", one))
            await it.accept(event("b", one))
            dead = settle(lane, 1, DeliveryState.DEAD, reason="rejected", block=True)
            assert await it.settle(dead) == (Settled(lost=False, pending=1),)
            assert not await it.renew(lane, NOW_MS + 2 * LEASE_MS)
            placed = await it.lease_one(event("c", one))
            assert (placed.generation, placed.sequence) == (NO_LEASE, 3)
            blocked = await it.acquire(one, now_ms=LATER_MS)
            assert (blocked.lanes, blocked.next_due_at_ms) == ((), None)
            status = await it.status(one)
            assert status is not None
            assert (status.pending, status.dead) == (2, 1)

    async def test_a_blocked_lane_with_nothing_pending_takes_no_grant(self, make_store: MakeStore) -> None:
        async with opened(make_store) as it:
            one = await it.endpoint()
            lane = await it.lease_one(event("a", one))
            await it.settle(settle(lane, 1, DeliveryState.DEAD, reason="rejected", block=True))
            assert (await it.lease_one(event("b", one))).generation == NO_LEASE
            assert (await it.acquire(one)).lanes == ()

    async def test_a_commit_settles_before_it_releases_and_releases_before_it_renews(
        self, make_store: MakeStore
    ) -> None:
        async with opened(make_store) as it:
            one = await it.endpoint()
            lane = await it.lease_one(event("a", one))
            await it.accept(event("b", one))
            batch = it.batch(
                settles=(settle(lane, 1),),
                releases=(Release(lane.lane_id, lane.generation, LATER_MS),),
                renewals=(Renew(lane.lane_id, lane.generation, LATER_MS),),
            )
            result = await it.store.commit(batch)
            assert result.settled == (Settled(lost=False, pending=1),)
            assert result.renewed == (False,)
            assert event_ids(await it.acquire_one(one, now_ms=LATER_MS)) == ["b"]
