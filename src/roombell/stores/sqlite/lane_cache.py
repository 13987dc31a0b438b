"""Rows of ``lane`` between batches.

Most lanes that a batch touches were touched by one of the last: a lane gets an event, and soon after it is settled.
Looking their rows up again would take a fifth of a commit's time. What is kept here is what the last commit wrote;
whoever writes ``lane`` in another way, or fails to commit, says so.
"""

from __future__ import annotations

from collections.abc import Iterable

from roombell.engine.model import EndpointId, LaneId
from roombell.stores.lane_row import LaneRow

LANES_MAX = 10_000
"""About five megabytes."""


class LaneCache:
    """Up to ``LANES_MAX`` rows and those of one batch, by id and by key."""

    def __init__(self) -> None:
        self.by_id: dict[LaneId, LaneRow] = {}
        self.by_key: dict[tuple[EndpointId, str], LaneRow] = {}

    def keep(self, lane: LaneRow) -> LaneRow:
        self.by_id[lane.lane_id] = self.by_key[lane.endpoint_id, lane.ordering_key] = lane
        return lane

    def forget(self, lane_ids: Iterable[LaneId]) -> None:
        """Their rows were changed by something else than a batch."""
        for lane_id in lane_ids:
            lane = self.by_id.pop(lane_id, None)
            if lane is not None:
                del self.by_key[lane.endpoint_id, lane.ordering_key]

    def trim(self) -> None:
        """Called between batches. Starting over is cheaper than keeping track of what was used when."""
        if len(self.by_id) > LANES_MAX:
            self.clear()

    def clear(self) -> None:
        self.by_id.clear()
        self.by_key.clear()
