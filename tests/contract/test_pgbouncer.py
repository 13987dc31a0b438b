"""PostgreSQL behind PgBouncer in transaction mode keeps the promises that every kind of statement has a part in."""

from collections.abc import Iterator

import pytest

from roombell.stores.postgres.store import PostgresStore
from roombell.stores.postgres.url import parse_url
from roombell.testing.store_contract import MakeStore
from roombell.testing.store_contract_by_hand import RedriveContract
from roombell.testing.store_contract_lanes import LeaseContract
from roombell.testing.store_contract_life import RetentionContract
from roombell.testing.store_contract_shared import FleetContract, SharedContract
from roombell.testing.store_contract_writes import SettleContract
from support.pgbouncer import PROGRAM, PgBouncer
from support.postgres import PostgresServer

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="pgbouncer is not here")


@pytest.fixture(scope="module")
def pooler(postgres: PostgresServer) -> Iterator[PgBouncer]:
    with PgBouncer(postgres) as pooler:
        yield pooler


class TestPostgresStoreBehindPgBouncer(
    SettleContract, LeaseContract, RetentionContract, RedriveContract, SharedContract, FleetContract
):
    @pytest.fixture
    def make_store(self, pooler: PgBouncer, database_url: str) -> MakeStore:
        url = parse_url(pooler.url(database_url.rpartition("/")[2]))
        return lambda: PostgresStore(url)
