"""The rooms of ``serve --dev``: a room server beside the service, and what its page needs to join."""

from __future__ import annotations

import asyncio
import importlib
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib import resources
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs

from roombell.engine.ports import Clock
from roombell.errors import ConfigError
from roombell.events import WebhookEvent
from roombell.service.messages import HTML, Request, Response, error_response, json_response
from roombell.service.room_webhooks import ExtraWebhooks
from roombell.service.router import Router
from roombell.signing import AccessClaims, KeyRing, VideoGrants

if TYPE_CHECKING:
    from roombell.rooms.effects import Happened
    from roombell.rooms.server import RoomServer

LIVEKIT_PORT: Final = 7880
TOKEN_PATH: Final = "/dev/token"  # noqa: S105 - a path
TOKEN_LIFE_S: Final = 6 * 3600
EXTRA_TIMEOUT_S: Final = 2.0
"""How long the last webhooks of recordings may take when the service stops."""

_NAME_CHARS_MAX: Final = 100
_LOCAL_HOSTS: Final = ("localhost", "127.0.0.1", "[::1]")
STATIC: Final = {
    "/dev/rooms.js": ("rooms.js", b"text/javascript; charset=utf-8"),
    "/dev/rooms.css": ("rooms.css", b"text/css; charset=utf-8"),
    "/dev/livekit-client.js": ("livekit-client.umd.js", b"text/javascript; charset=utf-8"),
}
_log: Final = logging.getLogger("roombell.rooms")


class DevRooms:
    """A room server whose events go to the service that it stands beside.

    :param host: where to listen.
    :param port: LiveKit's by default; 0 takes a free one.
    :param take: is given every event.
    """

    def __init__(
        self, keys: Mapping[str, str], host: str, port: int, clock: Clock, take: Callable[[WebhookEvent], None]
    ) -> None:
        self._keys = keys
        self._host = host
        self._port = port
        self._clock = clock
        self._take = take
        self._extra = ExtraWebhooks(keys)
        self._server: RoomServer | None = None
        self.why_off = ""
        """Why there are no rooms, and what to do about it; empty where there are."""

    @property
    def port(self) -> int:
        """The port that clients join at; 0 where there are no rooms."""
        return self._server.port if self._server is not None else 0

    async def load(self) -> None:
        """Loads what rooms need, which takes a second, while something else can be done; ``start`` does it too."""
        with suppress(ImportError):
            await asyncio.to_thread(importlib.import_module, "roombell.rooms.server")

    async def start(self) -> None:
        """Listens, or tells in ``why_off`` why it cannot: the service is of use without rooms too."""
        await self.load()
        try:
            from roombell.rooms.server import RoomServer
        except ImportError:
            self.why_off = "not installed: pip install 'roombell[rooms]'"
            return
        logging.getLogger("aioice").setLevel(logging.WARNING)  # it tells of each address of each client
        server = RoomServer(events=self._on_event, keys=self._keys, host=self._host, port=self._port, clock=self._clock)
        try:
            await server.start()
        except ConfigError:
            self.why_off = f"port {self._port} is taken, perhaps by a LiveKit server; --rooms-port takes another"
            return
        self._server = server

    async def stop(self) -> None:
        """Ends every room; the last events have been given to ``take`` by then."""
        if self._server is not None:
            await self._server.stop()
        await self._extra.stop(grace_s=EXTRA_TIMEOUT_S)

    def add_to(self, router: Router) -> None:
        """What the page is made of, and the tokens that it joins with."""
        router.add(TOKEN_PATH, GET=self._token)
        for path, (name, kind) in STATIC.items():
            router.add(path, GET=_file(name, kind))

    async def _on_event(self, happened: Happened) -> None:
        self._take(happened.event)
        await self._extra.take(happened)

    def page(self, _request: Request) -> Response:
        """``GET /`` where there are rooms. It may run its own scripts and talk to the room server, and nothing else."""
        policy = (
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; media-src blob: mediastream:; "
            f"connect-src 'self' {self._sources}; worker-src blob:; "
            "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
        )
        headers = (
            (b"content-security-policy", policy.encode()),
            (b"x-content-type-options", b"nosniff"),
            (b"referrer-policy", b"no-referrer"),
            (b"cache-control", b"no-store"),
        )
        return Response(200, _read("rooms.html"), HTML, headers)

    @property
    def _sources(self) -> str:
        """Where the page finds the room server: at the names under which it gets tokens, but for ``[::1]``, which a
        policy cannot say.
        """
        hosts = dict.fromkeys(host for host in (*_LOCAL_HOSTS, self._host) if "[" not in host and ":" not in host)
        return " ".join(f"{scheme}://{host}:{self.port}" for host in hosts for scheme in ("ws", "http"))

    def _token(self, request: Request) -> Response:
        """``GET /dev/token?room=…&identity=…``: lets the page's user join. Only pages of this machine may ask: a name
        that somebody else's page had made to point here is not among ``_LOCAL_HOSTS``.
        """
        host = (request.text(b"host") or "").rpartition(":")[0] or (request.text(b"host") or "")
        if host not in (*_LOCAL_HOSTS, self._host):
            return error_response(403, "not_here", f"Tokens are given to pages at {', '.join(_LOCAL_HOSTS)} only.")
        query = parse_qs(request.query)
        room, identity = (query.get(name, [""])[0].strip() for name in ("room", "identity"))
        if not room or not identity or max(len(room), len(identity)) > _NAME_CHARS_MAX:
            message = f"room and identity are needed, of at most {_NAME_CHARS_MAX} characters each."
            return error_response(400, "bad_request", message)
        grants = VideoGrants(room_join=True, room=room, can_update_own_metadata=True)
        ring = KeyRing(self._keys)
        now_s = self._clock.now_ms() / 1000
        claims = AccessClaims(sub=identity, name=identity, video=grants)
        token = ring.sign_access(claims, api_key=ring.api_keys[0], now=now_s, life_s=TOKEN_LIFE_S)
        return json_response({"token": token, "port": self.port})


def _file(name: str, kind: bytes) -> Callable[[Request], Response]:
    headers = ((b"x-content-type-options", b"nosniff"), (b"cache-control", b"no-cache"))
    return lambda _: Response(200, _read(name), kind, headers)


def _read(name: str) -> bytes:
    return resources.files("roombell.service").joinpath("dev_static", name).read_bytes()
