"""A database that goes away and comes back, refuses, or is led to by a wrong URL."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from roombell.cli.database_checks import check_database
from roombell.errors import StoreError, StoreFull, StoreReadOnly, StoreUnavailable
from roombell.stores.postgres.connections import Connections
from roombell.stores.postgres.store import PostgresStore
from roombell.stores.postgres.trouble import store_error
from roombell.stores.postgres.url import parse_url
from roombell.testing.store_driver import NOW_MS, StoreDriver, event
from support.pgbouncer import PROGRAM, PgBouncer
from support.postgres import PostgresServer

SOON_S = 60.0


async def until_taken(it: StoreDriver, name: str, endpoint_id: int) -> None:
    """Sends an event again and again, as a producer does, until it is on disk."""
    async with asyncio.timeout(SOON_S):
        while True:
            try:
                await it.accept(event(name, endpoint_id))
            except (StoreUnavailable, StoreReadOnly):
                await asyncio.sleep(0)
            else:
                return


@pytest.mark.parametrize("mode", ["fast", "immediate", "kill"])
async def test_a_restarted_server_is_connected_to_again_and_has_what_was_taken(mode: str) -> None:
    with PostgresServer() as server:
        store = PostgresStore(parse_url(server.new_database()))
        await store.open()
        it = StoreDriver(store)
        one = await it.endpoint()
        await it.accept(event("before", one))
        await asyncio.to_thread(server.kill if mode == "kill" else lambda: server.stop(mode))
        with pytest.raises(StoreUnavailable, match="connects again by itself"):
            await it.accept(event("during", one))
        await asyncio.to_thread(server.start)
        await until_taken(it, "during", one)
        assert [found.event_id for found in await it.find()] == ["before", "during"]
        await store.close()


async def test_a_driver_that_is_confused_by_a_killed_server_counts_as_a_broken_connection(database_url: str) -> None:
    connections = Connections(parse_url(database_url))
    await connections.open()
    with pytest.raises(StoreUnavailable, match="connects again by itself"):
        async with connections.transaction():
            raise asyncpg.InternalClientError("cannot switch to state 15; another operation (2) is in progress")
    await connections.close()


async def test_a_broken_listening_connection_is_made_anew_and_everything_is_looked_at(
    postgres: PostgresServer, database_url: str
) -> None:
    looked = asyncio.Event()
    due: asyncio.Queue[object] = asyncio.Queue()
    here, there = PostgresStore(parse_url(database_url)), PostgresStore(parse_url(database_url))
    await here.open()
    await there.open()
    there.listen(due=due.put_nowait, changed=looked.set)
    async with asyncio.timeout(SOON_S):
        await looked.wait()
        looked.clear()
        database = database_url.rpartition("/")[2]
        postgres.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            f" WHERE application_name = 'roombell-listen' AND datname = '{database}'"
        )
        await looked.wait()
        it = StoreDriver(here)
        await it.accept(event("a", await it.endpoint()))
        await due.get()
    await here.close()
    await there.close()


async def test_a_transaction_that_falls_silent_is_ended_so_that_others_go_on(
    postgres: PostgresServer, database_url: str
) -> None:
    """As a worker does that is stopped in the middle of a commit."""
    store = PostgresStore(parse_url(database_url))
    await store.open()
    it = StoreDriver(store)
    one = await it.endpoint()
    await it.accept(event("a", one))
    silent = await asyncpg.connect(database_url)
    await silent.execute("BEGIN; SET LOCAL idle_in_transaction_session_timeout = '100ms'")
    await silent.execute("SELECT FROM roombell.lane FOR UPDATE")
    assert (await it.accept(event("b", one)))[0].placed[0].sequence == 2
    silent.terminate()
    await store.close()


async def test_a_server_that_takes_no_writes_is_told_of(postgres: PostgresServer, database_url: str) -> None:
    store = PostgresStore(parse_url(database_url))
    await store.open()
    it = StoreDriver(store)
    one = await it.endpoint()
    database = database_url.rpartition("/")[2]
    postgres.execute(f"ALTER DATABASE {database} SET default_transaction_read_only = on")
    postgres.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}'", "postgres")
    with pytest.raises((StoreReadOnly, StoreUnavailable)):
        await it.accept(event("a", one))
    with pytest.raises(StoreReadOnly, match="read-write"):
        await it.accept(event("a", one))
    postgres.execute(f"ALTER DATABASE {database} SET default_transaction_read_only = off")
    await until_taken(it, "a", one)
    await store.close()


async def test_a_database_that_answers_before_the_disk_is_made_to_wait_for_it(
    postgres: PostgresServer, database_url: str
) -> None:
    database = database_url.rpartition("/")[2]
    postgres.execute(f"ALTER DATABASE {database} SET synchronous_commit = off")
    store = PostgresStore(parse_url(database_url))
    await store.open()
    async with store._connections.transaction() as connection:
        assert await connection.fetchval("SELECT current_setting('synchronous_commit')") == "on"
    await store.close()


@pytest.mark.parametrize(
    ("sqlstate", "kind"),
    [
        ("53100", StoreFull),
        ("25006", StoreReadOnly),
        ("53300", StoreUnavailable),
        ("57P01", StoreUnavailable),
        ("08006", StoreUnavailable),
        ("57P05", StoreUnavailable),
        ("42704", StoreError),
        ("28P01", StoreError),
        ("42883", StoreError),
    ],
)
def test_what_the_server_says_is_said_with_the_mend(sqlstate: str, kind: type[StoreError]) -> None:
    error = asyncpg.PostgresError.new({"C": sqlstate, "M": "what it said"})
    told = store_error(error, "PostgreSQL at db:5432, database x,")
    assert type(told) is kind
    assert "PostgreSQL at db:5432" in str(told)
    assert "what it said" in str(told)


async def test_a_store_that_is_not_open_says_so(database_url: str) -> None:
    store = PostgresStore(parse_url(database_url))
    with pytest.raises(StoreError, match="not open"):
        await store.prune(before_ms=NOW_MS, limit=1)


async def test_what_the_driver_cannot_read_in_a_url_is_said_when_the_store_is_opened(database_url: str) -> None:
    store = PostgresStore(parse_url(f"{database_url}?sslmode=sometimes"))
    with pytest.raises(StoreError, match=r"cannot be connected to: .*sslmode"):
        await store.open()


@pytest.mark.skipif(PROGRAM is None, reason="pgbouncer is not here")
async def test_a_pooler_that_is_not_named_as_one_is_recognised(postgres: PostgresServer, database_url: str) -> None:
    with PgBouncer(postgres) as pooler:
        unnamed = pooler.url(database_url.rpartition("/")[2]).partition("?")[0]
        with pytest.raises(StoreError, match=r"listen=HOST:PORT"):
            await PostgresStore(parse_url(unnamed)).open()


def test_the_doctor_finds_a_database_that_takes_no_writes(postgres: PostgresServer, database_url: str) -> None:
    database = database_url.rpartition("/")[2]
    assert "store: read-only" not in [found.check for found in check_database(parse_url(database_url), 0)]
    postgres.execute(f"ALTER DATABASE {database} SET default_transaction_read_only = on")
    found = {one.check: one for one in check_database(parse_url(database_url), 0)}
    assert "target_session_attrs" in found["store: read-only"].mend
