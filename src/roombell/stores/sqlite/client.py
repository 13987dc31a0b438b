"""The SQLite store as users get it: in a process of its own, one for each store."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from collections.abc import Sequence as Seq
from typing import TypeVar

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
from roombell.stores.sqlite import wire
from roombell.stores.sqlite.child import Child

T = TypeVar("T")

LOCK_WAIT_S = 5.0
RESTART_PAUSE_S_MIN = 0.1
RESTART_PAUSE_S_MAX = 5.0
CLOSE_DEADLINE_S = 10.0

_encode = msgspec.msgpack.Encoder().encode
_STORE_ID = msgspec.msgpack.Decoder(str)
_BATCH_RESULT = msgspec.msgpack.Decoder(BatchResult)
_ACQUIRED = msgspec.msgpack.Decoder(Acquired)
_PAGE = msgspec.msgpack.Decoder(tuple[Delivery, ...] | None)
_STATUS_BY_NAME = msgspec.msgpack.Decoder(dict[str, EndpointStatus])
_NOTHING = msgspec.msgpack.Decoder(None)
_STATUSES = msgspec.msgpack.Decoder(tuple[EndpointStatus, ...])
_FOUND = msgspec.msgpack.Decoder(Found)
_CHANGED = msgspec.msgpack.Decoder(Changed)
_UNBLOCKED = msgspec.msgpack.Decoder(Unblocked)
_HISTORIES = msgspec.msgpack.Decoder(tuple[DeliveryHistory, ...])
_DOCUMENTS = msgspec.msgpack.Decoder(tuple[Document, ...])
_PUT = msgspec.msgpack.Decoder(tuple[bool, ...])
_REAPED = msgspec.msgpack.Decoder(Reaped)
_PRUNED = msgspec.msgpack.Decoder(Pruned)


class SqliteStore:
    """The ``Store`` port on a SQLite file. ``roombell.engine.ports.Store`` says what each method promises.

    The file is opened by a child process, so that neither the disk nor SQLite ever holds up the event loop. When
    that process dies, calls under way raise ``StoreUnavailable`` and the next call starts it again, after a pause
    that grows while it keeps dying; the leases of this owner stay valid then. Belongs to the event loop that
    ``open`` was called on.

    :param path: the file; made if there is none. Its folder must exist.
    :param lock_wait_s: how long ``open`` waits for another process to let go of the file. A store whose service was
        killed needs a moment to see it.
    """

    def __init__(self, path: str | os.PathLike[str], *, lock_wait_s: float = LOCK_WAIT_S) -> None:
        self._path = os.path.realpath(path)
        self._lock_wait_s = lock_wait_s
        self._store_id: str | None = None
        self._child: Child | None = None
        self._starting = asyncio.Lock()
        self._restart_pause_s = 0.0
        self._restart_at = 0.0

    @property
    def shared(self) -> bool:
        return False

    @property
    def store_id(self) -> str:
        if self._store_id is None:
            raise StoreError(f"{self._path} is not open. Call open() first.")
        return self._store_id

    async def open(self) -> None:
        assert self._store_id is None, "a store is opened once"
        async with self._starting:
            self._child, self._store_id = await self._start(keep_leases=False)

    async def close(self) -> None:
        async with self._starting:
            child, self._child, self._store_id = self._child, None, None
            if child is not None:
                await _see_off(child)

    async def commit(self, batch: Batch) -> BatchResult:
        return await self._call(wire.Commit(batch), _BATCH_RESULT)

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
        request = wire.Acquire(owner, endpoint_id, lanes_max, heads_max, body_bytes_max, now_ms, expires_at_ms)
        return await self._call(request, _ACQUIRED)

    async def page(
        self, lane_id: LaneId, generation: Generation, *, after: Sequence, heads_max: int, body_bytes_max: int
    ) -> tuple[Delivery, ...] | None:
        return await self._call(wire.Page(lane_id, generation, after, heads_max, body_bytes_max), _PAGE)

    async def register(self, names: Seq[str], *, now_ms: int) -> Mapping[str, EndpointStatus]:
        return await self._call(wire.Register(tuple(names), now_ms), _STATUS_BY_NAME)

    async def set_endpoint_state(
        self, endpoint_id: EndpointId, state: EndpointState, *, reason: str, now_ms: int
    ) -> None:
        await self._call(wire.SetEndpointState(endpoint_id, state, reason, now_ms), _NOTHING)

    async def set_endpoint_health(self, endpoint_id: EndpointId, health: bytes) -> None:
        await self._call(wire.SetEndpointHealth(endpoint_id, health), _NOTHING)

    async def endpoints(self) -> tuple[EndpointStatus, ...]:
        return await self._call(wire.Endpoints(), _STATUSES)

    async def find(self, selector: Selector, *, after: Cursor | None, limit: int) -> Found:
        return await self._call(wire.Find(selector, after, limit), _FOUND)

    async def change(
        self, selector: Selector, verb: Verb, *, reason: str, after: Cursor | None, limit: int, now_ms: int
    ) -> Changed:
        return await self._call(wire.Change(selector, verb, reason, after, limit, now_ms), _CHANGED)

    async def unblock(
        self,
        endpoint_id: EndpointId | None,
        ordering_key: str | None,
        *,
        after: Cursor | None,
        limit: int,
        now_ms: int,
    ) -> Unblocked:
        return await self._call(wire.Unblock(endpoint_id, ordering_key, after, limit, now_ms), _UNBLOCKED)

    async def history(self, event_id: str) -> tuple[DeliveryHistory, ...]:
        return await self._call(wire.History(event_id), _HISTORIES)

    async def documents(self, keys: Seq[str]) -> tuple[Document, ...]:
        return await self._call(wire.Documents(tuple(keys)), _DOCUMENTS)

    async def documents_after(self, key: str | None, *, limit: int) -> tuple[Document, ...]:
        return await self._call(wire.DocumentsAfter(key, limit), _DOCUMENTS)

    async def put_documents(self, puts: Seq[Put]) -> tuple[bool, ...]:
        return await self._call(wire.PutDocuments(tuple(puts)), _PUT)

    async def reap(self, *, now_ms: int, max_age_ms: Mapping[EndpointId, int], limit: int) -> Reaped:
        return await self._call(wire.Reap(now_ms, dict(max_age_ms), limit), _REAPED)

    async def prune(self, *, before_ms: int, limit: int) -> Pruned:
        return await self._call(wire.Prune(before_ms, limit), _PRUNED)

    async def _call(self, request: wire.Request, decoder: msgspec.msgpack.Decoder[T]) -> T:
        try:
            frame = _encode(request)
        except (UnicodeError, OverflowError) as error:
            raise StoreError(f"{self._path} cannot keep this: {error}") from error
        child = self._child
        if child is None or not child.alive:
            child = await self._restarted()
        answer = await child.ask(frame)
        self._restart_pause_s = 0.0
        return decoder.decode(answer)

    async def _restarted(self) -> Child:
        """A living child, started unless another call did so meanwhile."""
        async with self._starting:
            store_id = self.store_id
            if self._child is not None and self._child.alive:
                return self._child
            now = asyncio.get_running_loop().time()
            if now < self._restart_at:
                raise StoreUnavailable(f"The store's process for {self._path} died; it is started again in a moment.")
            pause_s = min(max(self._restart_pause_s * 2, RESTART_PAUSE_S_MIN), RESTART_PAUSE_S_MAX)
            self._restart_pause_s, self._restart_at = pause_s, now + pause_s
            if self._child is not None:
                await self._child.kill()
            self._child, found = await self._start(keep_leases=True)
            if found != store_id:
                await self._child.kill()
                raise StoreError(f"{self._path} was replaced while it was open. Stop Roombell and restore the file.")
            return self._child

    async def _start(self, *, keep_leases: bool) -> tuple[Child, str]:
        child = await Child.start()
        try:
            answer = await child.ask(_encode(wire.Open(self._path, keep_leases, self._lock_wait_s)))
        except BaseException:
            await child.kill()
            raise
        return child, _STORE_ID.decode(answer)


async def _see_off(child: Child) -> None:
    """Closes the child to the end, even if the caller is cancelled meanwhile."""
    closing = asyncio.ensure_future(child.close(CLOSE_DEADLINE_S))
    try:
        await asyncio.shield(closing)
    except asyncio.CancelledError:
        await child.kill()
        await closing
        raise
