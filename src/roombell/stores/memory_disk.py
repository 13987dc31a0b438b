"""What a ``MemoryStore`` keeps: endpoints, lanes, deliveries and events as mutable rows.

The hot path costs the same however long the backlog: a lane knows its head, an endpoint has its waiting lanes in a
heap.
"""

from __future__ import annotations

import heapq
import secrets
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Protocol

import msgspec

from roombell.engine.model import (
    NO_LEASE,
    Accept,
    AttemptRecord,
    Delivery,
    DeliveryState,
    EndpointId,
    EndpointState,
    EndpointStatus,
    Generation,
    LaneId,
    Sequence,
)

NO_SEQUENCE = Sequence(0)
FIRST_SEQUENCE = Sequence(1)


class StoredDelivery(msgspec.Struct, frozen=True):
    """A delivery as it lies on the disk, for checks from outside."""

    endpoint_id: EndpointId
    ordering_key: str
    lane_id: LaneId
    sequence: Sequence
    event_id: str
    state: DeliveryState
    reason: str
    settled_at_ms: int | None
    attempts: tuple[AttemptRecord, ...]


@dataclass(slots=True)
class DeliveryRow:
    event: Accept
    state: DeliveryState = DeliveryState.PENDING
    reason: str = ""
    settled_at_ms: int | None = None
    attempts: list[AttemptRecord] = field(default_factory=list)
    strikes: int = 0
    redriven_at_ms: int = 0

    @property
    def owed_since_ms(self) -> int:
        return self.redriven_at_ms or self.event.accepted_at_ms


@dataclass(slots=True)
class LaneRow:
    lane_id: LaneId
    endpoint: EndpointRow
    ordering_key: str
    due_at_ms: int = 0
    deliveries: dict[Sequence, DeliveryRow] = field(default_factory=dict)
    last_sequence: Sequence = NO_SEQUENCE
    head_sequence: Sequence = FIRST_SEQUENCE
    """Nothing before it is pending."""
    pending: int = 0
    generation: Generation = NO_LEASE
    owner: str | None = None
    expires_at_ms: int = 0
    blocked: Sequence = NO_SEQUENCE
    """The delivery that the lane waits for a decision about."""
    recalled: Sequence = NO_SEQUENCE
    """What may be under way in a lane whose lease ends with the next settlement."""

    def holds(self, generation: Generation) -> bool:
        return self.owner is not None and self.generation == generation

    def is_free(self, now_ms: int) -> bool:
        return self.pending > 0 and not self.blocked and (self.owner is None or self.expires_at_ms <= now_ms)

    def add(self, event: Accept) -> Sequence:
        self.last_sequence = Sequence(self.last_sequence + 1)
        self.deliveries[self.last_sequence] = DeliveryRow(event)
        self.pending += 1
        self.endpoint.pending += 1
        return self.last_sequence

    def pending_from(self, sequence: Sequence) -> Iterator[Sequence]:
        """The pending deliveries from ``sequence`` on, oldest first."""
        for number in range(max(sequence, self.head_sequence), self.last_sequence + 1):
            found = self.deliveries.get(Sequence(number))
            if found is not None and found.state is DeliveryState.PENDING:
                yield Sequence(number)

    def head(self) -> Sequence:
        assert self.pending > 0
        self.head_sequence = next(self.pending_from(self.head_sequence))
        return self.head_sequence

    def head_owed_since_ms(self) -> int:
        return self.deliveries[self.head()].owed_since_ms

    def end(self, sequence: Sequence, state: DeliveryState, reason: str, settled_at_ms: int) -> None:
        """Takes a pending delivery out of the line."""
        delivery = self.deliveries[sequence]
        delivery.state, delivery.reason, delivery.settled_at_ms = state, reason, settled_at_ms
        self.pending -= 1
        self.endpoint.pending -= 1
        self.endpoint.dead += state is DeliveryState.DEAD

    def revive(self, sequence: Sequence, now_ms: int) -> None:
        """Puts a settled delivery back into the line, in its old place."""
        delivery = self.deliveries[sequence]
        self.endpoint.dead -= delivery.state is DeliveryState.DEAD
        if self.owner is not None:
            self.call_back()
        if self.pending == 0 or sequence < self.head():
            self.head_sequence, self.due_at_ms = sequence, now_ms
        if self.blocked == sequence:
            self.unblock(now_ms)
        delivery.state, delivery.reason, delivery.settled_at_ms = DeliveryState.PENDING, "", None
        delivery.strikes, delivery.redriven_at_ms = 0, now_ms
        self.pending += 1
        self.endpoint.pending += 1
        self.endpoint.queue(self)

    def block(self, sequence: Sequence) -> None:
        """Stops the lane until a person decides about one of its deliveries."""
        self.blocked = sequence
        self.endpoint.blocked[self.lane_id] = self

    def unblock(self, now_ms: int) -> None:
        """Lets it go on."""
        self.blocked, self.due_at_ms = NO_SEQUENCE, now_ms
        self.endpoint.blocked.pop(self.lane_id, None)
        self.endpoint.queue(self)

    def call_back(self) -> None:
        """Ends the lease with the next settlement, which can be that of the oldest pending delivery alone."""
        self.recalled = self.recalled or self.head()

    def view(self, sequence: Sequence) -> Delivery:
        found = self.deliveries[sequence]
        event = found.event
        return Delivery(
            lane_id=self.lane_id,
            sequence=sequence,
            event_id=event.event_id,
            event_type=event.event_type,
            accepted_at_ms=event.accepted_at_ms,
            attempts=len(found.attempts),
            body=event.body,
            strikes=found.strikes,
            redriven_at_ms=0 if found.owed_since_ms == event.accepted_at_ms else found.redriven_at_ms,
        )


