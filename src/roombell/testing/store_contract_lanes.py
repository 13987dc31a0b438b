"""What every store does with leases on lanes."""

from __future__ import annotations

from roombell.engine.model import DeliveryState, EndpointState, Release, Renew, Sequence
from roombell.testing.store_driver import (
    LEASE_MS,
    NOW_MS,
    PLENTY,
    MakeStore,
    event,
    event_ids,
    opened,
    settle,
)


class AcquireContract:
    """Lanes that are due and free are leased, longest due first."""

    async def test_lanes_come_longest_due_first_up_to_the_bound(self, make_store: MakeStore) -> None:
        async with opened(make_store) as it:
            one = await it.endpoint()
            for age_ms, key in ((10, "b"), (30, "d"), (0, "a"), (20, "c")):
                await it.accept(event(key, one, key=key, at_ms=NOW_MS - age_ms))
            first = await it.acquire(one, lanes_max=2)
            assert [lane.ordering_key for lane in first.lanes] == ["d", "c"]
            assert first.next_due_at_ms == NOW_MS - 10
            rest = await it.acquire(one)
            assert [lane.ordering_key for lane in rest.lanes] == ["b", "a"]
            assert rest.next_due_at_ms is None

    async def test_a_lane_that_is_due_later_is_left_and_announced(self, make_store: MakeStore) -> None:
        async with opened(make_store) as it:
            one = await it.endpoint()
            await it.accept(event("a", one, at_ms=NOW_MS + 7))
            early = await it.acquire(one)
            assert (early.lanes, early.next_due_at_ms) == ((), NOW_MS + 7)
            assert len((await it.acquire(one, now_ms=NOW_MS + 7)).lanes) == 1

    async def test_an_endpoint_with_nothing_to_do_announces_nothing(self, make_store: MakeStore) -> None:
        async with opened(make_store) as it:
            one = await it.endpoint()
            idle = await it.acquire(one)
            assert (idle.lanes, idle.next_due_at_ms) == ((), None)

    async def test_a_leased_lane_is_not_leased_again_before_it_expires(self, make_store: MakeStore) -> None:
        async with opened(make_store) as it:
            one = await it.endpoint()
            lane = await it.lease_one(event("a", one))
            other = it.as_owner("worker-2")
            assert (await other.acquire(one, now_ms=NOW_MS + LEASE_MS - 1)).lanes == ()
            taken = await other.acquire_one(one, now_ms=NOW_MS + LEASE_MS)
            assert (taken.lane_id, taken.generation) == (lane.lane_id, lane.generation + 1)

    async def test_expired_leases_queue_with_the_waiting_lanes(self, make_store: MakeStore) -> None:
        async with opened(make_store) as it:
            one = await it.endpoint()
            await it.lease_one(event("b", one, key="b", at_ms=NOW_MS - 10), expires_at_ms=NOW_MS)
            await it.accept(event("c", one, key="c", at_ms=NOW_MS - 5), event("a", one, key="a", at_ms=NOW_MS - 20))
            acquired = await it.acquire(one, lanes_max=2)
            assert [lane.ordering_key for lane in acquired.lanes] == ["a", "b"]
            assert acquired.next_due_at_ms == NOW_MS - 5

    async def test_only_the_endpoint_that_was_asked_for_is_leased(self, make_store: MakeStore) -> None:
        async with opened(make_store) as it:
            statuses = await it.store.register(["x", "y"], now_ms=NOW_MS)
            x, y = statuses["x"].endpoint_id, statuses["y"].endpoint_id
            await it.accept(event("a", x))
            assert (await it.acquire(y)).lanes == ()
            lane = await it.acquire_one(x)
            assert lane.endpoint_id == x

    async def test_an_endpoint_that_is_not_active_is_not_acquired(self, make_store: MakeStore) -> None:
        async with opened(make_store) as it:
            one = await it.endpoint()
            await it.accept(event("a", one))
            for state in (EndpointState.DISABLED, EndpointState.REMOVED):
                await it.store.set_endpoint_state(one, state, reason="because", now_ms=NOW_MS)
                acquired = await it.acquire(one)
                assert (acquired.lanes, acquired.next_due_at_ms) == ((), None)

    async def test_heads_are_the_oldest_pending_deliveries_with_their_events(self, make_store: MakeStore) -> None:
        async with opened(make_store) as it:
            one = await it.endpoint()
            await it.accept(*(event(name, one, body=name.encode() * 3, at_ms=NOW_MS - 5) for name in "abcd"))
            lane = (await it.acquire(one, heads_max=3)).lanes[0]
            assert (lane.pending, lane.ordering_key) == (4, "room-1")
            assert [head.sequence for head in lane.heads] == [1, 2, 3]
            assert [head.body for head in lane.heads] == [b"aaa", b"bbb", b"ccc"]
            head = lane.heads[0]
            assert (head.lane_id, head.event_id, head.event_type) == (lane.lane_id, "a", "room_started")
            assert (head.accepted_at_ms, head.attempts) == (NOW_MS - 5, 0)

    async def test_bodies_stay_within_the_bound_but_each_lane_has_a_head(self, make_store: MakeStore) -> None:
        async with opened(make_store) as it:
            one = await it.endpoint()
            for key in ("a", "b"):
                await it.accept(*(event(f"{key}{number}", one, key=key, body=b"x" * 10) for number in range(4)))
            acquired = await it.acquire(one, body_bytes_max=25)
            assert [len(lane.heads) for lane in acquired.lanes] == [2, 1]
            lane = acquired.lanes[1]
            assert lane.pending == 4

    async def test_any_text_and_any_bytes_come_back_as_they_went_in(self, make_store: MakeStore) -> None:
        key = "räum\x00 ' \" 部屋 \U0001f514"
        body = bytes(range(256)) * 5
        async with opened(make_store) as it:
            one = await it.endpoint("näme")
            await it.accept(event("id \x00 é", one, key=key, body=body), event("empty", one, key="", body=b""))
            lanes = {lane.ordering_key: lane.heads[0] for lane in (await it.acquire(one)).lanes}
            assert (lanes[key].event_id, lanes[key].body) == ("id \x00 é", body)
            assert lanes[""].body == b""

    async def test_a_body_of_ten_megabytes_goes_in_and_comes_out(self, make_store: MakeStore) -> None:
        body = b"roombell" * 1_310_720
        async with opened(make_store) as it:
            one = await it.endpoint()
            await it.accept(event("a", one, body=body))
            assert (await it.acquire_one(one)).heads[0].body == body


