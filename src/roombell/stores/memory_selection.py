"""What a person does to the deliveries in a ``MemoryStore``: look, redrive, replay, cancel, unblock their lanes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from roombell.engine.model import DeliveryState, EndpointId, Sequence
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
from roombell.stores.memory_disk import DeliveryRow, LaneRow, MemoryDisk


class _Row(NamedTuple):
    cursor: Cursor
    lane: LaneRow
    sequence: Sequence

    @property
    def delivery(self) -> DeliveryRow:
        return self.lane.deliveries[self.sequence]


def find(disk: MemoryDisk, selector: Selector, after: Cursor | None, limit: int) -> Found:
    """One step of looking."""
    rows, following = _walk(disk, selector, after, limit)
    return Found(tuple(_status(row) for row in rows), following)


def history(disk: MemoryDisk, event_id: str) -> tuple[DeliveryHistory, ...]:
    """An event's deliveries with their attempts."""
    rows = [row for row in _rows(disk) if row.delivery.event.event_id == event_id]
    return tuple(DeliveryHistory(_status(row), tuple(row.delivery.attempts)) for row in rows)


def change(  # noqa: PLR0917 - the port's own
    disk: MemoryDisk, selector: Selector, verb: Verb, reason: str, after: Cursor | None, limit: int, now_ms: int
) -> Changed:
    """One step of changing."""
    possible = tuple(state for state in states_before(verb) if state in selector.states)
    rows, following = _walk(disk, msgspec.structs.replace(selector, states=possible), after, limit)
    left = 0
    for row in rows:
        if advance(row.delivery.state, verb) is DeliveryState.PENDING:
            row.lane.revive(row.sequence, now_ms)
        else:
            left += not _cancel(row, reason, now_ms)
    return Changed(len(rows) - left, left, following)


def unblock(
    disk: MemoryDisk,
    endpoint_id: EndpointId | None,
    ordering_key: str | None,
    after: Cursor | None,
    limit: int,
    now_ms: int,
) -> Unblocked:
    """One step of unblocking."""
    blocked = [lane for endpoint in disk.endpoints.values() for lane in endpoint.blocked.values()]
    places = {Cursor(lane.endpoint.endpoint_id, lane.lane_id): lane for lane in blocked}
    meant = [
        (place, lane)
        for place, lane in sorted(places.items(), key=lambda item: _place(item[0]))
        if (after is None or _place(place) > _place(after))
        and endpoint_id in (None, lane.endpoint.endpoint_id)
        and ordering_key in (None, lane.ordering_key)
    ]
    for _, lane in meant[:limit]:
        lane.unblock(now_ms)
        if not lane.deliveries:
            disk.drop_lane(lane)
    return Unblocked(len(meant[:limit]), meant[limit - 1][0] if len(meant) >= limit else None)


def _cancel(row: _Row, reason: str, now_ms: int) -> bool:
    """Takes a pending delivery out of its lane, unless it may be under way."""
    lane = row.lane
    if lane.owner is not None:
        lane.call_back()
        if row.sequence == lane.recalled:
            return False
    lane.end(row.sequence, DeliveryState.CANCELLED, reason, now_ms)
    lane.endpoint.queue(lane)
    return True


def _walk(disk: MemoryDisk, selector: Selector, after: Cursor | None, limit: int) -> tuple[list[_Row], Cursor | None]:
    """Up to ``limit`` deliveries that are meant, and where the next step begins."""
    found: list[_Row] = []
    for row in _rows(disk):
        if (after is None or _place(row.cursor) > _place(after)) and _is_meant(row, selector):
            found.append(row)
            if len(found) == limit:
                return found, row.cursor
    return found, None


def _rows(disk: MemoryDisk) -> Iterator[_Row]:
    for event in disk.events.values():
        for lane_id, sequence in sorted(event.deliveries):
            yield _Row(Cursor(event.number, lane_id), disk.lanes[lane_id], sequence)


def _place(cursor: Cursor) -> tuple[int, int]:
    return cursor.event, cursor.lane_id


def _is_meant(row: _Row, selector: Selector) -> bool:
    delivery, event = row.delivery, row.delivery.event
    so_since_ms = event.accepted_at_ms if delivery.settled_at_ms is None else delivery.settled_at_ms
    return (
        delivery.state in selector.states
        and selector.endpoint_id in (None, row.lane.endpoint.endpoint_id)
        and selector.ordering_key in (None, row.lane.ordering_key)
        and selector.room_name in (None, event.room_name)
        and selector.event_id in (None, event.event_id)
        and (selector.since_ms is None or event.accepted_at_ms >= selector.since_ms)
        and (selector.until_ms is None or event.accepted_at_ms < selector.until_ms)
        and (selector.as_of_ms is None or so_since_ms <= selector.as_of_ms)
    )


def _status(row: _Row) -> DeliveryStatus:
    delivery, event, lane = row.delivery, row.delivery.event, row.lane
    return DeliveryStatus(
        endpoint=lane.endpoint.name,
        lane=lane.ordering_key,
        lane_id=lane.lane_id,
        sequence=row.sequence,
        event_id=event.event_id,
        event_type=event.event_type,
        room_name=event.room_name,
        accepted_at_ms=event.accepted_at_ms,
        state=delivery.state,
        attempts=len(delivery.attempts),
        reason=delivery.reason,
        settled_at_ms=delivery.settled_at_ms,
        blocks=delivery.state is DeliveryState.DEAD and lane.blocked == row.sequence,
    )
