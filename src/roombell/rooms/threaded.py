"""A room server in a thread with an event loop of its own, for tests that have none, or another."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Final

import msgspec

from roombell import wiring
from roombell.errors import UsageError
from roombell.rooms.captured import Webhooks
from roombell.rooms.effects import Happened
from roombell.rooms.server import RoomServer
from roombell.rooms.settings import RoomSettings
from roombell.rooms.signalling.sessions import SignalSettings
from roombell.signing import AccessClaims, KeyRing, VideoGrants

if TYPE_CHECKING:
    from typing import Self

TEST_KEYS: Final[Mapping[str, str]] = {"APItest": "a-secret-for-tests-that-is-long-enough"}
"""JWT libraries warn of secrets as short as that of ``livekit-server --dev``, and tests make errors of warnings."""

START_TIMEOUT_S: Final = 30.0
STOP_TIMEOUT_S: Final = 30.0
TOKEN_LIFE_S: Final = 6 * 3600


class LiveKitServer:
    """A room server on a free port of 127.0.0.1, with its webhooks captured.

    ::

        with LiveKitServer() as server:
            print(server.url, server.api_key, server.api_secret)
            server.webhooks.wait_for("participant_joined", identity="alice")

    :param keys: API keys and secrets; the first pair is ``api_key`` and ``api_secret``.
    :param settings: bounds and times of rooms.
    :param signal_settings: the times of signalling.
    """

    def __init__(
        self,
        keys: Mapping[str, str] = TEST_KEYS,
        settings: RoomSettings | None = None,
        signal_settings: SignalSettings | None = None,
    ) -> None:
        ring = KeyRing(keys)
        self.api_key = ring.api_keys[0]
        self.api_secret = keys[self.api_key]
        self.webhooks = Webhooks(ring, lambda: wiring.SystemClock().now_ms() / 1000)
        self._keys = ring
        self._given = keys
        self._settings = settings
        self._signal_settings = signal_settings
        self._url = ""
        self._thread: threading.Thread | None = None
        self._started = threading.Event()
        self._stop: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._failure: BaseException | None = None

    @property
    def url(self) -> str:
        """``ws://…`` for clients; SDKs take it too."""
        return self._url.replace("http://", "ws://", 1)

    @property
    def http_url(self) -> str:
        """``http://…`` for SDKs that want that."""
        return self._url

    def token(self, identity: str, room: str, grants: VideoGrants | None = None) -> str:
        """An access token with which ``identity`` may join ``room``, good for six hours.

        :param grants: what it may do there; all that LiveKit allows where nothing is said, by default.
        """
        video = msgspec.structs.replace(grants or VideoGrants(), room_join=True, room=room)
        now_s = wiring.SystemClock().now_ms() / 1000
        claims = AccessClaims(sub=identity, video=video)
        return self._keys.sign_access(claims, api_key=self.api_key, now=now_s, life_s=TOKEN_LIFE_S)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Returns when clients can join. ``with`` does it.

        :raises UsageError: it is running already, or did not start in time.
        """
        if self._thread is not None:
            raise UsageError("This server is running already.")
        self._thread = threading.Thread(target=self._run, name="livekit-server", daemon=True)
        self._thread.start()
        if not self._started.wait(START_TIMEOUT_S):
            raise UsageError(f"The room server did not start within {START_TIMEOUT_S:g} s.")
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """Ends every room and returns when the thread has ended; the last webhooks have come by then.

        ``with`` does it. Calling it again is fine.
        """
        thread, self._thread = self._thread, None
        if thread is None:
            return
        if self._loop is not None and self._stop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._stop.set)
        thread.join(STOP_TIMEOUT_S)

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except Exception as error:  # noqa: BLE001 - ``start`` raises it in the test's own thread
            self._failure = error
        finally:
            self._started.set()

    async def _serve(self) -> None:
        self._stop, self._loop = asyncio.Event(), asyncio.get_running_loop()
        server = RoomServer(
            events=self._on_event,
            keys=self._given,
            port=0,
            media_addresses=("127.0.0.1",),
            settings=self._settings,
            signal_settings=self._signal_settings,
        )
        async with server:
            self._url = server.url
            self._started.set()
            await self._stop.wait()

    def _on_event(self, happened: Happened) -> None:
        self.webhooks.take(happened.event)