@dataclass(slots=True)
class EndpointRow:
    endpoint_id: EndpointId
    name: str
    changed_at_ms: int
    state: EndpointState = EndpointState.ACTIVE
    reason: str = ""
    health: bytes = b""
    pending: int = 0
    dead: int = 0
    owing: dict[LaneId, LaneRow] = field(default_factory=dict)
    """The lanes with something pending."""
    leased: dict[LaneId, LaneRow] = field(default_factory=dict)
    blocked: dict[LaneId, LaneRow] = field(default_factory=dict)
    waiting: list[tuple[int, LaneId]] = field(default_factory=list)
    """A heap of (due, lane) with every free lane in it. Other entries are left in until they are met."""

    def change(self, state: EndpointState, reason: str, now_ms: int) -> None:
        if self.state is not state:
            self.changed_at_ms = now_ms
        self.state, self.reason = state, reason

    def lease(self, lane: LaneRow, owner: str, expires_at_ms: int) -> None:
        lane.owner, lane.expires_at_ms, lane.recalled = owner, expires_at_ms, NO_SEQUENCE
        lane.generation = Generation(lane.generation + 1)
        self.leased[lane.lane_id] = lane

    def end_lease(self, lane: LaneRow) -> None:
        lane.owner, lane.recalled = None, NO_SEQUENCE
        self.leased.pop(lane.lane_id, None)
        self.queue(lane)

    def queue(self, lane: LaneRow) -> None:
        """Puts the lane where its state says it belongs."""
        if lane.pending:
            self.owing[lane.lane_id] = lane
        else:
            self.owing.pop(lane.lane_id, None)
        if lane.pending and lane.owner is None and not lane.blocked:
            heapq.heappush(self.waiting, (lane.due_at_ms, lane.lane_id))

    def next_free(self, now_ms: int) -> LaneRow | None:
        """The free lane that is due first; it stays where it is."""
        while self.waiting:
            due_at_ms, lane_id = self.waiting[0]
            lane = self.owing.get(lane_id)
            if lane is not None and lane.is_free(now_ms) and lane.due_at_ms == due_at_ms:
                return lane
            heapq.heappop(self.waiting)
        return None

    def status(self) -> EndpointStatus:
        return EndpointStatus(
            endpoint_id=self.endpoint_id,
            name=self.name,
            state=self.state,
            reason=self.reason,
            changed_at_ms=self.changed_at_ms,
            pending=self.pending,
            dead=self.dead,
            oldest_pending_at_ms=min((lane.head_owed_since_ms() for lane in self.owing.values()), default=None),
            health=self.health,
            blocked=len(self.blocked),
        )


@dataclass(slots=True)
class EventRow:
    number: int
    """In the order of acceptance."""
    event: Accept
    deliveries: tuple[tuple[LaneId, Sequence], ...]


@dataclass(slots=True)
class WorkerRow:
    delivers: bool
    joined_at_ms: int
    expires_at_ms: int


class Holder(Protocol):
    """A store that has a disk open."""

    @property
    def shared(self) -> bool:
        """Whether it leaves others beside it."""

    def hear(self, due: Collection[EndpointId], *, changed: bool) -> None:
        """What another store did."""


class MemoryDisk:
    """What outlives a ``MemoryStore``: everything that was committed.

    :param store_id: eight hexadecimal digits; drawn when not given.
    """

    def __init__(self, store_id: str | None = None) -> None:
        self.store_id = secrets.token_hex(4) if store_id is None else store_id
        self.holders: list[Holder] = []
        """The stores that have the disk open."""
        self.endpoints: dict[EndpointId, EndpointRow] = {}
        self.events: dict[str, EventRow] = {}
        self.lanes: dict[LaneId, LaneRow] = {}
        self.lanes_by_key: dict[tuple[EndpointId, str], LaneRow] = {}
        self.workers: dict[str, WorkerRow] = {}
        """Those that live, in the order in which they joined."""
        self.lanes_made = 0
        self.events_made = 0

    def crash(self) -> None:
        """All processes that had the disk open are dead: their stores can do nothing any more, others may open it."""
        self.holders = []

    def add_endpoint(self, name: str, now_ms: int) -> EndpointRow:
        endpoint_id = EndpointId(len(self.endpoints) + 1)
        endpoint = EndpointRow(endpoint_id, name, now_ms)
        self.endpoints[endpoint_id] = endpoint
        return endpoint

    def lane(self, endpoint: EndpointRow, ordering_key: str) -> LaneRow:
        """The lane of that key, made if there is none."""
        key = (endpoint.endpoint_id, ordering_key)
        lane = self.lanes_by_key.get(key)
        if lane is None:
            self.lanes_made += 1
            lane = LaneRow(LaneId(self.lanes_made), endpoint, ordering_key)
            self.lanes[lane.lane_id] = self.lanes_by_key[key] = lane
        return lane

    def drop_lane(self, lane: LaneRow) -> None:
        del self.lanes[lane.lane_id]
        del self.lanes_by_key[lane.endpoint.endpoint_id, lane.ordering_key]

    def deliveries(self) -> Iterator[StoredDelivery]:
        """Every delivery on the disk, lane by lane in the order the lanes were made, in order in each lane."""
        for lane in self.lanes.values():
            for sequence, delivery in lane.deliveries.items():
                yield StoredDelivery(
                    endpoint_id=lane.endpoint.endpoint_id,
                    ordering_key=lane.ordering_key,
                    lane_id=lane.lane_id,
                    sequence=sequence,
                    event_id=delivery.event.event_id,
                    state=delivery.state,
                    reason=delivery.reason,
                    settled_at_ms=delivery.settled_at_ms,
                    attempts=tuple(delivery.attempts),
                )
