"""One batch: read the lanes it touches, apply it to them in memory, write what changed.

Statements that change rows run once for a whole batch wherever their result is not needed at once; that is what
makes a batch of a hundred events cost little more than its rows.
"""

from __future__ import annotations

import sqlite3
from collections import Counter

from roombell.engine.model import (
    NO_LEASE,
    Accept,
    Accepted,
    Batch,
    BatchResult,
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
from roombell.stores.sqlite.lane_cache import LaneCache, LaneRow, lane_columns
from roombell.stores.sqlite.queries import query

_EVENT_ADD = query("event_add")
_LANE_BY_KEY = query("lane_by_key")
_LANE_BY_ID = query("lane_by_id")
_LANE_ADD = query("lane_add")
_LANE_WRITE = query("lane_write")
_LANE_FIND_HEAD = query("lane_find_head")
_ENDPOINT_IS_ACTIVE = query("endpoint_is_active")
_ENDPOINT_COUNT = query("endpoint_count")
_DELIVERY_ADD = query("delivery_add")
_DELIVERY_SETTLE = query("delivery_settle")
_DELIVERY_IS_PENDING_BETWEEN = query("delivery_is_pending_between")
_ATTEMPT_ADD = query("attempt_add")


class BatchWork:
    """Applies one batch within the transaction that the connection is in.

    Whatever fails, the transaction must be rolled back, the object thrown away, and the cache cleared.
    """

    def __init__(self, connection: sqlite3.Connection, batch: Batch, cache: LaneCache) -> None:
        self._connection = connection
        self._batch = batch
        self._grants: Counter[EndpointId] = Counter()
        for grant in batch.grants:
            self._grants[grant.endpoint_id] += grant.lanes
        self._active: dict[EndpointId, bool] = {}
        self._cache = cache
        self._lanes: dict[LaneId, LaneRow] = {}
        """The lanes that the batch touches."""
        self._counts: dict[EndpointId, list[int]] = {}
        """By endpoint: how many more are pending, how many more are dead."""
        self._deliveries: list[tuple[int, int, int, int]] = []
        self._settled: list[tuple[str, int, int, str, int | None, int, int, int]] = []
        self._attempts: list[tuple[int, int, int, str, int, str, int, int]] = []

    def apply(self) -> BatchResult:
        """Does all of the batch but the COMMIT."""
        batch = self._batch
        accepted = tuple([self._accept(accept) for accept in batch.accepts])
        settled = tuple([self._settle(settle) for settle in batch.settles])
        for release in batch.releases:
            self._release(release)
        renewed = tuple([self._renew(renew) for renew in batch.renewals])
        self._write()
        return BatchResult(accepted=accepted, settled=settled, renewed=renewed, commit_ms=0.0)

    def _accept(self, accept: Accept) -> Accepted:
        cursor = self._connection.execute(
            _EVENT_ADD,
            (
                accept.event_id,
                accept.event_type,
                accept.ordering_key,
                accept.room_name,
                accept.accepted_at_ms,
                accept.body,
            ),
        )
        if cursor.rowcount == 0:
            return Accepted(duplicate=True)
        event = cursor.lastrowid
        assert event is not None
        placed = tuple([self._place(accept, event, endpoint_id) for endpoint_id in accept.endpoints])
        return Accepted(duplicate=False, placed=placed)

    def _place(self, accept: Accept, event: int, endpoint_id: EndpointId) -> Placed:
        lane = self._lane_for(endpoint_id, accept.ordering_key)
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
        self._deliveries.append((event, lane.lane_id, sequence, accept.accepted_at_ms))
        held = lane.owner == self._batch.owner and not lane.recalled
        return Placed(endpoint_id, lane.lane_id, sequence, lane.generation if held else NO_LEASE, granted)

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

    def _is_pending_before(self, lane: LaneRow, sequence: Sequence) -> bool:
        bounds = (lane.lane_id, lane.head_sequence, sequence)
        found: tuple[int] = self._connection.execute(_DELIVERY_IS_PENDING_BETWEEN, bounds).fetchone()
        return found[0] == 1

    def _record(self, settle: Settle) -> None:
        attempt = settle.attempt
        is_retry = settle.state is DeliveryState.PENDING
        number = 0 if attempt is None else attempt.number
        self._settled.append(
            (
                settle.state.value,
                number,
                int(attempt is not None and settle.counted),
                "" if is_retry else settle.reason,
                None if is_retry else settle.settled_at_ms,
                settle.lane_id,
                settle.sequence,
                number,
            )
        )
        if attempt is not None:
            self._attempts.append(
                (
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

    def _lane_for(self, endpoint_id: EndpointId, ordering_key: str) -> LaneRow:
        key = (endpoint_id, ordering_key)
        lane = self._cache.by_key.get(key) or self._load(_LANE_BY_KEY, key) or self._new_lane(key)
        self._lanes[lane.lane_id] = lane
        return lane

    def _held(self, lane_id: LaneId, generation: Generation) -> LaneRow | None:
        lane = self._cache.by_id.get(lane_id) or self._load(_LANE_BY_ID, (lane_id,))
        if lane is None or lane.owner is None or lane.generation != generation:
            return None
        self._lanes[lane_id] = lane
        return lane

    def _load(self, statement: str, parameters: tuple[int | str, ...]) -> LaneRow | None:
        row = self._connection.execute(statement, parameters).fetchone()
        return None if row is None else self._cache.keep(LaneRow(*row))

    def _new_lane(self, key: tuple[EndpointId, str]) -> LaneRow:
        lane_id = self._connection.execute(_LANE_ADD, key).lastrowid
        assert lane_id is not None
        lane = LaneRow(LaneId(lane_id), *key, Sequence(0), 0, Sequence(1), 0, 0, 0, None, 0, NO_LEASE, 0, 0)
        return self._cache.keep(lane)

    def _is_active(self, endpoint_id: EndpointId) -> bool:
        if endpoint_id not in self._active:
            row = self._connection.execute(_ENDPOINT_IS_ACTIVE, (endpoint_id,)).fetchone()
            self._active[endpoint_id] = row is not None and row[0] == 1
        return self._active[endpoint_id]

    def _count(self, endpoint_id: EndpointId) -> list[int]:
        return self._counts.setdefault(endpoint_id, [0, 0])

    def _write(self) -> None:
        run = self._connection.executemany
        run(_DELIVERY_ADD, self._deliveries)
        run(_ATTEMPT_ADD, self._attempts)
        settled = run(_DELIVERY_SETTLE, self._settled).rowcount if self._settled else 0
        assert settled == len(self._settled), "a delivery is settled once, and its attempts are numbered one by one"
        lanes = self._lanes.values()
        run(_LANE_WRITE, [lane_columns(lane) for lane in lanes])
        seeking = [lane.lane_id for lane in lanes if lane.seek_head]
        run(_LANE_FIND_HEAD, [(lane_id,) for lane_id in seeking])
        self._cache.forget(seeking)
        counts = [(*moved, endpoint_id) for endpoint_id, moved in self._counts.items() if any(moved)]
        counted = run(_ENDPOINT_COUNT, counts).rowcount if counts else 0
        assert counted == len(counts), "an event is accepted for endpoints that are registered"
