"""The scripted endpoint's side of a connection: requests read and recorded, and the hands that a behaviour has."""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from collections.abc import Awaitable, Callable
from typing import Final, cast
from urllib.parse import unquote

import httptools
import msgspec

from roombell.errors import PeerError, RoombellError
from roombell.events import WebhookEvent, parse

_LINGER_RESET: Final = struct.pack("ii", 1, 0)
"""SO_LINGER of zero seconds: closing sends RST instead of FIN."""


class ClientLeft(RoombellError):
    """The client closed the connection; ends a behaviour that is still writing, and is never seen outside of it."""


class RecordedRequest(msgspec.Struct, frozen=True):
    """A request as it came. Nothing about it was verified."""

    method: str
    target: str
    """Path and query, as sent."""
    headers: tuple[tuple[str, str], ...]
    """In the order and spelling in which they came."""
    body: bytes
    connection: int
    """Which connection it came on: the first one that the endpoint ever took is 1."""
    received_at_s: float
    """``time.monotonic()`` when it was complete."""

    def header(self, name: str) -> str | None:
        """The first header of that name, whatever its case."""
        return next((value for one, value in self.headers if one.lower() == name.lower()), None)

    @property
    def event(self) -> WebhookEvent:
        """The body as an event.

        :raises EventError: it is none.
        """
        return parse(self.body)

    @property
    def event_id(self) -> str:
        """``Webhook-Id``, decoded."""
        return unquote(self._required("Webhook-Id"))

    @property
    def attempt(self) -> int:
        """``Webhook-Attempt``, from 1."""
        return int(self._required("Webhook-Attempt"))

    @property
    def sequence(self) -> int:
        """``Webhook-Sequence``: the place in the lane, from 1."""
        return int(self._required("Webhook-Sequence"))

    @property
    def lane(self) -> str:
        """``Webhook-Lane``, decoded: names the lane that ``sequence`` counts in."""
        return unquote(self._required("Webhook-Lane"))

    def _required(self, name: str) -> str:
        value = self.header(name)
        if value is None:
            raise PeerError(f"The request has no {name} header: it was not sent by Roombell.")
        return value


class Turn:
    """What a behaviour is given: one request, and the connection that it came on."""

    def __init__(self, request: RecordedRequest, connection: ServerConnection) -> None:
        self.request = request
        self._connection = connection

    async def write(self, data: bytes) -> None:
        """Sends ``data`` in a segment of its own; waits while the client does not read.

        :raises ClientLeft: it closed the connection.
        """
        await self._connection.write(data)

    async def until_client_leaves(self) -> None:
        """Does nothing until the client closes the connection."""
        await self._connection.lost.wait()

    def close(self) -> None:
        """Closes the connection in good form, after what was written."""
        self._connection.close()

    def reset(self) -> None:
        """Breaks the connection: the client sees ECONNRESET."""
        self._connection.reset()


class ServerConnection(asyncio.Protocol):
    """Reads requests one after another and has each answered before it looks at the next."""

    def __init__(
        self,
        number: int,
        *,
        on_made: Callable[[ServerConnection, asyncio.Task[None]], None],
        on_request: Callable[[RecordedRequest], None],
        answer: Callable[[Turn, int], Awaitable[bool]],
        on_lost: Callable[[ServerConnection], None],
    ) -> None:
        self._number = number
        self._on_made = on_made
        self._on_request = on_request
        self._answer = answer
        self._on_lost = on_lost
        self._parser = httptools.HttpRequestParser(self)
        self._requests: asyncio.Queue[RecordedRequest] = asyncio.Queue()
        self._writable = asyncio.Event()
        self._writable.set()
        self.lost = asyncio.Event()
        self._start_request()

    # What the loop calls -------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        # One byte, not none: asyncio's TLS transport pauses for ever when an empty buffer is at its limit.
        self._transport.set_write_buffer_limits(high=1, low=0)
        self._task = asyncio.create_task(self._serve())
        self._on_made(self, self._task)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self.reset()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def connection_lost(self, _: Exception | None) -> None:
        self.lost.set()
        self._writable.set()
        self._task.cancel()
        del self._parser  # it holds our methods, and they hold us
        self._on_lost(self)

    # What the parser calls -----------------------------------------------------------------------------------

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name.decode("latin-1"), value.decode("latin-1")))

    def on_body(self, chunk: bytes) -> None:
        self._chunks.append(chunk)

    def on_message_complete(self) -> None:
        request = RecordedRequest(
            method=self._parser.get_method().decode(),
            target=self._target.decode("latin-1"),
            headers=tuple(self._headers),
            body=b"".join(self._chunks),
            connection=self._number,
            received_at_s=time.monotonic(),
        )
        self._start_request()
        self._requests.put_nowait(request)
        self._on_request(request)

    # What a turn calls ---------------------------------------------------------------------------------------

    async def write(self, data: bytes) -> None:
        if self.lost.is_set() or self._transport.is_closing():
            raise ClientLeft
        self._transport.write(data)
        await asyncio.sleep(0)  # the loop sends what was written before it goes on: one segment for each write
        await self._writable.wait()

    def close(self) -> None:
        self._transport.close()

    def reset(self) -> None:
        sock = self._transport.get_extra_info("socket")
        if sock is not None and not self._transport.is_closing():
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_RESET)
        self._transport.abort()

    def drop(self) -> None:
        self._transport.abort()

    # ---------------------------------------------------------------------------------------------------------

    def _start_request(self) -> None:
        self._target = b""
        self._headers: list[tuple[str, str]] = []
        self._chunks: list[bytes] = []

    async def _serve(self) -> None:
        number = 1
        while await self._answer(Turn(await self._requests.get(), self), number):
            number += 1
        self.close()
