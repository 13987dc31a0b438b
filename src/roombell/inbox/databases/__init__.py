"""Transactions in the user's own database, in which what a handler writes and the fact that it has done so commit
together.

A row of the table ``roombell_done`` says that one handler has done one event. It is written first in the transaction of
the handler's own writes; so it is there if and only if they are. After a crash between this commit and the inbox's own
record, the event comes again, the row is found, and nothing is done twice. Two workers that have the same event, since
one was stopped for so long that its lease ran out, meet at the row's key: the second waits for the first, and then
finds the event done. No lease of the inbox's is locked meanwhile, so a long transaction holds up nothing but itself.

Each module here is for one library. It is imported by whoever uses that library, and by nothing else.
"""

from __future__ import annotations

import contextlib
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager, contextmanager
from typing import Generic, TypeVar

import msgspec

from roombell.errors import AlreadyDone, OutOfTime, UsageError
from roombell.events import WebhookEvent
from roombell.stores import done
from roombell.stores.done import Statement
from roombell.transport.handlers import HANDLING, Handling

T = TypeVar("T")


class AsyncDatabase(ABC, Generic[T]):
    """A database that coroutines use. ``T`` is what a transaction gives the handler."""

    @abstractmethod
    def begin(self) -> AbstractAsyncContextManager[T]:
        """A transaction: committed at the end of the block, rolled back where that raises."""

    @abstractmethod
    async def execute(self, transaction: T, statement: Statement) -> int:
        """Runs one statement in it, and says how many rows it changed."""

    async def prepare(self) -> None:
        """Makes the table if it is not there. A user who may not make one makes it beforehand.

        :raises UsageError: the database is used in such a way that nothing is ever rolled back.

        It looks first: even where there is nothing to make, PostgreSQL's CREATE INDEX waits for every transaction that
        writes to the table, and everybody else waits behind it.
        """
        try:
            await self._run(done.CHECK)
        except Exception:  # noqa: BLE001 - each library has errors of its own, and another process may be faster
            with contextlib.suppress(Exception):
                await self._run(*done.CREATE)
            await self._run(done.CHECK)
        await self._check_rolls_back()

    async def _check_rolls_back(self) -> None:
        with contextlib.suppress(_NotToBeKept):
            async with self.begin() as transaction:
                await self.execute(transaction, _probe())
                raise _NotToBeKept
        if await self.forget(0, 1):
            raise _keeps_all(self)

    async def _run(self, *statements: Statement) -> None:
        async with self.begin() as transaction:
            for statement in statements:
                await self.execute(transaction, statement)

    async def forget(self, before_ms: int, rows_max: int) -> int:
        """Forgets up to ``rows_max`` of what was done before a time; returns how many."""
        async with self.begin() as transaction:
            return await self.execute(transaction, done.forget(before_ms, rows_max))

    @asynccontextmanager
    async def transaction(self, event: WebhookEvent) -> AsyncIterator[T]:
        """A transaction that commits once for this handler and this event, however often the handler is called.

        :raises AlreadyDone: it has committed before. Let it pass: the event is done.
        :raises OutOfTime: at the end, where the handler's time is over; nothing was committed.
        :raises UsageError: this is no handler of an inbox, or it was called for another event, or it has committed a
            transaction already; at the end, where a statement failed and its error was caught, or the transaction was
            ended inside of the block.
        """
        handling = handled(event)
        async with self.begin() as transaction:
            if not await self.execute(transaction, _mark(handling)):
                raise _done_before(handling)
            yield transaction
            try:
                is_gone = await self.execute(transaction, _mark(handling))
            except Exception as error:
                raise _broken(handling, error) from error
            if is_gone:
                raise _broken(handling)
            check_time(handling)
        HANDLING.set(msgspec.structs.replace(handling, committed=True))


