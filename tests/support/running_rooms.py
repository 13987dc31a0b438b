"""A room server in the test's own event loop."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from roombell.rooms.effects import Happened
from roombell.rooms.server import RoomServer
from roombell.rooms.threaded import TEST_KEYS, LiveKitServer


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
async def running_rooms() -> AsyncIterator[Running]:
    running = Running()
    async with running.rooms:
        yield running
