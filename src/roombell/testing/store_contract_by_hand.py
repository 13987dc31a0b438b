"""What every store does when a person looks for deliveries, redrives, replays and cancels them, and unblocks lanes."""

from __future__ import annotations

from roombell.engine.model import NO_LEASE, DeliveryState, EndpointId, Placed, Sequence
from roombell.engine.selection import Changed, Selector, Unblocked
from roombell.engine.transitions import Verb
from roombell.testing.store_driver import (
    LEASE_MS,
    NOW_MS,
    PLENTY,
    MakeStore,
    StoreDriver,
    attempt,
    event,
    event_ids,
    opened,
    settle,
)

PENDING, DELIVERED, DEAD, CANCELLED = DeliveryState
HOUR_MS = 3_600_000
LATER_MS = NOW_MS + HOUR_MS


class FindContract:
    """Deliveries are found in the order of acceptance, step by step."""

    async def test_deliveries_are_found_in_the_order_of_acceptance_whatever_the_clock_said(
        self, make_store: MakeStore
    ) -> None:
        async with opened(make_store) as it:
            statuses = await it.store.register(["x", "y"], now_ms=NOW_MS)
            x, y = statuses["x"].endpoint_id, statuses["y"].endpoint_id
            await it.accept(event("b", x, y, at_ms=NOW_MS + 5), event("a", y, key="other", at_ms=NOW_MS))
            await it.accept(event("nobody's"), event("c", x))
            found = await it.find()
            assert [(one.event_id, one.endpoint, one.lane, one.sequence) for one in found] == [
                ("b", "x", "room-1", 1),
                ("b", "y", "room-1", 1),
                ("a", "y", "other", 1),
                ("c", "x", "room-1", 2),
            ]

    async def test_what_is_found_is_told_whole(self, make_store: MakeStore) -> None:
        async with opened(make_store) as it:
            one = await it.endpoint()
            lane = await it.lease_one(event("a", one, at_ms=NOW_MS - 3))
            await it.settle(settle(lane, 1, DEAD, reason="rejected", block=True))
            (found,) = await it.find()
            assert (found.lane_id, found.event_type, found.room_name) == (lane.lane_id, "room_started", "room-1")
            assert (found.accepted_at_ms, found.settled_at_ms, found.attempts) == (NOW_MS - 3, NOW_MS, 1)
            assert (found.state, found.reason, found.blocks) == (DEAD, "rejected", True)

    async def test_a_selector_means_what_fits_everything_it_says(self, make_store: MakeStore) -> None:
        async with opened(make_store) as it:
            x, _ = await two_lanes_settled(it)
            for selector, expected in (
                (Selector(), "delivered dead pending other away"),
                (Selector(states=(DEAD,)), "dead"),
                (Selector(states=(DEAD, CANCELLED)), "dead"),
                (Selector(states=()), ""),
                (Selector(endpoint_id=x), "delivered dead pending other"),
                (Selector(endpoint_id=x, ordering_key="k2"), "other"),
                (Selector(ordering_key="room-1"), "delivered dead pending away"),
                (Selector(room_name="room-1"), "delivered dead pending other away"),
                (Selector(room_name="room-2"), ""),
                (Selector(event_id="dead"), "dead"),
                (Selector(event_id="dead", states=(PENDING,)), ""),
                (Selector(event_id="unknown"), ""),
                (Selector(since_ms=NOW_MS + 2), "pending other away"),
                (Selector(until_ms=NOW_MS + 2), "delivered dead"),
                (Selector(since_ms=NOW_MS + 1, until_ms=NOW_MS + 3), "dead pending"),
                (Selector(as_of_ms=NOW_MS + 2), "delivered dead pending"),
                (Selector(as_of_ms=NOW_MS - 1), ""),
            ):
                found = [delivery.event_id for delivery in await it.find(selector)]
                assert found == expected.split(), selector

    async def test_looking_goes_on_where_it_ended_though_events_were_forgotten(self, make_store: MakeStore) -> None:
        async with opened(make_store) as it:
            one = await it.endpoint()
            lane = await it.lease_one(event("a", one, at_ms=NOW_MS - 1))
            await it.accept(event("b", one), event("c", one))
            await it.settle(settle(lane, 1))
            first = await it.store.find(Selector(), after=None, limit=1)
            assert first.next is not None
            await it.store.prune(before_ms=NOW_MS, limit=9)
            rest = await it.store.find(Selector(), after=first.next, limit=9)
            assert [delivery.event_id for delivery in rest.deliveries] == ["b", "c"]

    async def test_an_event_s_history_holds_each_delivery_with_its_attempts(self, make_store: MakeStore) -> None:
        async with opened(make_store) as it:
            statuses = await it.store.register(["x", "y"], now_ms=NOW_MS)
            x, y = statuses["x"].endpoint_id, statuses["y"].endpoint_id
            await it.accept(event("a", x, y))
            for number in (1, 2):
                await it.settle(settle(await it.acquire_one(x), 1, PENDING, number=number, due_at_ms=NOW_MS))
            of_x, of_y = await it.store.history("a")
            assert (of_x.delivery.endpoint, of_x.attempts) == ("x", (attempt(1), attempt(2)))
            assert (of_y.delivery.endpoint, of_y.attempts) == ("y", ())
            assert await it.store.history("unknown") == ()