class BlockingDatabase(ABC, Generic[T]):
    """The same for plain functions, which the inbox calls in threads."""

    @abstractmethod
    def begin(self) -> AbstractContextManager[T]:
        """A transaction: committed at the end of the block, rolled back where that raises."""

    @abstractmethod
    def execute(self, transaction: T, statement: Statement) -> int:
        """Runs one statement in it, and says how many rows it changed."""

    def prepare(self) -> None:
        """Makes the table if it is not there. A user who may not make one makes it beforehand.

        :raises UsageError: the database is used in such a way that nothing is ever rolled back.
        """
        try:
            self._run(done.CHECK)
        except Exception:  # noqa: BLE001 - each library has errors of its own, and another process may be faster
            with contextlib.suppress(Exception):
                self._run(*done.CREATE)
            self._run(done.CHECK)
        self._check_rolls_back()

    def _check_rolls_back(self) -> None:
        with contextlib.suppress(_NotToBeKept), self.begin() as transaction:
            self.execute(transaction, _probe())
            raise _NotToBeKept
        if self.forget(0, 1):
            raise _keeps_all(self)

    def _run(self, *statements: Statement) -> None:
        with self.begin() as transaction:
            for statement in statements:
                self.execute(transaction, statement)

    def forget(self, before_ms: int, rows_max: int) -> int:
        """Forgets up to ``rows_max`` of what was done before a time; returns how many."""
        with self.begin() as transaction:
            return self.execute(transaction, done.forget(before_ms, rows_max))

    @contextmanager
    def transaction(self, event: WebhookEvent) -> Iterator[T]:
        """A transaction that commits once for this handler and this event, however often the handler is called.

        :raises AlreadyDone: it has committed before. Let it pass: the event is done.
        :raises OutOfTime: at the end, where the handler's time is over; nothing was committed.
        :raises UsageError: this is no handler of an inbox, or it was called for another event, or it has committed a
            transaction already; at the end, where a statement failed and its error was caught, or the transaction was
            ended inside of the block.
        """
        handling = handled(event)
        with self.begin() as transaction:
            if not self.execute(transaction, _mark(handling)):
                raise _done_before(handling)
            yield transaction
            try:
                is_gone = self.execute(transaction, _mark(handling))
            except Exception as error:
                raise _broken(handling, error) from error
            if is_gone:
                raise _broken(handling)
            check_time(handling)
        HANDLING.set(msgspec.structs.replace(handling, committed=True))


def handled(event: WebhookEvent) -> Handling:
    """What the inbox has called the running handler for.

    :raises UsageError: it did not call one, or called it for another event.
    """
    handling = HANDLING.get(None)
    if handling is None:
        raise UsageError("A transaction is for a handler while an inbox calls it; nothing is being handled here.")
    if handling.event.raw != event.raw:
        raise UsageError(f"The transaction is to be for {handling.event!r}, which is being handled, not for {event!r}.")
    return handling


def check_time(handling: Handling) -> None:
    """:raises OutOfTime: the inbox has given this call up, so nothing may be committed for it any more."""
    if time.monotonic() >= handling.over_at_s:
        raise OutOfTime(f"The time for {_told(handling)} is over; nothing was committed. Give the handler more time.")


class _NotToBeKept(Exception):
    """Ends a transaction that is to be rolled back."""


def _probe() -> Statement:
    """A row of no event's, older than any."""
    return done.add(f"probe/{uuid.uuid4().hex}", "@probe", -1)


def _keeps_all(database: object) -> UsageError:
    return UsageError(
        f"What a transaction of {type(database).__name__} rolls back stays, so an event's work and the fact that it is "
        "done would not commit together. Give it an engine or a connection without AUTOCOMMIT."
    )


def _mark(handling: Handling) -> Statement:
    event_id = handling.event_id.replace("\0", "\\0")  # which PostgreSQL cannot keep
    return done.add(event_id, handling.handler, time.time_ns() // 1_000_000)


def _done_before(handling: Handling) -> AlreadyDone | UsageError:
    if handling.committed:
        return UsageError(
            f"{_told(handling)} has committed a transaction already, and this second one would take effect or not. "
            "Write all in one."
        )
    return AlreadyDone(_told(handling))


def _broken(handling: Handling, error: Exception | None = None) -> UsageError:
    """PostgreSQL answers COMMIT with a ROLLBACK after an error that was caught, and drivers do not tell: the row is
    asked for once more, so that what is lost is never taken for done.
    """
    told = "" if error is None else f" ({type(error).__name__}: {error})"
    return UsageError(
        f"The transaction of {_told(handling)} cannot be committed: a statement in it failed and the error was caught, "
        "its connection broke, or it was ended inside of its block. Let errors through, put what may fail into a "
        f"savepoint, and leave the end to the block.{told}"
    )


def _told(handling: Handling) -> str:
    return f"{handling.handler} with {handling.event.type} {handling.event_id}"
