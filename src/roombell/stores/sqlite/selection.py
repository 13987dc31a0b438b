"""Looking for deliveries and changing them by hand, step by step, as ``Store.find`` and its neighbours promise.

Deliveries lie in the order of acceptance, so a walk reads them as they lie. What is dead or cancelled has an index in
the same order, since it is looked for most and is the least.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

import msgspec

from roombell.engine.model import AttemptRecord, DeliveryState, EndpointId, LaneId
from roombell.engine.selection import (
    Changed,
    Cursor,
    DeliveryHistory,
    Found,
    Selector,
    Unblocked,
    states_before,
)
from roombell.engine.transitions import Verb, advance
from roombell.stores import walk
from roombell.stores.sqlite.by_hand import SqliteHand
from roombell.stores.sqlite.queries import query

_WALK = query("walk")
_WALK_GIVEN_UP = query("walk_given_up")
_EVENT_ROW = query("event_row")
_ENDPOINT_NAMES = query("endpoint_names")
_ATTEMPTS_OF_EVENT = query("attempts_of_event")
_LANE_BY_KEY = query("lane_by_key")
_LANES_BLOCKED = query("lanes_blocked")
_LANE_UNBLOCK = query("lane_unblock")
_LANE_FORGET = query("lane_forget")


def find(connection: sqlite3.Connection, selector: Selector, after: Cursor | None, limit: int) -> Found:
    """One step of looking."""
    names: dict[int, str] = dict(connection.execute(_ENDPOINT_NAMES).fetchall())
    rows, following = _walk(connection, selector, after, limit)
    return Found(tuple(walk.status(row, names) for row in rows), following)


def history(connection: sqlite3.Connection, event_id: str) -> tuple[DeliveryHistory, ...]:
    """An event's deliveries with their attempts."""
    statuses = find(connection, Selector(event_id=event_id), None, walk.ROWS_PER_STEP_MAX).deliveries
    attempts: dict[int, list[AttemptRecord]] = {}
    for lane_id, *attempt in connection.execute(_ATTEMPTS_OF_EVENT, (_event_row(connection, event_id),)):
        attempts.setdefault(lane_id, []).append(AttemptRecord(*attempt))
    return tuple(DeliveryHistory(status, tuple(attempts.get(status.lane_id, ()))) for status in statuses)


def change(  # noqa: PLR0917 - the port's own
    connection: sqlite3.Connection,
    selector: Selector,
    verb: Verb,
    reason: str,
    after: Cursor | None,
    limit: int,
    now_ms: int,
) -> tuple[Changed, tuple[LaneId, ...]]:
    """One step of changing, and the lanes that it wrote."""
    possible = tuple(state for state in states_before(verb) if state in selector.states)
    rows, following = _walk(connection, msgspec.structs.replace(selector, states=possible), after, limit)
    hand = SqliteHand(connection, now_ms)
    left = 0
    for row in rows:
        state = advance(DeliveryState(row.state), verb)
        if state is DeliveryState.PENDING:
            hand.revive(row.event, row.lane_id, row.sequence, was_dead=row.state == DeliveryState.DEAD)
        else:
            left += not hand.cancel(row.event, row.lane_id, row.sequence)
    return Changed(len(rows) - left, left, following), hand.write(reason)


def unblock(
    connection: sqlite3.Connection,
    endpoint_id: EndpointId | None,
    ordering_key: str | None,
    after: Cursor | None,
    limit: int,
    now_ms: int,
) -> tuple[Unblocked, tuple[LaneId, ...]]:
    """One step of unblocking, and the lanes that it wrote."""
    begin = (0, 0) if after is None else (after.event, after.lane_id)
    if endpoint_id is not None:
        begin = max(begin, (endpoint_id, 0))
    last = walk.EVENTS_MAX if endpoint_id is None else endpoint_id
    rows: list[tuple[int, int, str]] = connection.execute(_LANES_BLOCKED, (*begin, last, limit)).fetchall()
    lanes = [LaneId(lane_id) for _, lane_id, key in rows if ordering_key in (None, key)]
    connection.executemany(_LANE_UNBLOCK, [(now_ms, lane_id) for lane_id in lanes])
    connection.executemany(_LANE_FORGET, [(lane_id,) for lane_id in lanes])
    following = Cursor(rows[-1][0], LaneId(rows[-1][1])) if len(rows) == limit else None
    return Unblocked(len(lanes), following), tuple(lanes)


def _walk(
    connection: sqlite3.Connection, selector: Selector, after: Cursor | None, limit: int
) -> tuple[list[walk.Row], Cursor | None]:
    """Up to ``limit`` deliveries that are meant, and where the next step begins."""
    begin, last_event = after or walk.START, walk.EVENTS_MAX
    if selector.event_id is not None:
        last_event = _event_row(connection, selector.event_id)
        begin = max(begin, Cursor(last_event, LaneId(0)), key=walk.place)
    statement = _WALK_GIVEN_UP if walk.is_for_given_up(selector) else _WALK
    parameters = (*walk.place(begin), last_event, walk.ROWS_PER_STEP_MAX)
    return walk.meant(_rows(connection, statement, parameters), selector, begin, limit)


def _rows(connection: sqlite3.Connection, statement: str, parameters: tuple[int, ...]) -> Iterator[walk.Row]:
    for row in connection.execute(statement, parameters).fetchall():
        yield walk.Row(*row)


def _event_row(connection: sqlite3.Connection, event_id: str) -> int:
    """Where the event stands; 0, where none does, if there is no such event."""
    row: tuple[int] | None = connection.execute(_EVENT_ROW, (event_id,)).fetchone()
    return 0 if row is None else row[0]
