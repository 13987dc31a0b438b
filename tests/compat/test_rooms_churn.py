"""Participants come and go, of both versions: each that joined has left, and nothing of them stays behind."""

from __future__ import annotations

import asyncio
import gc
from collections import Counter
from collections.abc import AsyncIterator

import aioice
import pytest
from aiortc import RTCDtlsTransport, RTCSctpTransport

from roombell.rooms.effects import Happened
from roombell.rooms.media.forwarding import Sink, Source
from roombell.rooms.media.peer import Peer
from roombell.rooms.server import RoomServer
from roombell.rooms.signalling.session import Session
from roombell.rooms.threaded import TEST_KEYS, LiveKitServer
from support.livekit_client import joined

WAVES = 3
AT_ONCE = 6
OF_THE_SERVER = (Session, Peer, Source, Sink, RTCDtlsTransport, RTCSctpTransport, aioice.Connection)


class Running:
    """A room server in the test's own event loop, with what happened in it."""

    def __init__(self) -> None:
        self.events: list[Happened] = []
        self.rooms = RoomServer(events=self.events.append, keys=TEST_KEYS, port=0, media_addresses=["127.0.0.1"])
        self.tokens = LiveKitServer()

    @property
    def url(self) -> str:
        return self.rooms.url.replace("http", "ws")

    def token(self, *arguments: object) -> str:
        return self.tokens.token(*arguments)


@pytest.fixture
async def server() -> AsyncIterator[Running]:
    running = Running()
    async with running.rooms:
        yield running


async def test_every_join_has_its_left_and_nothing_stays_behind(server: Running) -> None:
    async def visit(number: int, everybody: asyncio.Barrier) -> None:
        async with joined(server, f"p{number}", single=number % 2 == 0) as client:
            await client.speak(400)
            await client.until(lambda: client.heard, "anybody")
            await everybody.wait()

    gc.collect()
    before = Counter(type(one) for one in gc.get_objects() if isinstance(one, OF_THE_SERVER))
    for wave in range(WAVES):
        everybody = asyncio.Barrier(AT_ONCE)
        await asyncio.gather(*(visit(wave * AT_ONCE + number, everybody) for number in range(AT_ONCE)))
    sessions = server.rooms._sessions
    assert sessions is not None
    async with asyncio.timeout(60):
        while server.rooms.connected or server.rooms._signalling.sockets:
            await asyncio.to_thread(gc.collect)
        await sessions.drained()
    assert (sessions.by_sid, sessions.sources) == ({}, {})

    stories: dict[str, list[str]] = {}
    for happened in server.events:
        if happened.event.participant_sid:
            stories.setdefault(happened.event.participant_sid, []).append(happened.event.type)
    assert len(stories) == WAVES * AT_ONCE
    for story in stories.values():
        assert story == ["participant_joined", "track_published", "track_unpublished", "participant_left"]
    gc.collect()
    after = Counter(type(one) for one in gc.get_objects() if isinstance(one, OF_THE_SERVER))
    assert after - before == Counter()
