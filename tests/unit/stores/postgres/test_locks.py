"""The lock order: whatever workers do to the same events, lanes and endpoints at once, none waits in a circle."""

from __future__ import annotations

import asyncio
import random

from roombell.engine.model import Batch, DeliveryState, Grant, Release, Renew, Settle
from roombell.engine.selection import Selector
from roombell.engine.transitions import Verb
from roombell.stores.postgres.store import PostgresStore
from roombell.stores.postgres.url import parse_url
from roombell.testing.store_driver import NOW_MS, attempt, event
from support.postgres import PostgresServer

WORKERS = 6
ROUNDS = 25
ROOMS = 12


async def work(store: PostgresStore, name: str, endpoints: list[int], draws: random.Random) -> int:
    """Accepts known and new events in any order, leases, settles, gives back, prunes; how much was settled."""
    settled = 0
    for round_ in range(ROUNDS):
        accepts = [
            event(f"EV_{draws.randrange(ROUNDS * 30)}", *endpoints, key=f"room-{draws.randrange(ROOMS)}")
            for _ in range(12)
        ]
        draws.shuffle(accepts)
        grants = tuple(Grant(endpoint_id, 2) for endpoint_id in endpoints)
        result = await store.commit(Batch(name, NOW_MS + 50, tuple(accepts), grants))
        held = [place for one in result.accepted for place in one.placed if place.granted]
        settles = [
            Settle(place.lane_id, place.generation, place.sequence, DeliveryState.DELIVERED, attempt(), NOW_MS)
            for place in held
        ]
        lanes = (
            await store.acquire(
                name,
                draws.choice(endpoints),
                lanes_max=5,
                heads_max=3,
                body_bytes_max=10_000,
                now_ms=NOW_MS + draws.randrange(100),
                expires_at_ms=NOW_MS + draws.randrange(100),
            )
        ).lanes
        for lane in lanes[::3]:
            head = lane.heads[0]
            made = attempt(head.attempts + 1)
            settles.append(Settle(lane.lane_id, lane.generation, head.sequence, DeliveryState.DELIVERED, made, NOW_MS))
        draws.shuffle(settles)
        releases = [Release(lane.lane_id, lane.generation, NOW_MS) for lane in lanes[1::3]]
        renewals = [Renew(lane.lane_id, lane.generation, NOW_MS + 100) for lane in lanes[2::3]]
        done = await store.commit(
            Batch(name, NOW_MS + 50, settles=tuple(settles), releases=tuple(releases), renewals=tuple(renewals))
        )
        settled += sum(not one.lost for one in done.settled)
        if round_ % 5 == 0:
            await store.prune(before_ms=NOW_MS + 1, limit=20)
            await store.reap(now_ms=NOW_MS + 60, max_age_ms={}, limit=20)
            verb = draws.choice([Verb.REDRIVE, Verb.REPLAY, Verb.CANCEL])
            await store.change(Selector(), verb, reason="by hand", after=None, limit=20, now_ms=NOW_MS)
    return settled


async def test_workers_on_the_same_lanes_never_wait_in_a_circle(postgres: PostgresServer, database_url: str) -> None:
    stores = [PostgresStore(parse_url(database_url)) for _ in range(WORKERS)]
    for store in stores:
        await store.open()
    statuses = await stores[0].register(["x", "y", "z"], now_ms=NOW_MS)
    endpoints = [status.endpoint_id for status in statuses.values()]
    settled = await asyncio.gather(
        *(work(store, f"worker-{n}", endpoints, random.Random(n)) for n, store in enumerate(stores))
    )
    counted = {status.endpoint_id: (status.pending, status.dead) for status in await stores[0].endpoints()}
    for store in stores:
        await store.close()
    assert min(settled) > 5
    database = database_url.rpartition("/")[2]
    pending = postgres.execute(
        "SELECT endpoint_id, count(*) FILTER (WHERE state = 'pending'), count(*) FILTER (WHERE state = 'dead')"
        " FROM roombell.delivery JOIN roombell.lane ON lane.id = lane_id GROUP BY 1",
        database,
    )
    assert {row[0]: (row[1], row[2]) for row in pending} == counted
    gaps = postgres.execute("SELECT id FROM roombell.lane WHERE last_sequence < kept OR pending > kept", database)
    assert gaps == []
    assert deadlocks(postgres, database_url) == 0


def deadlocks(postgres: PostgresServer, database_url: str) -> int:
    """How often the server had to end somebody who waited in a circle."""
    database = database_url.rpartition("/")[2]
    ((count,),) = postgres.execute(f"SELECT deadlocks FROM pg_stat_database WHERE datname = '{database}'")
    return count


async def register_again_and_again(store: PostgresStore, draws: random.Random) -> None:
    for _ in range(ROUNDS):
        await store.register(draws.sample([f"endpoint-{n}" for n in range(8)], 4), now_ms=NOW_MS)


async def test_workers_that_list_different_endpoints_never_wait_in_a_circle(
    postgres: PostgresServer, database_url: str
) -> None:
    stores = [PostgresStore(parse_url(database_url)) for _ in range(WORKERS)]
    for store in stores:
        await store.open()
    await stores[0].register([f"endpoint-{n}" for n in range(8)], now_ms=NOW_MS)
    await asyncio.gather(*(register_again_and_again(store, random.Random(n)) for n, store in enumerate(stores)))
    for store in stores:
        await store.close()
    assert deadlocks(postgres, database_url) == 0