class RedriveContract:
    """Settled deliveries are pending again in their old place; pending ones are cancelled."""

    async def test_what_is_redriven_stands_in_its_old_place_before_everything_newer(
        self, make_store: MakeStore
    ) -> None:
        async with opened(make_store) as it:
            one = await it.endpoint()
            lane = await it.lease_one(event("a", one))
            await it.accept(*(event(name, one) for name in "bcd"))
            for sequence, state in ((1, DEAD), (2, DELIVERED), (3, CANCELLED)):
                await it.settle(settle(lane, sequence, state, reason="because"))
            await it.release(lane, due_at_ms=LATER_MS)
            assert await it.change(Verb.REDRIVE) == Changed(changed=2, left=0, next=None)
            again = await it.acquire_one(one)
            assert (event_ids(again), again.pending) == (["a", "c", "d"], 3)
            assert [head.sequence for head in again.heads] == [1, 3, 4]
            status = await it.status(one)
            assert status is not None
            assert (status.pending, status.dead) == (3, 0)

    async def test_attempts_are_numbered_on_and_strikes_and_age_begin_anew(self, make_store: MakeStore) -> None:
        async with opened(make_store) as it:
            one = await it.endpoint()
            await it.accept(event("a", one, at_ms=NOW_MS - 9 * HOUR_MS))
            await it.settle(settle(await it.acquire_one(one), 1, DEAD, reason="expired"))
            await it.change(Verb.REDRIVE)
            assert (await it.store.reap(now_ms=NOW_MS, max_age_ms={one: HOUR_MS}, limit=9)).deliveries_ended == 0
            lane = await it.acquire_one(one)
            head = lane.heads[0]
            assert (head.attempts, head.strikes, head.redriven_at_ms) == (1, 0, NOW_MS)
            assert (head.accepted_at_ms, head.owed_since_ms) == (NOW_MS - 9 * HOUR_MS, NOW_MS)
            status = await it.status(one)
            assert status is not None
            assert status.oldest_pending_at_ms == NOW_MS
            await it.settle(settle(lane, 1, number=2))
            (history,) = await it.store.history("a")
            assert [one.number for one in history.attempts] == [1, 2]
            assert (history.delivery.state, history.delivery.reason) == (DELIVERED, "")

    async def test_redriving_twice_changes_nothing_more(self, make_store: MakeStore) -> None:
        async with opened(make_store) as it:
            one, lane = await one_dead_in_a_lane(it)
            await it.release(lane)
            assert [(await it.change(Verb.REDRIVE)).changed for _ in range(2)] == [1, 0]
            assert event_ids(await it.acquire_one(one)) == ["a", "b"]

    async def test_what_is_delivered_is_replayed_and_not_redriven(self, make_store: MakeStore) -> None:
        async with opened(make_store) as it:
            one = await it.endpoint()
            lane = await it.lease_one(event("a", one))
            await it.accept(event("b", one))
            await it.settle(settle(lane, 1), settle(lane, 2))
            assert (await it.change(Verb.REDRIVE)).changed == 0
            assert (await it.change(Verb.REPLAY)).changed == 2
            assert event_ids(await it.acquire_one(one)) == ["a", "b"]

    async def test_a_replay_passes_over_what_was_delivered_since_it_began(self, make_store: MakeStore) -> None:
        async with opened(make_store) as it:
            one = await it.endpoint()
            await it.settle(settle(await it.lease_one(event("a", one)), 1))
            began = Selector(as_of_ms=NOW_MS - 1)
            assert (await it.change(Verb.REPLAY, began)).changed == 0
            assert (await it.change(Verb.REPLAY, Selector(as_of_ms=NOW_MS))).changed == 1

    async def test_changing_goes_in_steps_and_stops_at_the_bound(self, make_store: MakeStore) -> None:
        async with opened(make_store) as it:
            one = await it.endpoint()
            await it.accept(*(event(f"e{number}", one, key=f"k{number}") for number in range(5)))
            counts, after = [], None
            while True:
                step = await it.store.change(
                    Selector(), Verb.CANCEL, reason="by hand", after=after, limit=2, now_ms=NOW_MS
                )
                counts.append(step.changed)
                after = step.next
                if after is None:
                    break
            assert counts == [2, 2, 1]

    async def test_a_lane_whose_head_is_redriven_does_not_wait_for_another_one_s_retry(
        self, make_store: MakeStore
    ) -> None:
        async with opened(make_store) as it:
            one, lane = await one_dead_in_a_lane(it)
            await it.settle(settle(lane, 2, PENDING, due_at_ms=LATER_MS))
            assert (await it.acquire(one)).lanes == ()
            await it.change(Verb.REDRIVE)
            assert event_ids(await it.acquire_one(one)) == ["a", "b"]

    async def test_what_is_redriven_behind_the_head_leaves_the_head_s_retry_alone(self, make_store: MakeStore) -> None:
        async with opened(make_store) as it:
            one = await it.endpoint()
            await it.accept(event("a", one), event("b", one))
            cancelled = Selector(event_id="b")
            await it.change(Verb.CANCEL, cancelled)
            await it.settle(settle(await it.acquire_one(one), 1, PENDING, due_at_ms=LATER_MS))
            assert (await it.change(Verb.REDRIVE, cancelled)).changed == 1
            assert (await it.acquire(one)).next_due_at_ms == LATER_MS

    async def test_cancelling_takes_deliveries_out_of_their_lane(self, make_store: MakeStore) -> None:
        async with opened(make_store) as it:
            one = await it.endpoint()
            await it.accept(*(event(name, one) for name in "abcd"))
            for name in "ac":
                assert (await it.change(Verb.CANCEL, Selector(event_id=name))).changed == 1
            found = (await it.find(Selector(states=(CANCELLED,))))[0]
            assert (found.event_id, found.reason, found.settled_at_ms) == ("a", "by hand", NOW_MS)
            lane = await it.acquire_one(one)
            assert (event_ids(lane), lane.pending) == (["b", "d"], 2)
            assert await it.settle(settle(lane, 2), settle(lane, 4)) != ()
            assert (await it.states())[1::2] == [("b", DELIVERED), ("d", DELIVERED)]

    async def test_a_lane_of_which_all_is_cancelled_takes_new_events(self, make_store: MakeStore) -> None:
        async with opened(make_store) as it:
            one = await it.endpoint()
            await it.accept(event("a", one), event("b", one))
            assert (await it.change(Verb.CANCEL)).changed == 2
            assert (await it.acquire(one)).lanes == ()
            placed = await it.lease_one(event("c", one))
            assert (placed.sequence, placed.generation > NO_LEASE) == (3, True)


