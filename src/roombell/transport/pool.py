"""The connections of one endpoint: kept, bounded, shared first come, first served.

A sender holds a slot from the moment it has one until its attempt ends; there are ``connections_max`` slots, and
connections that are idle or in use never exceed them. The freshest idle connection is used first, so that what is too
many grows idle and is closed.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Final

from roombell.engine.model import Answered, Failed, FailureKind, Outcome
from roombell.engine.ports import Clock
from roombell.transport.connect import Progress
from roombell.transport.connection import Connection, ConnectionPlan
from roombell.transport.dialers import Connects
from roombell.transport.failures import Trouble, TroubleError
from roombell.transport.target import HttpLimits, HttpTarget

CLOSED: Final = Trouble(FailureKind.RESET, "Roombell closed the connection: it is shutting down.")


Examine = Callable[[int, Callable[[bytes], str | None]], Trouble | None]
"""Judges an answer by its status and its headers: None where it is the endpoint's own."""


class Pool:
    """Makes attempts to one endpoint, whose target never changes: a changed target is a new pool.

    :param origin: what sentences call the endpoint.
    :param examine: for answers that may be somebody else's.
    """

    def __init__(
        self,
        target: HttpTarget,
        origin: str,
        *,
        dialer: Connects,
        clock: Clock,
        limits: HttpLimits,
        examine: Examine | None = None,
    ) -> None:
        self.target = target
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._dialer = dialer
        self._examine = examine
        self._origin = origin
        self._timeout_s = target.timeout_ms / 1000
        self._plan = ConnectionPlan(origin, limits, self._watch, self._on_lost)
        self._free_slots = target.connections_max
        self._queue: deque[asyncio.Future[None]] = deque()
        self._open: set[Connection] = set()
        self._idle: list[Connection] = []
        self._opening: set[asyncio.Timeout] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_s = math.inf
        self._is_retired = False
        self._is_closed = False
        self._quiet = asyncio.Event()

    async def post(self, message: bytes, started_s: float) -> Outcome:
        """One attempt: ``message`` is the whole request, ``started_s`` the clock's time from which it is measured."""
        deadline_s = self._loop.time() + self._timeout_s
        try:
            if self._free_slots and not self._queue:
                self._free_slots -= 1
            else:
                await self._wait_for_slot(deadline_s)
            try:
                return await self._exchange(message, started_s, deadline_s)
            finally:
                self._give_slot()
        except TroubleError as error:
            return self._failed(error.trouble, started_s)

    @property
    def is_quiet(self) -> bool:
        """Whether no connection is open and no attempt is under way."""
        return not self._open and not self._queue and self._free_slots == self.target.connections_max

    def retire(self) -> None:
        """Lets attempts that are under way end, and keeps no connection from now on."""
        self._is_retired = True
        for connection in tuple(self._idle):
            connection.drop()

    async def close(self) -> None:
        """Fails all attempts that are under way; returns when every socket is closed."""
        self._is_retired = self._is_closed = True
        for timeout in self._opening:
            if not timeout.expired():
                timeout.reschedule(self._loop.time())
        for connection in tuple(self._open):
            connection.end(CLOSED)
        while not self.is_quiet:
            self._quiet.clear()
            await self._quiet.wait()
        if self._timer is not None:
            self._timer.cancel()

    # An attempt ----------------------------------------------------------------------------------------------

    async def _exchange(self, message: bytes, started_s: float, deadline_s: float) -> Outcome:
        connection = self._idle_connection() or await self._connect(deadline_s)
        trouble = await self._ask(connection, message, deadline_s)
        if connection.is_stale and not self._is_closed:
            connection = await self._connect(deadline_s)
            trouble = await self._ask(connection, message, deadline_s)
        outcome = self._outcome(connection, trouble, started_s)
        if connection.is_reusable:
            self._keep(connection)
        return outcome

    async def _ask(self, connection: Connection, message: bytes, deadline_s: float) -> Trouble | None:
        deadline_s, allowed_ms = self._sooner(deadline_s, self.target.wait_timeout_ms)
        answer = connection.post(message, deadline_s, allowed_ms)
        if deadline_s < self._timer_s:
            self._watch(deadline_s)
        try:
            return await answer
        except asyncio.CancelledError:
            connection.drop()
            raise

    def _outcome(self, connection: Connection, trouble: Trouble | None, started_s: float) -> Answered | Failed:
        if trouble is None and self._examine is not None:
            trouble = self._examine(connection.status, connection.header)
        if trouble is None:
            return connection.answered(self._since_ms(started_s))
        return self._failed(trouble, started_s, reused=connection.is_reused)

    def _failed(self, trouble: Trouble, started_s: float, *, reused: bool = False) -> Failed:
        return Failed(trouble.kind, trouble.detail, self._since_ms(started_s), reused)

    def _since_ms(self, started_s: float) -> int:
        return max(0, round((self._clock.monotonic() - started_s) * 1000))

    # Connections ---------------------------------------------------------------------------------------------

    def _idle_connection(self) -> Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if connection.is_reusable and self._loop.time() < connection.deadline_s:
                connection.is_reused = True
                return connection
            connection.drop()
        return None

    def _keep(self, connection: Connection) -> None:
        now_s = self._loop.time()
        connection.deadline_s = connection.idle_until_s(now_s)
        if self._is_retired or connection.deadline_s <= now_s:
            connection.drop()
            return
        self._idle.append(connection)
        if connection.deadline_s < self._timer_s:
            self._watch(connection.deadline_s)

    async def _connect(self, deadline_s: float) -> Connection:
        progress = Progress("connecting")
        async with self._within(*self._sooner(deadline_s, self.target.connect_timeout_ms), progress):
            connection = await self._dialer.connect(self._new_connection, progress)
        if self._is_closed:
            connection.drop()
            raise TroubleError(CLOSED.kind, CLOSED.detail)
        if not connection.is_lost:
            self._open.add(connection)
        return connection

    def _new_connection(self) -> Connection:
        return Connection(self._plan)

    @contextlib.asynccontextmanager
    async def _within(self, deadline_s: float, allowed_ms: int, progress: Progress) -> AsyncIterator[None]:
        if self._is_closed:
            raise TroubleError(CLOSED.kind, CLOSED.detail)
        try:
            async with asyncio.timeout_at(deadline_s) as timeout:
                self._opening.add(timeout)
                try:
                    yield
                finally:
                    self._opening.discard(timeout)
        except TimeoutError:
            if self._is_closed:
                raise TroubleError(CLOSED.kind, CLOSED.detail) from None
            told = f"{self._origin} could not be asked within {allowed_ms} ms: still {progress.doing}."
            raise TroubleError(progress.blames, told) from None

    def _sooner(self, deadline_s: float, part_ms: int | None) -> tuple[float, int]:
        """The deadline of a part of the attempt that begins now, and the milliseconds that it stands for."""
        if part_ms is not None:
            part_s = self._loop.time() + part_ms / 1000
            if part_s < deadline_s:
                return part_s, part_ms
        return deadline_s, self.target.timeout_ms

    def _on_lost(self, connection: Connection) -> None:
        self._open.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        self._quiet.set()

    # Slots ---------------------------------------------------------------------------------------------------

    async def _wait_for_slot(self, deadline_s: float) -> None:
        waiter: asyncio.Future[None] = self._loop.create_future()
        self._queue.append(waiter)
        progress = Progress(f"waiting for one of the endpoint's {self.target.connections_max} connections")
        try:
            async with self._within(deadline_s, self.target.timeout_ms, progress):
                await waiter
        except BaseException:
            if waiter in self._queue:
                self._queue.remove(waiter)
            elif not waiter.cancelled():
                self._give_slot()  # it was given in the moment in which we left
            self._quiet.set()
            raise

    def _give_slot(self) -> None:
        while self._queue:
            waiter = self._queue.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
        self._free_slots += 1
        self._quiet.set()

    # Deadlines -----------------------------------------------------------------------------------------------

    def _watch(self, deadline_s: float) -> None:
        """Makes sure that the timer fires no later than ``deadline_s``."""
        if deadline_s < self._timer_s:
            if self._timer is not None:
                self._timer.cancel()
            self._timer_s = deadline_s
            self._timer = self._loop.call_at(deadline_s, self._on_timer)

    def _on_timer(self) -> None:
        now_s = self._loop.time()
        self._timer, self._timer_s = None, math.inf
        for connection in tuple(self._open):
            if connection.deadline_s <= now_s:
                connection.expire()
        self._watch(min((one.deadline_s for one in self._open if one.is_reusable), default=math.inf))
