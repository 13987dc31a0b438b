"""A forward proxy, small and real: it tunnels, it passes requests on, it asks for credentials, and it fails on demand."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import ssl
from collections.abc import Coroutine
from typing import Self
from urllib.parse import urlsplit

UNAUTHORIZED = (
    b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=x\r\nContent-Length: 0\r\n\r\n"
)
ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"


def gateway_error(status: int, *headers: str) -> bytes:
    lines = (f"HTTP/1.1 {status} Trouble", *headers, "Content-Length: 7", "", "trouble")
    return "\r\n".join(lines).encode()


class ForwardProxy:
    """A proxy on 127.0.0.1.

    :param credentials: ``user:password`` that it asks for.
    :param answer: said to every request in place of doing what it asks for.
    :param unreachable: said where the endpoint cannot be connected to.
    :param hosts: addresses of names that only the proxy knows.
    """

    def __init__(
        self,
        *,
        credentials: str = "",
        answer: bytes | None = None,
        unreachable: bytes = gateway_error(502),
        hosts: dict[str, str] | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.heads: list[str] = []
        """The heads of the requests to the proxy itself, as they came."""
        self._wanted = f"Basic {base64.b64encode(credentials.encode()).decode()}" if credentials else ""
        self._answer = answer
        self._unreachable = unreachable
        self._hosts = hosts or {}
        self._tls = tls
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._start, "127.0.0.1", 0, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    def _start(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._run(self._serve(reader, writer))

    def _run(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        onward: dict[str, asyncio.StreamWriter] = {}
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
                while True:
                    await self._turn(reader, writer, onward)
        finally:
            for one in (writer, *onward.values()):
                one.transport.abort()

    async def _turn(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, onward: dict[str, asyncio.StreamWriter]
    ) -> None:
        """One request to the proxy."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        self.heads.append(head)
        size = _header(head, "content-length")
        body = await reader.readexactly(int(size)) if size else b""
        if self._wanted and _header(head, "proxy-authorization") != self._wanted:
            return await _say(writer, UNAUTHORIZED)
        if self._answer is not None:
            return await _say(writer, self._answer)
        method, target, _ = head.split("\r\n")[0].split(" ")
        url = urlsplit(f"//{target}" if method == "CONNECT" else target)
        if url.netloc not in onward:
            try:
                there, onward[url.netloc] = await asyncio.open_connection(
                    self._hosts.get(url.hostname, url.hostname), url.port or 80
                )
            except OSError:
                return await _say(writer, self._unreachable)
            if method == "CONNECT":
                await _say(writer, ESTABLISHED)
            self._run(_pipe(there, writer))
        if method == "CONNECT":
            return await _pipe(reader, onward[url.netloc])
        path = (url.path or "/") + (f"?{url.query}" if url.query else "")
        kept = [line for line in head.split("\r\n")[1:] if not line.lower().startswith("proxy-")]
        return await _say(onward[url.netloc], "\r\n".join((f"{method} {path} HTTP/1.1", *kept)).encode() + body)


async def _say(writer: asyncio.StreamWriter, answer: bytes) -> None:
    writer.write(answer)
    await writer.drain()


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    writer.transport.abort()


def _header(head: str, name: str) -> str | None:
    for line in head.split("\r\n")[1:]:
        one, _, value = line.partition(":")
        if one.lower() == name:
            return value.strip()
    return None