class CallBackContract:
    """What is changed in a lane that a worker holds takes effect after the one attempt that may be under way."""

    async def test_a_worker_settles_what_is_under_way_and_then_has_lost_the_lane(self, make_store: MakeStore) -> None:
        async with opened(make_store) as it:
            one, lane = await one_dead_in_a_lane(it)
            await it.accept(event("c", one))
            assert (await it.change(Verb.REDRIVE)).changed == 1
            assert (await it.acquire(one)).lanes == ()
            (settled,) = await it.settle(settle(lane, 2))
            assert (settled.lost, settled.recalled, settled.pending) == (False, True, 2)
            assert [answer.lost for answer in await it.settle(settle(lane, 3))] == [True]
            assert event_ids(await it.acquire_one(one)) == ["a", "c"]

    async def test_a_retry_of_what_was_under_way_does_not_hold_up_what_was_redriven(
        self, make_store: MakeStore
    ) -> None:
        async with opened(make_store) as it:
            one, lane = await one_dead_in_a_lane(it)
            await it.change(Verb.REDRIVE)
            (settled,) = await it.settle(settle(lane, 2, PENDING, due_at_ms=LATER_MS))
            assert settled.recalled
            assert event_ids(await it.acquire_one(one)) == ["a", "b"]

    async def test_a_lane_that_was_called_back_has_no_page_and_new_events_come_without_lease(
        self, make_store: MakeStore
    ) -> None:
        async with opened(make_store) as it:
            one, lane = await one_dead_in_a_lane(it)
            await it.change(Verb.REDRIVE)
            page = await it.store.page(
                lane.lane_id, lane.generation, after=Sequence(1), heads_max=9, body_bytes_max=PLENTY
            )
            assert page is None
            (accepted,) = await it.accept(event("c", one))
            assert accepted.placed[0].generation == NO_LEASE

    async def test_a_lane_that_was_called_back_can_be_kept_and_given_back(self, make_store: MakeStore) -> None:
        async with opened(make_store) as it:
            one, lane = await one_dead_in_a_lane(it)
            await it.change(Verb.REDRIVE)
            assert await it.renew(lane, NOW_MS + 2 * LEASE_MS)
            await it.release(lane)
            again = await it.acquire_one(one)
            assert event_ids(again) == ["a", "b"]
            assert [answer.recalled for answer in await it.settle(settle(again, 1, number=2))] == [False]

    async def test_a_lane_that_was_called_back_is_taken_over_when_its_lease_runs_out(
        self, make_store: MakeStore
    ) -> None:
        async with opened(make_store) as it:
            one, lane = await one_dead_in_a_lane(it)
            await it.change(Verb.REDRIVE)
            taken = await it.as_owner("worker-2").acquire_one(one, now_ms=NOW_MS + LEASE_MS)
            assert (event_ids(taken), taken.generation) == (["a", "b"], lane.generation + 1)
            assert [answer.lost for answer in await it.settle(settle(lane, 2))] == [True]

    async def test_what_may_be_under_way_cannot_be_cancelled(self, make_store: MakeStore) -> None:
        async with opened(make_store) as it:
            one = await it.endpoint()
            lane = await it.lease_one(event("a", one))
            await it.accept(event("b", one), event("c", one))
            assert await it.change(Verb.CANCEL) == Changed(changed=2, left=1, next=None)
            assert await it.change(Verb.CANCEL) == Changed(changed=0, left=1, next=None)
            (settled,) = await it.settle(settle(lane, 1))
            assert (settled.recalled, settled.pending) == (True, 0)
            assert await it.states() == [("a", DELIVERED), ("b", CANCELLED), ("c", CANCELLED)]

    async def test_what_was_under_way_is_known_though_older_ones_were_redriven(self, make_store: MakeStore) -> None:
        async with opened(make_store) as it:
            one, lane = await one_dead_in_a_lane(it)
            await it.change(Verb.REDRIVE)
            assert await it.change(Verb.CANCEL) == Changed(changed=1, left=1, next=None)
            retry = settle(lane, 2, PENDING, due_at_ms=LATER_MS)
            assert [answer.lost for answer in await it.settle(retry)] == [False]
            assert (await it.acquire(one)).next_due_at_ms == LATER_MS


