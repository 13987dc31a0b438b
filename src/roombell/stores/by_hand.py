"""What a person does to deliveries, within one transaction: a store reads the lanes it touches and writes the rows.

A worker may hold a lane and have its next deliveries in memory. So a lane that is leased is called back rather than
taken away: its worker settles the one delivery that can be under way, and the lease ends with that. Were the lease
ended at once, the lane could be leased again and have two attempts in flight.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

from roombell.engine.model import EndpointId, LaneId, Sequence
from roombell.stores.lane_row import LaneRow


class ChangedDelivery(NamedTuple):
    """A row to be changed."""

    event: int
    lane_id: LaneId


class Hand(ABC):
    """Changes deliveries at one moment, in memory; a store writes what was collected."""

    def __init__(self, now_ms: int) -> None:
        self._now_ms = now_ms
        self._lanes: dict[LaneId, LaneRow] = {}
        """The lanes that were touched."""
        self._counts: dict[EndpointId, list[int]] = {}
        """By endpoint: how many more are pending, how many more are dead."""
        self._revived: list[ChangedDelivery] = []
        self._cancelled: list[ChangedDelivery] = []

    @abstractmethod
    def _load(self, lane_id: LaneId) -> LaneRow:
        """The lane, as it was before this step."""

    @abstractmethod
    def _oldest(self, lane: LaneRow) -> tuple[Sequence, int]:
        """The oldest delivery that was pending in the lane before this step, and since when it is owed."""

    def revive(self, event: int, lane_id: LaneId, sequence: Sequence, *, was_dead: bool) -> None:
        """Makes a settled delivery pending again, in its old place."""
        lane = self._lane(lane_id)
        if lane.owner is not None:
            self._call_back(lane)
        if lane.pending == 0 or sequence < lane.head_sequence:
            lane.head_sequence, lane.head_owed_since_ms = sequence, self._now_ms
            lane.due_at_ms = self._now_ms
        if lane.blocked == sequence:
            lane.blocked, lane.due_at_ms = 0, self._now_ms
        lane.pending += 1
        self._revived.append(ChangedDelivery(event, lane_id))
        self._count(lane, pending=1, dead=-int(was_dead))

    def cancel(self, event: int, lane_id: LaneId, sequence: Sequence) -> bool:
        """Takes a pending delivery out of its lane. False, and nothing is done, if it may be under way."""
        lane = self._lane(lane_id)
        if lane.owner is not None:
            self._call_back(lane)
            if sequence == lane.recalled:
                return False
        elif sequence == lane.head_sequence:
            lane.seek_head = True
        lane.pending -= 1
        self._cancelled.append(ChangedDelivery(event, lane_id))
        self._count(lane, pending=-1, dead=0)
        return True

    def _lane(self, lane_id: LaneId) -> LaneRow:
        lane = self._lanes.get(lane_id)
        if lane is None:
            lane = self._lanes[lane_id] = self._load(lane_id)
        return lane

    def _call_back(self, lane: LaneRow) -> None:
        """Ends the lease with the next settlement, which can be that of the oldest pending delivery alone."""
        if lane.recalled == 0:
            lane.head_sequence, lane.head_owed_since_ms = self._oldest(lane)
            lane.recalled = lane.head_sequence

    def _count(self, lane: LaneRow, *, pending: int, dead: int) -> None:
        counts = self._counts.setdefault(lane.endpoint_id, [0, 0])
        counts[0] += pending
        counts[1] += dead
