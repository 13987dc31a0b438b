"""The store in memory: the reference for every other store, and the oracle of their tests.

It says in the plainest way what the ``Store`` port means. The durable part is a value of its own, ``MemoryDisk``:
a test that "crashes" a process calls ``disk.crash()`` and opens a new ``MemoryStore`` over the same disk.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from collections.abc import Sequence as Seq

from roombell.engine.model import (
    NO_LEASE,
    Accept,
    Accepted,
    Acquired,
    Batch,
    BatchResult,
    Delivery,
    DeliveryState,
    Document,
    EndpointId,
    EndpointState,
    EndpointStatus,
    Generation,
    LaneId,
    LeasedLane,
    Muster,
    Placed,
    Pruned,
    Put,
    Reaped,
    Release,
    Renew,
    Sequence,
    Settle,
    Settled,
)
from roombell.engine.selection import Changed, Cursor, DeliveryHistory, Found, Selector, Unblocked
from roombell.engine.transitions import Verb
from roombell.errors import StoreError, StoreLocked
from roombell.stores import memory_selection
from roombell.stores.memory_disk import EndpointRow, EventRow, LaneRow, MemoryDisk, StoredDelivery
from roombell.stores.memory_fleet import MemoryFleet

__all__ = ["MemoryDisk", "MemoryStore", "StoredDelivery"]

DEFAULT_AGE = EndpointId(0)
"""The key in ``max_age_ms`` under which the age for removed endpoints stands."""


class MemoryStore:
    """The ``Store`` port in memory. ``roombell.engine.ports.Store`` says what each method promises.

    :param disk: what to open; a new empty disk when not given.
    :param shared: whether other stores that are shared may have the disk open too.
    """

    def __init__(self, disk: MemoryDisk | None = None, *, shared: bool = False) -> None:
        self._disk = MemoryDisk() if disk is None else disk
        self._shared = shared
        self._fleet = MemoryFleet(self._disk)
        self._due: set[EndpointId] = set()
        """Endpoints with lanes that this commit has left to anybody."""

    @property
    def shared(self) -> bool:
        return self._shared

    @property
    def store_id(self) -> str:
        return self._disk.store_id

    async def open(self) -> None:
        if any(not (self._shared and other.shared) for other in self._disk.holders if other is not self):
            raise StoreLocked("The memory disk is open in another store. Close that one first.")
        self._disk.holders.append(self)
        if self._shared:
            return
        for endpoint in self._disk.endpoints.values():
            for lane in tuple(endpoint.leased.values()):
                endpoint.end_lease(lane)

    async def close(self) -> None:
        self._disk.holders = [other for other in self._disk.holders if other is not self]

    async def commit(self, batch: Batch) -> BatchResult:
        self._check_open()
        grants: Counter[EndpointId] = Counter()
        for grant in batch.grants:
            grants[grant.endpoint_id] += grant.lanes
        accepted = tuple(self._accept(accept, batch, grants) for accept in batch.accepts)
        settled = tuple(self._settle(settle) for settle in batch.settles)
        for release in batch.releases:
            self._release(release)
        renewed = tuple(self._renew(renew) for renew in batch.renewals)
        self._fleet.tell(self, self._due)
        self._due = set()
        return BatchResult(accepted=accepted, settled=settled, renewed=renewed, commit_ms=0.0)

    async def acquire(
        self,
        owner: str,
        endpoint_id: EndpointId,
        *,
        lanes_max: int,
        heads_max: int,
        body_bytes_max: int,
        now_ms: int,
        expires_at_ms: int,
    ) -> Acquired:
        self._check_open()
        endpoint = self._disk.endpoints[endpoint_id]
        if endpoint.state is not EndpointState.ACTIVE:
            return Acquired(lanes=(), next_due_at_ms=None)
        for lane in _expired(endpoint, now_ms):
            heapq.heappush(endpoint.waiting, (lane.due_at_ms, lane.lane_id))
        lanes: list[LeasedLane] = []
        bytes_left = body_bytes_max
        free = endpoint.next_free(now_ms)
        while free is not None and free.due_at_ms <= now_ms and len(lanes) < lanes_max:
            endpoint.lease(free, owner, expires_at_ms)
            leased = _leased(free, heads_max, bytes_left)
            bytes_left -= sum(len(head.body) for head in leased.heads)
            lanes.append(leased)
            free = endpoint.next_free(now_ms)
        return Acquired(lanes=tuple(lanes), next_due_at_ms=None if free is None else free.due_at_ms)

    async def page(
        self, lane_id: LaneId, generation: Generation, *, after: Sequence, heads_max: int, body_bytes_max: int
    ) -> tuple[Delivery, ...] | None:
        self._check_open()
        lane = self._held(lane_id, generation)
        return None if lane is None or lane.recalled else _heads(lane, Sequence(after + 1), heads_max, body_bytes_max)

    async def register(self, names: Seq[str], *, now_ms: int) -> Mapping[str, EndpointStatus]:
        self._check_open()
        known = {endpoint.name: endpoint for endpoint in self._disk.endpoints.values()}
        for name in dict.fromkeys(names):
            if name not in known:
                known[name] = self._disk.add_endpoint(name, now_ms)
        listed = {name: known[name] for name in names}
        for endpoint in known.values():
            if endpoint.name in listed:
                if endpoint.state is not EndpointState.PAUSED:
                    endpoint.change(EndpointState.ACTIVE, "", now_ms)
            elif endpoint.state is not EndpointState.REMOVED:
                endpoint.change(EndpointState.REMOVED, "not listed", now_ms)
        self._fleet.tell(self, (), changed=True)
        return {name: endpoint.status() for name, endpoint in listed.items()}

    async def set_endpoint_state(
        self, endpoint_id: EndpointId, state: EndpointState, *, reason: str, now_ms: int
    ) -> None:
        self._check_open()
        self._disk.endpoints[endpoint_id].change(state, reason, now_ms)
        self._fleet.tell(self, (), changed=True)

    async def set_endpoint_health(self, endpoint_id: EndpointId, health: bytes) -> None:
        self._check_open()
        self._disk.endpoints[endpoint_id].health = health
        self._fleet.tell(self, (), changed=True)

    async def endpoints(self) -> tuple[EndpointStatus, ...]:
        self._check_open()
        return tuple(
            endpoint.status()
            for endpoint in self._disk.endpoints.values()
            if endpoint.state is not EndpointState.REMOVED or endpoint.pending
        )

    async def beat(self, owner: str, *, delivers: bool, now_ms: int, expires_at_ms: int) -> Muster:
        self._check_open()
        is_new = owner not in self._disk.workers
        muster = self._fleet.beat(owner, delivers, now_ms, expires_at_ms)
        if is_new:
            self._fleet.tell(self, (), changed=True)
        return muster

    async def leave(self, owner: str) -> None:
        self._check_open()
        if self._disk.workers.pop(owner, None) is not None:
            self._fleet.tell(self, (), changed=True)

    def listen(self, *, due: Callable[[Collection[EndpointId]], None], changed: Callable[[], None]) -> None:
        self._fleet.listen(due=due, changed=changed)

    def hear(self, due: Collection[EndpointId], *, changed: bool) -> None:
        """What another store on the same disk did."""
        self._fleet.hear(due, changed=changed)

    async def find(self, selector: Selector, *, after: Cursor | None, limit: int) -> Found:
        self._check_open()
        return memory_selection.find(self._disk, selector, after, limit)

    async def history(self, event_id: str) -> tuple[DeliveryHistory, ...]:
        self._check_open()
        return memory_selection.history(self._disk, event_id)

    async def change(
        self, selector: Selector, verb: Verb, *, reason: str, after: Cursor | None, limit: int, now_ms: int
    ) -> Changed:
        self._check_open()
        return memory_selection.change(self._disk, selector, verb, reason, after, limit, now_ms)

    async def unblock(
        self,
        endpoint_id: EndpointId | None,
        ordering_key: str | None,
        *,
        after: Cursor | None,
        limit: int,
        now_ms: int,
    ) -> Unblocked:
        self._check_open()
        return memory_selection.unblock(self._disk, endpoint_id, ordering_key, after, limit, now_ms)

    async def documents(self, keys: Seq[str]) -> tuple[Document, ...]:
        self._check_open()
        return tuple(self._disk.documents[key] for key in dict.fromkeys(keys) if key in self._disk.documents)

    async def documents_after(self, key: str | None, *, limit: int) -> tuple[Document, ...]:
        self._check_open()
        behind = sorted(one for one in self._disk.documents if key is None or one > key)
        return tuple(self._disk.documents[one] for one in behind[:limit])

    async def put_documents(self, puts: Seq[Put]) -> tuple[bool, ...]:
        self._check_open()
        return tuple([self._disk.put(put) for put in puts])

    async def reap(self, *, now_ms: int, max_age_ms: Mapping[EndpointId, int], limit: int) -> Reaped:
        self._check_open()
        expired = [lane for endpoint in self._disk.endpoints.values() for lane in _expired(endpoint, now_ms)]
        expired.sort(key=lambda lane: (lane.expires_at_ms, lane.lane_id))
        leases_ended = expired[:limit]
        for lane in leases_ended:
            lane.endpoint.end_lease(lane)
        ended = 0
        for endpoint in self._disk.endpoints.values():
            ended += _end_old(endpoint, now_ms, max_age_ms, limit - ended)
        return Reaped(
            leases_ended=len(leases_ended),
            deliveries_ended=ended,
            more=limit in (len(leases_ended), ended),
        )

    async def prune(self, *, before_ms: int, limit: int) -> Pruned:
        self._check_open()
        found = [
            (event_id, event)
            for event_id, event in self._disk.events.items()
            if event.event.accepted_at_ms < before_ms and self._is_settled(event)
        ]
        lanes = sum(self._forget(event_id, event) for event_id, event in found[:limit])
        return Pruned(events=min(len(found), limit), lanes=lanes, more=len(found) > limit)

    def _check_open(self) -> None:
        if self not in self._disk.holders:
            raise StoreError("The memory store is not open. Call open() first.")

    def _accept(self, accept: Accept, batch: Batch, grants: Counter[EndpointId]) -> Accepted:
        if accept.event_id in self._disk.events:
            return Accepted(duplicate=True)
        placed = tuple(self._place(accept, endpoint_id, batch, grants) for endpoint_id in accept.endpoints)
        self._disk.events_made += 1
        places = tuple((place.lane_id, place.sequence) for place in placed)
        self._disk.events[accept.event_id] = EventRow(self._disk.events_made, accept, places)
        return Accepted(duplicate=False, placed=placed)

    def _place(self, accept: Accept, endpoint_id: EndpointId, batch: Batch, grants: Counter[EndpointId]) -> Placed:
        endpoint = self._disk.endpoints[endpoint_id]
        lane = self._disk.lane(endpoint, accept.ordering_key)
        was_idle = lane.pending == 0
        sequence = lane.add(accept)
        granted = False
        if was_idle:
            lane.due_at_ms = accept.accepted_at_ms
            granted = not lane.blocked and endpoint.state is EndpointState.ACTIVE and grants[endpoint_id] > 0
            if granted:
                grants[endpoint_id] -= 1
                endpoint.lease(lane, batch.owner, batch.lease_expires_at_ms)
            elif not lane.blocked:
                self._due.add(endpoint_id)
            endpoint.queue(lane)
        held = lane.owner == batch.owner and not lane.recalled
        return Placed(
            endpoint_id=endpoint_id,
            lane_id=lane.lane_id,
            sequence=sequence,
            generation=lane.generation if held else NO_LEASE,
            granted=granted,
            elsewhere=lane.owner not in (None, batch.owner),
            due_at_ms=None if lane.owner is not None or lane.blocked else lane.due_at_ms,
        )

    def _settle(self, settle: Settle) -> Settled:
        lane = self._held(settle.lane_id, settle.generation)
        if lane is None:
            return Settled(lost=True)
        recalled = bool(lane.recalled)
        expected = lane.recalled or lane.head()
        assert settle.sequence == expected, "only the oldest pending delivery of a lane is settled"
        delivery = lane.deliveries[settle.sequence]
        if settle.attempt is not None:
            assert settle.attempt.number == len(delivery.attempts) + 1, "attempts are numbered one by one"
            delivery.attempts.append(settle.attempt)
            delivery.strikes += settle.counted
        if settle.state is DeliveryState.PENDING:
            # What was revived before it does not wait for its retry.
            lane.due_at_ms = settle.due_at_ms if lane.head() == settle.sequence else settle.settled_at_ms
        else:
            lane.end(settle.sequence, settle.state, settle.reason, settle.settled_at_ms)
        if settle.block:
            lane.block(settle.sequence)
        if settle.state is DeliveryState.PENDING or settle.block or recalled or not lane.pending:
            lane.endpoint.end_lease(lane)
        return Settled(lost=False, pending=lane.pending, recalled=recalled)

    def _release(self, release: Release) -> None:
        lane = self._held(release.lane_id, release.generation)
        if lane is not None:
            lane.due_at_ms = release.due_at_ms
            lane.endpoint.end_lease(lane)

    def _renew(self, renew: Renew) -> bool:
        lane = self._held(renew.lane_id, renew.generation)
        if lane is None:
            return False
        lane.expires_at_ms = renew.expires_at_ms
        return True

    def _held(self, lane_id: LaneId, generation: Generation) -> LaneRow | None:
        lane = self._disk.lanes.get(lane_id)
        return lane if lane is not None and lane.holds(generation) else None

    def _is_settled(self, event: EventRow) -> bool:
        rows = (self._disk.lanes[lane_id].deliveries[sequence] for lane_id, sequence in event.deliveries)
        return all(row.state is not DeliveryState.PENDING for row in rows)

    def _forget(self, event_id: str, event: EventRow) -> int:
        """Forgets an event, and tells how many lanes went with it."""
        del self._disk.events[event_id]
        lanes = [self._disk.lanes[lane_id] for lane_id, _ in event.deliveries]
        for lane, (_, sequence) in zip(lanes, event.deliveries, strict=True):
            lane.endpoint.dead -= lane.deliveries.pop(sequence).state is DeliveryState.DEAD
        gone = [lane for lane in lanes if not lane.deliveries and not lane.blocked]
        for lane in gone:
            self._disk.drop_lane(lane)
        return len(gone)


def _expired(endpoint: EndpointRow, now_ms: int) -> list[LaneRow]:
    return [lane for lane in endpoint.leased.values() if lane.expires_at_ms <= now_ms]


def _leased(lane: LaneRow, heads_max: int, body_bytes_max: int) -> LeasedLane:
    return LeasedLane(
        lane_id=lane.lane_id,
        endpoint_id=lane.endpoint.endpoint_id,
        ordering_key=lane.ordering_key,
        generation=lane.generation,
        pending=lane.pending,
        heads=_heads(lane, lane.head(), heads_max, body_bytes_max),
    )


def _heads(lane: LaneRow, first: Sequence, heads_max: int, body_bytes_max: int) -> tuple[Delivery, ...]:
    """The pending deliveries from ``first`` on that fit the bounds, and at least one if there is one."""
    heads: list[Delivery] = []
    bytes_left = body_bytes_max
    for sequence in lane.pending_from(first):
        head = lane.view(sequence)
        bytes_left -= len(head.body)
        if heads and (len(heads) >= heads_max or bytes_left < 0):
            break
        heads.append(head)
    return tuple(heads)


def _end_old(endpoint: EndpointRow, now_ms: int, max_age_ms: Mapping[EndpointId, int], limit: int) -> int:
    """Ends deliveries that are too old, from the head of each lane on; tells how many."""
    if endpoint.endpoint_id in max_age_ms:
        age_ms, state, reason = max_age_ms[endpoint.endpoint_id], DeliveryState.DEAD, "expired"
    elif endpoint.state is EndpointState.REMOVED and DEFAULT_AGE in max_age_ms:
        age_ms, state, reason = max_age_ms[DEFAULT_AGE], DeliveryState.CANCELLED, "endpoint removed"
    else:
        return 0
    ended = 0
    free = (lane for lane in tuple(endpoint.owing.values()) if lane.owner is None)
    for lane in sorted(free, key=lambda lane: (lane.head_owed_since_ms(), lane.lane_id)):
        while ended < limit and lane.pending and lane.head_owed_since_ms() < now_ms - age_ms:
            lane.end(lane.head(), state, reason, now_ms)
            ended += 1
        if not lane.pending:
            del endpoint.owing[lane.lane_id]
    return ended
