"""Rows of ``lane`` between batches.

Most lanes that a batch touches were touched by one of the last: a lane gets an event, and soon after it is settled.
Looking their rows up again would take a fifth of a commit's time. What is kept here is what the last commit wrote;
whoever writes ``lane`` in another way, or fails to commit, says so.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from roombell.engine.model import EndpointId, Generation, LaneId, Sequence

LANES_MAX = 10_000
"""About five megabytes."""


class LaneRow(msgspec.Struct, gc=False):
    """A row of ``lane``; the fields stand in the order of its columns."""

    lane_id: LaneId
    endpoint_id: EndpointId
    ordering_key: str
    last_sequence: Sequence
    kept: int
    head_sequence: Sequence
    head_owed_since_ms: int
    pending: int
    due_at_ms: int
    owner: str | None
    expires_at_ms: int
    generation: Generation
    blocked: int
    """0, or the sequence of the delivery that the lane waits for a decision about."""
    recalled: int
    """0, or the sequence of what may be under way in a lane whose lease ends with the next settlement."""
    seek_head: bool = False
    """Its lease ended with something pending, so that the head must be known exactly again."""

    def lease(self, owner: str, expires_at_ms: int) -> None:
        self.owner, self.expires_at_ms = owner, expires_at_ms
        self.generation = Generation(self.generation + 1)
        self.recalled = 0

    def end_lease(self) -> None:
        self.owner = None
        self.recalled = 0
        self.seek_head = self.pending > 0


def lane_columns(lane: LaneRow) -> tuple[int | str | None, ...]:
    """What ``lane_write`` takes."""
    return (
        lane.last_sequence,
        lane.kept,
        lane.head_sequence,
        lane.head_owed_since_ms,
        lane.pending,
        lane.due_at_ms,
        lane.owner,
        lane.expires_at_ms,
        lane.generation,
        lane.blocked,
        lane.recalled,
        lane.lane_id,
    )


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
