"""One batch: lock the lanes it touches, apply it to them in memory, write what changed.

**The lock order.** Whoever waits for locks here waits for them in this order, so that nobody waits in a circle:

1. events, by event id, when a row is made (a worker that is given the same event waits for the first one's commit);
2. lanes that are made, by endpoint and key;
3. lanes, by id;
4. slots of counts, by endpoint.

What is written besides (deliveries, attempts) belongs to lanes that are locked. Everything else that locks lanes takes
them in the order of their ids too, or passes over those that are locked (``SKIP LOCKED``).

A lane that was forgotten between 2 and 3 would have to be made in the wrong order: the batch is begun anew
(``LaneGone``).
"""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Sequence as Seq
from typing import TYPE_CHECKING

from roombell.engine.model import (
    Accept,
    Accepted,
    Batch,
    BatchResult,
    DeliveryState,
    EndpointId,
    LaneId,
    Sequence,
)
from roombell.stores.batch_work import BatchWork
from roombell.stores.lane_row import LaneRow, lane_columns
from roombell.stores.postgres.queries import query
from roombell.stores.text import kept, shown

if TYPE_CHECKING:
    from roombell.stores.postgres.driver import Connection

_EVENT_ADD = query("event_add")
_LANES_ADD = query("lanes_add")
_LANES_LOCK = query("lanes_lock")
_PENDING_BETWEEN = query("pending_between")
_BATCH_WRITE = query("batch_write")
_LANES_FIND_HEAD = query("lanes_find_head")

_PENDING_SEEN_MAX = 1025
"""More than a batch settles: what is pending in a lane beyond does not matter to it."""


class LaneGone(Exception):
    """A lane was forgotten while the batch was on its way to it. The batch can be begun anew."""


async def lock_lanes(
    connection: Connection, lane_ids: Iterable[LaneId], keys: Iterable[tuple[EndpointId, str]] = ()
) -> tuple[dict[LaneId, LaneRow], dict[EndpointId, bool]]:
    """Locks lanes until the transaction ends, and tells which of their endpoints are sent to."""
    wanted = list(keys)
    rows = await connection.fetch(
        _LANES_LOCK, sorted(set(lane_ids)), [id_ for id_, _ in wanted], [kept(key) for _, key in wanted]
    )
    lanes: dict[LaneId, LaneRow] = {}
    active: dict[EndpointId, bool] = {}
    for lane_id, endpoint_id, key, *rest, is_active in rows:
        assert is_active is not None, "an event is accepted for endpoints that are registered"
        lanes[lane_id] = LaneRow(lane_id, endpoint_id, shown(key), *rest)
        active[endpoint_id] = is_active
    return lanes, active


async def find_heads(connection: Connection, lanes: Iterable[LaneRow]) -> None:
    """Brings the heads of lanes up to date whose lease ended, or whose head was taken out."""
    seeking = [lane.lane_id for lane in lanes if lane.seek_head and lane.pending]
    if seeking:
        await connection.execute(_LANES_FIND_HEAD, seeking)


