"""What a person does to deliveries: the lanes it touches, read from the file and written to it."""

from __future__ import annotations

import sqlite3

from roombell.engine.model import LaneId, Sequence
from roombell.stores.by_hand import Hand
from roombell.stores.lane_row import LaneRow, lane_columns
from roombell.stores.sqlite.queries import query

_LANE_BY_ID = query("lane_by_id")
_LANE_WRITE = query("lane_write")
_LANE_FIND_HEAD = query("lane_find_head")
_DELIVERIES_FROM_HEAD = query("deliveries_from_head")
_DELIVERY_REVIVE = query("delivery_revive")
_DELIVERY_CANCEL = query("delivery_cancel")
_ENDPOINT_COUNT = query("endpoint_count")


class SqliteHand(Hand):
    """Changes deliveries within the transaction that the connection is in; ``write`` ends it."""

    def __init__(self, connection: sqlite3.Connection, now_ms: int) -> None:
        super().__init__(now_ms)
        self._connection = connection

    def write(self, reason: str) -> tuple[LaneId, ...]:
        """Writes what was changed; the transaction may then be committed. Which lanes were touched.

        :param reason: why deliveries were cancelled.
        """
        run = self._connection.executemany
        self._change(_DELIVERY_REVIVE, [(self._now_ms, *one) for one in self._revived])
        self._change(_DELIVERY_CANCEL, [(reason, self._now_ms, *one) for one in self._cancelled])
        run(_LANE_WRITE, [lane_columns(lane) for lane in self._lanes.values()])
        run(_LANE_FIND_HEAD, [(lane.lane_id,) for lane in self._lanes.values() if lane.seek_head and lane.pending])
        run(_ENDPOINT_COUNT, [(*moved, endpoint_id) for endpoint_id, moved in self._counts.items()])
        return tuple(self._lanes)

    def _change(self, statement: str, rows: list[tuple[str | int, ...]]) -> None:
        changed = self._connection.executemany(statement, rows).rowcount if rows else 0
        assert changed == len(rows), "what is revived is settled, what is cancelled is pending"

    def _load(self, lane_id: LaneId) -> LaneRow:
        return LaneRow(*self._connection.execute(_LANE_BY_ID, (lane_id,)).fetchone())

    def _oldest(self, lane: LaneRow) -> tuple[Sequence, int]:
        bounds = (lane.lane_id, lane.head_sequence, 1)
        ((sequence, owed_since_ms),) = self._connection.execute(_DELIVERIES_FROM_HEAD, bounds)
        return sequence, owed_since_ms
