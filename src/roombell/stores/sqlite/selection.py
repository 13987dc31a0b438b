"""Looking for deliveries and changing them by hand, step by step, as ``Store.find`` and its neighbours promise.

Deliveries lie in the order of acceptance, so a walk reads them as they lie. What is dead or cancelled has an index in
the same order, since it is looked for most and is the least.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Final

import msgspec

from roombell.engine.model import AttemptRecord, DeliveryState, EndpointId, LaneId, Sequence
from roombell.engine.selection import (
    Changed,
    Cursor,
    DeliveryHistory,
    DeliveryStatus,
    Found,
    Selector,
    Unblocked,
    states_before,
)
from roombell.engine.transitions import Verb, advance
from roombell.stores.sqlite.by_hand import Hand
from roombell.stores.sqlite.queries import query

ROWS_PER_STEP_MAX: Final = 4_000
"""How many deliveries a step looks at: a few milliseconds, for which nothing else is written."""

_EVENTS_MAX: Final = 2**62
_START: Final = Cursor(0, LaneId(0))

_WALK = query("walk")
_WALK_GIVEN_UP = query("walk_given_up")
_EVENT_ROW = query("event_row")
_ENDPOINT_NAMES = query("endpoint_names")
_ATTEMPTS_OF_EVENT = query("attempts_of_event")
_LANE_BY_KEY = query("lane_by_key")
_LANES_BLOCKED = query("lanes_blocked")
_LANE_UNBLOCK = query("lane_unblock")
_LANE_FORGET = query("lane_forget")


class Row(msgspec.Struct, frozen=True, gc=False):
    """A delivery with its event and lane; the fields stand in the order of the query's columns."""

    event: int
    lane_id: LaneId
    sequence: Sequence
    state: str
    attempts: int
    reason: str
    settled_at_ms: int | None
    event_id: str
    event_type: str
    room_name: str
    accepted_at_ms: int
    endpoint_id: EndpointId
    ordering_key: str
    blocked: int


def find(connection: sqlite3.Connection, selector: Selector, after: Cursor | None, limit: int) -> Found:
    """One step of looking."""
    names: dict[int, str] = dict(connection.execute(_ENDPOINT_NAMES).fetchall())
    rows, following = _walk(connection, selector, after, limit)
    return Found(tuple(_status(row, names) for row in rows), following)


def history(connection: sqlite3.Connection, event_id: str) -> tuple[DeliveryHistory, ...]:
    """An event's deliveries with their attempts."""
    statuses = find(connection, Selector(event_id=event_id), None, ROWS_PER_STEP_MAX).deliveries
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
    hand = Hand(connection, now_ms)
    left = 0
    for row in rows:
        state = advance(DeliveryState(row.state), verb)
        if state is DeliveryState.PENDING:
            hand.revive(row.event, row.lane_id, row.sequence, was_dead=row.state == DeliveryState.DEAD)
        else:
            left += not hand.cancel(row.event, row.lane_id, row.sequence, reason)
    return Changed(len(rows) - left, left, following), hand.write()


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
    last = _EVENTS_MAX if endpoint_id is None else endpoint_id
    rows: list[tuple[int, int, str]] = connection.execute(_LANES_BLOCKED, (*begin, last, limit)).fetchall()
    lanes = [LaneId(lane_id) for _, lane_id, key in rows if ordering_key in (None, key)]
    connection.executemany(_LANE_UNBLOCK, [(now_ms, lane_id) for lane_id in lanes])
    connection.executemany(_LANE_FORGET, [(lane_id,) for lane_id in lanes])
    following = Cursor(rows[-1][0], LaneId(rows[-1][1])) if len(rows) == limit else None
    return Unblocked(len(lanes), following), tuple(lanes)


def _walk(
    connection: sqlite3.Connection, selector: Selector, after: Cursor | None, limit: int
) -> tuple[list[Row], Cursor | None]:
    """Up to ``limit`` deliveries that are meant, and where the next step begins."""
    begin, last_event = after or _START, _EVENTS_MAX
    if selector.event_id is not None:
        last_event = _event_row(connection, selector.event_id)
        begin = max(begin, Cursor(last_event, LaneId(0)), key=_place)
    given_up = {DeliveryState.DEAD, DeliveryState.CANCELLED}.issuperset(selector.states)
    statement = _WALK_GIVEN_UP if given_up else _WALK
    found: list[Row] = []
    looked_at = 0
    last = begin
    for row in _rows(connection, statement, (*_place(begin), last_event, ROWS_PER_STEP_MAX)):
        looked_at, last = looked_at + 1, Cursor(row.event, row.lane_id)
        if _is_meant(row, selector):
            found.append(row)
            if len(found) == limit:
                return found, last
    return found, last if looked_at == ROWS_PER_STEP_MAX else None


def _rows(connection: sqlite3.Connection, statement: str, parameters: tuple[int, ...]) -> Iterator[Row]:
    for row in connection.execute(statement, parameters).fetchall():
        yield Row(*row)


def _place(cursor: Cursor) -> tuple[int, int]:
    return cursor.event, cursor.lane_id


def _is_meant(row: Row, selector: Selector) -> bool:
    since_ms, until_ms, as_of_ms = selector.since_ms, selector.until_ms, selector.as_of_ms
    so_since_ms = row.accepted_at_ms if row.settled_at_ms is None else row.settled_at_ms
    return (
        row.state in selector.states
        and selector.endpoint_id in (None, row.endpoint_id)
        and selector.ordering_key in (None, row.ordering_key)
        and selector.room_name in (None, row.room_name)
        and (since_ms is None or row.accepted_at_ms >= since_ms)
        and (until_ms is None or row.accepted_at_ms < until_ms)
        and (as_of_ms is None or so_since_ms <= as_of_ms)
    )


def _event_row(connection: sqlite3.Connection, event_id: str) -> int:
    """Where the event stands; 0, where none does, if there is no such event."""
    row: tuple[int] | None = connection.execute(_EVENT_ROW, (event_id,)).fetchone()
    return 0 if row is None else row[0]


def _status(row: Row, names: dict[int, str]) -> DeliveryStatus:
    return DeliveryStatus(
        endpoint=names[row.endpoint_id],
        lane=row.ordering_key,
        lane_id=row.lane_id,
        sequence=row.sequence,
        event_id=row.event_id,
        event_type=row.event_type,
        room_name=row.room_name,
        accepted_at_ms=row.accepted_at_ms,
        state=DeliveryState(row.state),
        attempts=row.attempts,
        reason=row.reason,
        settled_at_ms=row.settled_at_ms,
        blocks=row.state == DeliveryState.DEAD and row.blocked == row.sequence,
    )
