"""Several workers on one database, clients that send to any of them, and a receiver that sees what they do."""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from roombell.testing.behaviours import Behaviour, answer_bytes, drip
from roombell.testing.endpoint import ScriptedEndpoint
from roombell.testing.wire import RecordedRequest, Turn
from support.cluster import CutProxy
from support.service import ServiceProcess, endpoint
from support.traffic import Producers, Receiver, assert_all_arrived, until
from support.webhooks import Ledger

SETTINGS: dict[str, object] = {"lease": "5s"}
"""Short, so that tests which wait for a lease to run out do not wait long."""
SEED = 20_26
REFUSED_SHARE = 0.05
LEEWAY_S = 10
"""As LiveKit's own receivers allow for: a database's clock is known to its workers to a round trip only."""
EVENTS_BETWEEN_MAX = 150
BACKLOG_MAX = 400
"""Events that clients are ahead of the receiver at most, so that what is waited for is soon there."""


class Workers:
    """Several services on one database, as a load balancer shows them to clients: ``url`` is that of any that serves.

    It looks like one ``ServiceProcess`` to ``support.traffic.Producers``.
    """

    def __init__(self, draws: random.Random, workers: Sequence[ServiceProcess]) -> None:
        self._draws = draws
        self.all = tuple(workers)
        self.aside: set[ServiceProcess] = set()
        """Those that a load balancer has taken out for now."""
        self.serving = asyncio.Event()
        self.serving.set()

    @property
    def url(self) -> str:
        able = [worker for worker in self.all if worker.serving.is_set() and worker not in self.aside]
        return self._draws.choice(able or self.all).url


class PacedProducers(Producers):
    """Clients that do not run away from the receiver."""

    def __init__(self, service: Workers, receiver: Receiver) -> None:
        super().__init__(service)
        self._receiver = receiver

    async def _is_accepted(self, client: aiohttp.ClientSession, body: bytes) -> bool:
        taken = self._receiver.ledger
        await until(self._receiver.changed, lambda: self.accepted.total() - taken.taken < BACKLOG_MAX)
        return await super()._is_accepted(client, body)


class FleetLedger(Ledger):
    """A ledger for receivers of several workers: one that was cut off may have sent something that comes late, again."""

    def __init__(self) -> None:
        super().__init__()
        self.late: Counter[str] = Counter()
        """How often something came again after what stands behind it, by lane."""

    def take(self, request: RecordedRequest) -> None:
        ids = self.ids[request.lane]
        if 0 < request.sequence < len(ids) and ids[request.sequence - 1] == request.event_id:
            self.late[request.lane] += 1
        else:
            super().take(request)

    def see(self, request: RecordedRequest) -> None:
        if 0 < request.sequence < len(self.ids[request.lane]):
            self.late[request.lane] += 1
        else:
            super().see(request)


class FleetReceiver(Receiver):
    """A receiver that also sees whether two attempts of one lane are under way at once."""

    def __init__(self, draws: random.Random, *, refused_share: float = 0.0) -> None:
        super().__init__(draws, refused_share=refused_share, leeway_s=LEEWAY_S)
        self.ledger: FleetLedger = FleetLedger()
        self.overlaps: Counter[str] = Counter()
        """How often an attempt came while another one of its lane was under way, by lane."""
        self._under_way: Counter[str] = Counter()

    def __call__(self, request: RecordedRequest) -> Behaviour:
        lane = request.lane
        self.overlaps[lane] += self._under_way[lane] > 0
        # Byte by byte: the attempt takes a while, so that another one of its lane would be seen.
        answer = drip(answer_bytes(_status(super().__call__(request))))

        async def play(turn: Turn) -> None:
            self._under_way[lane] += 1
            try:
                await answer.play(turn)
            finally:
                self._under_way[lane] -= 1

        return Behaviour(answer.name, play)

    def assert_hardly_late(self, most: int) -> None:
        """What a cut-off worker had sent may come late, once for each time a worker was cut off."""
        assert {lane: count for lane, count in self.ledger.late.items() if count > most} == {}
        assert {lane: count for lane, count in self.overlaps.items() if count > most} == {}


def _status(behaviour: Behaviour) -> int:
    """The status of a ``reply``."""
    return int(behaviour.name.removeprefix("reply(").removesuffix(")"))


class Fleet:
    """Workers, each with a way of its own to the database; clients, and a receiver with a ledger."""

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
async def fleet(
    folder: Path,
    port: int | None,
    url: str,
    *,
    workers: int = 3,
    commands: Sequence[Sequence[str]] = (),
) -> AsyncIterator[Fleet]:
    """A fleet on the empty database ``url`` of the server at ``port``.

    :param port: None if workers connect to what the URL says, without a proxy in between.
    :param commands: what is run in place of ``roombell serve``, worker by worker.
    """
    receiver = FleetReceiver(random.Random(SEED), refused_share=REFUSED_SHARE)
    async with contextlib.AsyncExitStack() as stack:
        far_end = await stack.enter_async_context(ScriptedEndpoint(receiver))
        proxies = [await stack.enter_async_context(CutProxy(port or 0)) for _ in range(workers)]
        started = []
        for number, proxy in enumerate(proxies):
            own = folder / f"worker-{number}"
            own.mkdir()
            store = url if port is None else proxy.url(url)
            worker = ServiceProcess(own, [endpoint("app", far_end)], store=store, **SETTINGS)
            worker.program = commands[number] if commands else worker.program
            started.append(await stack.enter_async_context(worker))
        yield Fleet(receiver, started, proxies)


async def run_and_check(
    fleet: Fleet, disturbances: Sequence[Callable[[], Awaitable[None]]], *, cut_offs: int = 0
) -> None:
    """Disturbs a fleet at random moments while clients send, stops it, and checks what the receiver saw."""
    async with asyncio.TaskGroup() as group:
        sending = group.create_task(fleet.producers.run())
        for disturb in disturbances:
            await fleet.random_moment()
            await disturb()
        await fleet.random_moment()
        fleet.producers.stop()
        await sending
        await fleet.all_accepted_arrive()
        for worker in fleet.workers.all:
            assert await worker.stop() == 0
    assert_all_arrived(fleet.producers, fleet.receiver, repeats_per_lane_max=len(disturbances))
    fleet.receiver.assert_hardly_late(cut_offs)
