"""A world in virtual time: real engine, real store, scripted endpoints, and faults drawn from a seed.

Whatever happens in it is written down as it happens at the far end, in ``Endpoint.arrivals``: the checks look at
nothing that the engine says of itself.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from random import Random

from roombell.engine.core import Engine, EngineSettings
from roombell.engine.hooks import Hooks
from roombell.engine.lanes import HeldLimits
from roombell.engine.model import Answered, Failed, FailureKind, OnDead
from roombell.engine.retry import RetryPolicy
from roombell.engine.router import EndpointPolicy, EventFilter
from roombell.errors import ServiceError, StoreError, StoreFull, StoreUnavailable
from roombell.testing.virtual_time import VirtualClock


@dataclass
class Arrival:
    at_ms: int
    lane: str
    sequence: int
    event_id: str
    attempt: int
    body: bytes
    answered_ok: bool = False


@dataclass
class Endpoint:
    """The far end. ``behave(now_s, request, draw)`` gives (delay_s, outcome)."""

    name: str
    behave: object
    concurrency: int = 8
    filter: EventFilter = EventFilter()
    retry: RetryPolicy = RetryPolicy()
    on_dead: OnDead = OnDead.SKIP
    rate_limit_per_s: float | None = None
    arrivals: list[Arrival] = field(default_factory=list)
    in_flight: int = 0
    in_flight_most: int = 0
    lanes_in_flight: Counter = field(default_factory=Counter)

    def policy(self, endpoint_id):
        return EndpointPolicy(
            endpoint_id=endpoint_id,
            name=self.name,
            filter=self.filter,
            concurrency=self.concurrency,
            retry=self.retry,
            on_dead=self.on_dead,
            rate_limit_per_s=self.rate_limit_per_s,
        )

    @property
    def got(self) -> set[str]:
        return {arrival.event_id for arrival in self.arrivals if arrival.answered_ok}


def ok(delay_s=0.01):
    return lambda now_s, request, draw: (delay_s * (0.5 + draw), Answered(200, 1))


def refusing(now_s, request, draw):
    return 0.001, Failed(FailureKind.REFUSED, "connection refused", 1)


def flaky(share_bad, delay_s=0.02):
    def behave(now_s, request, draw):
        outcome = Answered(500, 1) if draw < share_bad else Answered(200, 1)
        return delay_s * (1 + draw), outcome

    return behave


def down_between(start_s, end_s):
    def behave(now_s, request, draw):
        if start_s <= now_s < end_s:
            return 0.001, Failed(FailureKind.REFUSED, "connection refused", 1)
        return 0.01, Answered(204, 1)

    return behave


class ScriptedTransport:
    def __init__(self, world):
        self._world = world

    async def send(self, request):
        endpoint = self._world.by_id[request.endpoint_id]
        delivery = request.delivery
        endpoint.in_flight += 1
        endpoint.in_flight_most = max(endpoint.in_flight_most, endpoint.in_flight)
        endpoint.lanes_in_flight[request.lane_name] += 1
        assert endpoint.lanes_in_flight[request.lane_name] == 1, "two attempts of one lane in flight"
        arrival = Arrival(
            self._world.clock.now_ms(),
            request.lane_name,
            delivery.sequence,
            delivery.event_id,
            request.attempt,
            delivery.body,
        )
        try:
            now_s = asyncio.get_running_loop().time()
            delay_s, outcome = endpoint.behave(now_s, request, self._world.random.random())
            reached = not (isinstance(outcome, Failed) and outcome.kind is FailureKind.REFUSED)
            if reached:
                endpoint.arrivals.append(arrival)
            await asyncio.sleep(delay_s)
            arrival.answered_ok = isinstance(outcome, Answered) and outcome.status in range(200, 300)
            return outcome
        finally:
            endpoint.in_flight -= 1
            endpoint.lanes_in_flight[request.lane_name] -= 1

    async def close(self):
        pass


class FaultyStore:
    """A store that takes time, and fails now and then: before writing (nothing is written) or after (who knows)."""

    def __init__(self, store, random, *, fault_share=0.0, latency_s=0.002):
        self._store, self._random = store, random
        self.fault_share, self._latency_s = fault_share, latency_s
        self.full = False
        self.only_unavailable = False
        self.hangs = False
        self._turn = asyncio.Lock()

    @property
    def store_id(self):
        return self._store.store_id

    def __getattr__(self, name):
        method = getattr(self._store, name)

        async def call(*args, **kwargs):
            async with self._turn:
                if self.hangs:
                    await asyncio.get_running_loop().create_future()
                await asyncio.sleep(self._latency_s * self._random.random())
                if self.full:
                    raise StoreFull("The disk is full.")
                draw = self._random.random()
                if draw < self.fault_share / 2 and not self.only_unavailable:
                    raise StoreError("The store refused.")
                result = await method(*args, **kwargs)
                await asyncio.sleep(self._latency_s * self._random.random())
                if draw < self.fault_share:
                    raise StoreUnavailable("The store did not answer.")
                return result

        return call


class World:
    """One machine: an engine that can be crashed and started again, its disk, its endpoints."""

    def __init__(
        self,
        seed,
        endpoints,
        make_store,
        *,
        fault_share=0.0,
        held=HeldLimits(),
        lease_ms=60_000,
        hooks=(),
        latency_s=0.002,
    ):
        self.random = Random(seed)
        self.clock = VirtualClock()
        self.endpoints = {endpoint.name: endpoint for endpoint in endpoints}
        self.by_id = {}
        self._make_store = make_store
        self._fault_share, self._held, self._lease_ms, self._hooks = fault_share, held, lease_ms, hooks
        self._latency_s = latency_s
        self.starts = 0
        self.acknowledged: list[str] = []
        self.engine = None
        self.store = None

    async def start(self):
        self.starts += 1
        self._gone = asyncio.get_running_loop().create_future()
        inner = self._make_store()
        await inner.open()
        self._inner = inner
        self.store = FaultyStore(inner, self.random, latency_s=self._latency_s)
        statuses = await inner.register(tuple(self.endpoints), now_ms=self.clock.now_ms())
        self.by_id = {
            status.endpoint_id: self.endpoints[name] for name, status in statuses.items() if name in self.endpoints
        }
        self.engine = Engine(
            self.store,
            ScriptedTransport(self),
            self.clock,
            Random(self.random.random()),
            Hooks(self._hooks),
            EngineSettings(owner=f"worker-{self.starts}", lease_ms=self._lease_ms, held=self._held),
        )
        self.engine.configure(
            [endpoint.policy(id_) for id_, endpoint in self.by_id.items()],
            {status.endpoint_id: status.health for status in statuses.values()},
        )
        self.engine.start()
        self.store.fault_share = self._fault_share

    async def crash(self):
        """What SIGKILL does: every task is gone at once, and the disk holds what was committed."""
        while doomed := self._tasks():  # a cancelled task may start another one, which must not run
            for task in doomed:
                task.cancel()
            await asyncio.gather(*doomed, return_exceptions=True)
        self._gone.set_result(None)
        await self._inner.close()  # writes nothing: what is not committed by now is lost
        for endpoint in self.endpoints.values():
            assert endpoint.in_flight == 0

    @staticmethod
    def _tasks():
        me = asyncio.current_task()
        return [task for task in asyncio.all_tasks() if task is not me and not task.get_name().startswith("outside")]

    async def stop(self, grace_s=30.0):
        self.store.fault_share = 0.0
        await self.engine.stop(grace_s)
        await self._inner.close()

    async def emit(self, event_id, key, *, event_type="participant_joined", body=None):
        """A producer that sends until it is answered 200, as LiveKit would if it could."""
        while True:
            try:
                future = self.engine.submit(event_id, event_type, key, key, body or event_id.encode())
                gone = self._gone
                await asyncio.wait({future, gone}, return_when=asyncio.FIRST_COMPLETED)
                if not future.done():  # the connection broke: what became of the event is unknown
                    continue
                accepted = future.result()
            except ServiceError:
                await asyncio.sleep(0.2)
            else:
                self.acknowledged.append(event_id)
                return accepted

    async def settle_down(self, limit_s=3600.0):
        """Waits, in virtual time, until no endpoint is owed anything."""
        self.store.fault_share = 0.0
        async with asyncio.timeout(limit_s):
            await self.engine.drain()

    # The promises, as the far end sees them

    def check_order(self):
        for endpoint in self.endpoints.values():
            last = defaultdict(int)
            for arrival in endpoint.arrivals:
                assert arrival.sequence >= last[arrival.lane], f"{endpoint.name}: {arrival} after {last[arrival.lane]}"
                last[arrival.lane] = arrival.sequence

    def check_all_delivered(self, names=None):
        for name, endpoint in self.endpoints.items():
            if names is None or name in names:
                missing = set(self.acknowledged) - endpoint.got
                assert not missing, f"{name} misses {len(missing)} events, such as {sorted(missing)[:3]}"

    def check_gapless(self):
        for endpoint in self.endpoints.values():
            seen = defaultdict(set)
            for arrival in endpoint.arrivals:
                seen[arrival.lane].add(arrival.sequence)
            for lane, sequences in seen.items():
                assert sequences == set(range(1, max(sequences) + 1)), f"{endpoint.name} {lane} has a hole"

    def check_concurrency(self):
        for endpoint in self.endpoints.values():
            assert endpoint.in_flight_most <= endpoint.concurrency

    def check_repeats(self, most):
        for endpoint in self.endpoints.values():
            delivered = Counter((a.lane, a.sequence) for a in endpoint.arrivals if a.answered_ok)
            for what, times in delivered.items():
                assert times <= most, f"{endpoint.name} got {what} {times} times"