class UnblockContract:
    """A lane that waits for a decision goes on when there is one."""

    async def test_redriving_what_blocks_a_lane_lets_it_go_on_in_order(self, make_store: MakeStore) -> None:
        async with opened(make_store) as it:
            one, lane = await one_dead_in_a_lane(it)
            await it.settle(settle(lane, 2, DEAD, reason="rejected", block=True))
            await it.accept(event("c", one))
            older = Selector(event_id="a")
            assert (await it.change(Verb.REDRIVE, older)).changed == 1
            assert (await it.acquire(one)).lanes == (), "the decision about b is still to be made"
            assert await blocked(it, one) == 1
            await it.change(Verb.REDRIVE)
            assert event_ids(await it.acquire_one(one)) == ["a", "b", "c"]
            assert await blocked(it, one) == 0

    async def test_an_unblocked_lane_goes_on_without_what_it_waited_for(self, make_store: MakeStore) -> None:
        async with opened(make_store) as it:
            one = await it.endpoint()
            lane = await it.lease_one(event("a", one))
            await it.accept(event("b", one))
            await it.settle(settle(lane, 1, DEAD, reason="rejected", block=True))
            assert await unblock(it, one) == Unblocked(lanes=1, next=None)
            assert event_ids(await it.acquire_one(one)) == ["b"]
            assert await unblock(it, one) == Unblocked(lanes=0, next=None)

    async def test_unblocking_goes_in_steps_by_endpoint_and_key(self, make_store: MakeStore) -> None:
        async with opened(make_store) as it:
            statuses = await it.store.register(["x", "y"], now_ms=NOW_MS)
            x, y = statuses["x"].endpoint_id, statuses["y"].endpoint_id
            for endpoint, key in ((x, "k1"), (x, "k2"), (y, "k1"), (y, "k2")):
                lane = await it.lease_one(event(f"{endpoint}{key}", endpoint, key=key))
                await it.settle(settle(lane, 1, DEAD, reason="rejected", block=True))
            assert (await it.store.unblock(y, "k2", after=None, limit=9, now_ms=NOW_MS)).lanes == 1
            first = await it.store.unblock(None, None, after=None, limit=2, now_ms=NOW_MS)
            assert first.lanes == 2
            assert first.next is not None
            rest = await it.store.unblock(None, None, after=first.next, limit=2, now_ms=NOW_MS)
            assert rest == Unblocked(lanes=1, next=None)

    async def test_an_unblocked_lane_in_which_nothing_is_left_is_forgotten(self, make_store: MakeStore) -> None:
        async with opened(make_store) as it:
            one = await it.endpoint()
            lane = await it.lease_one(event("a", one))
            await it.settle(settle(lane, 1, DEAD, reason="rejected", block=True))
            assert (await it.store.prune(before_ms=NOW_MS + 1, limit=9)).lanes == 0
            assert await unblock(it, one) == Unblocked(lanes=1, next=None)
            placed = (await it.accept(event("b", one)))[0].placed[0]
            assert placed.lane_id != lane.lane_id


