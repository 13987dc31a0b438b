"""The store on PostgreSQL, shared by any number of workers: each method is one transaction."""

from __future__ import annotations

import time
from collections.abc import Mapping
from collections.abc import Sequence as Seq
from typing import Final

import msgspec

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
from roombell.errors import StoreError, StoreUnavailable
from roombell.stores.postgres import documents, endpoints, lanes, retention, schema, selection
from roombell.stores.postgres.connections import Connections
from roombell.stores.postgres.url import PostgresUrl
from roombell.stores.postgres.work import LaneGone, PostgresBatchWork

_TRIES_MAX: Final = 5
"""How often a batch is begun anew whose lanes are forgotten under it."""


class PostgresStore:
    """The ``Store`` port on PostgreSQL. ``roombell.engine.ports.Store`` says what each method promises.

    :param url: where the database is.
    """

    def __init__(self, url: PostgresUrl) -> None:
        self._connections = Connections(url)
        self._store_id = ""
        self._prune_place = retention.START

    @property
    def shared(self) -> bool:
        return True

    @property
    def store_id(self) -> str:
        if not self._connections.is_open:
            raise StoreError(f"{self._connections.where} is not open. Call open() first.")
        return self._store_id

    async def open(self) -> None:
        await self._connections.open()
        try:
            async with self._connections.transaction() as connection:
                await schema.check_server(connection, self._connections.where)
                row = await schema.move_up(connection, self._connections.where)
                if await connection.fetchval("SELECT current_setting('synchronous_commit') = 'off'"):
                    self._connections.insist_on_durability()
        except BaseException:
            await self.close()
            raise
        self._store_id = row.store_id

    async def close(self) -> None:
        await self._connections.close()

    async def commit(self, batch: Batch) -> BatchResult:
        started = time.perf_counter()
        for _ in range(_TRIES_MAX):
            try:
                async with self._connections.transaction() as connection:
                    result = await PostgresBatchWork(connection, batch).apply()
            except LaneGone:
                continue
            return msgspec.structs.replace(result, commit_ms=(time.perf_counter() - started) * 1000)
        raise StoreUnavailable("Lanes were forgotten again and again while events came for them. Send them again.")

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
        bounds = lanes.Bounds(lanes_max, heads_max, body_bytes_max)
        async with self._connections.transaction() as connection:
            return await lanes.acquire(connection, owner, endpoint_id, bounds, now_ms, expires_at_ms)

    async def page(
        self, lane_id: LaneId, generation: Generation, *, after: Sequence, heads_max: int, body_bytes_max: int
    ) -> tuple[Delivery, ...] | None:
        async with self._connections.transaction() as connection:
            return await lanes.page(connection, lane_id, generation, after, heads_max, body_bytes_max)

    async def register(self, names: Seq[str], *, now_ms: int) -> Mapping[str, EndpointStatus]:
        async with self._connections.transaction() as connection:
            return await endpoints.register(connection, names, now_ms)

    async def set_endpoint_state(
        self, endpoint_id: EndpointId, state: EndpointState, *, reason: str, now_ms: int
    ) -> None:
        async with self._connections.transaction() as connection:
            await endpoints.set_state(connection, endpoint_id, state, reason, now_ms)

    async def set_endpoint_health(self, endpoint_id: EndpointId, health: bytes) -> None:
        async with self._connections.transaction() as connection:
            await endpoints.set_health(connection, endpoint_id, health)

    async def endpoints(self) -> tuple[EndpointStatus, ...]:
        async with self._connections.transaction() as connection:
            return tuple(
                status
                for status in await endpoints.statuses(connection)
                if status.state is not EndpointState.REMOVED or status.pending
            )

    async def find(self, selector: Selector, *, after: Cursor | None, limit: int) -> Found:
        async with self._connections.transaction() as connection:
            return await selection.find(connection, selector, after, limit)

    async def history(self, event_id: str) -> tuple[DeliveryHistory, ...]:
        async with self._connections.transaction() as connection:
            return await selection.history(connection, event_id)

    async def change(
        self, selector: Selector, verb: Verb, *, reason: str, after: Cursor | None, limit: int, now_ms: int
    ) -> Changed:
        async with self._connections.transaction() as connection:
            return await selection.change(connection, selector, verb, reason, after, limit, now_ms)

    async def unblock(
        self,
        endpoint_id: EndpointId | None,
        ordering_key: str | None,
        *,
        after: Cursor | None,
        limit: int,
        now_ms: int,
    ) -> Unblocked:
        async with self._connections.transaction() as connection:
            return await selection.unblock(connection, endpoint_id, ordering_key, after, limit, now_ms)

    async def documents(self, keys: Seq[str]) -> tuple[Document, ...]:
        async with self._connections.transaction() as connection:
            return await documents.with_keys(connection, keys)

    async def documents_after(self, key: str | None, *, limit: int) -> tuple[Document, ...]:
        async with self._connections.transaction() as connection:
            return await documents.after(connection, key, limit)

    async def put_documents(self, puts: Seq[Put]) -> tuple[bool, ...]:
        async with self._connections.transaction() as connection:
            return await documents.put(connection, puts)

    async def reap(self, *, now_ms: int, max_age_ms: Mapping[EndpointId, int], limit: int) -> Reaped:
        async with self._connections.transaction() as connection:
            states = await endpoints.states(connection)
            return await retention.reap(connection, states, now_ms, max_age_ms, limit)

    async def prune(self, *, before_ms: int, limit: int) -> Pruned:
        async with self._connections.transaction() as connection:
            pruned, place = await retention.prune(connection, self._prune_place, before_ms, limit)
        self._prune_place = place
        return pruned
