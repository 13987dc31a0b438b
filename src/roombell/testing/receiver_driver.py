"""What the receiver's contract suite works with: signed requests, and HTTP by hand."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

import msgspec

from roombell.events import WebhookEvent
from roombell.receiver import DeliveryInfo, OnFailure, Receiver
from roombell.signing import KeyRing
from roombell.testing.payloads import sample

KEYS: Final = {"APItest": "a secret of at least thirty-two bytes"}
BODY: Final = sample("participant_joined")
BODY_BYTES_MAX: Final = 4_096
"""The limit of the receivers in the suite: small, so that what is over it fits into the sockets' buffers."""
DEADLINE_S: Final = 30.0

Serve = Callable[[Receiver], AbstractAsyncContextManager[str]]
"""Serves a receiver through the adapter under test as long as the context lasts, and gives the webhook's URL."""


class Received(msgspec.Struct, frozen=True):
    """An answer as it came."""

    status: int
    headers: dict[str, str]
    """By lower-case name."""
    body: bytes

    @property
    def told(self) -> dict[str, object]:
        """The body's JSON."""
        return msgspec.json.decode(self.body, type=dict[str, object])

    @property
    def error(self) -> tuple[int, object]:
        """Status and stable word of a refusal, which also has a message."""
        assert self.headers["content-type"] == "application/json"
        assert self.told["message"]
        return self.status, self.told["error"]


class Handled:
    """A receiver whose handler notes what it gets."""

    def __init__(self, receiver: Receiver | None = None) -> None:
        self.receiver = receiver or new_receiver()
        self.events: list[WebhookEvent] = []
        self.deliveries: list[DeliveryInfo] = []

        @self.receiver.on("*")
        def note(event: WebhookEvent, delivery: DeliveryInfo) -> None:
            self.events.append(event)
            self.deliveries.append(delivery)


class Client:
    """Sends requests to one URL, each on a connection of its own."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None
        assert parts.port is not None
        self._address = (parts.hostname, parts.port)
        self._target = f"{parts.path}?{parts.query}" if parts.query else parts.path

    async def post(self, body: bytes = BODY, **headers: str) -> Received:
        """A webhook, rightly signed unless ``authorization`` is among the headers; ``_`` stands for ``-``."""
        lines = {"authorization": sign(body), "content-type": "application/webhook+json"} | headers
        return await self.send("POST", _named(lines), body)

    async def post_chunked(self, *chunks: bytes) -> Received:
        """A signed webhook whose length is not declared, in these chunks."""
        lines = {"authorization": sign(b"".join(chunks)), "transfer-encoding": "chunked"}
        coded = [b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks]
        return await self.send("POST", lines, b"".join([*coded, b"0\r\n\r\n"]), declare=False)

    async def send(
        self, method: str, headers: Mapping[str, str], body: bytes = b"", *, declare: bool = True
    ) -> Received:
        """Any request. With ``declare``, its length is declared as it is."""
        async with self._connected() as (reader, writer):
            lines = {"host": "{}:{}".format(*self._address), "connection": "close"} | dict(headers)
            if declare and (body or method == "POST"):
                lines["content-length"] = str(len(body))
            head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
            writer.write(f"{method} {self._target} HTTP/1.1\r\n{head}\r\n".encode("latin-1") + body)
            return await _answer(reader, method)

    async def break_off(self) -> None:
        """Begins a signed webhook, and closes the connection in the middle of its body."""
        async with self._connected() as (_, writer):
            head = f"POST {self._target} HTTP/1.1\r\nhost: a\r\nauthorization: {sign(BODY)}\r\n"
            writer.write(f"{head}content-length: {len(BODY)}\r\n\r\n".encode() + BODY[: len(BODY) // 2])

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        async with asyncio.timeout(DEADLINE_S):
            reader, writer = await asyncio.open_connection(*self._address)
            try:
                yield reader, writer
                await writer.drain()
            finally:
                writer.close()


def new_receiver(on_failure: OnFailure = OnFailure.RETRY) -> Receiver:
    """A receiver with the suite's keys and limit."""
    return Receiver(KEYS, body_bytes_max=BODY_BYTES_MAX, on_failure=on_failure)


def sign(body: bytes, keys: Mapping[str, str] = KEYS) -> str:
    """The ``Authorization`` of a webhook that is sent now."""
    (api_key,) = keys
    return KeyRing(keys).sign(body, api_key=api_key, now=time.time())


def padded(size: int) -> bytes:
    """A webhook of exactly so many bytes."""
    body = b'{"event":"room_started","id":"EV_1","room":{"metadata":"%b"}}'
    return body % (b"x" * (size - len(body) + 2))


def _named(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}


async def _answer(reader: asyncio.StreamReader, method: str) -> Received:
    """The answer, as soon as it is complete: some servers wait for a body that they refused."""
    status_line, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}
    status = int(status_line.split()[1])
    if method == "HEAD" or status == HTTPStatus.NO_CONTENT:
        return Received(status, headers, b"")
    length = headers.get("content-length")
    return Received(status, headers, await (reader.read() if length is None else reader.readexactly(int(length))))
