"""Two workers at the same row in the same moment: one is held in the middle of its transaction until the other waits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

import asyncpg
import pytest

from roombell.engine.model import DeliveryState, Grant, LaneId, Part, Sequence
from roombell.engine.selection import Selector
from roombell.engine.transitions import Verb
from roombell.errors import StoreUnavailable
from roombell.stores.postgres import connections, endpoints, retention, selection, workers
from roombell.stores.postgres.store import PostgresStore
from roombell.stores.postgres.url import parse_url
from roombell.stores.postgres.work import PostgresBatchWork
from roombell.testing.store_driver import LEASE_MS, NOW_MS, StoreDriver, event, settle

T = TypeVar("T")
IN_TIME_S = 60.0
LATER_MS = NOW_MS + 1
WAITING = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


@pytest.fixture
async def it(database_url: str) -> AsyncIterator[StoreDriver]:
    store = PostgresStore(parse_url(database_url))
    await store.open()
    yield StoreDriver(store)
    await store.close()


@pytest.fixture
async def other(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    """Another worker's connection, in a transaction that the test ends."""
    connection = await asyncpg.connect(database_url, server_settings=connections.SETTINGS)
    await connection.execute("SET idle_in_transaction_session_timeout = 0")
    await connection.execute("BEGIN")
    yield connection
    await connection.close()


async def until_somebody_waits(database_url: str) -> None:
    """Returns when a transaction waits for another one's lock."""
    look = await asyncpg.connect(database_url)
    async with asyncio.timeout(IN_TIME_S):
        while not await look.fetchval(WAITING):
            await asyncio.sleep(0)
    await look.close()


async def meanwhile(database_url: str, work: Awaitable[T], end: Callable[[], Awaitable[object]]) -> T:
    """Begins ``work``, which comes to wait for the other worker, lets that one end, and gives what came of ``work``."""
    task = asyncio.ensure_future(work)
    await until_somebody_waits(database_url)
    await end()
    return await task


async def test_an_event_for_a_lane_that_is_forgotten_meanwhile_begins_a_new_lane(
    it: StoreDriver, other: asyncpg.Connection, database_url: str
) -> None:
    one = await it.endpoint()
    lane = await it.lease_one(event("old", one))
    await it.settle(settle(lane, 1))
    pruned, _ = await retention.prune(other, retention.START, LATER_MS, 10)
    assert (pruned.events, pruned.lanes) == (1, 1)
    (accepted,) = await meanwhile(database_url, it.accept(event("new", one)), lambda: other.execute("COMMIT"))
    (placed,) = accepted.placed
    assert placed.lane_id != lane.lane_id
    assert placed.sequence == 1
    assert await it.states() == [("new", DeliveryState.PENDING)]


async def test_lanes_that_vanish_again_and_again_end_in_a_clear_error(it: StoreDriver, lanes_that_vanish: None) -> None:
    with pytest.raises(StoreUnavailable, match="Send them again"):
        await it.accept(event("a", await it.endpoint()))
    assert await it.states() == []


@pytest.fixture
async def lanes_that_vanish(it: StoreDriver, database_url: str) -> None:
    """Whatever lane is made is gone when it is looked for."""
    connection = await asyncpg.connect(database_url)
    await connection.execute(
        "CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';"
        "CREATE TRIGGER gone BEFORE INSERT ON roombell.lane FOR EACH ROW EXECUTE FUNCTION nothing()"
    )
    await connection.close()


@pytest.mark.parametrize(("end", "is_duplicate"), [("COMMIT", True), ("ROLLBACK", False)])
async def test_an_event_that_two_workers_are_given_is_taken_once_by_whoever_commits(
    it: StoreDriver, other: asyncpg.Connection, database_url: str, end: str, is_duplicate: bool
) -> None:
    one = await it.endpoint()
    result = await PostgresBatchWork(other, it.as_owner("other").batch(event("a", one), event("b", one))).apply()
    assert not any(accepted.duplicate for accepted in result.accepted)
    accepted = await meanwhile(
        database_url, it.accept(event("b", one), event("a", one), event("b", one)), lambda: other.execute(end)
    )
    assert [accepted.duplicate for accepted in accepted] == [is_duplicate, is_duplicate, True]
    assert sorted(found.event_id for found in await it.find()) == ["a", "b"]
    status = await it.status(one)
    assert status is not None
    assert status.pending == 2


EVENT_ROW = "INSERT INTO roombell.event VALUES (-1, $2, 'room_started', $1::bigint::text, '', 0, '')"
LANE_ROW = "INSERT INTO roombell.lane (id, endpoint_id, ordering_key) VALUES (-1, $1, $2)"


