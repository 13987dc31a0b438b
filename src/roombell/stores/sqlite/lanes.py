"""Leasing lanes and reading the deliveries at their heads."""

from __future__ import annotations

import contextlib
import sqlite3

import msgspec

from roombell.engine.model import Acquired, Delivery, EndpointId, Generation, LaneId, LeasedLane, Sequence
from roombell.stores.sqlite.queries import query

_ENDPOINT_IS_ACTIVE = query("endpoint_is_active")
_LANES_WAITING = query("lanes_waiting")
_LANES_EXPIRED = query("lanes_expired")
_LANE_LEASE = query("lane_lease")
_LANE_HEAD_IF_HELD = query("lane_head_if_held")
_HEADS = query("heads")


class Bounds(msgspec.Struct, frozen=True):
    """How much one call leases and reads."""

    lanes_max: int
    heads_max: int
    body_bytes_max: int


class _Free(msgspec.Struct, frozen=True, order=True):
    """A lane that may be leased; the fields stand in the order of the query's columns."""

    due_at_ms: int
    lane_id: LaneId
    ordering_key: str
    generation: Generation
    pending: int
    head_sequence: Sequence


def acquire(
    connection: sqlite3.Connection,
    owner: str,
    endpoint_id: EndpointId,
    bounds: Bounds,
    now_ms: int,
    expires_at_ms: int,
) -> Acquired:
    """Leases lanes that are due, as ``Store.acquire`` promises."""
    active: tuple[int] | None = connection.execute(_ENDPOINT_IS_ACTIVE, (endpoint_id,)).fetchone()
    assert active is not None, "the endpoint is registered"
    if not active[0]:
        return Acquired(lanes=(), next_due_at_ms=None)
    free = _free(connection, endpoint_id, now_ms, bounds.lanes_max + 1)
    taken = [lane for lane in free[: bounds.lanes_max] if lane.due_at_ms <= now_ms]
    connection.executemany(_LANE_LEASE, [(owner, expires_at_ms, lane.lane_id) for lane in taken])
    leased: list[LeasedLane] = []
    bytes_left = bounds.body_bytes_max
    for lane in taken:
        heads = _heads(connection, lane.lane_id, lane.head_sequence, bounds.heads_max, bytes_left)
        assert heads, "a lane that waits has something pending"
        bytes_left -= sum(len(head.body) for head in heads)
        leased.append(
            LeasedLane(
                lane_id=lane.lane_id,
                endpoint_id=endpoint_id,
                ordering_key=lane.ordering_key,
                generation=Generation(lane.generation + 1),
                pending=lane.pending,
                heads=heads,
            )
        )
    left = free[len(taken)] if len(free) > len(taken) else None
    return Acquired(lanes=tuple(leased), next_due_at_ms=None if left is None else left.due_at_ms)


def page(
    connection: sqlite3.Connection,
    lane_id: LaneId,
    generation: Generation,
    after: Sequence,
    heads_max: int,
    body_bytes_max: int,
) -> tuple[Delivery, ...] | None:
    """More of a leased lane, as ``Store.page`` promises."""
    row: tuple[int] | None = connection.execute(_LANE_HEAD_IF_HELD, (lane_id, generation)).fetchone()
    if row is None:
        return None
    return _heads(connection, lane_id, Sequence(max(row[0], after + 1)), heads_max, body_bytes_max)


def _free(connection: sqlite3.Connection, endpoint_id: EndpointId, now_ms: int, limit: int) -> list[_Free]:
    """The free lanes of an endpoint, longest due first."""
    rows = connection.execute(_LANES_WAITING, (endpoint_id, limit)).fetchall()
    rows += connection.execute(_LANES_EXPIRED, (now_ms, endpoint_id, limit)).fetchall()
    return sorted(_Free(*row) for row in rows)[:limit]


def _heads(
    connection: sqlite3.Connection, lane_id: LaneId, first: Sequence, heads_max: int, body_bytes_max: int
) -> tuple[Delivery, ...]:
    """The pending deliveries from ``first`` on that fit the bounds, and at least one if there is one."""
    heads: list[Delivery] = []
    bytes_left = body_bytes_max
    with contextlib.closing(connection.execute(_HEADS, (lane_id, first, max(heads_max, 1)))) as rows:
        for sequence, event_id, event_type, accepted_at_ms, attempts, body, strikes, owed_since_ms in rows:
            bytes_left -= len(body)
            if heads and bytes_left < 0:
                break
            revived_at_ms = 0 if owed_since_ms == accepted_at_ms else owed_since_ms
            heads.append(
                Delivery(
                    lane_id,
                    sequence,
                    event_id,
                    event_type,
                    accepted_at_ms,
                    attempts,
                    body,
                    strikes,
                    revived_at_ms,
                )
            )
    return tuple(heads)
