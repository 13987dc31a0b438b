"""Every store keeps the promises of the port."""

from pathlib import Path

import pytest

from roombell.stores.memory import MemoryDisk, MemoryStore
from roombell.stores.postgres.store import PostgresStore
from roombell.stores.postgres.url import parse_url
from roombell.stores.sqlite.client import SqliteStore
from roombell.stores.sqlite.inline import InlineSqliteStore
from roombell.testing.store_contract import MakeStore, OwnedStoreContract, SharedStoreContract


class TestMemoryStore(OwnedStoreContract):
    @pytest.fixture
    def make_store(self) -> MakeStore:
        disk = MemoryDisk()
        return lambda: MemoryStore(disk)


class TestSharedMemoryStore(SharedStoreContract):
    @pytest.fixture
    def make_store(self) -> MakeStore:
        disk = MemoryDisk()
        return lambda: MemoryStore(disk, shared=True)


class TestInlineSqliteStore(OwnedStoreContract):
    @pytest.fixture
    def make_store(self, tmp_path: Path) -> MakeStore:
        return lambda: InlineSqliteStore(tmp_path / "store.db")


class TestSqliteStore(OwnedStoreContract):
    @pytest.fixture
    def make_store(self, tmp_path: Path) -> MakeStore:
        return lambda: SqliteStore(tmp_path / "store.db", lock_wait_s=0.0)


class TestPostgresStore(SharedStoreContract):
    @pytest.fixture
    def make_store(self, database_url: str) -> MakeStore:
        return lambda: PostgresStore(parse_url(database_url))
