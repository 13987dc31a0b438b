"""The SQLite store within the caller's own process and thread.

For simulations and tests: each call blocks the event loop for as long as the disk takes. Users get ``SqliteStore``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from collections.abc import Sequence as Seq

from roombell.engine.model import (
    Acquired,
    Batch,
    BatchResult,
    Delivery,
    Document,
    EndpointId,
    EndpointState,
    EndpointStatus,
    Generation,
    LaneId,
    Pruned,
    Put,
    Reaped,
    Sequence,
)
from roombell.engine.selection import Changed, Cursor, DeliveryHistory, Found, Selector, Unblocked
from roombell.engine.transitions import Verb
from roombell.stores.sqlite.database import Database


class InlineSqliteStore:
    """The ``Store`` port directly over a ``Database``.

    :param path: the file; made if there is none.
    :param lock_wait_s: how long ``open`` waits for another holder of the file.
    """

    def __init__(self, path: str | os.PathLike[str], *, lock_wait_s: float = 0.0) -> None:
        self._database = Database(path, lock_wait_s=lock_wait_s)

    @property
    def shared(self) -> bool:
        return False

    @property
    def store_id(self) -> str:
        return self._database.store_id

    async def open(self) -> None:
        self._database.open()

    async def close(self) -> None:
        self._database.close()

    async def commit(self, batch: Batch) -> BatchResult:
        return self._database.commit(batch)

    async def acquire(
        self,
        owner: str,
        endpoint_id: EndpointId,
        *,
        lanes_max: int,
        heads_max: int,
        body_bytes_max: int,
        now_ms: int,
        expires_at_ms: int,
    ) -> Acquired:
        return self._database.acquire(
            owner,
            endpoint_id,
            lanes_max=lanes_max,
            heads_max=heads_max,
            body_bytes_max=body_bytes_max,
            now_ms=now_ms,
            expires_at_ms=expires_at_ms,
        )

    async def page(
        self, lane_id: LaneId, generation: Generation, *, after: Sequence, heads_max: int, body_bytes_max: int
    ) -> tuple[Delivery, ...] | None:
        return self._database.page(lane_id, generation, after=after, heads_max=heads_max, body_bytes_max=body_bytes_max)

    async def register(self, names: Seq[str], *, now_ms: int) -> Mapping[str, EndpointStatus]:
        return self._database.register(names, now_ms=now_ms)

    async def set_endpoint_state(
        self, endpoint_id: EndpointId, state: EndpointState, *, reason: str, now_ms: int
    ) -> None:
        self._database.set_endpoint_state(endpoint_id, state, reason=reason, now_ms=now_ms)

    async def set_endpoint_health(self, endpoint_id: EndpointId, health: bytes) -> None:
        self._database.set_endpoint_health(endpoint_id, health)

    async def endpoints(self) -> tuple[EndpointStatus, ...]:
        return self._database.endpoints()

    async def find(self, selector: Selector, *, after: Cursor | None, limit: int) -> Found:
        return self._database.find(selector, after=after, limit=limit)

    async def change(
        self, selector: Selector, verb: Verb, *, reason: str, after: Cursor | None, limit: int, now_ms: int
    ) -> Changed:
        return self._database.change(selector, verb, reason=reason, after=after, limit=limit, now_ms=now_ms)

    async def unblock(
        self,
        endpoint_id: EndpointId | None,
        ordering_key: str | None,
        *,
        after: Cursor | None,
        limit: int,
        now_ms: int,
    ) -> Unblocked:
        return self._database.unblock(endpoint_id, ordering_key, after=after, limit=limit, now_ms=now_ms)

    async def history(self, event_id: str) -> tuple[DeliveryHistory, ...]:
        return self._database.history(event_id)

    async def documents(self, keys: Seq[str]) -> tuple[Document, ...]:
        return self._database.documents(keys)

    async def documents_after(self, key: str | None, *, limit: int) -> tuple[Document, ...]:
        return self._database.documents_after(key, limit=limit)

    async def put_documents(self, puts: Seq[Put]) -> tuple[bool, ...]:
        return self._database.put_documents(puts)

    async def reap(self, *, now_ms: int, max_age_ms: Mapping[EndpointId, int], limit: int) -> Reaped:
        return self._database.reap(now_ms=now_ms, max_age_ms=max_age_ms, limit=limit)

    async def prune(self, *, before_ms: int, limit: int) -> Pruned:
        return self._database.prune(before_ms=before_ms, limit=limit)
