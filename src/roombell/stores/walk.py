"""A walk over deliveries in the order of acceptance: its rows, which are meant, and how they are shown. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from roombell.engine.model import DeliveryState, EndpointId, LaneId, Sequence
from roombell.engine.selection import Cursor, DeliveryStatus, Selector

ROWS_PER_STEP_MAX: Final = 4_000
"""How many deliveries a step looks at: a few milliseconds."""
EVENTS_MAX: Final = 2**62
START: Final = Cursor(0, LaneId(0))


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


def place(cursor: Cursor) -> tuple[int, int]:
    return cursor.event, cursor.lane_id


def is_for_given_up(selector: Selector) -> bool:
    """Whether all that is meant is dead or cancelled, which has an index of its own."""
    return {DeliveryState.DEAD, DeliveryState.CANCELLED}.issuperset(selector.states)


def meant(rows: Iterable[Row], selector: Selector, begin: Cursor, limit: int) -> tuple[list[Row], Cursor | None]:
    """Up to ``limit`` of a step's rows that are meant, and where the next step begins."""
    found: list[Row] = []
    looked_at, last = 0, begin
    for row in rows:
        looked_at, last = looked_at + 1, Cursor(row.event, row.lane_id)
        if is_meant(row, selector):
            found.append(row)
            if len(found) == limit:
                return found, last
    return found, last if looked_at == ROWS_PER_STEP_MAX else None


def is_meant(row: Row, selector: Selector) -> bool:
    """Whether a delivery fits everything that is given."""
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


def status(row: Row, names: dict[int, str]) -> DeliveryStatus:
    """A delivery as a person looks at it. ``names``: the endpoints' by id."""
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
