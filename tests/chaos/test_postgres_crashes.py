"""Three workers on one database, while they are killed, stopped and cut off, and the server is restarted and crashes.

Seen by the receiver: nothing that was answered 200 is lost, every lane comes in order and without a gap, and two attempts
of a lane are under way at once only where a worker that was cut off had sent one already.
"""

from __future__ import annotations

import asyncio
import random
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from roombell.testing.endpoint import ScriptedEndpoint
from support.cluster import CutProxy, FleetReceiver, PacedProducers, Workers, restart, running_workers
from support.postgres import PostgresServer
from support.service import ServiceProcess, endpoint
from support.traffic import assert_all_arrived

SEED = 20_26
WORKERS = 3
SETTINGS: dict[str, object] = {}
EVENTS_BETWEEN_MAX = 150
REFUSED_SHARE = 0.05
DISTURBANCES = ("kill", "stop", "cut", "fast", "kill", "break", "immediate", "stop", "cut", "server kill", "kill")
CUT_OFF = ("stop", "cut", "break")


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """A server of this module's own: it is stopped and killed."""
    with PostgresServer() as server:
        yield server


class Fleet:
    """Three workers, each with a way of its own to the database; clients, and a receiver with a ledger."""

    def __init__(self, receiver: FleetReceiver, workers: list[ServiceProcess], proxies: list[CutProxy]) -> None:
        self.draws = random.Random(SEED)
        self.receiver = receiver
        self.workers = Workers(self.draws, workers)
        self.proxies = dict(zip(workers, proxies, strict=True))
        self.producers = PacedProducers(self.workers, receiver)

    async def all_accepted_arrive(self) -> None:
        """Returns when everything has arrived that is accepted by now."""
        await self.receiver.has_taken(self.producers.accepted.total())

    async def random_moment(self) -> None:
        count = self.draws.randint(0, EVENTS_BETWEEN_MAX)
        await (self.producers.get_in(count) if self.draws.random() < 0.5 else self.receiver.sees(count))

    async def disturb(self, how: str, server: PostgresServer) -> None:
        worker = self.draws.choice(self.workers.all)
        match how:
            case "kill":
                await worker.kill()
                await worker.spawn()
                await worker.ready()
            case "stop" | "cut" | "break":
                await self.without(worker, how)
            case "server kill":
                await restart(server, "kill")
            case _:
                await restart(server, how)

    async def without(self, worker: ServiceProcess, how: str) -> None:
        """Takes a worker out until the others have done all of its work, and lets it come back."""
        proxy = self.proxies[worker]
        self.workers.aside.add(worker)
        match how:
            case "stop":
                worker.signal(signal.SIGSTOP)
            case "cut":
                proxy.swallow()
            case _:
                proxy.break_off()
        await self.all_accepted_arrive()
        if how == "stop":
            worker.signal(signal.SIGCONT)
        else:
            proxy.pass_on()
        self.workers.aside.discard(worker)


@asynccontextmanager
async def fleet(folder: Path, server: PostgresServer) -> AsyncIterator[Fleet]:
    receiver = FleetReceiver(random.Random(SEED), refused_share=REFUSED_SHARE)
    url = server.new_database()
    async with AsyncExitStack() as stack:
        far_end = await stack.enter_async_context(ScriptedEndpoint(receiver))
        proxies = [await stack.enter_async_context(CutProxy(server.port)) for _ in range(WORKERS)]
        workers = await stack.enter_async_context(
            running_workers(folder, [endpoint("app", far_end)], [proxy.url(url) for proxy in proxies], **SETTINGS)
        )
        yield Fleet(receiver, workers, proxies)


@pytest.mark.timeout(400)
async def test_what_was_answered_200_survives_whatever_happens_to_workers_and_server(
    tmp_path: Path, server: PostgresServer
) -> None:
    async with fleet(tmp_path, server) as all_, asyncio.TaskGroup() as group:
        sending = group.create_task(all_.producers.run())
        for how in DISTURBANCES:
            await all_.random_moment()
            await all_.disturb(how, server)
        all_.producers.stop()
        await sending
        await all_.all_accepted_arrive()
        for worker in all_.workers.all:
            assert await worker.stop() == 0
    assert all_.producers.statuses[0] > 0, "no kill met a request"
    assert_all_arrived(all_.producers, all_.receiver, repeats_per_lane_max=len(DISTURBANCES))
    all_.receiver.assert_hardly_late(sum(how in CUT_OFF for how in DISTURBANCES))
