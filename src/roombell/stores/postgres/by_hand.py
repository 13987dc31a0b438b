"""What a person does to deliveries: the lanes it touches, locked, read and written."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from roombell.engine.model import LaneId, Sequence
from roombell.stores.by_hand import ChangedDelivery, Hand
from roombell.stores.lane_row import LaneRow, lane_columns
from roombell.stores.postgres.queries import query
from roombell.stores.postgres.work import columns, find_heads, lock_lanes
from roombell.stores.text import kept

if TYPE_CHECKING:
    from roombell.stores.postgres.driver import Connection

_LANES_WRITE = query("lanes_write")
_DELIVERIES_FROM_HEADS = query("deliveries_from_heads")
_DELIVERIES_REVIVE = query("deliveries_revive")
_DELIVERIES_CANCEL = query("deliveries_cancel")
_COUNTS_MOVE = query("counts_move")


class PostgresHand(Hand):
    """Changes deliveries within the transaction that the connection is in; ``write`` ends it.

    :param locked: the lanes that will be touched.
    :param oldest: the oldest pending delivery of those that are leased.
    """

    def __init__(
        self,
        connection: Connection,
        now_ms: int,
        locked: dict[LaneId, LaneRow],
        oldest: dict[LaneId, tuple[Sequence, int]],
    ) -> None:
        super().__init__(now_ms)
        self._connection = connection
        self._locked, self._heads = locked, oldest

    async def write(self, reason: str) -> None:
        """Writes what was changed; the transaction may then be committed.

        :param reason: why deliveries were cancelled.
        """
        if not self._lanes:
            return
        await self._change(_DELIVERIES_REVIVE, self._revived, self._now_ms)
        await self._change(_DELIVERIES_CANCEL, self._cancelled, kept(reason), self._now_ms)
        lanes = self._lanes.values()
        await self._connection.execute(_LANES_WRITE, *columns([lane_columns(lane) for lane in lanes], 12))
        await find_heads(self._connection, lanes)
        counts = [(endpoint_id, *moved) for endpoint_id, moved in self._counts.items()]
        await self._connection.execute(_COUNTS_MOVE, *columns(counts, 3))

    async def _change(self, statement: str, rows: list[ChangedDelivery], *values: str | int) -> None:
        if rows:
            changed = await self._connection.fetch(statement, *columns(rows, 2), *values)
            assert len(changed) == len(rows), "what is revived is settled, what is cancelled is pending"

    def _load(self, lane_id: LaneId) -> LaneRow:
        return self._locked[lane_id]

    def _oldest(self, lane: LaneRow) -> tuple[Sequence, int]:
        return self._heads[lane.lane_id]


async def prepare_hand(connection: Connection, lane_ids: Iterable[LaneId], now_ms: int) -> PostgresHand:
    """A hand over lanes that are locked from now until the transaction ends."""
    locked, _ = await lock_lanes(connection, lane_ids)
    leased = [lane for lane in locked.values() if lane.owner is not None]
    oldest: dict[LaneId, tuple[Sequence, int]] = {}
    if leased:
        bounds = [lane.lane_id for lane in leased], [lane.head_sequence for lane in leased]
        for lane_id, sequence, owed_since_ms in await connection.fetch(_DELIVERIES_FROM_HEADS, *bounds, 1):
            oldest[lane_id] = (sequence, owed_since_ms)
    return PostgresHand(connection, now_ms, locked, oldest)
