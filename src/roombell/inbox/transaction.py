"""One block for every kind of database: ``async with`` for those that coroutines use, ``with`` for the others."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager, AbstractContextManager
from types import TracebackType
from typing import Generic, TypeVar

from roombell.errors import UsageError
from roombell.events import WebhookEvent
from roombell.inbox.databases import AsyncDatabase, BlockingDatabase
from roombell.inbox.runner import running_loop

T = TypeVar("T")
Database = AsyncDatabase[T] | BlockingDatabase[T]


class Transaction(Generic[T]):
    """A transaction for an event, entered once; what the database's ``transaction`` promises holds for it."""

    def __init__(self, database: Database[T], event: WebhookEvent) -> None:
        self._database, self._event = database, event
        self._async_block: AbstractAsyncContextManager[T, bool | None] | None = None
        self._block: AbstractContextManager[T, bool | None] | None = None

    async def __aenter__(self) -> T:
        if not isinstance(self._database, AsyncDatabase):
            raise UsageError(
                f"{type(self._database).__name__} is for plain functions: write the handler as `def`, and in it "
                "`with … .transaction(event)`. The inbox calls it in a thread."
            )
        self._async_block = self._database.transaction(self._event)
        return await self._async_block.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        assert self._async_block is not None, "it was entered"
        return await self._async_block.__aexit__(kind, error, trace)

    def __enter__(self) -> T:
        if not isinstance(self._database, BlockingDatabase):
            raise UsageError(
                f"{type(self._database).__name__} is for coroutines: write the handler as `async def`, and in it "
                "`async with … .transaction(event)`."
            )
        if running_loop() is not None:
            raise UsageError(
                f"{type(self._database).__name__} would hold up the event loop: write the handler as `def`; the inbox "
                "calls it in a thread."
            )
        self._block = self._database.transaction(self._event)
        return self._block.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        assert self._block is not None, "it was entered"
        return self._block.__exit__(kind, error, trace)
