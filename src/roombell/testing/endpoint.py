"""An endpoint for tests: a real server on a real port that records every request and does what a script says.

It misbehaves on purpose and in bytes, so it speaks HTTP by hand. It verifies nothing: what came is in ``requests``.

    async with ScriptedEndpoint([reply(503), reset(), reply()]) as endpoint:
        ...                                     # have something delivered to endpoint.url
        await endpoint.wait_for(3)
        assert [request.attempt for request in endpoint.requests] == [1, 2, 3]
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Final, Self

from roombell.errors import RoombellError, UsageError
from roombell.testing.behaviours import Behaviour, reply
from roombell.testing.wire import ClientLeft, RecordedRequest, ServerConnection, Turn

Script = Behaviour | Sequence[Behaviour] | Callable[[RecordedRequest], Behaviour]
"""One behaviour for all requests; one for each in turn, and the last one for all others; or a function that chooses."""

_BACKLOG: Final = 512


class NotReceived(RoombellError):
    """The requests that were waited for did not come in time."""

    code = "not_received"

    def __init__(self, expected: int, received: int, deadline_s: float) -> None:
        self.expected, self.received = expected, received
        super().__init__(f"{received} of {expected} requests came within {deadline_s:g} s.")


class ScriptError(UsageError):
    """A script's own function failed; its exception is the cause."""


class ScriptedEndpoint:
    """A server on 127.0.0.1 that takes webhooks and treats them as ``script`` says.

    :param script: see ``Script``; by default every request is answered 200.
    :param requests_per_connection_max: a connection is closed, without announcement, after so many answers.
    :param tls: makes it an https endpoint.
    :param host: the address to listen on.
    """

    def __init__(
        self,
        script: Script | None = None,
        *,
        requests_per_connection_max: int | None = None,
        tls: ssl.SSLContext | None = None,
        host: str = "127.0.0.1",
    ) -> None:
        self.requests: list[RecordedRequest] = []
        """What came so far, in the order in which each was complete."""
        self.connections_count = 0
        """How many connections were ever taken."""
        self._choose = _chooser(reply() if script is None else script)
        self._requests_per_connection_max = requests_per_connection_max
        self._tls = tls
        self._host = host
        self._port = 0
        self._server: asyncio.Server | None = None
        self._socket: socket.socket | None = None
        self._connections: set[ServerConnection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()
        self._fault: Exception | None = None

    @property
    def port(self) -> int:
        """The port, which stays the same over ``refuse``, ``black_hole`` and ``listen``."""
        return self._port

    @property
    def url(self) -> str:
        """Where to send to."""
        return f"{'https' if self._tls else 'http'}://{self._host}:{self._port}/webhook"

    @property
    def open_connections_count(self) -> int:
        """How many connections are open now."""
        return len(self._connections)

    def play(self, script: Script) -> None:
        """Takes another script for the requests to come."""
        self._choose = _chooser(script)

    async def listen(self) -> None:
        """Starts to serve, or serves again after ``refuse`` or ``black_hole``."""
        await self._stop()
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            self._new_connection, sock=self._bind(), ssl=self._tls, backlog=_BACKLOG
        )

    async def refuse(self) -> None:
        """Drops all connections and refuses new ones, as a machine does on which nothing listens."""
        await self._stop()
        self._socket = self._bind()  # bound and not listening: refused, and the port stays ours

    async def black_hole(self, *, backlog: int = _BACKLOG) -> None:
        """Drops all connections and never again reads from one: the system takes up to ``backlog`` and a little
        more of them, and leaves the rest without an answer.
        """
        await self._stop()
        self._socket = self._bind()
        self._socket.listen(backlog)

    def drop_connections(self) -> None:
        """Closes all open connections, as a server does that is restarted."""
        for connection in tuple(self._connections):
            connection.drop()

    async def wait_for(self, count: int, *, deadline_s: float = 30.0) -> tuple[RecordedRequest, ...]:
        """Waits until ``count`` requests have come since the start, and gives them all.

        :raises NotReceived: they did not come within ``deadline_s`` seconds.
        :raises ScriptError: the script's own function failed.
        """
        try:
            async with asyncio.timeout(deadline_s):
                while len(self.requests) < count and self._fault is None:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise NotReceived(count, len(self.requests), deadline_s) from None
        self._raise_fault()
        return tuple(self.requests)

    async def close(self) -> None:
        """Closes the port and every connection."""
        await self._stop()

    async def __aenter__(self) -> Self:
        await self.listen()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
        if error is None:
            self._raise_fault()

    # ---------------------------------------------------------------------------------------------------------

    def _bind(self) -> socket.socket:
        sock = socket.socket(socket.AF_INET6 if ":" in self._host else socket.AF_INET)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setblocking(False)
        sock.bind((self._host, self._port))
        self._port = int(sock.getsockname()[1])
        return sock

    async def _stop(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.close()
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        self.drop_connections()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if server is not None:
            await server.wait_closed()

    def _new_connection(self) -> ServerConnection:
        self.connections_count += 1
        return ServerConnection(
            self.connections_count,
            on_made=self._on_made,
            on_request=self._on_request,
            answer=self._answer,
            on_lost=self._connections.discard,
        )

    def _on_made(self, connection: ServerConnection, task: asyncio.Task[None]) -> None:
        self._connections.add(connection)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _on_request(self, request: RecordedRequest) -> None:
        self.requests.append(request)
        self._changed.set()

    async def _answer(self, turn: Turn, number: int) -> bool:
        """Answers the connection's ``number``-th request; false when the connection is to be closed after it."""
        try:
            await self._choose(turn.request).play(turn)
        except ClientLeft:
            return False
        except Exception as error:  # noqa: BLE001 - a script is the user's code; ``wait_for`` and the exit tell of it
            self._fault = self._fault or error
            self._changed.set()
            return False
        return number != self._requests_per_connection_max

    def _raise_fault(self) -> None:
        fault, self._fault = self._fault, None
        if fault is not None:
            raise ScriptError(f"The scripted endpoint's script failed: {type(fault).__name__}: {fault}") from fault


def _chooser(script: Script) -> Callable[[RecordedRequest], Behaviour]:
    if isinstance(script, Behaviour):
        return lambda _: script
    if not isinstance(script, Sequence):
        return script
    if not script:
        raise UsageError("A script needs at least one behaviour.")
    steps = iter(script)
    last = script[-1]
    return lambda _: next(steps, last)