async def one_dead_in_a_lane(it: StoreDriver) -> tuple[EndpointId, Placed]:
    """A leased lane: "a" is dead, "b" is its head."""
    one = await it.endpoint()
    lane = await it.lease_one(event("a", one))
    await it.accept(event("b", one))
    await it.settle(settle(lane, 1, DEAD, reason="rejected"))
    return one, lane


async def two_lanes_settled(it: StoreDriver) -> tuple[EndpointId, EndpointId]:
    """Events named for their state, accepted a millisecond apart; one in another lane, one at another endpoint."""
    statuses = await it.store.register(["x", "y"], now_ms=NOW_MS)
    x, y = statuses["x"].endpoint_id, statuses["y"].endpoint_id
    lane = await it.lease_one(event("delivered", x))
    await it.accept(event("dead", x, at_ms=NOW_MS + 1), event("pending", x, at_ms=NOW_MS + 2))
    await it.accept(event("other", x, key="k2", at_ms=NOW_MS + 3), event("away", y, at_ms=NOW_MS + 3))
    await it.settle(settle(lane, 1), settle(lane, 2, DEAD, reason="rejected"))
    return x, y


async def unblock(it: StoreDriver, endpoint_id: EndpointId) -> Unblocked:
    return await it.store.unblock(endpoint_id, None, after=None, limit=9, now_ms=NOW_MS)


async def blocked(it: StoreDriver, endpoint_id: EndpointId) -> int:
    status = await it.status(endpoint_id)
    assert status is not None
    return status.blocked
