"""PostgreSQL behind PgBouncer in transaction mode keeps the promises of the port too."""

from collections.abc import Iterator

import pytest

from roombell.stores.postgres.store import PostgresStore
from roombell.stores.postgres.url import parse_url
from roombell.testing.store_contract import MakeStore, SharedStoreContract
from support.pgbouncer import PROGRAM, PgBouncer
from support.postgres import PostgresServer

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="pgbouncer is not here")


@pytest.fixture(scope="module")
def pooler(postgres: PostgresServer) -> Iterator[PgBouncer]:
    with PgBouncer(postgres) as pooler:
        yield pooler


class TestPostgresStoreBehindPgBouncer(SharedStoreContract):
    @pytest.fixture
    def make_store(self, pooler: PgBouncer, database_url: str) -> MakeStore:
        url = parse_url(pooler.url(database_url.rpartition("/")[2]))
        return lambda: PostgresStore(url)
