"""A server on a real port, driven with raw bytes; the clock is the test's."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import pytest
import uvloop

from roombell.service.http import HttpServer
from roombell.service.limits import HttpLimits
from roombell.service.router import Router

DEADLINE_S = 60


class FakeClock:
    def __init__(self) -> None:
        self.s = 1_000_000.0

    def now_ms(self) -> int:
        return int(self.s * 1000)

    def monotonic(self) -> float:
        return self.s

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("nothing here sleeps")


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)


class Client:
    """A socket that sends exactly what it is told and reads whole answers."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def answer(self, *, head: bool = False) -> Answer:
        async with asyncio.timeout(DEADLINE_S):
            block = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            first, *lines = block[:-4].split("\r\n")
            headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
            status = int(first.split(" ")[1])
            length = 0 if head or status in (100, 204) else int(headers["content-length"])
            return Answer(status, headers, await self.reader.readexactly(length))

    async def ask(self, data: bytes, *, head: bool = False) -> Answer:
        self.send(data)
        return await self.answer(head=head)

    async def rest(self) -> bytes:
        """What comes until the server closes; a reset is a close, too."""
        async with asyncio.timeout(DEADLINE_S):
            try:
                return await self.reader.read()
            except ConnectionError:
                return b""

    async def is_open(self, path: bytes = b"/hello") -> bool:
        return (await self.ask(b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n" % path)).status == 200

    def reset(self) -> None:
        """Leaves without a word: RST in place of FIN."""
        self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()


class Rig:
    """A server and its clients."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.servers: list[HttpServer] = []
        self.clients: list[Client] = []

    async def serve(self, router: Router, limits: HttpLimits | None = None) -> HttpServer:
        server = HttpServer(router, self.clock, limits)
        await server.start(["127.0.0.1"], 0)
        self.servers.append(server)
        return server

    async def connect(self, port: int | None = None) -> Client:
        client = Client(*await asyncio.open_connection("127.0.0.1", port or self.servers[-1].port))
        self.clients.append(client)
        return client

    async def ask(self, data: bytes) -> Answer:
        return await (await self.connect()).ask(data)

    def pass_time(self, seconds: float) -> None:
        """Two sweeps, ``seconds`` apart."""
        self.servers[-1].sweep()
        self.clock.s += seconds
        self.servers[-1].sweep()

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while not condition():
                await asyncio.sleep(0)

    async def close(self) -> None:
        for client in self.clients:
            await client.close()
        for server in self.servers:
            await server.stop(0.1)


def pytest_asyncio_loop_factories(config, item):
    """Both loops: the service runs on uvloop where there is one, and its transports differ from asyncio's."""
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def rig(clock: FakeClock) -> AsyncIterator[Rig]:
    rig = Rig(clock)
    yield rig
    await rig.close()
