"""The room server: real clients join it, real SDKs steer it, and its room events go to a callable."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Final

from aiohttp import web

from roombell.engine.ports import Clock
from roombell.errors import ConfigError, UsageError
from roombell.rooms.api import add_routes
from roombell.rooms.hub import Hub, OnEvent
from roombell.rooms.media.aiortc_private import host_addresses
from roombell.rooms.settings import RoomSettings
from roombell.rooms.signalling.joining import JOIN_BYTES_MAX
from roombell.rooms.signalling.routes import Signalling
from roombell.rooms.signalling.sessions import Sessions, SignalSettings
from roombell.signing import KeyRing

if TYPE_CHECKING:
    from typing import Self

LIVEKIT_PORT: Final = 7880
DEV_KEYS: Final[Mapping[str, str]] = {"devkey": "secret"}
"""The pair of ``livekit-server --dev``."""

STOP_TIMEOUT_S: Final = 2.0


class RoomServer:
    """A LiveKit-compatible server for development and tests. Use it within one event loop.

    ::

        async with RoomServer(events=print, port=0) as server:
            print(server.url)

    :param keys: API keys and their secrets.
    :param events: called with every webhook event, in order; a coroutine function is awaited.
    :param host: where to listen for clients and SDKs.
    :param port: 0 takes a free one.
    :param media_addresses: this machine's addresses for media, over UDP, on ports of the system's choice; all of its
        IPv4 addresses where none is given.
    :param settings: bounds and times of rooms.
    :param signal_settings: the times of signalling.
    """

    def __init__(
        self,
        *,
        events: OnEvent,
        keys: Mapping[str, str] = DEV_KEYS,
        host: str = "127.0.0.1",
        port: int = LIVEKIT_PORT,
        media_addresses: Sequence[str] = (),
        settings: RoomSettings | None = None,
        signal_settings: SignalSettings | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._host = host
        self._port = port
        self._keys = KeyRing(keys)
        self._media_addresses = tuple(media_addresses)
        self._signal_settings = signal_settings or SignalSettings()
        self.hub = Hub(events, settings=settings, clock=clock)
        """What happens in the rooms, for whoever wants to take part from Python."""
        self._sessions: Sessions | None = None
        self._signalling: Signalling | None = None
        self._runner: web.AppRunner | None = None

    @property
    def port(self) -> int:
        """The port that is listened on; 0 while it is not."""
        addresses = self._runner.addresses if self._runner is not None else []
        return int(addresses[0][1]) if addresses else 0

    @property
    def url(self) -> str:
        """For SDKs: ``http://…``. Clients take it too, or the same with ``ws://``."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self.port}"

    @property
    def connected(self) -> int:
        """How many participants have a session."""
        return len(self._sessions.by_sid) if self._sessions is not None else 0

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listens. ``async with`` does it.

        :raises ConfigError: the address cannot be listened on.
        :raises UsageError: it is running already.
        """
        if self._runner is not None:
            raise UsageError("This room server is running already.")
        addresses = self._media_addresses or await asyncio.to_thread(host_addresses)
        self._sessions = Sessions(self.hub, self._keys, addresses, self._signal_settings)
        self._signalling = Signalling(self._sessions)
        app = web.Application()
        app.router.add_get("/", _home)
        self._signalling.add_to(app)
        add_routes(app, self.hub, self._keys)
        runner = web.AppRunner(
            app, access_log=None, max_line_size=JOIN_BYTES_MAX, shutdown_timeout=STOP_TIMEOUT_S, handle_signals=False
        )
        await runner.setup()
        try:
            await web.TCPSite(runner, self._host, self._port).start()
        except OSError as error:
            await runner.cleanup()
            reason = os.strerror(error.errno) if error.errno else str(error)
            raise ConfigError(f"Cannot listen on {self._host}, port {self._port}: {reason}.", key="port") from error
        self._runner = runner
        self.hub.start()

    async def stop(self) -> None:
        """Ends every room, tells everybody, and returns when all connections are closed and all events passed on.

        ``async with`` does it. Calling it again is fine.
        """
        runner, self._runner = self._runner, None
        if runner is None or self._sessions is None:
            return
        await self.hub.stop()
        await self._sessions.drained()
        await runner.cleanup()


async def _home(_request: web.Request) -> web.Response:
    """What LiveKit's server answers to whoever asks whether it is there."""
    return web.Response(text="OK")
