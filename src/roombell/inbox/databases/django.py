"""Django's ORM: what a handler writes through its models belongs to the transaction."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from importlib import import_module
from typing import Protocol, cast

from roombell.inbox.databases import BlockingDatabase
from roombell.stores.done import Statement


class Cursor(Protocol):
    """As much of Django's cursor as is used here."""

    @property
    def rowcount(self) -> int:
        """Rows that the last statement changed."""

    def execute(self, sql: str, params: Mapping[str, str | int] | None = None) -> object:
        """Runs a statement."""


class Connection(Protocol):
    """As much of Django's connection as is used here."""

    def cursor(self) -> AbstractContextManager[Cursor]:
        """A cursor."""


class _Database(Protocol):
    connections: Mapping[str, Connection]

    def close_old_connections(self) -> None: ...


class _Transactions(Protocol):
    def atomic(self, using: str, *, durable: bool) -> AbstractContextManager[None]: ...


class Django(BlockingDatabase[Connection]):
    """Transactions of the database called ``using`` in the settings, for plain functions: Django has no others."""

    def __init__(self, using: str = "default") -> None:
        self._using = using

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        database = cast("_Database", import_module("django.db"))
        transactions = cast("_Transactions", import_module("django.db.transaction"))
        database.close_old_connections()  # as at a request's beginning: the thread may have been idle for hours
        try:
            with transactions.atomic(self._using, durable=True):
                yield database.connections[self._using]
        finally:
            database.close_old_connections()

    def execute(self, transaction: Connection, statement: Statement) -> int:
        with transaction.cursor() as cursor:
            cursor.execute(statement.pyformat, statement.values or None)
            return cursor.rowcount
