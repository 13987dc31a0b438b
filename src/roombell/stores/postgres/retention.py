"""Tidying up in small steps: leases that ran out, deliveries too old to be sent, events too old to be kept.

Every worker does it, each passing over what another one has locked.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from roombell.engine.model import DeliveryState, EndpointId, EndpointState, LaneId, Pruned, Reaped
from roombell.stores.postgres.queries import query

if TYPE_CHECKING:
    from roombell.stores.postgres.driver import Connection

DEFAULT_AGE = EndpointId(0)
"""The key in ``max_age_ms`` under which the age for removed endpoints stands."""

Place = tuple[int, int]
"""How far pruning has come: (accepted at, event row)."""

START: Place = (-1, 0)

_LEASES_END_EXPIRED = query("leases_end_expired")
_LANES_FIND_HEAD = query("lanes_find_head")
_LANES_TOO_OLD_LOCK = query("lanes_too_old_lock")
_DELIVERIES_FROM_HEADS = query("deliveries_from_heads")
_DELIVERIES_END = query("deliveries_end")
_COUNTS_MOVE = query("counts_move")
_EVENTS_OLD = query("events_old")
_LANES_OF_EVENTS_LOCK = query("lanes_of_events_lock")
_EVENTS_FORGET = query("events_forget")
_LANES_FORGET = query("lanes_forget")


async def reap(
    connection: Connection,
    states: Mapping[EndpointId, EndpointState],
    now_ms: int,
    max_age_ms: Mapping[EndpointId, int],
    limit: int,
) -> Reaped:
    """One step, as ``Store.reap`` promises. Deliveries are ended from the head of each lane on."""
    freed = [row[0] for row in await connection.fetch(_LEASES_END_EXPIRED, now_ms, limit)]
    if freed:
        await connection.execute(_LANES_FIND_HEAD, freed)
    counts: list[tuple[EndpointId, int, int]] = []
    ended = 0
    for endpoint_id, endpoint_state in states.items():
        if endpoint_id in max_age_ms:
            before_ms, state, reason = now_ms - max_age_ms[endpoint_id], DeliveryState.DEAD, "expired"
        elif endpoint_state is EndpointState.REMOVED and DEFAULT_AGE in max_age_ms:
            before_ms = now_ms - max_age_ms[DEFAULT_AGE]
            state, reason = DeliveryState.CANCELLED, "endpoint removed"
        else:
            continue
        here = await _end_old(connection, endpoint_id, (state, reason, now_ms), before_ms, limit - ended)
        counts.append((endpoint_id, -here, here if state is DeliveryState.DEAD else 0))
        ended += here
    if ended:
        await connection.execute(_COUNTS_MOVE, *zip(*counts, strict=True))
    return Reaped(leases_ended=len(freed), deliveries_ended=ended, more=limit in (len(freed), ended))


async def _end_old(
    connection: Connection,
    endpoint_id: EndpointId,
    settled: tuple[DeliveryState, str, int],
    before_ms: int,
    limit: int,
) -> int:
    state, reason, settled_at_ms = settled
    lanes = await connection.fetch(_LANES_TOO_OLD_LOCK, endpoint_id, before_ms, limit)
    if not lanes:
        return 0
    lane_ids, heads = zip(*lanes, strict=True)
    old: list[tuple[LaneId, int]] = []
    young: set[LaneId] = set()
    for lane_id, sequence, owed_since_ms in await connection.fetch(_DELIVERIES_FROM_HEADS, lane_ids, heads, limit):
        if owed_since_ms >= before_ms:
            young.add(lane_id)  # what is behind it waits for it, however old it is
        elif lane_id not in young:
            old.append((lane_id, sequence))
    old = old[:limit]
    ended: int = await connection.fetchval(
        _DELIVERIES_END, [one[0] for one in old], [one[1] for one in old], state.value, reason, settled_at_ms
    )
    assert ended == len(old), "what is pending in a locked lane stays so"
    await connection.execute(_LANES_FIND_HEAD, sorted({lane_id for lane_id, _ in old}))
    return ended


async def prune(connection: Connection, place: Place, before_ms: int, limit: int) -> tuple[Pruned, Place]:
    """One step, as ``Store.prune`` promises, and where the next one begins.

    A step looks at ``limit`` events at most, so that old events that still owe something do not make it long; the
    step after the last begins anew.
    """
    rows = await connection.fetch(_EVENTS_OLD, *place, before_ms, limit)
    events = [event for _, event, owes in rows if not owes]
    forgotten, lanes = await _forget(connection, events) if events else (0, 0)
    more = len(rows) == limit
    return Pruned(events=forgotten, lanes=lanes, more=more), (rows[-1][0], rows[-1][1]) if more else START


async def _forget(connection: Connection, events: list[int]) -> tuple[int, int]:
    """Forgets events with all that hangs on them, and tells how many, and how many lanes went with them."""
    locked = [row[0] for row in await connection.fetch(_LANES_OF_EVENTS_LOCK, events)]
    forgotten, *dead = await connection.fetch(_EVENTS_FORGET, events)
    lanes = await connection.fetch(_LANES_FORGET, locked)
    if dead:
        counts = [row[0] for row in dead], [0] * len(dead), [-row[1] for row in dead]
        await connection.execute(_COUNTS_MOVE, *counts)
    return forgotten[1], len(lanes)