class PostgresBatchWork(BatchWork):
    """Applies one batch within the transaction that the connection is in."""

    def __init__(self, connection: Connection, batch: Batch) -> None:
        super().__init__(batch)
        self._connection = connection
        self._by_id: dict[LaneId, LaneRow] = {}
        self._by_key: dict[tuple[EndpointId, str], LaneRow] = {}
        self._active: dict[EndpointId, bool] = {}
        self._pending: dict[LaneId, list[Sequence]] = {}
        self.waiting: set[EndpointId] = set()
        """Endpoints with lanes that were idle and wait now for anybody to lease them."""

    async def apply(self) -> BatchResult:
        """Does all of the batch but the COMMIT.

        :raises LaneGone: begin anew.
        """
        batch = self._batch
        events = await self._add_events()
        await self._lock([accept for accept, event in zip(batch.accepts, events, strict=True) if event])
        await self._look_for_older()
        accepted = tuple([self._accept(*pair) for pair in zip(batch.accepts, events, strict=True)])
        settled = tuple([self._settle(settle) for settle in batch.settles])
        for release in batch.releases:
            self._release(release)
        renewed = tuple([self._renew(renew) for renew in batch.renewals])
        await self._write()
        return BatchResult(accepted=accepted, settled=settled, renewed=renewed, commit_ms=0.0)

    async def _add_events(self) -> list[int]:
        """The number of each event of the batch; 0 for a duplicate."""
        accepts = self._batch.accepts
        if not accepts:
            return []
        ids = [kept(accept.event_id) for accept in accepts]
        rows = await self._connection.fetch(
            _EVENT_ADD,
            ids,
            [kept(accept.event_type) for accept in accepts],
            [kept(accept.ordering_key) for accept in accepts],
            [kept(accept.room_name) for accept in accepts],
            [accept.accepted_at_ms for accept in accepts],
            [accept.body for accept in accepts],
        )
        added: dict[str, int] = {row[0]: row[1] for row in rows}
        return [added.pop(event_id, 0) for event_id in ids]

    async def _lock(self, added: Seq[Accept]) -> None:
        batch = self._batch
        keys = {(id_, accept.ordering_key): None for accept in added for id_ in accept.endpoints}
        if keys:
            await self._connection.execute(_LANES_ADD, [id_ for id_, _ in keys], [kept(key) for _, key in keys])
        lane_ids = {settle.lane_id for settle in batch.settles}
        lane_ids |= {release.lane_id for release in batch.releases}
        lane_ids |= {renew.lane_id for renew in batch.renewals}
        if keys or lane_ids:
            self._by_id, self._active = await lock_lanes(self._connection, lane_ids, keys)
        self._by_key = {(lane.endpoint_id, lane.ordering_key): lane for lane in self._by_id.values()}
        if not self._by_key.keys() >= keys.keys():
            raise LaneGone

    async def _look_for_older(self) -> None:
        """Finds what is pending in lanes whose next settlement is not that of the head as it was written down."""
        ranges: dict[LaneId, tuple[Sequence, Sequence]] = {}
        heads: dict[LaneId, Sequence] = {}
        for settle in self._batch.settles:
            lane = self._by_id.get(settle.lane_id)
            if lane is None or not lane.holds(settle.generation):
                continue
            head = heads.get(lane.lane_id, lane.head_sequence)
            if settle.sequence != head or (lane.recalled and settle.state is DeliveryState.PENDING):
                ranges[lane.lane_id] = (lane.head_sequence, settle.sequence)
            heads[lane.lane_id] = Sequence(settle.sequence + 1)
        if ranges:
            firsts, lasts = zip(*ranges.values(), strict=True)
            rows = await self._connection.fetch(_PENDING_BETWEEN, list(ranges), firsts, lasts, _PENDING_SEEN_MAX)
            for lane_id, sequence in rows:
                self._pending.setdefault(lane_id, []).append(sequence)

    def _accept(self, accept: Accept, event: int) -> Accepted:
        if not event:
            return Accepted(duplicate=True)
        placed = tuple([self._place(accept, event, endpoint_id) for endpoint_id in accept.endpoints])
        for place in placed:
            lane = self._by_id[place.lane_id]
            if lane.pending == 1 and lane.owner is None and not lane.blocked:
                self.waiting.add(place.endpoint_id)
        return Accepted(duplicate=False, placed=placed)

    def _lane_for(self, endpoint_id: EndpointId, ordering_key: str) -> LaneRow:
        return self._by_key[endpoint_id, ordering_key]

    def _lane(self, lane_id: LaneId) -> LaneRow | None:
        return self._by_id.get(lane_id)

    def _is_active(self, endpoint_id: EndpointId) -> bool:
        return self._active[endpoint_id]

    def _is_pending_before(self, lane: LaneRow, sequence: Sequence) -> bool:
        return any(lane.head_sequence <= found < sequence for found in self._pending.get(lane.lane_id, ()))

    async def _write(self) -> None:
        if not self._lanes:
            return
        lanes = self._lanes.values()
        counts = [(endpoint_id, *moved) for endpoint_id, moved in self._counts.items() if any(moved)]
        settled = await self._connection.fetchval(
            _BATCH_WRITE,
            *columns([lane_columns(lane) for lane in lanes], 12),
            *columns(self._deliveries, 4),
            *self._settled_columns(),
            *columns(counts, 3),
        )
        assert settled == len(self._settled), "a delivery is settled once, and its attempts are numbered one by one"
        await find_heads(self._connection, lanes)

    def _settled_columns(self) -> list[list[object]]:
        attempts = {(attempt.lane_id, attempt.sequence): attempt for attempt in self._attempts}
        rows: list[tuple[object, ...]] = []
        for one in self._settled:
            attempt = attempts.get((one.lane_id, one.sequence))
            record = (0, 0, "", 0, "") if attempt is None else attempt[1:6]
            started_at_ms, duration_ms, outcome, status, detail = record
            rows.append(
                (
                    *(one.lane_id, one.sequence, one.state, one.number, one.strikes, kept(one.reason)),
                    *(one.settled_at_ms, started_at_ms, duration_ms, outcome, status, kept(detail)),
                )
            )
        return columns(rows, 12)


def columns(rows: Iterable[Iterable[object]], width: int) -> list[list[object]]:
    """Rows turned into ``width`` lists, for ``unnest``."""
    turned = [list(column) for column in zip(*rows, strict=True)]
    return turned or [[] for _ in range(width)]
