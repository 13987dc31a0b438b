"""Documents of a store: read once while nobody else writes them, and put together in few transactions."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator
from typing import Final

from roombell.engine.model import Document, Put
from roombell.engine.ports import Store

PUTS_PER_CALL_MAX: Final = 256
PAGE_MAX: Final = 100
REMEMBERED_MAX: Final = 1000
REMEMBERED_BYTES_MAX: Final = 65_536
"""A larger document is read anew each time."""


class Shelf:
    """What is remembered may be old where another process writes too: then ``put`` says so, and it is read anew."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._remembered: OrderedDict[str, Document] = OrderedDict()
        self._waiting: list[tuple[Put, asyncio.Future[bool]]] = []
        self._writer: asyncio.Task[None] | None = None

    async def get(self, key: str) -> Document | None:
        """The document, if there is one."""
        if key in self._remembered:
            return self._remembered[key]
        found = await self._store.documents((key,))
        return self._remember(found[0]) if found else None

    async def walk(self) -> AsyncIterator[Document]:
        """All documents, as they are when they are come to."""
        last: str | None = None
        while page := await self._store.documents_after(last, limit=PAGE_MAX):
            for document in page:
                yield document
            last = page[-1].key

    async def put(self, put: Put) -> bool:
        """Returns when it is on disk; False where another version is there than it replaces.

        :raises StoreError: it could not be written, or nobody knows.
        """
        self._remembered.pop(put.key, None)
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.append((put, future))
        if self._writer is None:
            self._writer = asyncio.get_running_loop().create_task(self._write())
        done = await future
        if done and put.value is not None:
            self._remember(Document(put.key, put.version, put.value))
        return done

    async def _write(self) -> None:
        try:
            while self._waiting:
                some, self._waiting = self._waiting[:PUTS_PER_CALL_MAX], self._waiting[PUTS_PER_CALL_MAX:]
                await self._write_some(some)
        finally:
            self._writer = None

    async def _write_some(self, some: list[tuple[Put, asyncio.Future[bool]]]) -> None:
        try:
            done = await self._store.put_documents([put for put, _ in some])
        except Exception as error:  # noqa: BLE001 - it belongs to those who wait
            for _, future in some:
                if not future.done():
                    future.set_exception(error)
            return
        for (_, future), is_done in zip(some, done, strict=True):
            if not future.done():
                future.set_result(is_done)

    def _remember(self, document: Document) -> Document:
        if len(document.value) <= REMEMBERED_BYTES_MAX:
            self._remembered[document.key] = document
            self._remembered.move_to_end(document.key)
            if len(self._remembered) > REMEMBERED_MAX:
                self._remembered.popitem(last=False)
        return document
