"""Every store keeps the promises of the port."""

from pathlib import Path

import pytest

from roombell.stores.memory import MemoryDisk, MemoryStore
from roombell.stores.sqlite.client import SqliteStore
from roombell.stores.sqlite.inline import InlineSqliteStore
from roombell.testing.store_contract import MakeStore, StoreContract


class TestMemoryStore(StoreContract):
    @pytest.fixture
    def make_store(self) -> MakeStore:
        disk = MemoryDisk()
        return lambda: MemoryStore(disk)


class TestInlineSqliteStore(StoreContract):
    @pytest.fixture
    def make_store(self, tmp_path: Path) -> MakeStore:
        return lambda: InlineSqliteStore(tmp_path / "store.db")


class TestSqliteStore(StoreContract):
    @pytest.fixture
    def make_store(self, tmp_path: Path) -> MakeStore:
        return lambda: SqliteStore(tmp_path / "store.db", lock_wait_s=0.0)
