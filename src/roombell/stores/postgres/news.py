"""What workers tell each other: LISTEN and NOTIFY, on one channel.

A transaction that notifies takes a lock that the whole server has one of, from before its commit until it is on disk:
workers that notified within their commits would wait for each other's disk. So it is told afterwards, by a transaction
of its own that writes nothing, and what comes while it is told is told together. What is lost on the way, with a
connection or a process, is found by a look now and then: news are never relied on.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Final

import asyncpg

from roombell.engine.lifecycle import BackgroundLoop
from roombell.engine.model import EndpointId
from roombell.stores.postgres.connections import APPLICATION, CONNECT_S_MAX, Connections
from roombell.stores.postgres.trouble import FOREIGN, store_error

if TYPE_CHECKING:
    from asyncpg import Connection, Record

    from roombell.stores.postgres.url import PostgresUrl

CHANNEL: Final = "roombell"
CHECK_EVERY_S: Final = 5.0
ENDPOINTS_PER_MESSAGE_MAX: Final = 500
"""PostgreSQL takes 8,000 bytes."""
_IDLE_S: Final = 3600.0
_TELL: Final = "SELECT pg_notify($1, $2)"


class Teller(BackgroundLoop):
    """Tells the other workers what this one has done.

    :param sender: unlike every other worker's; a worker passes over what it told itself.
    """

    def __init__(self, connections: Connections, sender: str) -> None:
        super().__init__("teller of news")
        self._connections, self._sender = connections, sender
        self._due: set[EndpointId] = set()
        self._changed = False

    def tell(self, due: Collection[EndpointId] = (), *, changed: bool = False) -> None:
        """Soon."""
        self._due.update(due)
        self._changed |= changed
        if self._due or self._changed:
            self.wake()

    async def step(self) -> float:
        due, changed = sorted(self._due)[:ENDPOINTS_PER_MESSAGE_MAX], self._changed
        if not due and not changed:
            return _IDLE_S
        self._due.difference_update(due)
        self._changed = False
        message = f"{self._sender} {'changed' if changed else 'due'} {','.join(map(str, due))}"
        async with self._connections.transaction() as connection:
            await connection.execute(_TELL, CHANNEL, message)
        return 0.0


class Listener(BackgroundLoop):
    """Hears what the other workers tell, over a connection of its own that is made anew when it breaks."""

    def __init__(self, url: PostgresUrl, sender: str) -> None:
        super().__init__("listener for news")
        self._url, self._sender = url, sender
        self._connection: Connection[Record] | None = None
        self._on_due: Callable[[Collection[EndpointId]], None] | None = None
        self._on_changed: Callable[[], None] | None = None

    def listen(self, *, due: Callable[[Collection[EndpointId]], None], changed: Callable[[], None]) -> None:
        """Whom to tell."""
        self._on_due, self._on_changed = due, changed

    async def step(self) -> float:
        try:
            if self._connection is None or self._connection.is_closed():
                await self._connect()
            else:
                await self._connection.execute("SELECT 1", timeout=CONNECT_S_MAX)
        except FOREIGN as error:
            self._drop()
            raise store_error(error, self._url.where) from error
        return CHECK_EVERY_S

    async def stop(self) -> None:
        await super().stop()
        self._drop()

    async def abandon(self) -> None:
        await super().abandon()
        self._drop()

    async def _connect(self) -> None:
        connection = await asyncpg.connect(
            self._url.listen_dsn, timeout=CONNECT_S_MAX, server_settings={"application_name": f"{APPLICATION}-listen"}
        )
        self._connection = connection
        await connection.add_listener(CHANNEL, self._hear)
        connection.add_termination_listener(self._lost)
        if self._on_changed is not None:
            self._on_changed()  # what was told while nobody listened

    def _lost(self, _: object) -> None:
        self.wake()

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.remove_termination_listener(self._lost)
            connection.terminate()

    def _hear(self, _connection: object, _pid: int, _channel: str, message: object) -> None:
        sender, _, rest = str(message).partition(" ")
        what, _, numbers = rest.partition(" ")
        if sender == self._sender:
            return
        if numbers and self._on_due is not None:
            with contextlib.suppress(ValueError):  # anybody can notify
                self._on_due([EndpointId(int(number)) for number in numbers.split(",")])
        if what == "changed" and self._on_changed is not None:
            self._on_changed()
