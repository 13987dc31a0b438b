"""Signalling spoken by hand: a room server, what happened in it, and sockets to it."""

from __future__ import annotations

import asyncio
import time

import aiohttp
from aiohttp import WSMsgType
from livekit.protocol import rtc

from roombell.rooms.effects import Happened
from roombell.rooms.server import RoomServer
from roombell.signing import AccessClaims, KeyRing, VideoGrants

KEYS = {"APItest": "a-secret-for-tests-that-is-long-enough"}
RING = KeyRing(KEYS)
ALL = VideoGrants(room_join=True, room="lab")


def token(
    identity: str = "alice",
    grants: VideoGrants = ALL,
    *,
    ring: KeyRing = RING,
    at: float | None = None,
    **claims: object,
) -> str:
    said = AccessClaims(sub=identity, video=grants, **claims)
    return ring.sign_access(said, api_key=ring.api_keys[0], now=time.time() if at is None else at, life_s=600)


class Server:
    """A room server, what happened in it, and a client session for it."""

    def __init__(self, client: aiohttp.ClientSession, **settings: object) -> None:
        self.events: list[Happened] = []
        self.rooms = RoomServer(events=self.events.append, keys=KEYS, port=0, media_addresses=["127.0.0.1"], **settings)
        self._client = client
        self._sockets: list[Socket] = []

    async def ask(self, path: str, **query: str) -> tuple[int, str]:
        async with self._client.get(f"{self.rooms.url}{path}", params=query) as answer:
            return answer.status, await answer.text()

    async def open(self, path: str = "/rtc", **query: str) -> Socket:
        query.setdefault("access_token", token())
        query.setdefault("protocol", "16")
        socket = Socket(await self._client.ws_connect(f"{self.rooms.url}{path}", params=query, max_msg_size=0))
        self._sockets.append(socket)
        return socket

    def drop_sockets(self) -> None:
        """Cuts those that are open, the stalled ones included."""
        for socket in self._sockets:
            socket.raw._response.close()

    def types(self) -> list[str]:
        return [happened.event.type for happened in self.events]


class Socket:
    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.raw = socket

    async def send(self, **request: object) -> None:
        await self.raw.send_bytes(rtc.SignalRequest(**request).SerializeToString())

    async def get(self, name: str) -> object:
        """The next message of that name; those before it are passed over."""
        async with asyncio.timeout(30):
            while True:
                message = await self.raw.receive()
                assert message.type is WSMsgType.BINARY, f"{message} in place of {name}"
                response = rtc.SignalResponse.FromString(message.data)
                if response.WhichOneof("message") == name:
                    return getattr(response, name)

    async def closed(self) -> None:
        async with asyncio.timeout(30):
            while (await self.raw.receive()).type is WSMsgType.BINARY:
                pass
