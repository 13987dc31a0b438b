"""Django's ORM: what a handler writes through its models belongs to the transaction."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from roombell.inbox.databases import BlockingDatabase
from roombell.receiver.missing import missing
from roombell.stores.done import Statement

try:
    from django.db import close_old_connections, connections
    from django.db.backends.base.base import BaseDatabaseWrapper
    from django.db.transaction import atomic
except ImportError as error:
    raise missing("Django", error) from error


class Django(BlockingDatabase[BaseDatabaseWrapper]):
    """Transactions of the database called ``using`` in the settings, for plain functions: Django has no others."""

    def __init__(self, using: str = "default") -> None:
        self._using = using

    @contextmanager
    def begin(self) -> Iterator[BaseDatabaseWrapper]:
        close_old_connections()  # as at a request's beginning: the thread may have been idle for hours
        try:
            with atomic(self._using, durable=True):
                yield connections[self._using]
        finally:
            close_old_connections()

    def execute(self, transaction: BaseDatabaseWrapper, statement: Statement) -> int:
        with transaction.cursor() as cursor:
            cursor.execute(statement.pyformat, statement.values or None)
            rows: int = cursor.rowcount
            return rows
