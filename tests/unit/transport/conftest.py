import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import uvloop

from roombell.engine.model import Delivery, EndpointId, LaneId, Outcome, Sequence
from roombell.engine.ports import AttemptRequest
from roombell.signing import KeyRing
from roombell.testing.endpoint import ScriptedEndpoint
from roombell.transport import HttpLimits, HttpTarget, HttpTransport
from roombell.transport.connection import Connection
from roombell.transport.pool import Pool
from roombell.transport.tls import ClientTls

KEYS = {"devkey": "secret"}
ENDPOINT = EndpointId(1)
GENEROUS_MS = 20_000
"""A timeout that no test waits for."""


class SystemClock:
    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class Client:
    """A transport with one endpoint, and short words for what tests do with it."""

    def __init__(self, url: str, *, limits: HttpLimits | None = None, tls=None, lookup=None, **target) -> None:
        self.url = url
        self.tls = None if tls is None else ClientTls(tls, id(tls).to_bytes(8))
        more = {} if lookup is None else {"lookup": lookup}
        self.transport = HttpTransport(
            {ENDPOINT: self.target(**target)}, keys=KeyRing(KEYS), clock=SystemClock(), limits=limits, **more
        )

    def target(self, **changes) -> HttpTarget:
        settings = {"name": "backend", "url": self.url, "api_key": "devkey", "timeout_ms": GENEROUS_MS}
        return HttpTarget(**{"tls": self.tls} | settings | changes)

    def configure(self, **changes) -> None:
        self.transport.configure({ENDPOINT: self.target(**changes)}, KeyRing(KEYS))

    def send(self, **changes) -> Awaitable[Outcome]:
        return self.transport.send(make_request(**changes))

    def start(self, **changes) -> asyncio.Task[Outcome]:
        return asyncio.create_task(self.transport.send(make_request(**changes)))

    @property
    def pool(self) -> Pool:
        return self.transport._routes[ENDPOINT].pool

    @property
    def connections(self) -> list[Connection]:
        return list(self.pool._open) if ENDPOINT in self.transport._routes else []

    def let_deadlines_pass(self) -> None:
        """What the event loop does when the time of everything under way has run out."""
        for timeout in self.pool._opening:
            timeout.reschedule(0)
        for connection in self.connections:
            connection.deadline_s = 0
        self.pool._on_timer()


def make_request(
    body: bytes = b'{"event":"room_started","id":"EV_1"}',
    event_id: str = "EV_1",
    attempt: int = 1,
    sequence: int = 1,
    lane_name: str = "0badcafe-1",
    endpoint_id: int = 1,
) -> AttemptRequest:
    delivery = Delivery(LaneId(1), Sequence(sequence), event_id, "room_started", 0, 0, body)
    return AttemptRequest(EndpointId(endpoint_id), delivery, attempt, lane_name)


def pytest_asyncio_loop_factories(config, item):
    """Both event loops that the service may run on: they differ in what they do about errors and closing."""
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture
async def connect():
    """Makes clients, and closes them after the test; nothing of them may be left."""
    clients: list[Client] = []

    def make(target: ScriptedEndpoint | str, **options) -> Client:
        client = Client(target if isinstance(target, str) else target.url, **options)
        clients.append(client)
        return client

    yield make
    for client in clients:
        await client.transport.close()


@pytest.fixture
def request_of() -> Callable[..., AttemptRequest]:
    return make_request


@pytest.fixture
def descriptors_count() -> Callable[[], int]:
    return lambda: len(list(Path("/proc/self/fd").iterdir()))


@pytest.fixture
def eventually() -> Callable[[Callable[[], bool]], Awaitable[None]]:
    """Waits for a condition that the event loop will bring about, with a generous deadline."""

    async def wait(condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(60):
            while not condition():
                await asyncio.sleep(0.001)

    return wait
