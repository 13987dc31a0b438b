"""What a person does to deliveries, within one transaction: read the lanes it touches, change them, write them.

A worker may hold a lane and have its next deliveries in memory. So a lane that is leased is called back rather than
taken away: its worker settles the one delivery that can be under way, and the lease ends with that. Were the lease
ended at once, the lane could be leased again and have two attempts in flight.
"""

from __future__ import annotations

import sqlite3

from roombell.engine.model import EndpointId, LaneId, Sequence
from roombell.stores.sqlite.lane_cache import LaneRow, lane_columns
from roombell.stores.sqlite.queries import query

_LANE_BY_ID = query("lane_by_id")
_LANE_WRITE = query("lane_write")
_LANE_FIND_HEAD = query("lane_find_head")
_DELIVERIES_FROM_HEAD = query("deliveries_from_head")
_DELIVERY_REVIVE = query("delivery_revive")
_DELIVERY_CANCEL = query("delivery_cancel")
_ENDPOINT_COUNT = query("endpoint_count")


class Hand:
    """Changes deliveries at one moment; ``write`` ends it."""

    def __init__(self, connection: sqlite3.Connection, now_ms: int) -> None:
        self._connection, self._now_ms = connection, now_ms
        self._lanes: dict[LaneId, LaneRow] = {}
        self._counts: dict[EndpointId, list[int]] = {}
        """By endpoint: how many more are pending, how many more are dead."""

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
        changed = self._connection.execute(_DELIVERY_REVIVE, (self._now_ms, event, lane_id)).rowcount
        assert changed == 1, "what is revived is settled"
        self._count(lane, pending=1, dead=-int(was_dead))

    def cancel(self, event: int, lane_id: LaneId, sequence: Sequence, reason: str) -> bool:
        """Takes a pending delivery out of its lane. False, and nothing is done, if it may be under way."""
        lane = self._lane(lane_id)
        if lane.owner is not None:
            self._call_back(lane)
            if sequence == lane.recalled:
                return False
        elif sequence == lane.head_sequence:
            lane.seek_head = True
        lane.pending -= 1
        row = (reason, self._now_ms, event, lane_id)
        changed = self._connection.execute(_DELIVERY_CANCEL, row).rowcount
        assert changed == 1, "what is cancelled is pending"
        self._count(lane, pending=-1, dead=0)
        return True

    def write(self) -> tuple[LaneId, ...]:
        """Writes the lanes; the transaction may then be committed. Which they are."""
        run = self._connection.executemany
        run(_LANE_WRITE, [lane_columns(lane) for lane in self._lanes.values()])
        run(_LANE_FIND_HEAD, [(lane.lane_id,) for lane in self._lanes.values() if lane.seek_head and lane.pending])
        run(_ENDPOINT_COUNT, [(*moved, endpoint_id) for endpoint_id, moved in self._counts.items()])
        return tuple(self._lanes)

    def _lane(self, lane_id: LaneId) -> LaneRow:
        lane = self._lanes.get(lane_id)
        if lane is None:
            lane = self._lanes[lane_id] = LaneRow(*self._connection.execute(_LANE_BY_ID, (lane_id,)).fetchone())
        return lane

    def _call_back(self, lane: LaneRow) -> None:
        """Ends the lease with the next settlement, which can be that of the oldest pending delivery alone."""
        if lane.recalled == 0:
            bounds = (lane.lane_id, lane.head_sequence, 1)
            ((lane.head_sequence, lane.head_owed_since_ms),) = self._connection.execute(_DELIVERIES_FROM_HEAD, bounds)
            lane.recalled = lane.head_sequence

    def _count(self, lane: LaneRow, *, pending: int, dead: int) -> None:
        counts = self._counts.setdefault(lane.endpoint_id, [0, 0])
        counts[0] += pending
        counts[1] += dead
