"""Which transactions wait for the disk: all that anybody is answered for, and leases alone do not."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from roombell.errors import StoreError
from roombell.stores.sqlite.inline import InlineSqliteStore
from roombell.testing.store_driver import StoreDriver, event, settle

NORMAL, FULL = 1, 2


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[InlineSqliteStore]:
    store = InlineSqliteStore(tmp_path / "store.db")
    await store.open()
    yield store
    await store.close()


class Watched:
    """How durable each COMMIT of a store is."""

    def __init__(self, store: InlineSqliteStore) -> None:
        self.commits: list[int] = []
        self._connection = store._database._connection
        self._level = FULL
        self._connection.set_trace_callback(self._see)

    def _see(self, statement: str) -> None:
        if statement.startswith("PRAGMA synchronous"):
            self._level = {"NORMAL": NORMAL, "FULL": FULL}[statement.rsplit(maxsplit=1)[-1]]
        elif statement == "COMMIT":
            self.commits.append(self._level)

    def level(self) -> int:
        self._connection.set_trace_callback(None)
        return self._connection.execute("PRAGMA synchronous").fetchone()[0]


async def test_what_is_answered_for_waits_for_the_disk_and_a_lease_does_not(store: InlineSqliteStore) -> None:
    it = StoreDriver(store)
    one = await it.endpoint()
    seen = Watched(store)
    await it.accept(event("a", one))
    (lane,) = (await it.acquire(one)).lanes
    await store.set_endpoint_health(one, b"health")
    await it.settle(settle(lane, lane.heads[0].sequence))
    assert seen.commits == [FULL, NORMAL, NORMAL, FULL]
    assert seen.level() == FULL


async def test_after_a_lease_that_failed_commits_wait_for_the_disk_again(store: InlineSqliteStore) -> None:
    it = StoreDriver(store)
    one = await it.endpoint()
    await it.accept(event("a", one))
    store._database._connection.execute("PRAGMA query_only = ON")
    with pytest.raises(StoreError):
        await store.set_endpoint_health(one, b"health")
    store._database._connection.execute("PRAGMA query_only = OFF")
    seen = Watched(store)
    await it.accept(event("b", one))
    assert seen.commits == [FULL]
    assert seen.level() == FULL
