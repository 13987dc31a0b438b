"""Participants come and go, of both versions: each that joined has left, and nothing of them stays behind."""

from __future__ import annotations

import asyncio
import gc
from collections import Counter

import aioice
from aiortc import RTCDtlsTransport, RTCSctpTransport

from roombell.rooms.media.forwarding import Sink, Source
from roombell.rooms.media.peer import Peer
from roombell.rooms.signalling.session import Session
from support.livekit_client import joined
from support.running_rooms import Running, running_rooms

WAVES = 3
AT_ONCE = 6
server = running_rooms
OF_THE_SERVER = (Session, Peer, Source, Sink, RTCDtlsTransport, RTCSctpTransport, aioice.Connection)


def objects() -> Counter[type]:
    """How many there are of each; ``isinstance`` would wake lazy objects of others."""
    return Counter(type(one) for one in gc.get_objects() if type(one) in OF_THE_SERVER)


async def test_every_join_has_its_left_and_nothing_stays_behind(server: Running) -> None:
    async def visit(number: int, everybody: asyncio.Barrier) -> None:
        async with joined(server, f"p{number}", single=number % 2 == 0) as client:
            await client.speak(400)
            await client.until(lambda: client.heard, "anybody")
            await everybody.wait()

    gc.collect()
    before = objects()
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
    assert objects() - before == Counter()
