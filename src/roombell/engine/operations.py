"""Operational events: what an operator is told, under names that logs, metrics and webhooks share. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from roombell.engine.hooks import (
    BacklogGrowing,
    DeliveryDead,
    EndpointDisabled,
    EndpointFailing,
    EndpointRecovered,
    Record,
)
from roombell.engine.model import EndpointState, EndpointStatus

ENDPOINT_FAILING: Final = "endpoint.failing"
ENDPOINT_DISABLED: Final = "endpoint.disabled"
ENDPOINT_RECOVERED: Final = "endpoint.recovered"
DELIVERY_DEAD: Final = "delivery.dead"
BACKLOG_GROWING: Final = "backlog.growing"

BACKLOG_MIN: Final = 1_000
"""The least that is called a backlog."""
BACKLOG_FACTOR: Final = 2
"""It is told of again when it has grown by this factor, and for the first time again when it has fallen by it."""
EXAMPLES_MAX: Final = 20
"""Of deliveries that died together, this many are named."""

Data = dict[str, str | int | list[str]]


class Operation(msgspec.Struct, frozen=True):
    """Something to tell an operator."""

    type: str
    endpoint: str
    data: Data


def operation_of(record: Record) -> Operation | None:
    """What a record of the engine is to an operator; None for most."""
    match record:
        case EndpointFailing(endpoint, reason):
            return Operation(ENDPOINT_FAILING, endpoint, {"reason": reason})
        case EndpointDisabled(endpoint, reason):
            return Operation(ENDPOINT_DISABLED, endpoint, {"reason": reason})
        case EndpointRecovered(endpoint, down_ms):
            return Operation(ENDPOINT_RECOVERED, endpoint, {"down_ms": down_ms})
        case DeliveryDead(endpoint, event_id, _, reason, _):
            return Operation(DELIVERY_DEAD, endpoint, {"reason": reason, "count": 1, "event_ids": [event_id]})
        case BacklogGrowing(endpoint, pending, oldest_ms):
            return Operation(BACKLOG_GROWING, endpoint, {"pending": pending, "oldest_ms": oldest_ms})
        case _:
            return None


class DeadTally:
    """Deliveries that died of one reason at one endpoint and were not told of yet: an outage kills many at once."""

    def __init__(self, endpoint: str, reason: str) -> None:
        self.endpoint, self.reason = endpoint, reason
        self.count = 0
        self.event_ids: list[str] = []

    def add(self, record: DeliveryDead) -> None:
        """Counts one more; the first few are named."""
        self.count += 1
        if len(self.event_ids) < EXAMPLES_MAX:
            self.event_ids.append(record.event_id)

    def take(self) -> Operation | None:
        """All since the last time; None if there was none."""
        if not self.count:
            return None
        data: Data = {"reason": self.reason, "count": self.count, "event_ids": self.event_ids}
        self.count, self.event_ids = 0, []
        return Operation(DELIVERY_DEAD, self.endpoint, data)


class BacklogWatch:
    """Notices backlogs that grow, each time they have doubled, so that a night's outage is told of a few times."""

    def __init__(self) -> None:
        self._told: dict[str, int] = {}

    def observe(self, statuses: Iterable[EndpointStatus], *, now_ms: int) -> list[BacklogGrowing]:
        """What has grown since it was told of last. Of removed endpoints nothing: their backlog cannot grow."""
        growing: list[BacklogGrowing] = []
        for status in statuses:
            told, pending = self._told.get(status.name, 0), status.pending
            if pending < max(BACKLOG_MIN, told) // BACKLOG_FACTOR or status.state is EndpointState.REMOVED:
                self._told.pop(status.name, None)
            elif pending >= max(BACKLOG_MIN, told * BACKLOG_FACTOR):
                self._told[status.name] = pending
                oldest_at_ms = now_ms if status.oldest_pending_at_ms is None else status.oldest_pending_at_ms
                growing.append(BacklogGrowing(status.name, pending, max(0, now_ms - oldest_at_ms)))
        return growing
