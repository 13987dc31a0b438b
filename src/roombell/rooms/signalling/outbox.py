"""What waits to be sent to one client. A client that does not read loses its connection, and holds up nobody."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import Final

from aiohttp import web
from livekit.protocol import rtc

MESSAGES_MAX: Final = 2_000
"""How many messages wait for a client that does not read."""

BYTES_MAX: Final = 16_000_000
"""How much they may be together."""

SEND_TIMEOUT_S: Final = 10.0
"""How long one message may take to be sent."""

_log: Final = logging.getLogger("roombell.rooms.signalling")


class Outbox:
    """The sending side of a socket. Messages go out in the order of ``put``."""

    def __init__(self, socket: web.WebSocketResponse, transport: asyncio.BaseTransport | None) -> None:
        self._socket = socket
        self._transport = transport
        self._messages: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._waiting_bytes = 0
        self._task = asyncio.get_running_loop().create_task(self._run(), name="rooms-outbox")

    def put(self, response: rtc.SignalResponse) -> None:
        """Never waits. Past either bound, the connection is cut."""
        if self._task.done():
            return
        if self._messages.qsize() >= MESSAGES_MAX or self._waiting_bytes >= BYTES_MAX:
            waiting = self._messages.qsize(), self._waiting_bytes
            _log.warning("A client is cut off: %d messages of %d bytes wait for it.", *waiting)
            self.abort()
            return
        message = response.SerializeToString()
        self._waiting_bytes += len(message)
        self._messages.put_nowait(message)

    def finish(self) -> None:
        """Closes the socket when all is sent that was put in."""
        self._messages.put_nowait(None)

    def abort(self) -> None:
        """Cuts the connection at once."""
        self._task.cancel()
        if isinstance(self._transport, asyncio.WriteTransport):
            self._transport.abort()

    async def closed(self) -> None:
        """Returns when nothing is sent any more."""
        await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        try:
            while (message := await self._messages.get()) is not None:
                self._waiting_bytes -= len(message)
                async with asyncio.timeout(SEND_TIMEOUT_S):
                    await self._socket.send_bytes(message)
            async with asyncio.timeout(SEND_TIMEOUT_S):
                await self._socket.close()
        except (ConnectionError, TimeoutError, RuntimeError) as error:
            _log.debug("A client's socket ended: %s", error)
            if isinstance(self._transport, asyncio.WriteTransport):
                with suppress(OSError):
                    self._transport.abort()
