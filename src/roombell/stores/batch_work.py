"""What a batch does to the lanes it touches, worked out in memory. Pure: a store reads the lanes and writes the rows.

Statements that change rows run once for a whole batch wherever their result is not needed at once; that is what
makes a batch of a hundred events cost little more than its rows. So everything is collected here first.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from typing import NamedTuple

from roombell.engine.model import (
    NO_LEASE,
    Accept,
    Batch,
    DeliveryState,
    EndpointId,
    Generation,
    LaneId,
    Placed,
    Release,
    Renew,
    Sequence,
    Settle,
    Settled,
)
from roombell.stores.lane_row import LaneRow


class NewDelivery(NamedTuple):
    """A row to be made."""

    event: int
    lane_id: LaneId
    sequence: Sequence
    owed_since_ms: int


class SettledDelivery(NamedTuple):
    """A pending row to be changed."""

    state: str
    number: int
    """The attempt's, which is one more than were made; 0 where none was made."""
    strikes: int
    reason: str
    settled_at_ms: int | None
    lane_id: LaneId
    sequence: Sequence


class NewAttempt(NamedTuple):
    """A row to be made, for a delivery of the batch's settled ones."""

    number: int
    started_at_ms: int
    duration_ms: int
    outcome: str
    status: int
    detail: str
    lane_id: LaneId
    sequence: Sequence


class BatchWork(ABC):
    """Applies one batch. Whatever fails, nothing of it may be written, and the object is thrown away."""

    def __init__(self, batch: Batch) -> None:
        self._batch = batch
        self._grants: Counter[EndpointId] = Counter()
        for grant in batch.grants:
            self._grants[grant.endpoint_id] += grant.lanes
        self._lanes: dict[LaneId, LaneRow] = {}
        """The lanes that the batch touches."""
        self._counts: dict[EndpointId, list[int]] = {}
        """By endpoint: how many more are pending, how many more are dead."""
        self._deliveries: list[NewDelivery] = []
        self._settled: list[SettledDelivery] = []
        self._attempts: list[NewAttempt] = []

    @abstractmethod
    def _lane_for(self, endpoint_id: EndpointId, ordering_key: str) -> LaneRow:
        """The lane of that key, made if there is none."""

    @abstractmethod
    def _lane(self, lane_id: LaneId) -> LaneRow | None:
        """The lane of that id, if there is one."""

    @abstractmethod
    def _is_active(self, endpoint_id: EndpointId) -> bool:
        """Whether an endpoint is sent to."""

    @abstractmethod
    def _is_pending_before(self, lane: LaneRow, sequence: Sequence) -> bool:
        """Whether anything older than ``sequence`` is pending in the lane."""

    def _place(self, accept: Accept, event: int, endpoint_id: EndpointId) -> Placed:
        lane = self._touch(self._lane_for(endpoint_id, accept.ordering_key))
        sequence = lane.last_sequence = Sequence(lane.last_sequence + 1)
        granted = False
        if lane.pending == 0:
            lane.due_at_ms = lane.head_owed_since_ms = accept.accepted_at_ms
            lane.head_sequence = sequence
            granted = self._grant(lane)
            if granted:
                lane.lease(self._batch.owner, self._batch.lease_expires_at_ms)
        lane.pending += 1
        lane.kept += 1
        self._count(endpoint_id)[0] += 1
        self._deliveries.append(NewDelivery(event, lane.lane_id, sequence, accept.accepted_at_ms))
        held = lane.owner == self._batch.owner and not lane.recalled
        elsewhere = lane.owner not in (None, self._batch.owner)
        return Placed(
            endpoint_id,
            lane.lane_id,
            sequence,
            lane.generation if held else NO_LEASE,
            granted,
            elsewhere,
            None if lane.owner is not None or lane.blocked else lane.due_at_ms,
        )

    def _grant(self, lane: LaneRow) -> bool:
        endpoint_id = lane.endpoint_id
        if lane.blocked or self._grants[endpoint_id] <= 0 or not self._is_active(endpoint_id):
            return False
        self._grants[endpoint_id] -= 1
        return True

    def _settle(self, settle: Settle) -> Settled:
        lane = self._held(settle.lane_id, settle.generation)
        if lane is None:
            return Settled(lost=True)
        recalled = lane.recalled != 0
        self._check_head(lane, settle.sequence)
        self._record(settle)
        lane.blocked = settle.sequence if settle.block else 0
        if settle.state is DeliveryState.PENDING:
            # What was revived before it does not wait for its retry.
            overtaken = recalled and self._is_pending_before(lane, settle.sequence)
            lane.due_at_ms = settle.settled_at_ms if overtaken else settle.due_at_ms
        else:
            if not recalled:
                lane.head_sequence = Sequence(settle.sequence + 1)
            lane.pending -= 1
            counts = self._count(lane.endpoint_id)
            counts[0] -= 1
            counts[1] += settle.state is DeliveryState.DEAD
        if settle.state is DeliveryState.PENDING or settle.block or recalled or not lane.pending:
            lane.end_lease()
        return Settled(lost=False, pending=lane.pending, recalled=recalled)

    def _check_head(self, lane: LaneRow, sequence: Sequence) -> None:
        if lane.recalled:
            assert sequence == lane.recalled, "a lane that was called back settles what was under way"
        elif sequence != lane.head_sequence:
            assert sequence > lane.head_sequence, "a delivery is settled once"
            oldest = not self._is_pending_before(lane, sequence)
            assert oldest, "only the oldest pending delivery of a lane is settled"

    def _record(self, settle: Settle) -> None:
        attempt = settle.attempt
        is_retry = settle.state is DeliveryState.PENDING
        self._settled.append(
            SettledDelivery(
                state=settle.state.value,
                number=0 if attempt is None else attempt.number,
                strikes=int(attempt is not None and settle.counted),
                reason="" if is_retry else settle.reason,
                settled_at_ms=None if is_retry else settle.settled_at_ms,
                lane_id=settle.lane_id,
                sequence=settle.sequence,
            )
        )
        if attempt is not None:
            self._attempts.append(
                NewAttempt(
                    attempt.number,
                    attempt.started_at_ms,
                    attempt.duration_ms,
                    attempt.outcome,
                    attempt.status,
                    attempt.detail,
                    settle.lane_id,
                    settle.sequence,
                )
            )

    def _release(self, release: Release) -> None:
        lane = self._held(release.lane_id, release.generation)
        if lane is not None:
            lane.due_at_ms = release.due_at_ms
            lane.end_lease()

    def _renew(self, renew: Renew) -> bool:
        lane = self._held(renew.lane_id, renew.generation)
        if lane is None:
            return False
        lane.expires_at_ms = renew.expires_at_ms
        return True

    def _held(self, lane_id: LaneId, generation: Generation) -> LaneRow | None:
        lane = self._lane(lane_id)
        return self._touch(lane) if lane is not None and lane.holds(generation) else None

    def _touch(self, lane: LaneRow) -> LaneRow:
        self._lanes[lane.lane_id] = lane
        return lane

    def _count(self, endpoint_id: EndpointId) -> list[int]:
        return self._counts.setdefault(endpoint_id, [0, 0])
