"""Short words for what store tests do again and again."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from roombell.engine.model import (
    Accept,
    Accepted,
    Acquired,
    AttemptRecord,
    Batch,
    DeliveryState,
    EndpointId,
    EndpointStatus,
    Generation,
    Grant,
    LaneId,
    LeasedLane,
    Placed,
    Release,
    Renew,
    Sequence,
    Settle,
    Settled,
)
from roombell.engine.ports import Store
from roombell.engine.selection import Changed, DeliveryStatus, Selector
from roombell.engine.transitions import Verb

MakeStore = Callable[[], Store]
"""Makes a store that is not open yet. Every call gives one over the same storage, empty at a test's start."""

NOW_MS = 1_700_000_000_000
LEASE_MS = 30_000
PLENTY = 1_000_000


class StoreDriver:
    """Drives one open store as the worker ``owner`` does."""

    def __init__(self, store: Store, owner: str = "worker-1") -> None:
        self.store = store
        self.owner = owner

    def as_owner(self, owner: str) -> StoreDriver:
        """The same store in the hands of another worker."""
        return StoreDriver(self.store, owner)

    async def endpoint(self, name: str = "backend") -> EndpointId:
        """The id of the one endpoint that is listed."""
        return (await self.store.register([name], now_ms=NOW_MS))[name].endpoint_id

    async def status(self, endpoint_id: EndpointId) -> EndpointStatus | None:
        found = [status for status in await self.store.endpoints() if status.endpoint_id == endpoint_id]
        return found[0] if found else None

    def batch(
        self,
        *accepts: Accept,
        grants: tuple[Grant, ...] = (),
        settles: tuple[Settle, ...] = (),
        releases: tuple[Release, ...] = (),
        renewals: tuple[Renew, ...] = (),
        expires_at_ms: int = NOW_MS + LEASE_MS,
    ) -> Batch:
        return Batch(self.owner, expires_at_ms, accepts, grants, settles, releases, renewals)

    async def accept(
        self, *accepts: Accept, grants: tuple[Grant, ...] = (), expires_at_ms: int = NOW_MS + LEASE_MS
    ) -> tuple[Accepted, ...]:
        batch = self.batch(*accepts, grants=grants, expires_at_ms=expires_at_ms)
        return (await self.store.commit(batch)).accepted

    async def lease_one(self, accept: Accept, expires_at_ms: int = NOW_MS + LEASE_MS) -> Placed:
        """Accepts an event for one endpoint and takes its lane over in the same commit."""
        grants = (Grant(accept.endpoints[0], 1),)
        return (await self.accept(accept, grants=grants, expires_at_ms=expires_at_ms))[0].placed[0]

    async def settle(self, *settles: Settle) -> tuple[Settled, ...]:
        return (await self.store.commit(self.batch(settles=settles))).settled

    async def release(self, lane: LeasedLane | Placed, due_at_ms: int = NOW_MS) -> None:
        await self.store.commit(self.batch(releases=(Release(lane.lane_id, lane.generation, due_at_ms),)))

    async def renew(self, lane: LeasedLane | Placed, expires_at_ms: int) -> bool:
        renew = Renew(lane.lane_id, lane.generation, expires_at_ms)
        return (await self.store.commit(self.batch(renewals=(renew,)))).renewed[0]

    async def acquire(
        self,
        endpoint_id: EndpointId,
        *,
        lanes_max: int = 100,
        heads_max: int = 100,
        body_bytes_max: int = PLENTY,
        now_ms: int = NOW_MS,
    ) -> Acquired:
        return await self.store.acquire(
            self.owner,
            endpoint_id,
            lanes_max=lanes_max,
            heads_max=heads_max,
            body_bytes_max=body_bytes_max,
            now_ms=now_ms,
            expires_at_ms=now_ms + LEASE_MS,
        )

    async def change(
        self, verb: Verb, selector: Selector = Selector(), *, now_ms: int = NOW_MS, limit: int = 100
    ) -> Changed:
        """One step from the beginning."""
        return await self.store.change(selector, verb, reason="by hand", after=None, limit=limit, now_ms=now_ms)

    async def find(self, selector: Selector = Selector()) -> list[DeliveryStatus]:
        """All that is meant, found in steps of two."""
        found = await self.store.find(selector, after=None, limit=2)
        deliveries = list(found.deliveries)
        while found.next is not None:
            found = await self.store.find(selector, after=found.next, limit=2)
            deliveries += found.deliveries
        return deliveries

    async def states(self) -> list[tuple[str, DeliveryState]]:
        """Every delivery's event id and state, in the order of acceptance."""
        return [(delivery.event_id, delivery.state) for delivery in await self.find()]

    async def acquire_one(self, endpoint_id: EndpointId, now_ms: int = NOW_MS) -> LeasedLane:
        """The one lane that is due."""
        acquired = await self.acquire(endpoint_id, now_ms=now_ms)
        assert len(acquired.lanes) == 1
        return acquired.lanes[0]


@asynccontextmanager
async def opened(make_store: MakeStore) -> AsyncIterator[StoreDriver]:
    """A store over the test's storage, open within the block."""
    store = make_store()
    await store.open()
    try:
        yield StoreDriver(store)
    finally:
        await store.close()


def event(
    event_id: str,
    *endpoints: EndpointId,
    key: str = "room-1",
    body: bytes = b"{}",
    at_ms: int = NOW_MS,
) -> Accept:
    """An event for ``endpoints``."""
    return Accept(
        event_id=event_id,
        event_type="room_started",
        ordering_key=key,
        room_name="room-1",
        body=body,
        accepted_at_ms=at_ms,
        endpoints=endpoints,
    )


def attempt(number: int = 1) -> AttemptRecord:
    return AttemptRecord(number, NOW_MS, 12, "answered", 200, "ok")


def settle(
    lane: LeasedLane | Placed,
    sequence: int,
    state: DeliveryState = DeliveryState.DELIVERED,
    *,
    number: int = 1,
    reason: str = "",
    block: bool = False,
    due_at_ms: int = 0,
    counted: bool = True,
) -> Settle:
    """What became of the ``number``-th attempt at a delivery of a lane; 0 for no attempt."""
    return Settle(
        lane_id=LaneId(lane.lane_id),
        generation=Generation(lane.generation),
        sequence=Sequence(sequence),
        state=state,
        attempt=attempt(number) if number else None,
        settled_at_ms=NOW_MS,
        due_at_ms=due_at_ms,
        reason=reason,
        block=block,
        counted=counted,
    )


def event_ids(lane: LeasedLane) -> list[str]:
    return [head.event_id for head in lane.heads]
