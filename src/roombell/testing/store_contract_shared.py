"""What every store does that any number of workers have open at once."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

from roombell.engine.model import EndpointId, EndpointNow, EndpointState, Muster, Part, Settled
from roombell.engine.ports import Fleet
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

NEWS_S_MAX = 60.0
"""A safety net: news come in milliseconds."""


class SharedContract:
    """A store that any number of workers have open at once."""

    async def test_what_one_worker_writes_the_other_one_sees(self, make_store: MakeStore) -> None:
        async with opened(make_store) as here, opened(make_store) as there:
            assert here.store.shared
            assert here.store.store_id == there.store.store_id
            one = await here.endpoint()
            await here.accept(event("a", one))
            assert (await there.accept(event("a", one)))[0].duplicate
            assert event_ids(await there.acquire_one(one)) == ["a"]
            assert (await here.acquire(one)).lanes == ()

    async def test_a_lease_lasts_though_its_worker_s_store_was_closed(self, make_store: MakeStore) -> None:
        async with opened(make_store) as it:
            one = await it.endpoint()
            lane = await it.lease_one(event("a", one))
        async with opened(make_store) as it:
            assert (await it.as_owner("worker-2").acquire(one)).lanes == ()
            assert await it.settle(settle(lane, 1)) == (Settled(lost=False, pending=0),)

    async def test_a_worker_whose_lane_was_taken_over_elsewhere_changes_nothing(self, make_store: MakeStore) -> None:
        async with opened(make_store) as here, opened(make_store) as there:
            one = await here.endpoint()
            lost = await here.lease_one(event("a", one), expires_at_ms=NOW_MS)
            taken = await there.as_owner("worker-2").acquire_one(one)
            assert await here.settle(settle(lost, 1)) == (Settled(lost=True),)
            assert not await here.renew(lost, NOW_MS + LEASE_MS)
            await here.release(lost)
            assert await there.settle(settle(taken, 1)) == (Settled(lost=False, pending=0),)

    async def test_closing_leaves_the_others_alone(self, make_store: MakeStore) -> None:
        async with opened(make_store) as it:
            one = await it.endpoint()
            async with opened(make_store):
                pass
            assert (await it.accept(event("a", one)))[0].placed != ()

    async def test_sequences_count_on_whoever_accepts(self, make_store: MakeStore) -> None:
        async with opened(make_store) as here, opened(make_store) as there:
            one = await here.endpoint()
            places = [(await it.accept(event(f"e{n}", one)))[0].placed[0] for n, it in enumerate([here, there] * 3)]
            assert [place.sequence for place in places] == [1, 2, 3, 4, 5, 6]


class FleetContract:
    """Workers on a shared store know of each other."""

    async def test_workers_are_counted_in_the_order_in_which_they_joined(self, make_store: MakeStore) -> None:
        async with opened(make_store) as here, opened(make_store) as there:
            assert (await beat(here, "a")).part == Part(0, 1)
            assert (await beat(there, "b", now_ms=NOW_MS + 1)).part == Part(1, 2)
            again = await beat(here, "a", now_ms=NOW_MS + 2)
            assert (again.part, again.joined_at_ms) == (Part(0, 2), NOW_MS)

    async def test_a_worker_that_does_not_deliver_has_no_part(self, make_store: MakeStore) -> None:
        async with opened(make_store) as it:
            assert (await beat(it, "ingest", delivers=False)).part is None
            assert (await beat(it, "a")).part == Part(0, 1)

    async def test_a_silent_worker_is_counted_until_it_expires_and_then_joins_anew(self, make_store: MakeStore) -> None:
        async with opened(make_store) as it:
            await beat(it, "a")
            assert (await beat(it, "b", now_ms=NOW_MS + LEASE_MS - 1)).part == Part(1, 2)
            assert (await beat(it, "b", now_ms=NOW_MS + LEASE_MS)).part == Part(0, 1)
            late = await beat(it, "a", now_ms=NOW_MS + LEASE_MS + 1)
            assert (late.part, late.joined_at_ms) == (Part(1, 2), NOW_MS + LEASE_MS + 1)

    async def test_a_worker_that_leaves_is_counted_no_more(self, make_store: MakeStore) -> None:
        async with opened(make_store) as it:
            await beat(it, "a")
            await beat(it, "b")
            await fleet(it).leave("a")
            await fleet(it).leave("a")
            assert (await beat(it, "b")).part == Part(0, 1)

    async def test_a_beat_tells_how_endpoints_stand(self, make_store: MakeStore) -> None:
        async with opened(make_store) as here, opened(make_store) as there:
            one = await here.endpoint()
            await here.store.set_endpoint_state(one, EndpointState.PAUSED, reason="works", now_ms=NOW_MS)
            await here.store.set_endpoint_health(one, b"poorly")
            assert (await beat(there, "b")).endpoints == (EndpointNow(one, EndpointState.PAUSED, b"poorly"),)

    async def test_others_are_told_of_what_nobody_is_at_work_on(self, make_store: MakeStore) -> None:
        due: asyncio.Queue[Collection[EndpointId]] = asyncio.Queue()
        changed = asyncio.Event()
        async with opened(make_store) as here, opened(make_store) as there:
            one = await here.endpoint()
            fleet(there).listen(due=due.put_nowait, changed=changed.set)
            async with asyncio.timeout(NEWS_S_MAX):
                await here.store.set_endpoint_health(one, b"poorly")
                await changed.wait()  # by now it listens
                await here.lease_one(event("held", one, key="held"))
                await here.accept(event("more", one, key="held"), event("idle", one, key="idle"))
                assert list(await due.get()) == [one]
                assert due.empty()


def fleet(it: StoreDriver) -> Fleet:
    """The store's other port."""
    assert isinstance(it.store, Fleet)
    return it.store


async def beat(it: StoreDriver, owner: str, *, delivers: bool = True, now_ms: int = NOW_MS) -> Muster:
    return await fleet(it).beat(owner, delivers=delivers, now_ms=now_ms, expires_at_ms=now_ms + LEASE_MS)
