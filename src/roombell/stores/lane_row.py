"""A lane as a store of rows keeps it, and what happens to it. Pure: whoever reads and writes the row calls it."""

from __future__ import annotations

import msgspec

from roombell.engine.model import EndpointId, Generation, LaneId, Sequence


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

    def holds(self, generation: Generation) -> bool:
        return self.owner is not None and self.generation == generation


def lane_columns(lane: LaneRow) -> tuple[int | str | None, ...]:
    """What a store writes back of a lane, its id last."""
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
