"""Full disks, read-only files, damaged files, files of others: a clear error, and nothing lost that was answered."""

import contextlib
import ctypes
import os
import sqlite3
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from roombell.engine.model import EndpointId
from roombell.errors import (
    StoreCorrupt,
    StoreError,
    StoreFull,
    StoreLocked,
    StoreReadOnly,
    StoreTooNew,
    StoreUnavailable,
)
from roombell.stores.sqlite.client import SqliteStore
from roombell.stores.sqlite.inline import InlineSqliteStore
from roombell.stores.sqlite.trouble import store_error
from roombell.testing.store_driver import StoreDriver, event

BODY = b"x" * 20_000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


@pytest.fixture
async def full(path: Path) -> AsyncIterator[tuple[InlineSqliteStore, EndpointId]]:
    """A store with some events in it that may not grow any more."""
    store = InlineSqliteStore(path)
    await store.open()
    it = StoreDriver(store)
    one = await it.endpoint()
    await it.accept(*(event(f"kept{number}", one, body=BODY) for number in range(5)))
    connection = store._database._connection
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count = {pages + 3}")
    yield store, one
    await store.close()


async def test_a_full_store_refuses_whole_commits_and_works_again_when_there_is_room(full, path: Path) -> None:
    store, one = full
    it = StoreDriver(store)
    for _ in range(3):
        with pytest.raises(StoreFull, match=r"store\.db.*Free space"):
            await it.accept(*(event(f"more{number}", one, body=BODY) for number in range(9)))
    status = await it.status(one)
    assert status.pending == 5
    lane = await it.acquire_one(one)
    assert [head.sequence for head in lane.heads] == [1, 2, 3, 4, 5]
    store._database._connection.execute("PRAGMA max_page_count = 1000000")
    accepted = await it.accept(event("more0", one, body=BODY))
    assert accepted[0].placed[0].sequence == 6


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A file system of two megabytes. Skips the test where one may not be mounted."""
    folder.mkdir()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"tmpfs", bytes(folder), b"tmpfs", 0, b"size=2m"):
        pytest.skip(f"cannot mount a small disk: {os.strerror(ctypes.get_errno())}")
    try:
        yield folder
    finally:
        assert libc.umount2(bytes(folder), 2) == 0


async def test_a_full_disk_refuses_commits_and_work_goes_on_when_space_is_freed(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as disk:
        ballast = disk / "ballast"
        ballast.write_bytes(b"x" * 500_000)
        store = SqliteStore(disk / "store.db")
        await store.open()
        try:
            it = StoreDriver(store)
            one = await it.endpoint()
            answered = await fill(it, one)
            with pytest.raises(StoreFull):
                await it.accept(event(f"e{answered}", one, body=BODY))
            assert 0 < answered < 1_000
            assert (await it.status(one)).pending == answered
            assert len(await it.store.endpoints()) == 1
            ballast.unlink()
            assert not (await it.accept(event(f"e{answered}", one, body=BODY)))[0].duplicate
            assert (await it.status(one)).pending == answered + 1
        finally:
            await store.close()
        store = SqliteStore(disk / "store.db")
        await store.open()
        assert (await StoreDriver(store).status(one)).pending == answered + 1
        await store.close()


async def fill(it: StoreDriver, one: EndpointId) -> int:
    """Accepts events until there is no room for the next; how many there was room for."""
    answered = 0
    with contextlib.suppress(StoreFull):
        while answered < 1_000:
            await it.accept(event(f"e{answered}", one, key=f"{answered}", body=BODY))
            answered += 1
    return answered


async def test_opening_on_a_full_disk_says_so(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as disk:
        with contextlib.suppress(OSError), (disk / "ballast").open("wb", buffering=0) as ballast:
            while True:
                ballast.write(b"x" * 4096)
        store = SqliteStore(disk / "store.db")
        with pytest.raises(StoreFull, match=r"store\.db.*Free space"):
            await store.open()
        (disk / "ballast").unlink()
        store = SqliteStore(disk / "store.db")
        await store.open()
        await StoreDriver(store).endpoint()
        await store.close()


async def test_a_read_only_disk_says_so(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as disk:
        store = InlineSqliteStore(disk / "store.db")
        await store.open()
        await store.close()
        remount, read_only = 32, 1
        assert ctypes.CDLL(None).mount(b"tmpfs", bytes(disk), b"tmpfs", remount | read_only, None) == 0
        store = SqliteStore(disk / "store.db")
        with pytest.raises(StoreReadOnly, match=r"store\.db.*write access"):
            await store.open()


async def test_a_store_that_becomes_read_only_refuses_and_keeps_what_it_has(path: Path) -> None:
    store = InlineSqliteStore(path)
    await store.open()
    it = StoreDriver(store)
    one = await it.endpoint()
    store._database._connection.execute("PRAGMA query_only = 1")
    with pytest.raises(StoreReadOnly, match=r"store\.db.*write access"):
        await it.accept(event("a", one))
    store._database._connection.execute("PRAGMA query_only = 0")
    assert not (await it.accept(event("a", one)))[0].duplicate
    await store.close()


async def refused(path: Path) -> StoreError:
    """What opening says; the same in both forms of the store."""
    said = []
    for store in (InlineSqliteStore(path), SqliteStore(path)):
        with pytest.raises(StoreError) as raised:
            await store.open()
        await store.close()
        said.append((type(raised.value), str(raised.value)))
    assert said[0] == said[1]
    return raised.value


async def test_a_file_that_is_no_database_is_left_alone(path: Path) -> None:
    garbage = os.urandom(50_000)
    path.write_bytes(garbage)
    assert isinstance(await refused(path), StoreCorrupt)
    assert path.read_bytes() == garbage


async def test_somebody_elses_database_is_left_alone(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE theirs (x)")
    before = path.read_bytes()
    error = await refused(path)
    assert isinstance(error, StoreCorrupt)
    assert "no Roombell store" in str(error)
    assert path.read_bytes() == before


@pytest.mark.parametrize("replaced", [False, True], ids=["deleted", "replaced"])
async def test_a_file_that_goes_while_it_is_open_is_noticed(
    path: Path, monkeypatch: pytest.MonkeyPatch, replaced: bool
) -> None:
    monkeypatch.setattr("roombell.stores.sqlite.database._FILE_CHECK_S", 0.0)
    store = InlineSqliteStore(path)
    await store.open()
    one = await StoreDriver(store).endpoint()
    path.rename(path.with_suffix(".old"))
    if replaced:
        path.touch()
    with pytest.raises(StoreCorrupt, match="deleted or replaced"):
        await StoreDriver(store).accept(event("EV_1", one))
    path.with_suffix(".old").replace(path)
    await StoreDriver(store).accept(event("EV_1", one))
    await store.close()


async def test_a_store_of_a_newer_version_is_left_alone(path: Path) -> None:
    store = InlineSqliteStore(path)
    await store.open()
    await store.close()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 99")
    error = await refused(path)
    assert isinstance(error, StoreTooNew)
    assert "99" in str(error)


async def filled(path: Path) -> EndpointId:
    store = InlineSqliteStore(path)
    await store.open()
    it = StoreDriver(store)
    one = await it.endpoint()
    for number in range(50):
        await it.accept(event(f"e{number}", one, body=BODY))
    await store.close()
    return one


async def test_a_truncated_store_is_damaged(path: Path) -> None:
    one = await filled(path)
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)
    store = InlineSqliteStore(path)
    with pytest.raises(StoreCorrupt, match=r"store\.db is damaged"):
        await read_all(store, one)
    await store.close()


async def test_a_store_with_ruined_pages_is_damaged(path: Path) -> None:
    one = await filled(path)
    with path.open("r+b") as file:
        file.seek(8192)
        file.write(os.urandom(path.stat().st_size - 8192))
    store = InlineSqliteStore(path)
    with pytest.raises(StoreCorrupt, match=r"store\.db is damaged"):
        await read_all(store, one)
    await store.close()


async def read_all(store: InlineSqliteStore, one: EndpointId) -> None:
    await store.open()
    await StoreDriver(store).acquire(one)


async def test_an_empty_file_becomes_a_store(path: Path) -> None:
    path.touch()
    store = InlineSqliteStore(path)
    await store.open()
    await StoreDriver(store).endpoint()
    await store.close()


async def test_an_emptied_file_beside_its_log_is_not_taken_for_a_new_one(path: Path) -> None:
    path.touch()
    Path(f"{path}-wal").write_bytes(b"the log")
    assert isinstance(await refused(path), StoreCorrupt)
    assert Path(f"{path}-wal").read_bytes() == b"the log"


async def test_a_folder_is_no_store(tmp_path: Path) -> None:
    assert "is a folder" in str(await refused(tmp_path))


async def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    error = await refused(tmp_path / "nowhere" / "store.db")
    assert "nowhere" in str(error)
    assert "does not exist" in str(error)


async def test_a_program_that_writes_the_file_is_waited_for_and_then_reported(path: Path, monkeypatch) -> None:
    store = InlineSqliteStore(path)
    await store.open()
    store._database._connection.execute("PRAGMA busy_timeout = 1")
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreLocked, match="another program"):
            await StoreDriver(store).endpoint()
        other.execute("ROLLBACK")
    await StoreDriver(store).endpoint()
    await store.close()


async def test_a_rollback_that_fails_closes_the_file(path: Path) -> None:
    store = InlineSqliteStore(path)
    await store.open()
    it = StoreDriver(store)
    one = await it.endpoint()
    store._database._connection = FailingConnection(store._database._connection, "COMMIT", "ROLLBACK")
    with pytest.raises(StoreUnavailable):
        await it.accept(event("a", one))
    assert not store._database.is_open
    await store.close()
    await store.open()
    assert (await it.status(one)).pending == 0
    await store.close()


async def test_a_commit_that_fails_leaves_nothing(path: Path) -> None:
    store = InlineSqliteStore(path)
    await store.open()
    it = StoreDriver(store)
    one = await it.endpoint()
    whole = store._database._connection
    store._database._connection = FailingConnection(whole, "COMMIT")
    with pytest.raises(StoreUnavailable, match="disk failed"):
        await it.accept(event("a", one))
    store._database._connection = whole
    (again,) = await it.accept(event("a", one))
    assert not again.duplicate
    assert again.placed[0].sequence == 1
    await store.close()


class FailingConnection:
    """A connection on which some statements meet a failing disk."""

    def __init__(self, connection: sqlite3.Connection, *statements: str) -> None:
        self._connection = connection
        self._statements = statements

    def __getattr__(self, name: str) -> object:
        return getattr(self._connection, name)

    def execute(self, statement: str, *parameters: object) -> sqlite3.Cursor:
        if statement in self._statements:
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC
            raise error
        return self._connection.execute(statement, *parameters)


@pytest.mark.parametrize("code", [sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_MISUSE])
def test_whatever_sqlite_says_becomes_a_store_error_that_names_the_file(code: int) -> None:
    error = sqlite3.OperationalError("what it says")
    error.sqlite_errorcode = code
    found = store_error(error, "/x/store.db")
    assert type(found) is StoreError
    assert "/x/store.db" in str(found)
    assert "what it says" in str(found)
