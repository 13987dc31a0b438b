"""A database that a store is moved to: whose it is, and what is said of it before it is whole."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest

from roombell.errors import StoreError
from roombell.stores.moving import Move, Source
from roombell.stores.postgres import schema
from roombell.stores.postgres.inspect import inspect
from roombell.stores.postgres.moving import PostgresTarget
from roombell.stores.postgres.url import parse_url
from roombell.stores.sqlite.inline import InlineSqliteStore
from roombell.stores.sqlite.moving import opened_source
from roombell.testing.store_driver import event, opened

IN_TIME_S = 60.0
WAITING = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    path = tmp_path / "roombell.db"
    async with opened(lambda: InlineSqliteStore(path)) as it:
        await it.accept(event("EV_1", await it.endpoint()))
    return path


@pytest.fixture
def source(path: Path) -> Iterator[Source]:
    with opened_source(path) as source:
        yield source


@asynccontextmanager
async def opened_target(url: str) -> AsyncIterator[PostgresTarget]:
    target = PostgresTarget(parse_url(url))
    await target.open()
    try:
        yield target
    finally:
        await target.close()


async def until_somebody_waits(connection: asyncpg.Connection) -> None:
    async with asyncio.timeout(IN_TIME_S):
        while not await connection.fetchval(WAITING):
            await asyncio.sleep(0)


async def test_a_store_that_a_service_makes_in_that_moment_is_left_alone(source: Source, database_url: str) -> None:
    service, look = await asyncpg.connect(database_url), await asyncpg.connect(database_url)
    async with opened_target(database_url) as target:
        await service.execute("BEGIN")
        made = await schema.move_up(service, "the database")
        beginning = asyncio.ensure_future(Move(source, target).begin())
        await until_somebody_waits(look)
        await service.execute("COMMIT")
        with pytest.raises(StoreError, match="holds a store already"):
            await beginning
    assert await schema.read_version(look) == made
    await service.close()
    await look.close()


async def test_whoever_looks_at_a_part_of_a_store_is_told_what_it_is(source: Source, database_url: str) -> None:
    async with opened_target(database_url) as target:
        await Move(source, target).begin()
        with pytest.raises(StoreError, match=r"roombell migrate moves there\. Run that command again"):
            await inspect(parse_url(database_url))
