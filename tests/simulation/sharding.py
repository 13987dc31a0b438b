"""Several databases in virtual time: ordering keys shared out by hash, and shards that move from one to another.

A shard is a store of its own. Each has its own engine here, as each has its own workers in reality; the ingest processes
in front of them know, from a table that may be old, which store a shard is in.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from hashlib import blake2b
from itertools import pairwise

from roombell.engine.model import EndpointState
from roombell.errors import ServiceError, StoreError, StoreUnavailable
from roombell.stores.memory import MemoryDisk, MemoryStore
from simulation.world import World

SHARDS = 8
POLL_S = 0.5
TABLE_AGE_S_MAX = 5.0


def shard_of(ordering_key):
    """Where a key belongs, for ever: the number of shards never changes, only where they are."""
    return int.from_bytes(blake2b(ordering_key.encode(), digest_size=8).digest()) % SHARDS


class FencedStore:
    """A shard's store in one database. Once it is closed, the transaction that would accept an event refuses to: an
    ingest process that has not heard of the move cannot slip one in.
    """

    def __init__(self, disk):
        self._disk, self._store = disk, MemoryStore(disk)

    def __getattr__(self, name):
        return getattr(self._store, name)

    async def commit(self, batch):
        if batch.accepts and self._disk.closed:
            raise StoreError("The shard has moved. Look at the table again.")
        return await self._store.commit(batch)


class Disk(MemoryDisk):
    closed = False


class Place:
    """A shard in a database, with its workers."""

    def __init__(self, seed, endpoints, before=None, **settings):
        self.disk, self.before = Disk(), before
        self.world = World(seed, endpoints, self._open, **settings)

    def _open(self):
        self.disk.crash()
        return FencedStore(self.disk)

    async def knows(self, event_id):
        return bool(await self.world._inner.history(event_id))

    async def submit(self, event_id, key):
        """What an ingest process does with an event: it is on disk, or an error is raised."""
        if self.before is not None and await self.before.knows(event_id):
            return  # its sender was not told that it was accepted before the move
        future = self.world.engine.submit(event_id, "participant_joined", key, key, event_id.encode())
        await asyncio.wait({future, self.world._gone}, return_when=asyncio.FIRST_COMPLETED)
        if not future.done():
            raise StoreUnavailable("The worker is gone.")
        future.result()

    async def set_states(self, state, names):
        for id_, endpoint in self.world.by_id.items():
            if endpoint.name in names:
                now_ms = self.world.clock.now_ms()
                await self.world._inner.set_endpoint_state(id_, state, reason="moving", now_ms=now_ms)
                if state is EndpointState.ACTIVE:
                    self.world.engine.resume(id_)

    async def owes(self, name):
        return any(one.pending for one in await self.world._inner.endpoints() if one.name == name)


class Fleet:
    """All shards, the table that says where each is, and the ingest processes."""

    def __init__(self, seed, endpoints, *, ingests=3, **settings):
        self._seed, self._endpoints, self._settings = seed, endpoints, settings
        self.table = [self._place(shard) for shard in range(SHARDS)]
        self.places = list(self.table)
        self.random = self.places[0].world.random
        self._ingests = [list(self.table) for _ in range(ingests)]
        self.acknowledged = self.places[0].world.acknowledged

    def _place(self, shard, before=None):
        return Place(self._seed * 1000 + shard, self._endpoints, before, **self._settings)

    async def start(self):
        for place in self.places:
            await place.world.start()

    async def emit(self, event_id, key):
        """A producer that sends to any ingest process until it is answered 200."""
        shard = shard_of(key)
        while True:
            table = self.random.choice(self._ingests)
            try:
                await table[shard].submit(event_id, key)
            except ServiceError:
                await asyncio.sleep(0.2 * self.random.random())
            else:
                self.acknowledged.append(event_id)
                return

    def switch(self, shard, place):
        """Changes the table; ingest processes hear of it one by one."""
        self.table[shard] = place
        for table in self._ingests:
            age_s = TABLE_AGE_S_MAX * self.random.random()
            asyncio.get_running_loop().call_later(age_s, table.__setitem__, shard, place)

    async def move(self, shard, *, waiting=True):
        """Moves a shard to an empty store elsewhere. Nothing is copied, and acceptance never stops.

        1. The new store is made, with every endpoint paused: it accepts and sends nothing.
        2. The old one is closed to new events. What it has it goes on delivering.
        3. The table is changed.
        4. Each endpoint is resumed in the new store when the old one owes it nothing any more.
        """
        old = self.table[shard]
        new = self._place(shard, before=old)
        await new.world.start()
        await new.set_states(EndpointState.PAUSED, new.world.endpoints)
        self.places.append(new)
        old.disk.closed = True
        self.switch(shard, new)
        async with asyncio.TaskGroup() as group:
            for name in new.world.endpoints:
                group.create_task(self._take_over(old, new, name, waiting=waiting), name=f"outside-{name}")

    async def _take_over(self, old, new, name, *, waiting):
        while waiting and await old.owes(name):
            await asyncio.sleep(POLL_S)
        await new.set_states(EndpointState.ACTIVE, {name})

    async def crash(self):
        """All machines lose power at once, and come back."""
        for place in self.places:
            await place.world.crash()
        for endpoint in self._endpoints:
            endpoint.behave.cut()
        await self.start()

    async def settle_down(self):
        for place in self.places:
            await place.world.settle_down()
        for place in self.places:
            await place.world.stop()


class Watched:
    """An endpoint's behaviour, with a record of when each room's attempts were under way, whatever store they came from."""

    def __init__(self, behave):
        self._behave = behave
        self.spans = defaultdict(list)

    def __call__(self, now_s, request, draw):
        delay_s, outcome = self._behave(now_s, request, draw)
        _, room, number = request.delivery.event_id.split("_")
        self.spans[room].append([now_s, now_s + delay_s, int(number)])
        return delay_s, outcome

    def cut(self):
        """What was under way has ended now."""
        now_s = asyncio.get_running_loop().time()
        for spans in self.spans.values():
            for span in spans:
                span[1] = min(span[1], now_s)

    def faults(self):
        """What a receiver must never see of a room: two at once, or an older event after a newer one."""
        found = []
        for room, spans in self.spans.items():
            for (_, end_s, number), (start_s, _, following) in pairwise(spans):
                if start_s < end_s:
                    found.append(f"{room}: {following} was begun while {number} was under way")
                if following < number:
                    found.append(f"{room}: {following} came after {number}")
        return found
