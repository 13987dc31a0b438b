"""The two sides of a running service: clients that send until they are answered 200, and a receiver with a ledger."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable

import aiohttp

from roombell.testing.behaviours import Behaviour, reply
from roombell.testing.wire import RecordedRequest
from support.service import ServiceProcess
from support.webhooks import Ledger, event_body, is_authentic, post

ROOMS = 50
SENDERS = 5
PAUSE_S = 0.01
TURN_S_MAX = 60.0


class Receiver:
    """A script for an endpoint: keeps the ledger, and refuses ``refused_share`` of the requests with a 503."""

    def __init__(self, draws: random.Random, *, refused_share: float = 0.0, leeway_s: float = 0) -> None:
        self._leeway_s = leeway_s
        self.ledger = Ledger()
        self.seen = 0
        self.changed = asyncio.Event()
        self._draws = draws
        self._refused_share = refused_share

    def __call__(self, request: RecordedRequest) -> Behaviour:
        self.seen += 1
        self.changed.set()
        if not is_authentic(request, leeway_s=self._leeway_s):
            self.ledger.faults.append(f"{request.lane}: a request without a valid signature")
            return reply(401)
        if self._draws.random() < self._refused_share:
            self.ledger.see(request)
            return reply(503)
        self.ledger.take(request)
        return reply()

    async def sees(self, count: int) -> None:
        """Returns when ``count`` more requests have come."""
        seen = self.seen + count
        await until(self.changed, lambda: self.seen >= seen)

    async def has_taken(self, count: int) -> None:
        """Returns when ``count`` events have been taken in all."""
        await until(self.changed, lambda: self.ledger.taken >= count)


class Producers:
    """Several clients that share the rooms out among them and send each event until it is answered 200."""

    def __init__(self, service: ServiceProcess) -> None:
        self.accepted: Counter[str] = Counter()
        """Events that were answered 200, by room."""
        self.statuses: Counter[int] = Counter()
        """All answers; 0 is a connection that broke."""
        self.problems: list[str] = []
        self.changed = asyncio.Event()
        self._service = service
        self._stopping = False

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for sender in range(SENDERS):
                rooms = [f"room-{number}" for number in range(sender, ROOMS, SENDERS)]
                group.create_task(self._send(rooms))

    def stop(self) -> None:
        """Every event that was begun is still sent until it is accepted."""
        self._stopping = True

    async def get_in(self, count: int) -> None:
        """Returns when ``count`` more events have been accepted."""
        accepted = self.accepted.total() + count
        await until(self.changed, lambda: self.accepted.total() >= accepted)

    async def _send(self, rooms: list[str]) -> None:
        async with aiohttp.ClientSession() as client, asyncio.TaskGroup() as group:
            for room in rooms:
                group.create_task(self._send_room(client, room))

    async def _send_room(self, client: aiohttp.ClientSession, room: str) -> None:
        while not self._stopping:
            body = event_body(room, self.accepted[room] + 1)
            while not await self._is_accepted(client, body):
                self.changed.set()
                await self._service.serving.wait()
                await asyncio.sleep(PAUSE_S)  # as a client's retry does
            self.accepted[room] += 1
            self.changed.set()

    async def _is_accepted(self, client: aiohttp.ClientSession, body: bytes) -> bool:
        try:
            status, headers = await post(client, self._service.url, body)
        except (aiohttp.ClientError, OSError):
            self.statuses[0] += 1
            return False
        self.statuses[status] += 1
        if status == 503 and "Retry-After" not in headers:
            self.problems.append("a 503 without Retry-After")
        elif status not in (200, 503):
            self.problems.append(f"an answer with status {status}")
        return status == 200


async def until(changed: asyncio.Event, holds: Callable[[], bool]) -> None:
    """Returns when ``holds()`` is true; ``changed`` is set whenever that may have become so."""
    async with asyncio.timeout(TURN_S_MAX):
        while not holds():
            changed.clear()
            await changed.wait()


def assert_all_arrived(producers: Producers, receiver: Receiver, *, repeats_per_lane_max: int) -> None:
    """All that was answered 200 arrived, in the order of acceptance, numbered one by one, and hardly anything twice."""
    ledger = receiver.ledger
    assert ledger.faults == []
    assert producers.problems == []
    arrived = {ids[0].split("_")[1]: ids for ids in ledger.ids.values()}
    for room, count in producers.accepted.items():
        assert arrived[room] == [f"EV_{room}_{number}" for number in range(1, count + 1)]
    assert {lane: count for lane, count in ledger.repeats.items() if count > repeats_per_lane_max} == {}
