"""The store on a SQLite file, synchronous: each method is one transaction.

WAL with ``synchronous=FULL``: one fsync for each transaction, after which it is durable. Leases and what is known of an
endpoint's health go without: a power cut ends all leases anyway, and no event waits for the disk because some other
endpoint's retry is due. All that is kept of the file in memory is a cache of lanes, which a transaction that fails
throws away.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Iterator, Mapping
from collections.abc import Sequence as Seq
from pathlib import Path

import msgspec

from roombell.engine.model import (
    Acquired,
    Batch,
    BatchResult,
    Delivery,
    Document,
    EndpointId,
    EndpointState,
    EndpointStatus,
    Generation,
    LaneId,
    Pruned,
    Put,
    Reaped,
    Sequence,
)
from roombell.engine.selection import Changed, Cursor, DeliveryHistory, Found, Selector, Unblocked
from roombell.engine.transitions import Verb
from roombell.errors import StoreCorrupt, StoreError
from roombell.stores.sqlite import documents, lanes, retention, schema, selection
from roombell.stores.sqlite.lane_cache import LaneCache
from roombell.stores.sqlite.lock import FileLock
from roombell.stores.sqlite.queries import query
from roombell.stores.sqlite.trouble import file_error, store_error
from roombell.stores.sqlite.work import SqliteBatchWork

_FILE_CHECK_S = 1.0

_ENDPOINT_HEALTH = query("endpoint_health")
_ENDPOINTS = query("endpoints")
_ENDPOINTS_OLDEST_LEASED = query("endpoints_oldest_leased")
_ENDPOINT_ADD = query("endpoint_add")
_ENDPOINT_CHANGE = query("endpoint_change")
_LEASES_END_ALL = query("leases_end_all")


class Database:
    """A store's file, from ``open`` to ``close``, used by one thread. Methods are those of the ``Store`` port.

    Errors are ``StoreError`` and its children; after one, nothing of the call was written.
    """

    def __init__(self, path: str | os.PathLike[str], *, lock_wait_s: float) -> None:
        self.path = os.path.realpath(path)
        self._lock = FileLock(self.path, wait_s=lock_wait_s)
        self._connection: sqlite3.Connection | None = None
        self._store_id = ""
        self._prune_place = retention.START
        self._lanes = LaneCache()
        self._file_id: tuple[int, int] | None = None
        self._check_at_s = 0.0

    @property
    def store_id(self) -> str:
        self._opened()
        return self._store_id

    @property
    def is_open(self) -> bool:
        """False before ``open``, after ``close``, and after a failure that cost the connection."""
        return self._connection is not None

    def open(self, *, keep_leases: bool = False) -> None:
        """Takes the lock, opens the file, moves it up to this version.

        :param keep_leases: the workers that hold leases live on, as when only the store's process was restarted.
        """
        assert self._connection is None, "a database is opened once"
        self._lock.take()
        try:
            self._connection = schema.connect(self.path)
            with self._transaction() as connection:
                self._store_id = schema.read_store_id(connection)
                if not keep_leases:
                    connection.execute(_LEASES_END_ALL)
            self._file_id = _file_id(self.path)
        except BaseException as error:
            self.close()
            if isinstance(error, sqlite3.Error):
                raise store_error(error, self.path) from error
            if isinstance(error, OSError):
                raise file_error(error, self.path) from error
            raise

    def close(self) -> None:
        self._lanes.clear()
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):  # the last checkpoint can wait for the next opening
                self._connection.close()
            self._connection = None
        self._lock.release()

    def commit(self, batch: Batch) -> BatchResult:
        started = time.perf_counter()
        with self._transaction() as connection:
            self._lanes.trim()
            result = SqliteBatchWork(connection, batch, self._lanes).apply()
        return msgspec.structs.replace(result, commit_ms=(time.perf_counter() - started) * 1000)

    def acquire(
        self,
        owner: str,
        endpoint_id: EndpointId,
        *,
        lanes_max: int,
        heads_max: int,
        body_bytes_max: int,
        now_ms: int,
        expires_at_ms: int,
    ) -> Acquired:
        bounds = lanes.Bounds(lanes_max, heads_max, body_bytes_max)
        with self._transaction_without_fsync() as connection:
            acquired = lanes.acquire(connection, owner, endpoint_id, bounds, now_ms, expires_at_ms)
            self._lanes.forget(lane.lane_id for lane in acquired.lanes)
            return acquired

    def page(
        self, lane_id: LaneId, generation: Generation, *, after: Sequence, heads_max: int, body_bytes_max: int
    ) -> tuple[Delivery, ...] | None:
        with self._transaction() as connection:
            return lanes.page(connection, lane_id, generation, after, heads_max, body_bytes_max)

    def register(self, names: Seq[str], *, now_ms: int) -> dict[str, EndpointStatus]:
        with self._transaction() as connection:
            connection.executemany(_ENDPOINT_ADD, [(name, now_ms) for name in dict.fromkeys(names)])
            known = {status.name: status for status in _statuses(connection)}
            for name in known.keys() - set(names):
                if known[name].state is not EndpointState.REMOVED:
                    removed = EndpointState.REMOVED
                    _change(connection, known[name].endpoint_id, removed, "not listed", now_ms)
            return {name: known[name] for name in names}

    def set_endpoint_state(self, endpoint_id: EndpointId, state: EndpointState, *, reason: str, now_ms: int) -> None:
        with self._transaction() as connection:
            _change(connection, endpoint_id, state, reason, now_ms)

    def set_endpoint_health(self, endpoint_id: EndpointId, health: bytes) -> None:
        with self._transaction_without_fsync() as connection:
            changed = connection.execute(_ENDPOINT_HEALTH, (health, endpoint_id)).rowcount
            assert changed == 1, "the endpoint is registered"

    def endpoints(self) -> tuple[EndpointStatus, ...]:
        with self._transaction() as connection:
            return tuple(
                status
                for status in _statuses(connection)
                if status.state is not EndpointState.REMOVED or status.pending
            )

    def find(self, selector: Selector, *, after: Cursor | None, limit: int) -> Found:
        with self._transaction() as connection:
            return selection.find(connection, selector, after, limit)

    def history(self, event_id: str) -> tuple[DeliveryHistory, ...]:
        with self._transaction() as connection:
            return selection.history(connection, event_id)

    def change(
        self, selector: Selector, verb: Verb, *, reason: str, after: Cursor | None, limit: int, now_ms: int
    ) -> Changed:
        with self._transaction() as connection:
            changed, touched = selection.change(connection, selector, verb, reason, after, limit, now_ms)
            self._lanes.forget(touched)
            return changed

    def unblock(
        self,
        endpoint_id: EndpointId | None,
        ordering_key: str | None,
        *,
        after: Cursor | None,
        limit: int,
        now_ms: int,
    ) -> Unblocked:
        with self._transaction() as connection:
            unblocked, touched = selection.unblock(connection, endpoint_id, ordering_key, after, limit, now_ms)
            self._lanes.forget(touched)
            return unblocked

    def documents(self, keys: Seq[str]) -> tuple[Document, ...]:
        with self._transaction() as connection:
            return documents.with_keys(connection, keys)

    def documents_after(self, key: str | None, *, limit: int) -> tuple[Document, ...]:
        with self._transaction() as connection:
            return documents.after(connection, key, limit)

    def put_documents(self, puts: Seq[Put]) -> tuple[bool, ...]:
        with self._transaction() as connection:
            return tuple([documents.put(connection, put) for put in puts])

    def reap(self, *, now_ms: int, max_age_ms: Mapping[EndpointId, int], limit: int) -> Reaped:
        with self._transaction() as connection:
            self._lanes.clear()
            states = {status.endpoint_id: status.state for status in _statuses(connection)}
            return retention.reap(connection, states, now_ms, max_age_ms, limit)

    def prune(self, *, before_ms: int, limit: int) -> Pruned:
        with self._transaction() as connection:
            self._lanes.clear()
            pruned, place = retention.prune(connection, self._prune_place, before_ms, limit)
        self._prune_place = place
        return pruned

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """All of its body is durable when it ends, or none of it."""
        connection = self._opened()
        self._check_file()
        at_commit = False
        try:
            connection.execute("BEGIN IMMEDIATE")
            yield connection
            at_commit = True
            connection.execute("COMMIT")
        except BaseException as error:
            self._lanes.clear()
            self._roll_back(connection)
            if isinstance(error, (sqlite3.Error, UnicodeError, OverflowError)):
                raise store_error(error, self.path, at_commit=at_commit) from error
            raise

    @contextlib.contextmanager
    def _transaction_without_fsync(self) -> Iterator[sqlite3.Connection]:
        """The same, but durable only with the next one that is: a power cut in between undoes it, and a SIGKILL does
        not. Nothing that anybody was answered may be in it.
        """
        connection = self._opened()
        connection.execute("PRAGMA synchronous = NORMAL")
        try:
            with self._transaction():
                yield connection
        finally:
            if self.is_open:
                connection.execute("PRAGMA synchronous = FULL")

    def _check_file(self) -> None:
        """Now and then: does the path still name the file that is open? SQLite writes on into a deleted one."""
        now_s = time.monotonic()
        if self._file_id is None or now_s < self._check_at_s:
            return
        self._check_at_s = now_s + _FILE_CHECK_S
        if _file_id(self.path) != self._file_id:
            raise StoreCorrupt(
                f"{self.path} was deleted or replaced while it was open. Stop Roombell, put the file back, start it."
            )

    def _roll_back(self, connection: sqlite3.Connection) -> None:
        """SQLite ends some transactions by itself when they fail. One that cannot be ended goes with its connection."""
        try:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        except sqlite3.Error:
            with contextlib.suppress(sqlite3.Error):
                connection.close()
            self._connection = None

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            raise StoreError(f"{self.path} is not open. Call open() first.")
        return self._connection


def _file_id(path: str) -> tuple[int, int] | None:
    try:
        found = Path(path).stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _change(
    connection: sqlite3.Connection, endpoint_id: EndpointId, state: EndpointState, reason: str, now_ms: int
) -> None:
    row = {"id": endpoint_id, "state": state.value, "reason": reason, "now_ms": now_ms}
    changed = connection.execute(_ENDPOINT_CHANGE, row).rowcount
    assert changed == 1, "the endpoint is registered"


def _statuses(connection: sqlite3.Connection) -> list[EndpointStatus]:
    leased: dict[int, int] = dict(connection.execute(_ENDPOINTS_OLDEST_LEASED).fetchall())
    return [_status(row, leased.get(row[0])) for row in connection.execute(_ENDPOINTS)]


def _status(
    row: tuple[int, str, str, str, int, int, int, bytes, int, int | None], leased: int | None
) -> EndpointStatus:
    endpoint_id, name, state, reason, changed_at_ms, pending, dead, health, blocked, waiting = row
    return EndpointStatus(
        endpoint_id=EndpointId(endpoint_id),
        name=name,
        state=EndpointState(state),
        reason=reason,
        changed_at_ms=changed_at_ms,
        pending=pending,
        dead=dead,
        oldest_pending_at_ms=min((at for at in (waiting, leased) if at is not None), default=None),
        health=health,
        blocked=blocked,
    )
