"""The store on PostgreSQL, shared by any number of workers: each method is one transaction."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Collection, Mapping
from collections.abc import Sequence as Seq
from typing import TYPE_CHECKING, Final

import msgspec

from roombell.engine.model import (
    Acquired,
    Batch,
    BatchResult,
    Delivery,
    EndpointId,
    EndpointState,
    EndpointStatus,
    Generation,
    LaneId,
    Muster,
    Pruned,
    Reaped,
    Sequence,
)
from roombell.engine.selection import Changed, Cursor, DeliveryHistory, Found, Selector, Unblocked
from roombell.engine.transitions import Verb
from roombell.errors import StoreError, StoreUnavailable
from roombell.stores.postgres import endpoints, lanes, retention, schema, selection, workers
from roombell.stores.postgres.connections import Connections
from roombell.stores.postgres.news import Listener, Teller
from roombell.stores.postgres.time import DatabaseTime
from roombell.stores.postgres.url import PostgresUrl
from roombell.stores.postgres.work import LaneGone, PostgresBatchWork

if TYPE_CHECKING:
    from roombell.stores.postgres.driver import Connection

_NOW: Final = "SELECT extract(epoch FROM clock_timestamp()) * 1000"
_TRIES_MAX: Final = 5
"""How often a batch is begun anew whose lanes are forgotten under it."""


class PostgresStore:
    """The ports ``Store`` and ``Fleet`` on PostgreSQL; ``roombell.engine.ports`` says what each method promises.

    :param url: where the database is.
    """

    def __init__(self, url: PostgresUrl) -> None:
        self._connections = Connections(url)
        self._store_id = ""
        self._prune_place = retention.START
        self._time = DatabaseTime()
        sender = secrets.token_hex(8)
        self._teller = Teller(self._connections, sender)
        self._listener = Listener(url, sender)
        self._listens = False

    def now_ms(self) -> int:
        """The database's time: what the engine's clock is to say."""
        return self._time.now_ms()

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
                await self._read_time(connection)
        except BaseException:
            await self.close()
            raise
        self._store_id = row.store_id
        self._teller.start()
        if self._listens:
            self._listener.start()

    async def close(self) -> None:
        await self._listener.abandon()
        await self._teller.abandon()
        await self._connections.close()

    async def commit(self, batch: Batch) -> BatchResult:
        started = time.perf_counter()
        for _ in range(_TRIES_MAX):
            try:
                async with self._connections.transaction() as connection:
                    work = PostgresBatchWork(connection, batch)
                    result = await work.apply()
            except LaneGone:
                continue
            self._teller.tell(work.waiting)
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
            statuses = await endpoints.register(connection, names, now_ms)
        self._teller.tell(changed=True)
        return statuses

    async def set_endpoint_state(
        self, endpoint_id: EndpointId, state: EndpointState, *, reason: str, now_ms: int
    ) -> None:
        async with self._connections.transaction() as connection:
            await endpoints.set_state(connection, endpoint_id, state, reason, now_ms)
        self._teller.tell(changed=True)

    async def set_endpoint_health(self, endpoint_id: EndpointId, health: bytes) -> None:
        async with self._connections.transaction() as connection:
            await endpoints.set_health(connection, endpoint_id, health)
        self._teller.tell(changed=True)

    async def endpoints(self) -> tuple[EndpointStatus, ...]:
        async with self._connections.transaction() as connection:
            return tuple(
                status
                for status in await endpoints.statuses(connection)
                if status.state is not EndpointState.REMOVED or status.pending
            )

    async def beat(self, owner: str, *, delivers: bool, now_ms: int, expires_at_ms: int) -> Muster:
        async with self._connections.transaction() as connection:
            muster, is_new = await workers.beat(
                connection, owner, delivers=delivers, now_ms=now_ms, expires_at_ms=expires_at_ms
            )
            await self._read_time(connection)
        self._teller.tell(changed=is_new)
        return muster

    async def leave(self, owner: str) -> None:
        async with self._connections.transaction() as connection:
            was_there = await workers.leave(connection, owner)
        self._teller.tell(changed=was_there)

    def listen(self, *, due: Callable[[Collection[EndpointId]], None], changed: Callable[[], None]) -> None:
        self._listener.listen(due=due, changed=changed)
        self._listens = True
        if self._connections.is_open:
            self._listener.start()

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

    async def reap(self, *, now_ms: int, max_age_ms: Mapping[EndpointId, int], limit: int) -> Reaped:
        async with self._connections.transaction() as connection:
            states = await endpoints.states(connection)
            return await retention.reap(connection, states, now_ms, max_age_ms, limit)

    async def prune(self, *, before_ms: int, limit: int) -> Pruned:
        async with self._connections.transaction() as connection:
            pruned, place = await retention.prune(connection, self._prune_place, before_ms, limit)
        self._prune_place = place
        return pruned

    async def _read_time(self, connection: Connection) -> None:
        self._time.ask()
        self._time.answered(float(await connection.fetchval(_NOW)))
