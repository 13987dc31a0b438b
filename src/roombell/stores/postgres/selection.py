"""Looking for deliveries and changing them by hand, step by step, as ``Store.find`` and its neighbours promise."""

from __future__ import annotations

from collections.abc import Sequence as Seq
from typing import TYPE_CHECKING

import msgspec

from roombell.engine.model import AttemptRecord, DeliveryState, EndpointId, LaneId
from roombell.engine.selection import Changed, Cursor, DeliveryHistory, Found, Selector, Unblocked, states_before
from roombell.engine.transitions import Verb, advance
from roombell.stores import walk
from roombell.stores.postgres.by_hand import prepare_hand
from roombell.stores.postgres.queries import query
from roombell.stores.postgres.work import lock_lanes
from roombell.stores.text import kept, shown

if TYPE_CHECKING:
    from asyncpg import Record

    from roombell.stores.postgres.driver import Connection

_WALK = query("walk")
_WALK_GIVEN_UP = query("walk_given_up")
_EVENT_ROW = query("event_row")
_ENDPOINT_NAMES = query("endpoint_names")
_ATTEMPTS_OF_EVENT = query("attempts_of_event")
_DELIVERIES_NOW = query("deliveries_now")
_LANES_BLOCKED = query("lanes_blocked")
_LANES_UNBLOCK = query("lanes_unblock")
_LANES_FORGET = query("lanes_forget")


async def find(connection: Connection, selector: Selector, after: Cursor | None, limit: int) -> Found:
    """One step of looking."""
    names = {row[0]: shown(row[1]) for row in await connection.fetch(_ENDPOINT_NAMES)}
    rows, following = await _walk(connection, selector, after, limit)
    return Found(tuple(walk.status(row, names) for row in rows), following)


async def history(connection: Connection, event_id: str) -> tuple[DeliveryHistory, ...]:
    """An event's deliveries with their attempts."""
    found = await find(connection, Selector(event_id=event_id), None, walk.ROWS_PER_STEP_MAX)
    attempts: dict[int, list[AttemptRecord]] = {}
    event = await _event_row(connection, event_id)
    for lane_id, number, at_ms, duration_ms, outcome, code, detail in await connection.fetch(_ATTEMPTS_OF_EVENT, event):
        record = AttemptRecord(number, at_ms, duration_ms, outcome, code, shown(detail))
        attempts.setdefault(lane_id, []).append(record)
    return tuple(DeliveryHistory(status, tuple(attempts.get(status.lane_id, ()))) for status in found.deliveries)


async def change(  # noqa: PLR0917 - the port's own
    connection: Connection,
    selector: Selector,
    verb: Verb,
    reason: str,
    after: Cursor | None,
    limit: int,
    now_ms: int,
) -> Changed:
    """One step of changing."""
    possible = tuple(state for state in states_before(verb) if state in selector.states)
    selector = msgspec.structs.replace(selector, states=possible)
    seen, following = await _walk(connection, selector, after, limit)
    hand = await prepare_hand(connection, {row.lane_id for row in seen}, now_ms)
    rows = await _as_they_are_now(connection, seen, selector)
    left = 0
    for row in rows:
        if advance(DeliveryState(row.state), verb) is DeliveryState.PENDING:
            hand.revive(row.event, row.lane_id, row.sequence, was_dead=row.state == DeliveryState.DEAD)
        else:
            left += not hand.cancel(row.event, row.lane_id, row.sequence)
    await hand.write(reason)
    return Changed(len(rows) - left, left, following)


async def unblock(
    connection: Connection,
    endpoint_id: EndpointId | None,
    ordering_key: str | None,
    after: Cursor | None,
    limit: int,
    now_ms: int,
) -> Unblocked:
    """One step of unblocking."""
    begin = (0, 0) if after is None else (after.event, after.lane_id)
    if endpoint_id is not None:
        begin = max(begin, (endpoint_id, 0))
    last = walk.EVENTS_MAX if endpoint_id is None else endpoint_id
    rows = await connection.fetch(_LANES_BLOCKED, *begin, last, limit)
    wanted = [LaneId(lane_id) for _, lane_id, key in rows if ordering_key in (None, shown(key))]
    locked, _ = await lock_lanes(connection, wanted)
    lanes = [lane_id for lane_id, lane in locked.items() if lane.blocked]
    await connection.execute(_LANES_UNBLOCK, lanes, now_ms)
    await connection.execute(_LANES_FORGET, lanes)
    following = Cursor(rows[-1][0], LaneId(rows[-1][1])) if len(rows) == limit else None
    return Unblocked(len(lanes), following)


async def _walk(
    connection: Connection, selector: Selector, after: Cursor | None, limit: int
) -> tuple[list[walk.Row], Cursor | None]:
    """Up to ``limit`` deliveries that are meant, and where the next step begins."""
    begin, last_event = after or walk.START, walk.EVENTS_MAX
    if selector.event_id is not None:
        last_event = await _event_row(connection, selector.event_id)
        begin = max(begin, Cursor(last_event, LaneId(0)), key=walk.place)
    statement = _WALK_GIVEN_UP if walk.is_for_given_up(selector) else _WALK
    rows = await connection.fetch(statement, *walk.place(begin), last_event, walk.ROWS_PER_STEP_MAX)
    return walk.meant((_row(row) for row in rows), selector, begin, limit)


async def _as_they_are_now(connection: Connection, seen: Seq[walk.Row], selector: Selector) -> list[walk.Row]:
    """What is still meant of what was seen before its lanes were locked."""
    keys = [row.event for row in seen], [row.lane_id for row in seen]
    now = {(row[0], row[1]): (row[2], row[3]) for row in await connection.fetch(_DELIVERIES_NOW, *keys)}
    found: list[walk.Row] = []
    for row in seen:
        state, settled_at_ms = now.get((row.event, row.lane_id), ("", None))
        current = msgspec.structs.replace(row, state=state, settled_at_ms=settled_at_ms)
        if walk.is_meant(current, selector):
            found.append(current)
    return found


def _row(record: Record) -> walk.Row:
    row = walk.Row(*record)
    return msgspec.structs.replace(
        row,
        event_id=shown(row.event_id),
        event_type=shown(row.event_type),
        room_name=shown(row.room_name),
        ordering_key=shown(row.ordering_key),
        reason=shown(row.reason),
    )


async def _event_row(connection: Connection, event_id: str) -> int:
    """Where the event stands; 0, where none does, if there is no such event."""
    found: int | None = await connection.fetchval(_EVENT_ROW, kept(event_id))
    return found or 0
