"""Looks after the table ``roombell_done``: makes it, and forgets what was done too long ago to come again."""

from __future__ import annotations

import asyncio
import functools
from typing import Final, TypeVar

from roombell.engine.lifecycle import BackgroundLoop
from roombell.engine.ports import Clock
from roombell.errors import StoreError, UsageError
from roombell.inbox.databases import AsyncDatabase
from roombell.inbox.transaction import Database

FORGET_EVERY_S: Final = 600.0
FORGET_AGAIN_S: Final = 0.05
FORGET_PER_STEP_MAX: Final = 500

T = TypeVar("T")


async def prepare(database: Database[T]) -> None:
    """Makes the table if it is not there.

    :raises StoreError: the database cannot be used.
    :raises UsageError: it rolls nothing back.
    """
    try:
        if isinstance(database, AsyncDatabase):
            await database.prepare()
        else:
            await asyncio.to_thread(database.prepare)
    except UsageError:
        raise
    except Exception as error:
        raise _unusable(error) from error


async def forget(database: Database[T], before_ms: int) -> int:
    """Forgets some of what was done before a time; returns how many.

    :raises StoreError: the database cannot be used.
    """
    try:
        if isinstance(database, AsyncDatabase):
            return await database.forget(before_ms, FORGET_PER_STEP_MAX)
        return await asyncio.to_thread(database.forget, before_ms, FORGET_PER_STEP_MAX)
    except Exception as error:
        raise _unusable(error) from error


def _unusable(error: Exception) -> StoreError:
    return StoreError(f"The database of the handlers' transactions cannot be used: {type(error).__name__}: {error}")


class Forgetter(BackgroundLoop):
    """Forgets what was done more than ``kept_ms`` ago, a little at a time."""

    def __init__(self, database: Database[T], clock: Clock, *, kept_ms: int) -> None:
        super().__init__("forgetter")
        self._forget = functools.partial(forget, database)
        self._clock, self._kept_ms = clock, kept_ms

    async def step(self) -> float:
        forgotten = await self._forget(self._clock.now_ms() - self._kept_ms)
        return FORGET_AGAIN_S if forgotten >= FORGET_PER_STEP_MAX else FORGET_EVERY_S
