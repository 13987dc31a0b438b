"""Leasing lanes and reading the deliveries at their heads."""

from __future__ import annotations

from collections.abc import Sequence as Seq
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING, Final

import msgspec

from roombell.engine.model import Acquired, Delivery, EndpointId, Generation, LaneId, LeasedLane, Sequence
from roombell.stores.postgres.queries import query
from roombell.stores.text import shown

if TYPE_CHECKING:
    from roombell.stores.postgres.driver import Connection

_LANES_FREE_LOCK = query("lanes_free_lock")
_LANE_WAITING_FIRST = query("lane_waiting_first")
_LANES_LEASE = query("lanes_lease")
_PAGE = query("page")
_BODIES = query("bodies")

LOCKED_AGAIN_MS: Final = 50
"""When to ask again for a lane that another transaction has locked, for a few milliseconds as a rule."""


class Bounds(msgspec.Struct, frozen=True):
    """How much one call leases and reads."""

    lanes_max: int
    heads_max: int
    body_bytes_max: int


class _Head(msgspec.Struct, frozen=True):
    """A pending delivery with its event; the fields stand in the order of the queries' columns."""

    lane_id: LaneId
    ordering_key: str
    generation: Generation
    pending: int
    sequence: Sequence
    event_id: str
    event_type: str
    accepted_at_ms: int
    attempts: int
    strikes: int
    owed_since_ms: int
    event: int
    body_bytes: int
    body: bytes | None
    """None where it was too much to bring along."""


async def acquire(
    connection: Connection, owner: str, endpoint_id: EndpointId, bounds: Bounds, now_ms: int, expires_at_ms: int
) -> Acquired:
    """Leases lanes that are due, as ``Store.acquire`` promises."""
    free: list[tuple[LaneId, int]] = [
        (row[0], row[1]) for row in await connection.fetch(_LANES_FREE_LOCK, endpoint_id, now_ms, bounds.lanes_max + 1)
    ]
    taken = [lane_id for lane_id, due_at_ms in free[: bounds.lanes_max] if due_at_ms <= now_ms]
    leased: tuple[LeasedLane, ...] = ()
    if taken:
        rows = await connection.fetch(
            _LANES_LEASE, taken, owner, expires_at_ms, max(bounds.heads_max, 1), bounds.body_bytes_max
        )
        chosen = await _chosen(connection, [_Head(*row) for row in rows], bounds)
        leased = tuple(_leased(endpoint_id, heads) for heads in chosen)
        assert len(leased) == len(taken), "a lane that waits has something pending"
    if len(free) > len(taken):
        return Acquired(leased, free[len(taken)][1])
    return Acquired(leased, await _locked_due_at_ms(connection, endpoint_id, taken, now_ms))


async def page(
    connection: Connection,
    lane_id: LaneId,
    generation: Generation,
    after: Sequence,
    heads_max: int,
    body_bytes_max: int,
) -> tuple[Delivery, ...] | None:
    """More of a leased lane, as ``Store.page`` promises."""
    rows = await connection.fetch(_PAGE, lane_id, generation, after, max(heads_max, 1), body_bytes_max)
    if not rows:
        return None
    found = [_Head(lane_id, "", generation, 0, *row) for row in rows if row[0] is not None]
    chosen = await _chosen(connection, found, Bounds(1, heads_max, body_bytes_max))
    return tuple(_delivery(head) for heads in chosen for head in heads)


async def _locked_due_at_ms(
    connection: Connection, endpoint_id: EndpointId, taken: Seq[LaneId], now_ms: int
) -> int | None:
    """When to ask for lanes that others have locked at this moment; None where there are none."""
    due_at_ms: int | None = await connection.fetchval(_LANE_WAITING_FIRST, endpoint_id, taken)
    return None if due_at_ms is None else max(due_at_ms, now_ms + LOCKED_AGAIN_MS)


async def _chosen(connection: Connection, heads: Seq[_Head], bounds: Bounds) -> list[list[_Head]]:
    """By lane: the heads whose bodies fit the bound, and at least one; with their bodies."""
    chosen: list[list[_Head]] = []
    bytes_left = bounds.body_bytes_max
    for _, of_lane in groupby(heads, attrgetter("lane_id")):
        fitting: list[_Head] = []
        for head in of_lane:
            if fitting and bytes_left < head.body_bytes:
                break
            bytes_left -= head.body_bytes
            fitting.append(head)
        chosen.append(fitting)
    missing = [head.event for of_lane in chosen for head in of_lane if head.body is None]
    if missing:
        bodies: dict[int, bytes] = {row[0]: row[1] for row in await connection.fetch(_BODIES, missing)}
        chosen = [[_with_body(head, bodies) for head in of_lane] for of_lane in chosen]
    return chosen


def _with_body(head: _Head, bodies: dict[int, bytes]) -> _Head:
    return head if head.body is not None else msgspec.structs.replace(head, body=bodies[head.event])


def _leased(endpoint_id: EndpointId, heads: Seq[_Head]) -> LeasedLane:
    first = heads[0]
    return LeasedLane(
        lane_id=first.lane_id,
        endpoint_id=endpoint_id,
        ordering_key=shown(first.ordering_key),
        generation=first.generation,
        pending=first.pending,
        heads=tuple(_delivery(head) for head in heads),
    )


def _delivery(head: _Head) -> Delivery:
    assert head.body is not None
    return Delivery(
        lane_id=head.lane_id,
        sequence=head.sequence,
        event_id=shown(head.event_id),
        event_type=shown(head.event_type),
        accepted_at_ms=head.accepted_at_ms,
        attempts=head.attempts,
        body=head.body,
        strikes=head.strikes,
        redriven_at_ms=0 if head.owed_since_ms == head.accepted_at_ms else head.owed_since_ms,
    )
