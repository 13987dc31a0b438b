"""Roombell's own HTTP/1.1 server.

Accepting webhooks is what Roombell is for, and on the machines it was measured on a library's server costs two to
five times what this one does (uvicorn with httptools: 39 us per request against 19 us). So the server is an
``asyncio.Protocol`` on httptools with no task, no timer and no clock call per request. It speaks plain HTTP/1.1 and
HTTP/1.0; TLS and HTTP/2 are a reverse proxy's business.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Final

from roombell.engine.ports import Clock
from roombell.errors import ConfigError
from roombell.service.connection import Connection, Hub
from roombell.service.limits import HttpLimits
from roombell.service.router import Router
from roombell.service.wire import ResponseEncoder

SWEEP_INTERVAL_S: Final = 1.0
_BACKLOG: Final = 2048


class HttpServer:
    """Serves a router's paths on one address.

    :param clock: for deadlines and the ``Date`` header; read once per sweep.
    """

    def __init__(self, router: Router, clock: Clock, limits: HttpLimits | None = None) -> None:
        self._clock = clock
        self._hub = Hub(router, limits or HttpLimits(), ResponseEncoder(clock.now_ms()))
        self._server: asyncio.AbstractServer | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._empty = asyncio.Event()
        self._hub.on_empty = self._empty.set

    @property
    def port(self) -> int:
        """The port that is listened on; the real one where 0 was asked for. 0 while not listening."""
        sockets = self._sockets()
        return int(sockets[0].getsockname()[1]) if sockets else 0

    @property
    def stopping(self) -> bool:
        """Whether ``stop`` was called."""
        return self._hub.stopping

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return len(self._hub.connections)

    @property
    def body_bytes_held(self) -> int:
        """How many bytes of request bodies are in memory."""
        return self._hub.bodies.held

    @property
    def answers_by_status(self) -> Mapping[int, int]:
        """How many answers were given, by HTTP status. A live view."""
        return self._hub.answers_by_status

    async def start(self, hosts: Sequence[str], port: int) -> None:
        """Listens on each of ``hosts``, on every interface if there is none. ``port`` 0 takes a free one.

        :raises ConfigError: the address cannot be listened on; says why.
        """
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(self._connection, hosts or None, port, backlog=_BACKLOG)
        except OSError as error:
            where = ", ".join(hosts) or "every interface"
            reason = os.strerror(error.errno) if error.errno else str(error)
            raise ConfigError(f"Cannot listen on {where}, port {port}: {reason}.", key="port") from error
        self.sweep()

    def sweep(self) -> None:
        """Ends every connection that is past a deadline, and arranges for the next sweep."""
        now_s = self._clock.monotonic()
        self._hub.encoder.set_time(self._clock.now_ms())
        for connection in tuple(self._hub.connections):
            connection.sweep(now_s)
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(SWEEP_INTERVAL_S, self.sweep)

    async def stop(self, deadline_s: float = 10.0) -> None:
        """Stops listening, closes idle connections, and returns when all requests under way are answered.

        Those that are not by ``deadline_s`` seconds from now are cut, and their handlers cancelled. Calling it twice
        is fine.
        """
        self._hub.stopping = True
        if self._server is not None:
            self._server.close()
        for connection in tuple(self._hub.connections):
            connection.drain()
        with suppress(TimeoutError):
            async with asyncio.timeout(deadline_s):
                await self._gone()
        for connection in tuple(self._hub.connections):
            connection.abort()
        await self._gone()
        await self._cancel_handlers()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def _gone(self) -> None:
        while self._hub.connections:
            self._empty.clear()
            await self._empty.wait()

    async def _cancel_handlers(self) -> None:
        """Of clients that have gone; handlers whose answer somebody waited for have ended by now."""
        tasks = tuple(self._hub.tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _connection(self) -> Connection:
        return Connection(self._hub, self._clock.monotonic())

    def _sockets(self) -> list[socket.socket]:
        sockets = getattr(self._server, "sockets", None) or ()
        return list(sockets)
