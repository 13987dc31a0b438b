"""Several workers on one store in virtual time: killed, frozen as SIGSTOP freezes, cut off from the store, restarted.

A frozen worker's code does not run at all: the loop keeps its callbacks and runs them, late, when it is thawed. So a
zombie wakes up in the middle of whatever it was doing, with everything it believed.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from contextvars import ContextVar, copy_context
from dataclasses import dataclass, field
from random import Random

from roombell.engine.core import Engine, EngineSettings
from roombell.engine.hooks import Hooks
from roombell.engine.model import Answered
from roombell.errors import ServiceError
from roombell.stores.memory import MemoryDisk, MemoryStore
from roombell.testing.virtual_time import VirtualClock, VirtualTimeLoop
from simulation.world import Arrival, FaultyStore, World

WORKER: ContextVar[Worker | None] = ContextVar("worker", default=None)
ANSWER_S_MAX = 3.0
"""How long a producer waits before it asks another worker."""


@dataclass(eq=False)
class Kept:
    """A callback that was scheduled; it may be cancelled until it runs, however late that is."""

    callback: object
    args: tuple
    handle: asyncio.Handle | None = None


@dataclass(eq=False)
class Worker:
    """A process: its engine, and whether its code runs."""

    name: str
    delivers: bool = True
    engine: Engine | None = None
    disk: MemoryStore | None = None
    store: FaultyStore | None = None
    frozen: bool = False
    dead: bool = False
    buried: bool = False
    tasks: set = field(default_factory=set)
    stash: list = field(default_factory=list)

    @property
    def up(self) -> bool:
        return not self.frozen and not self.dead


class FreezingLoop(VirtualTimeLoop):
    """Runs no callback of a worker that is frozen or dead."""

    def __init__(self):
        super().__init__()
        self.set_task_factory(self._new_task)

    def _new_task(self, loop, coroutine, **keywords):
        task = asyncio.Task(coroutine, loop=loop, **keywords)
        if (worker := WORKER.get()) is not None:
            worker.tasks.add(task)
            task.add_done_callback(worker.tasks.discard)
        return task

    def call_soon(self, callback, *args, context=None):
        kept = Kept(callback, args)
        kept.handle = super().call_soon(self._gate, kept, context=context)
        return kept.handle

    def call_at(self, when, callback, *args, context=None):
        kept = Kept(callback, args)
        kept.handle = super().call_at(when, self._gate, kept, context=context)
        return kept.handle

    def _gate(self, kept):
        worker = WORKER.get()
        if worker is None or worker.up or worker.buried:
            kept.callback(*kept.args)
        else:
            worker.stash.append((copy_context(), kept))

    def thaw(self, worker: Worker) -> None:
        worker.frozen = False
        stash, worker.stash = worker.stash, []
        for context, kept in stash:
            super().call_soon(self._late, kept, context=context)

    def _late(self, kept):
        if not kept.handle.cancelled():
            self._gate(kept)


class FleetTransport:
    def __init__(self, world, worker):
        self._world, self._worker = world, worker

    async def send(self, request):
        world, worker = self._world, self._worker
        if worker.buried:
            raise asyncio.CancelledError
        endpoint, delivery = world.by_id[request.endpoint_id], request.delivery
        for other, lane in world.under_way:
            assert lane != request.lane_name or other in world.cut_off, "two attempts of one lane in flight"
        here = (worker, request.lane_name)
        world.under_way.append(here)
        endpoint.in_flight += 1
        endpoint.in_flight_most = max(endpoint.in_flight_most, endpoint.in_flight)
        now_s = asyncio.get_running_loop().time()
        arrival = Arrival(
            world.clock.now_ms(),
            request.lane_name,
            delivery.sequence,
            delivery.event_id,
            request.attempt,
            delivery.body,
        )
        endpoint.arrivals.append(arrival)
        world.sent[worker.name].append((now_s, endpoint.name, endpoint.in_flight))
        try:
            delay_s, outcome = endpoint.behave(now_s, request, world.random.random())
            arrival.answered_ok = isinstance(outcome, Answered) and outcome.status in range(200, 300)
            await asyncio.sleep(delay_s)
            return outcome
        finally:
            if here in world.under_way:
                world.under_way.remove(here)
                endpoint.in_flight -= 1

    async def close(self):
        pass


class FleetWorld(World):
    """One store, one far end, any number of workers. ``World``'s checks are those of the promises."""

    def __init__(self, seed, endpoints, *, lease_ms=20_000, fault_share=0.0, deaf=False):
        super().__init__(seed, endpoints, None, fault_share=fault_share, lease_ms=lease_ms)
        self.clock = VirtualClock()
        self.disk = MemoryDisk()
        self.workers: list[Worker] = []
        self.under_way: list[tuple[Worker, str]] = []
        self.cut_off: set[Worker] = set()
        self.sent: dict[str, list] = defaultdict(list)
        self._deaf = deaf
        """Whether no worker ever hears what the others tell."""

    async def join(self, *, delivers=True):
        worker = Worker(f"worker-{len(self.workers) + 1}", delivers)
        self.workers.append(worker)
        inner = MemoryStore(self.disk, shared=True)
        await inner.open()
        worker.disk = inner
        worker.store = FaultyStore(inner, self.random)
        worker.store.listen = (lambda **_: None) if self._deaf else inner.listen
        statuses = await inner.register(tuple(self.endpoints), now_ms=self.clock.now_ms())
        self.by_id = {status.endpoint_id: self.endpoints[name] for name, status in statuses.items()}

        def start():
            WORKER.set(worker)
            worker.engine = Engine(
                worker.store,
                FleetTransport(self, worker),
                self.clock,
                Random(self.random.random()),
                Hooks(self._hooks),
                EngineSettings(owner=worker.name, lease_ms=self._lease_ms, delivers=delivers),
                fleet=worker.store,
            )
            worker.engine.configure(
                [endpoint.policy(id_) for id_, endpoint in self.by_id.items()],
                {status.endpoint_id: status.health for status in statuses.values()},
            )
            worker.engine.start()

        copy_context().run(start)
        worker.store.fault_share = self._fault_share
        return worker

    def freeze(self, worker):
        worker.frozen = True
        self._cut_off(worker)

    def thaw(self, worker):
        asyncio.get_running_loop().thaw(worker)

    def kill(self, worker):
        """What SIGKILL does. What it has sent is sent; nothing of it runs any more."""
        worker.dead = True
        self._cut_off(worker)

    def _cut_off(self, worker):
        """What such a worker has in flight stays so for ever, or until it is thawed; it does not count any more."""
        for one, lane in list(self.under_way):
            if one is worker:
                self.under_way.remove((one, lane))
        for endpoint in self.endpoints.values():
            endpoint.in_flight = 0
        for _, lane in self.under_way:
            self._endpoint_of(lane).in_flight += 1
        self.cut_off.add(worker)

    def _endpoint_of(self, lane_name):
        lane_id = int(lane_name.rpartition("-")[2])
        return self.by_id[self.disk.lanes[lane_id].endpoint.endpoint_id]

    async def emit(self, event_id, key, *, event_type="participant_joined", body=None):
        """A producer behind a load balancer: an answer that does not come is asked of another worker."""
        while True:
            up = [worker for worker in self.workers if worker.up and worker.engine.running]
            try:
                worker = self.random.choice(up)
                future = worker.engine.submit(event_id, event_type, key, key, body or event_id.encode())
                await asyncio.wait({future}, timeout=ANSWER_S_MAX)
                if not future.done():
                    continue
                accepted = future.result()
            except (ServiceError, IndexError):
                await asyncio.sleep(0.2)
            else:
                self.acknowledged.append(event_id)
                return accepted

    async def settle_down(self, limit_s=3600.0):
        for worker in self.workers:
            worker.store.fault_share = 0.0
        async with asyncio.timeout(limit_s):
            while any(endpoint.pending for endpoint in self.disk.endpoints.values()):
                await asyncio.sleep(1.0)

    async def stop_all(self):
        for worker in self.workers:
            if worker.up and worker.engine.running:
                await worker.engine.stop(30.0)
            await worker.disk.close()
            worker.buried = True  # nothing of what it left can write or send any more: let it unwind
            self.thaw(worker)
            while doomed := list(worker.tasks):
                for task in doomed:
                    task.cancel()
                await asyncio.wait(doomed, timeout=1.0)


def run_fleet(main):
    with asyncio.Runner(loop_factory=FreezingLoop) as runner:
        return runner.run(main)