class LeaseContract:
    """Paging, renewing and giving back what was leased."""

    async def test_a_page_goes_on_after_a_sequence(self, make_store: MakeStore) -> None:
        async with opened(make_store) as it:
            one = await it.endpoint()
            await it.accept(*(event(name, one, body=b"xx") for name in "abcde"))
            lane = (await it.acquire(one, heads_max=1)).lanes[0]
            pages = [
                await it.store.page(
                    lane.lane_id, lane.generation, after=Sequence(after), heads_max=2, body_bytes_max=most
                )
                for after, most in ((1, PLENTY), (3, 3), (4, 0), (5, PLENTY))
            ]
            found = [[head.event_id for head in page or ()] for page in pages]
            assert found == [["b", "c"], ["d"], ["e"], []]

    async def test_a_page_holds_what_is_pending_alone(self, make_store: MakeStore) -> None:
        async with opened(make_store) as it:
            one = await it.endpoint()
            lane = await it.lease_one(event("a", one))
            await it.accept(event("b", one))
            await it.settle(settle(lane, 1))
            page = await it.store.page(
                lane.lane_id, lane.generation, after=Sequence(0), heads_max=9, body_bytes_max=PLENTY
            )
            assert page is not None
            assert [head.event_id for head in page] == ["b"]

    async def test_a_lost_lane_has_no_page(self, make_store: MakeStore) -> None:
        async with opened(make_store) as it:
            one = await it.endpoint()
            lane = await it.lease_one(event("a", one))
            await it.release(lane)
            for generation in (lane.generation, lane.generation + 1):
                page = await it.store.page(
                    lane.lane_id, type(lane.generation)(generation), after=Sequence(0), heads_max=9, body_bytes_max=9
                )
                assert page is None

    async def test_a_renewed_lease_lasts_longer(self, make_store: MakeStore) -> None:
        async with opened(make_store) as it:
            one = await it.endpoint()
            lane = await it.lease_one(event("a", one))
            assert await it.renew(lane, NOW_MS + 2 * LEASE_MS)
            other = it.as_owner("worker-2")
            assert (await other.acquire(one, now_ms=NOW_MS + 2 * LEASE_MS - 1)).lanes == ()
            assert len((await other.acquire(one, now_ms=NOW_MS + 2 * LEASE_MS)).lanes) == 1

    async def test_a_released_lane_waits_until_it_is_due(self, make_store: MakeStore) -> None:
        async with opened(make_store) as it:
            one = await it.endpoint()
            lane = await it.lease_one(event("a", one))
            await it.release(lane, due_at_ms=NOW_MS + 9)
            early = await it.acquire(one)
            assert (early.lanes, early.next_due_at_ms) == ((), NOW_MS + 9)
            again = await it.acquire_one(one, now_ms=NOW_MS + 9)
            assert again.heads[0].attempts == 0

    async def test_a_release_in_the_middle_goes_on_there(self, make_store: MakeStore) -> None:
        async with opened(make_store) as it:
            one = await it.endpoint()
            lane = await it.lease_one(event("a", one, at_ms=NOW_MS - 50))
            await it.accept(event("b", one), event("c", one))
            await it.settle(settle(lane, 1, DeliveryState.CANCELLED, number=0, reason="by hand"))
            await it.release(lane)
            again = await it.acquire_one(one)
            assert (event_ids(again), again.pending) == (["b", "c"], 2)

    async def test_answers_stand_in_the_order_of_the_requests(self, make_store: MakeStore) -> None:
        async with opened(make_store) as it:
            one = await it.endpoint()
            held = await it.lease_one(event("a", one, key="a"))
            lost = await it.lease_one(event("b", one, key="b"))
            await it.release(lost)
            renewals = tuple(Renew(lane.lane_id, lane.generation, NOW_MS) for lane in (lost, held, lost))
            assert (await it.store.commit(it.batch(renewals=renewals))).renewed == (False, True, False)

    async def test_an_empty_commit_does_nothing(self, make_store: MakeStore) -> None:
        async with opened(make_store) as it:
            result = await it.store.commit(it.batch())
            assert (result.accepted, result.settled, result.renewed) == ((), (), ())

    async def test_a_lane_nobody_knows_is_lost(self, make_store: MakeStore) -> None:
        async with opened(make_store) as it:
            one = await it.endpoint()
            lane = await it.lease_one(event("a", one))
            unknown = type(lane.lane_id)(lane.lane_id + 1_000)
            batch = it.batch(
                releases=(Release(unknown, lane.generation, 0),), renewals=(Renew(unknown, lane.generation, 0),)
            )
            assert (await it.store.commit(batch)).renewed == (False,)
