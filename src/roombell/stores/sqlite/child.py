"""Starting the store's process, talking to it, and seeing it off."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
from collections import deque
from pathlib import Path
from typing import cast

import roombell
from roombell.errors import StoreError, StoreUnavailable
from roombell.stores.sqlite import wire

_BOOTSTRAP = """
import sys, types
socket_number, parent_pid, package, *sys.path = sys.argv[1:]
roombell = types.ModuleType("roombell")
roombell.__path__ = [package]
sys.modules["roombell"] = roombell
from roombell.stores.sqlite.process import main
main(int(socket_number), int(parent_pid))
"""
"""The child finds modules where this process does, whatever its folder, environment and start files say. It gets
the package without its public names: they would import the whole library into a process that needs a tenth."""

_EXIT_POLL_S = 0.005


class Child(asyncio.Protocol):
    """One store process. Requests are answered in order; when it dies, all that wait get ``StoreUnavailable``."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._transport: asyncio.Transport | None = None
        self._waiting: deque[asyncio.Future[bytes]] = deque()
        self._received = bytearray()
        self._gone = asyncio.Event()

    @classmethod
    async def start(cls) -> Child:
        """:raises StoreError: no process can be started."""
        try:
            ours, theirs = socket.socketpair()
        except OSError as error:
            raise _cannot_start(error) from error
        try:
            with theirs:
                process = _spawn(theirs)
        except OSError as error:
            ours.close()
            raise _cannot_start(error) from error
        ours.setblocking(False)
        child = cls(process)
        try:
            await asyncio.get_running_loop().create_unix_connection(lambda: child, sock=ours)
        except BaseException:
            ours.close()
            await child.kill()
            raise
        return child

    @property
    def alive(self) -> bool:
        return not self._gone.is_set()

    async def ask(self, request: bytes) -> bytes:
        """The result of one encoded ``Request``, still encoded. Cancelling the caller leaves the request under way.

        :raises StoreUnavailable: the process died before it answered.
        :raises StoreError: the store refused.
        """
        if self._transport is None or not self.alive:
            raise _died()
        answered: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._waiting.append(answered)
        self._transport.writelines((wire.LENGTH.pack(len(request)), request))
        return _result(await answered)

    async def close(self, deadline_s: float) -> None:
        """Lets the process finish what it was asked for and exit; kills it when that takes too long."""
        if self._transport is not None and self.alive:
            self._transport.write_eof()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._gone.wait(), deadline_s)
        await self.kill()

    async def kill(self) -> None:
        """The process has exited when this returns, and nothing of it is left."""
        self._process.kill()
        if self._transport is not None:
            self._transport.abort()
            await self._gone.wait()
        while self._process.poll() is None:  # noqa: ASYNC110 - its socket is closed, so this is a matter of moments
            await asyncio.sleep(_EXIT_POLL_S)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one in all but name

    def data_received(self, data: bytes) -> None:
        self._received += data
        start, size = 0, wire.LENGTH.size
        while len(self._received) - start >= size:
            end = start + size + wire.LENGTH.unpack_from(self._received, start)[0]
            if len(self._received) < end:
                break
            answered = self._waiting.popleft()
            if not answered.done():
                answered.set_result(bytes(self._received[start + size : end]))
            start = end
        del self._received[:start]

    def eof_received(self) -> None:
        """The process has exited or is about to: asyncio closes the transport."""

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self._gone.set()
        while self._waiting:
            answered = self._waiting.popleft()
            if not answered.done():
                answered.set_exception(_died())


def _spawn(theirs: socket.socket) -> subprocess.Popen[bytes]:
    if not sys.executable:
        raise OSError("sys.executable does not name a Python interpreter")
    package = Path(roombell.__file__).parent
    paths = [str(package.parent), *(os.path.abspath(entry) for entry in sys.path)]  # noqa: PTH100 - the folder as it is now
    number = theirs.fileno()
    return subprocess.Popen(  # noqa: S603 - our own interpreter and our own text
        [sys.executable, "-I", "-S", "-c", _BOOTSTRAP, str(number), str(os.getpid()), str(package), *paths],
        pass_fds=(number,),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )


def _result(answer: bytes) -> bytes:
    status, payload = answer[:1], answer[1:]
    if status == wire.REFUSED:
        raise wire.refused(payload)
    if status == wire.BUG:
        raise AssertionError(f"The store failed:\n{payload.decode()}")
    return payload


def _cannot_start(error: OSError) -> StoreError:
    return StoreError(f"The store's process cannot be started. ({error})")


def _died() -> StoreUnavailable:
    return StoreUnavailable("The store's process died, so whether the work was written is unknown. It is restarted.")
