"""Moving a database up while workers of the version before go on, and refusing what cannot be worked on."""

from __future__ import annotations

import asyncio
from pathlib import Path

import asyncpg
import pytest

from roombell.engine.model import DeliveryState
from roombell.errors import StoreTooNew
from roombell.stores.postgres import schema
from roombell.stores.postgres.store import PostgresStore
from roombell.stores.postgres.url import parse_url
from roombell.testing.store_contract import MakeStore, SharedStoreContract
from roombell.testing.store_driver import event, opened, settle
from support.postgres import PostgresServer

ADDS_MORE = """
ALTER TABLE roombell.event ADD COLUMN more text NOT NULL DEFAULT '';
ALTER TABLE roombell.lane ADD COLUMN more bigint NOT NULL DEFAULT 0;
ALTER TABLE roombell.delivery ADD COLUMN more bigint NOT NULL DEFAULT 0;
ALTER TABLE roombell.attempt ADD COLUMN more bigint NOT NULL DEFAULT 0;
ALTER TABLE roombell.endpoint ADD COLUMN more bigint NOT NULL DEFAULT 0;
ALTER TABLE roombell.worker ADD COLUMN more bigint NOT NULL DEFAULT 0;
CREATE INDEX lane_more ON roombell.lane (more);
CREATE TABLE roombell.more (id bigint PRIMARY KEY);
"""


@pytest.fixture
def later(tmp_path: Path) -> Path:
    """The migrations of the version after this one."""
    for file in schema.MIGRATIONS.glob("*.sql"):
        (tmp_path / file.name).write_text(file.read_text())
    (tmp_path / "9999_more.sql").write_text(ADDS_MORE)
    return tmp_path


async def move_up(url: str, folder: Path) -> schema.StoreRow:
    connection = await asyncpg.connect(url)
    async with connection.transaction():
        row = await schema.move_up(connection, "the database", folder)
    await connection.close()
    return row


class TestOldCodeOnTheNewSchema(SharedStoreContract):
    """Everything that the store promises it keeps on a database that a newer version has moved up."""

    @pytest.fixture
    async def make_store(self, database_url: str, later: Path) -> MakeStore:
        row = await move_up(database_url, later)
        assert row.version == len(schema.migrations()) + 1
        return lambda: PostgresStore(parse_url(database_url))


async def test_a_worker_goes_on_while_another_one_moves_the_database_up(database_url: str, later: Path) -> None:
    async with opened(lambda: PostgresStore(parse_url(database_url))) as it:
        one = await it.endpoint()
        lane = await it.lease_one(event("a", one))
        await move_up(database_url, later)
        await it.accept(event("b", one))
        await it.settle(settle(lane, 1), settle(lane, 2))
        assert [state for _, state in await it.states()] == [DeliveryState.DELIVERED] * 2


async def test_workers_that_start_at_once_make_one_store(database_url: str) -> None:
    stores = [PostgresStore(parse_url(database_url)) for _ in range(6)]
    await asyncio.gather(*(store.open() for store in stores))
    assert len({store.store_id for store in stores}) == 1
    for store in stores:
        await store.close()


async def test_a_database_that_takes_newer_workers_only_is_refused(postgres: PostgresServer, database_url: str) -> None:
    async with opened(lambda: PostgresStore(parse_url(database_url))):
        pass
    postgres.execute("UPDATE roombell.store SET version = 99, compatible_from = 98", database_url.rpartition("/")[2])
    with pytest.raises(StoreTooNew, match="Use that newer Roombell"):
        await PostgresStore(parse_url(database_url)).open()


async def test_a_schema_that_was_made_for_the_user_is_enough(postgres: PostgresServer, database_url: str) -> None:
    """Who may make no schema in the database may own one."""
    database = database_url.rpartition("/")[2]
    user = f"owner_of_{database}"
    postgres.execute(f"CREATE ROLE {user} LOGIN PASSWORD 'its own'")
    postgres.execute(f"CREATE SCHEMA roombell AUTHORIZATION {user}", database)
    url = f"postgresql://{user}:its%20own@127.0.0.1:{postgres.port}/{database}"
    async with opened(lambda: PostgresStore(parse_url(url))) as it:
        await it.accept(event("a", await it.endpoint()))