@pytest.mark.parametrize(
    ("held", "waiting", "later"),
    [
        (("a", "1"), [("b", "2"), ("a", "1")], EVENT_ROW),
        (("x", "a"), [("y", "b"), ("z", "a")], LANE_ROW),
    ],
    ids=["event", "new lane"],
)
async def test_who_waits_for_a_row_holds_none_that_comes_later_in_the_order(
    it: StoreDriver,
    other: asyncpg.Connection,
    database_url: str,
    held: tuple[str, str],
    waiting: list[tuple[str, str]],
    later: str,
) -> None:
    one = await it.endpoint()
    await PostgresBatchWork(other, it.batch(event(held[0], one, key=held[1]))).apply()

    async def take_the_later_one_first() -> None:
        third = await asyncpg.connect(database_url, server_settings=connections.SETTINGS)
        await third.execute("BEGIN")
        await third.execute(later, one, "b")
        await third.close()
        await other.execute("COMMIT")

    accepts = [event(name, one, key=key) for name, key in waiting]
    await meanwhile(database_url, it.accept(*accepts), take_the_later_one_first)
    assert sorted(name for name, _ in await it.states()) == sorted({held[0], *(name for name, _ in waiting)})


COUNT_ROW = "INSERT INTO roombell.endpoint_count VALUES ($1, $2, 0, 0)"


async def test_who_waits_for_a_count_holds_none_that_comes_later_in_the_order(
    it: StoreDriver, other: asyncpg.Connection, database_url: str
) -> None:
    first, second = [one.endpoint_id for one in (await it.store.register(["x", "y"], now_ms=NOW_MS)).values()]
    working, third = [await asyncpg.connect(database_url, server_settings=connections.SETTINGS) for _ in range(2)]
    slot = working.get_server_pid() % 32
    await other.execute(COUNT_ROW, first, slot)
    await working.execute("BEGIN")
    work = PostgresBatchWork(working, it.batch(event("a", second, first)))

    async def take_the_later_one_first() -> None:
        await third.execute("BEGIN")
        await third.execute(COUNT_ROW, second, slot)
        await third.close()
        await other.execute("COMMIT")

    await meanwhile(database_url, work.apply(), take_the_later_one_first)
    await working.close()


async def test_workers_that_join_at_once_know_of_each_other(
    it: StoreDriver, other: asyncpg.Connection, database_url: str
) -> None:
    times = {"now_ms": NOW_MS, "expires_at_ms": NOW_MS + LEASE_MS}
    await workers.beat(other, "first", delivers=True, **times)
    joining = it.store.beat("second", delivers=True, **times)
    muster = await meanwhile(database_url, joining, lambda: other.execute("COMMIT"))
    assert muster.part == Part(1, 2)


async def test_an_event_that_is_revived_while_it_is_to_be_forgotten_stays(
    it: StoreDriver, other: asyncpg.Connection, database_url: str
) -> None:
    one = await it.endpoint()
    lane = await it.lease_one(event("a", one))
    await it.settle(settle(lane, 1, DeliveryState.DEAD))
    changed = await selection.change(other, Selector(), Verb.REDRIVE, "by hand", None, 10, NOW_MS)
    assert changed.changed == 1
    pruning = it.store.prune(before_ms=LATER_MS, limit=10)
    pruned = await meanwhile(database_url, pruning, lambda: other.execute("COMMIT"))
    assert (pruned.events, pruned.lanes) == (0, 0)
    assert (await it.acquire_one(one)).heads[0].event_id == "a"


async def test_what_was_settled_while_a_hand_waited_for_it_is_not_cancelled(
    it: StoreDriver, other: asyncpg.Connection, database_url: str
) -> None:
    one = await it.endpoint()
    lane = await it.lease_one(event("a", one))
    await it.accept(event("b", one))
    await PostgresBatchWork(other, it.batch(settles=(settle(lane, 1),))).apply()
    changed = await meanwhile(database_url, it.change(Verb.CANCEL), lambda: other.execute("COMMIT"))
    # b may be under way already: its worker is asked to give it back, and what it does with it counts.
    assert (changed.changed, changed.left) == (0, 1)
    assert await it.states() == [("a", DeliveryState.DELIVERED), ("b", DeliveryState.PENDING)]
    assert (await it.settle(settle(lane, 2)))[0].recalled


async def test_a_settlement_that_waited_for_another_worker_to_take_the_lane_over_is_lost(
    it: StoreDriver, other: asyncpg.Connection, database_url: str
) -> None:
    one = await it.endpoint()
    lane = await it.lease_one(event("a", one), expires_at_ms=NOW_MS)
    later = it.as_owner("later")
    # Another worker ends the lease that has run out.
    states = await endpoints.states(other)
    assert (await retention.reap(other, states, LATER_MS, {}, 10)).leases_ended == 1
    (settled,) = await meanwhile(database_url, it.settle(settle(lane, 1)), lambda: other.execute("COMMIT"))
    assert settled.lost
    assert not await it.renew(lane, NOW_MS + LEASE_MS)
    again = await later.acquire_one(one)
    assert again.heads[0].attempts == 0
    assert (await it.settle(settle(lane, 1)))[0].lost
    more = {"after": Sequence(0), "heads_max": 1, "body_bytes_max": 100}
    assert await it.store.page(lane.lane_id, lane.generation, **more) is None
    assert await it.store.page(again.lane_id, again.generation, **more) is not None
    await it.release(lane)
    assert not (await later.settle(settle(again, 1)))[0].lost


