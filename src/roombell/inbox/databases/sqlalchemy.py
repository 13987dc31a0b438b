"""SQLAlchemy 2: its asynchronous engines and sessions, and the plain ones."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import Protocol, TypeVar

from roombell.inbox.databases import AsyncDatabase, BlockingDatabase
from roombell.receiver.missing import missing
from roombell.stores.done import Statement

try:
    from sqlalchemy import Connection, CursorResult, text
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
    from sqlalchemy.orm import Session
except ImportError as error:
    raise missing("SQLAlchemy", error) from error

A = TypeVar("A", bound=AsyncConnection | AsyncSession)
B = TypeVar("B", bound=Connection | Session)
A_co = TypeVar("A_co", covariant=True)


class AsyncBegins(Protocol[A_co]):
    """An ``AsyncEngine``, which gives connections, or an ``async_sessionmaker``, which gives sessions."""

    def begin(self) -> AbstractAsyncContextManager[A_co]:
        """A transaction."""


class Begins(Protocol[A_co]):
    """An ``Engine``, which gives connections, or a ``sessionmaker``, which gives sessions."""

    def begin(self) -> AbstractContextManager[A_co]:
        """A transaction."""


class AsyncSqlAlchemy(AsyncDatabase[A]):
    """Transactions of an ``AsyncEngine`` or an ``async_sessionmaker``."""

    def __init__(self, source: AsyncBegins[A]) -> None:
        self._source = source

    def begin(self) -> AbstractAsyncContextManager[A]:
        return self._source.begin()

    async def execute(self, transaction: A, statement: Statement) -> int:
        return _rows(await transaction.execute(text(statement.named), statement.values))


class SqlAlchemy(BlockingDatabase[B]):
    """Transactions of an ``Engine`` or a ``sessionmaker``."""

    def __init__(self, source: Begins[B]) -> None:
        self._source = source

    def begin(self) -> AbstractContextManager[B]:
        return self._source.begin()

    def execute(self, transaction: B, statement: Statement) -> int:
        return _rows(transaction.execute(text(statement.named), statement.values))


def _rows(result: object) -> int:
    assert isinstance(result, CursorResult), "a statement that changes rows says how many"
    return result.rowcount
