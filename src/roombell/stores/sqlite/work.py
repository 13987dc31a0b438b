"""One batch: read the lanes it touches, apply it to them in memory, write what changed."""

from __future__ import annotations

import sqlite3

from roombell.engine.model import (
    NO_LEASE,
    Accept,
    Accepted,
    Batch,
    BatchResult,
    EndpointId,
    LaneId,
    Sequence,
)
from roombell.stores.batch_work import BatchWork
from roombell.stores.lane_row import LaneRow, lane_columns
from roombell.stores.sqlite.lane_cache import LaneCache
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


class SqliteBatchWork(BatchWork):
    """Applies one batch within the transaction that the connection is in.

    Whatever fails, the transaction must be rolled back, the object thrown away, and the cache cleared.
    """

    def __init__(self, connection: sqlite3.Connection, batch: Batch, cache: LaneCache) -> None:
        super().__init__(batch)
        self._connection = connection
        self._active: dict[EndpointId, bool] = {}
        self._cache = cache

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

    def _is_pending_before(self, lane: LaneRow, sequence: Sequence) -> bool:
        bounds = (lane.lane_id, lane.head_sequence, sequence)
        found: tuple[int] = self._connection.execute(_DELIVERY_IS_PENDING_BETWEEN, bounds).fetchone()
        return found[0] == 1

    def _lane_for(self, endpoint_id: EndpointId, ordering_key: str) -> LaneRow:
        key = (endpoint_id, ordering_key)
        return self._cache.by_key.get(key) or self._load(_LANE_BY_KEY, key) or self._new_lane(key)

    def _lane(self, lane_id: LaneId) -> LaneRow | None:
        return self._cache.by_id.get(lane_id) or self._load(_LANE_BY_ID, (lane_id,))

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

    def _write(self) -> None:
        run = self._connection.executemany
        run(_DELIVERY_ADD, self._deliveries)
        run(_ATTEMPT_ADD, self._attempts)
        rows = [(*delivery, delivery.number) for delivery in self._settled]
        settled = run(_DELIVERY_SETTLE, rows).rowcount if rows else 0
        assert settled == len(rows), "a delivery is settled once, and its attempts are numbered one by one"
        lanes = self._lanes.values()
        run(_LANE_WRITE, [lane_columns(lane) for lane in lanes])
        seeking = [lane.lane_id for lane in lanes if lane.seek_head]
        run(_LANE_FIND_HEAD, [(lane_id,) for lane_id in seeking])
        self._cache.forget(seeking)
        counts = [(*moved, endpoint_id) for endpoint_id, moved in self._counts.items() if any(moved)]
        counted = run(_ENDPOINT_COUNT, counts).rowcount if counts else 0
        assert counted == len(counts), "an event is accepted for endpoints that are registered"
