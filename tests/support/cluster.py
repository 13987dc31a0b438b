"""The ways in which a database and the network before it fail."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit, urlunsplit

from support.postgres import PostgresServer

CHUNK_BYTES = 65_536


class CutProxy:
    """Stands between clients and a database: passes on, swallows, or breaks off. Runs in the test's own loop.

    :param port: the database's, on the loopback address.
    """

    def __init__(self, port: int) -> None:
        self.port = 0
        self.bytes_from_clients = 0
        self._to_port = port
        self._passing = asyncio.Event()
        self._passing.set()
        self._broken = False
        self._bytes_left: int | None = None
        self._swallowed = asyncio.Event()
        self._tried = asyncio.Event()
        self._connections: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()

    def url(self, url: str) -> str:
        """A database's URL, by way of this proxy."""
        parts = urlsplit(url)
        credentials = parts.netloc.rpartition("@")[0]
        return urlunsplit(parts._replace(netloc=f"{credentials}@127.0.0.1:{self.port}"))

    def swallow(self) -> None:
        """From now on nothing arrives on either side, and nobody is told: a network that is cut."""
        self._tried.clear()
        self._passing.clear()

    def swallow_after(self, count_bytes: int) -> None:
        """Swallows everything after so many more bytes from clients, to the byte; ``swallowing`` waits for that."""
        self._swallowed.clear()
        self._bytes_left = count_bytes

    async def swallowing(self) -> None:
        async with asyncio.timeout(60):
            await self._swallowed.wait()

    async def tried(self) -> None:
        """Returns when a client has tried in vain since nothing passes any more."""
        async with asyncio.timeout(60):
            await self._tried.wait()

    def break_off(self) -> None:
        """Resets all connections, and every new one."""
        self._tried.clear()
        self._broken = True
        for writer in tuple(self._writers):
            writer.transport.abort()

    def pass_on(self) -> None:
        """All is well again. What was swallowed stays lost with its connections, which are broken off now."""
        for writer in tuple(self._writers):
            writer.transport.abort()
        self._broken = False
        self._bytes_left = None
        self._passing.set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._take, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in tuple(self._connections):
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        await self._server.wait_closed()

    def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._connect(reader, writer))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        if self._broken or not self._passing.is_set():
            self._tried.set()
        try:
            await self._passing.wait()
            if self._broken:
                return
            to_reader, to_writer = await asyncio.open_connection("127.0.0.1", self._to_port)
            self._writers.add(to_writer)
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._pump(reader, to_writer, from_client=True))
                    group.create_task(self._pump(to_reader, writer, from_client=False))
            finally:
                self._writers.discard(to_writer)
                to_writer.transport.abort()
        except* OSError:
            pass
        finally:
            self._writers.discard(writer)
            writer.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, from_client: bool) -> None:
        while data := await reader.read(CHUNK_BYTES):
            if from_client:
                data = self._counted(data)
            elif not self._passing.is_set():
                data = b""
            writer.write(data)
            await writer.drain()
            await self._passing.wait()
        raise ConnectionResetError

    def _counted(self, data: bytes) -> bytes:
        if not self._passing.is_set():
            self._tried.set()
            return b""
        if self._bytes_left is not None:
            data = data[: self._bytes_left]
            self._bytes_left -= len(data)
            if self._bytes_left == 0:
                self.swallow()
                self._swallowed.set()
        self.bytes_from_clients += len(data)
        return data


@contextmanager
def small_disk(size_bytes: int) -> Iterator[Path]:
    """A file system of its own in memory, with so much room.

    :raises PermissionError: this user may not mount one.
    """
    folder = Path(tempfile.mkdtemp(prefix="roombell-disk-"))
    options = f"size={size_bytes},mode=1777"
    try:
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True, text=True, check=False
        )
        if os.getuid() != 0 or mounted.returncode != 0:
            raise PermissionError(f"a small disk needs the right to mount one: {mounted.stderr.strip()}")
        try:
            yield folder
        finally:
            subprocess.run(["umount", "-l", folder], check=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def restart(server: PostgresServer, how: str) -> None:
    """Ends a server by ``fast``, ``immediate`` or ``kill``, and starts it again."""
    await asyncio.to_thread(server.kill if how == "kill" else lambda: server.stop(how))
    await asyncio.to_thread(server.start)
