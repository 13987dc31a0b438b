"""The lanes that this worker holds, and whose turn it is. Pure: no I/O, no clock.

Memory is bounded here. An endpoint holds at most ``lanes_max`` lanes, a lane at most ``HEADS_MAX`` deliveries, and
all of them together ``HeldLimits``; whatever is beyond waits in the store, without a lease or behind the heads.

Turns go round the endpoints that have a lane ready, one attempt each, so that an endpoint with a million lanes
waits as long for its next turn as one with a single lane.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Final

import msgspec

from roombell.engine.model import Delivery, LaneId
from roombell.engine.turns import EndpointTurn, Lane, LaneState

_KEPT_SHARE: Final = 4
"""The part of all attempts under way that is kept for equal shares: one in so many."""
HEADS_MAX: Final = 16
"""Deliveries of one lane held in memory."""


class HeldLimits(msgspec.Struct, frozen=True):
    """The bounds on what all lanes together hold in memory."""

    deliveries_max: int = 20_000
    body_bytes_max: int = 64 * 1024 * 1024
    in_flight_max: int = 1024
    """Attempts under way at once, over all endpoints: the bound on connections in use. A quarter of it is kept for
    equal shares, so that no number of endpoints that never answer leaves the others without."""


class HeldLanes:
    """All lanes held, by id, with the sums that the bounds are about."""

    def __init__(self, limits: HeldLimits) -> None:
        self._limits = limits
        self._lanes: dict[LaneId, Lane] = {}
        self._turns: deque[EndpointTurn] = deque()
        self.endpoints = 1
        """How many endpoints share the bounds."""
        self.deliveries = 0
        self.body_bytes = 0
        self.in_flight = 0

    def __len__(self) -> int:
        return len(self._lanes)

    def __iter__(self) -> Iterator[Lane]:
        return iter(list(self._lanes.values()))

    @property
    def full(self) -> bool:
        """Whether nothing more may be held."""
        return self.deliveries >= self._limits.deliveries_max or self.body_bytes >= self._limits.body_bytes_max

    @property
    def body_bytes_left(self) -> int:
        return max(0, self._limits.body_bytes_max - self.body_bytes)

    def get(self, lane_id: LaneId) -> Lane | None:
        return self._lanes.get(lane_id)

    def add(self, lane: Lane) -> None:
        """Holds a lane that was leased just now, in place of an older lease on it."""
        stale = self._lanes.get(lane.lane_id)
        if stale is not None:
            self.drop(stale)
        self._lanes[lane.lane_id] = lane
        lane.turn.lanes += 1

    def append(self, lane: Lane, delivery: Delivery) -> bool:
        """Holds one more delivery of a lane, if it comes next in it and the bounds allow; else it stays in the store.

        The oldest delivery of a lane is held whatever the bounds, since without it the lane could not go on.
        """
        if lane.last_sequence and delivery.sequence != lane.last_sequence + 1:
            return False
        if lane.heads and (len(lane.heads) >= HEADS_MAX or self.full):
            return False
        lane.heads.append(delivery)
        lane.last_sequence = delivery.sequence
        lane.turn.held += 1
        self.deliveries += 1
        self.body_bytes += len(delivery.body)
        return True

    def pop(self, lane: Lane) -> None:
        """Forgets the head, which is settled."""
        self._forget(lane.turn, lane.heads.pop(0))

    def drop(self, lane: Lane) -> None:
        """Holds the lane no longer. What is in flight for it is no longer waited for."""
        if lane.state is LaneState.DROPPED:
            return
        if self._lanes.get(lane.lane_id) is lane:
            del self._lanes[lane.lane_id]
        lane.state = LaneState.DROPPED
        lane.turn.lanes -= 1
        for delivery in lane.heads:
            self._forget(lane.turn, delivery)
        lane.heads.clear()

    def ready(self, lane: Lane) -> None:
        """Puts a lane with a head in line for its endpoint's next turn."""
        lane.state = LaneState.READY
        lane.turn.ready.append(lane)
        self.queue(lane.turn)

    def next(self, now_ms: int) -> Lane | None:
        """The lane whose head is to be sent now, or None; it counts as in flight until ``landed``."""
        for _ in range(len(self._turns)):
            turn = self._turns.popleft()
            if not self._has_share(turn):
                self._turns.append(turn)
                continue
            turn.queued = False
            lane = _first_ready(turn) if turn.bucket.has_one(now_ms) else None
            if lane is None:
                continue
            turn.bucket.take()
            lane.state = LaneState.IN_FLIGHT
            lane.probe, turn.probing = turn.health.is_open, False
            turn.in_flight += 1
            self.in_flight += 1
            self.queue(turn)
            return lane
        return None

    def _has_share(self, turn: EndpointTurn) -> bool:
        """Whether the bound on all attempts lets this endpoint begin one."""
        bound = self._limits.in_flight_max
        kept = bound // _KEPT_SHARE
        if turn.in_flight < max(1, kept // self.endpoints):
            return self.in_flight < bound
        return self.in_flight < bound - kept

    def landed(self, turn: EndpointTurn) -> None:
        """An attempt has ended: its endpoint has a slot free."""
        turn.in_flight -= 1
        self.in_flight -= 1
        self.queue(turn)

    def queue(self, turn: EndpointTurn) -> None:
        """Puts an endpoint in line for its next turn, if it has a lane ready and a slot free."""
        if not turn.queued and turn.ready and turn.in_flight < turn.slots:
            turn.queued = True
            self._turns.append(turn)

    def _forget(self, turn: EndpointTurn, delivery: Delivery) -> None:
        turn.held -= 1
        self.deliveries -= 1
        self.body_bytes -= len(delivery.body)


def _first_ready(turn: EndpointTurn) -> Lane | None:
    while turn.ready and turn.in_flight < turn.slots:
        lane = turn.ready.popleft()
        if lane.state is LaneState.READY:
            return lane
    return None