async def test_lanes_that_another_worker_leases_at_this_moment_are_passed_over_and_not_forgotten(
    it: StoreDriver, other: asyncpg.Connection
) -> None:
    one = await it.endpoint()
    await it.accept(event("a", one, key="held"), event("b", one, key="free"))
    await other.execute("SELECT FROM roombell.lane WHERE ordering_key = 'held' FOR NO KEY UPDATE")
    async with asyncio.timeout(IN_TIME_S):
        acquired = await it.acquire(one)
        assert [lane.ordering_key for lane in acquired.lanes] == ["free"]
        assert acquired.next_due_at_ms is not None
        assert acquired.next_due_at_ms > NOW_MS
        assert (await it.acquire(one)).lanes == ()
        ages = {one: 0}
        assert (await it.store.reap(now_ms=NOW_MS + 2 * LEASE_MS, max_age_ms=ages, limit=10)).leases_ended == 1
    await other.execute("ROLLBACK")
    assert (await it.acquire_one(one)).ordering_key == "held"


async def test_an_event_that_another_worker_forgets_at_this_moment_is_passed_over(
    it: StoreDriver, other: asyncpg.Connection
) -> None:
    one = await it.endpoint()
    for name in ("held", "free"):
        await it.settle(settle(await it.lease_one(event(name, one, key=name)), 1))
    await other.execute("SELECT FROM roombell.event WHERE event_id = 'held' FOR UPDATE")
    async with asyncio.timeout(IN_TIME_S):
        assert (await it.store.prune(before_ms=LATER_MS, limit=10)).events == 1
    await other.execute("ROLLBACK")
    assert [name for name, _ in await it.states()] == ["held"]


@pytest.mark.parametrize(
    "done", ["SET state = 'cancelled', settled_at_ms = 1", "SET attempts = 1"], ids=["settled", "attempted"]
)
async def test_a_settlement_of_what_stands_otherwise_than_its_lane_says_writes_nothing(
    it: StoreDriver, other: asyncpg.Connection, done: str
) -> None:
    """Nothing of Roombell's makes such a row. Whoever did, the record of what was done is not written over."""
    one = await it.endpoint()
    lane = await it.lease_one(event("a", one))
    await other.execute(f"UPDATE roombell.delivery {done}")
    await other.execute("COMMIT")
    before = await it.find()
    with pytest.raises(AssertionError, match="settled once"):
        await it.store.commit(it.batch(event("b", one), settles=(settle(lane, 1),)))
    assert await it.find() == before


async def test_a_commit_that_fails_at_its_end_is_unknown_whatever_the_server_says(
    it: StoreDriver, database_url: str
) -> None:
    """A server that stops with a full disk in the middle of a COMMIT may find the commit in its log."""
    one = await it.endpoint()
    connection = await asyncpg.connect(database_url)
    await connection.execute(
        "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION 'No space left on device' USING ERRCODE = '53100'; END $$;"
        "CREATE CONSTRAINT TRIGGER full_disk AFTER INSERT ON roombell.event DEFERRABLE INITIALLY DEFERRED"
        " FOR EACH ROW EXECUTE FUNCTION full_disk()"
    )
    with pytest.raises(StoreUnavailable, match="no room left"):
        await it.accept(event("a", one))
    await connection.execute("DROP TRIGGER full_disk ON roombell.event")
    await connection.close()
    assert not (await it.accept(event("a", one)))[0].duplicate


async def test_a_caller_that_is_cancelled_in_a_transaction_leaves_nothing_behind(
    it: StoreDriver, other: asyncpg.Connection, database_url: str
) -> None:
    one = await it.endpoint()
    lane = await it.lease_one(event("a", one))
    await other.execute("SELECT FROM roombell.lane FOR UPDATE")
    task = asyncio.ensure_future(it.accept(event("b", one)))
    await until_somebody_waits(database_url)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await other.execute("COMMIT")
    (accepted,) = await it.accept(event("b", one), grants=(Grant(one, 1),))
    assert not accepted.duplicate
    assert [(place.lane_id, place.sequence) for place in accepted.placed] == [(LaneId(lane.lane_id), 2)]


async def test_a_pool_that_is_used_up_answers_in_time_and_recovers(
    database_url: str, other: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = PostgresStore(parse_url(f"{database_url}?pool_size=1"))
    await store.open()
    it = StoreDriver(store)
    one = await it.endpoint()
    await it.accept(event("a", one))
    await other.execute("SELECT FROM roombell.lane FOR UPDATE")
    holding = asyncio.ensure_future(it.accept(event("b", one)))
    await until_somebody_waits(database_url)
    monkeypatch.setattr(connections, "TRANSACTION_S_MAX", 0.2)
    with pytest.raises(StoreUnavailable):
        await it.accept(event("c", one))
    monkeypatch.undo()
    await other.execute("COMMIT")
    assert not (await holding)[0].duplicate
    assert not (await it.accept(event("c", one)))[0].duplicate
    await store.close()
