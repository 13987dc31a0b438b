"""The store's own process: answers requests on an inherited socket until the other end is closed.

A store in a thread beside a busy event loop starves on the interpreter's lock, and on the loop it stalls the loop
for as long as the disk takes; in a process of its own it does neither. Signals meant for the service (Ctrl-C in a
terminal, a supervisor's SIGTERM to the whole group) are ignored here: the service still has to settle what is in
flight, and when it is gone, however it went, the socket closes and this process ends after the transaction under way.

This module is imported by nothing but that process, and imports little, so that it starts fast.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
import traceback

import msgspec

from roombell.errors import StoreError
from roombell.stores.sqlite import wire
from roombell.stores.sqlite.database import Database

_PARENT_CHECK_MS = 1_000
"""How often an idle store looks whether its parent lives: a fork of the parent may keep the socket open."""


def main(socket_number: int, parent_pid: int) -> None:
    """Serves the socket with that descriptor until its other end is closed or ``parent_pid`` is gone."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    with socket.socket(fileno=socket_number) as connection:
        server = _Server()
        try:
            _serve(connection, server, parent_pid)
        except (BrokenPipeError, ConnectionResetError):
            pass  # the parent is gone; what it asked for is done or was not begun
        finally:
            server.close()


def _serve(connection: socket.socket, server: _Server, parent_pid: int) -> None:
    while (header := _read(connection, wire.LENGTH.size, parent_pid)) is not None:
        frame = _read(connection, wire.LENGTH.unpack(header)[0], parent_pid)
        if frame is None:
            return
        answer = server.answer(frame)
        connection.sendall(wire.LENGTH.pack(len(answer)) + answer)
        if not server.usable:
            return


def _read(connection: socket.socket, count: int, parent_pid: int) -> bytes | None:
    """Exactly ``count`` bytes, or None at the end of the stream."""
    buffer = bytearray(count)
    view = memoryview(buffer)
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    while view:
        while not poll.poll(_PARENT_CHECK_MS):
            if os.getppid() != parent_pid:
                return None
        got = connection.recv_into(view)
        if got == 0:
            return None
        view = view[got:]
    return bytes(buffer)


class _Server:
    """A database that is opened by the first request. ``usable`` says whether there is a point in going on."""

    def __init__(self) -> None:
        self._database: Database | None = None
        self._decoder = msgspec.msgpack.Decoder(wire.Request)
        self._encoder = msgspec.msgpack.Encoder()
        self.usable = True

    def answer(self, frame: bytes) -> bytes:
        """What goes back for one request. Errors of ours are answered too; the next request may fare better."""
        try:
            return wire.OK + self._encoder.encode(self._result(self._decoder.decode(frame)))
        except StoreError as error:
            return wire.refusal(error)
        except Exception:  # noqa: BLE001 - whatever it is, the client raises it
            return wire.BUG + traceback.format_exc().encode()
        finally:
            self.usable = self._database is not None and self._database.is_open

    def close(self) -> None:
        if self._database is not None:
            self._database.close()

    def _result(self, request: wire.Request) -> object:
        if isinstance(request, wire.Open):
            self._database = Database(request.path, lock_wait_s=request.lock_wait_s)
            self._database.open(keep_leases=request.keep_leases)
            return self._database.store_id
        assert self._database is not None, "the first request opens the database"
        return _run(self._database, request)


def _run(database: Database, request: wire.Request) -> object:  # noqa: PLR0911 - one for each request
    match request:
        case wire.Commit(batch):
            return database.commit(batch)
        case wire.Acquire():
            return database.acquire(
                request.owner,
                request.endpoint_id,
                lanes_max=request.lanes_max,
                heads_max=request.heads_max,
                body_bytes_max=request.body_bytes_max,
                now_ms=request.now_ms,
                expires_at_ms=request.expires_at_ms,
            )
        case wire.Page(lane_id, generation, after, heads_max, body_bytes_max):
            return database.page(lane_id, generation, after=after, heads_max=heads_max, body_bytes_max=body_bytes_max)
        case wire.Register(names, now_ms):
            return database.register(names, now_ms=now_ms)
        case wire.SetEndpointState(endpoint_id, state, reason, now_ms):
            database.set_endpoint_state(endpoint_id, state, reason=reason, now_ms=now_ms)
            return None
        case wire.SetEndpointHealth(endpoint_id, health):
            database.set_endpoint_health(endpoint_id, health)
            return None
        case wire.Endpoints():
            return database.endpoints()
        case wire.Open():
            raise AssertionError("a database is opened once")
        case wire.Documents() | wire.DocumentsAfter() | wire.PutDocuments():
            return _run_shelf(database, request)
        case _:
            return _run_upkeep(database, request)


def _run_shelf(database: Database, request: wire.Shelf) -> object:
    match request:
        case wire.Documents(keys):
            return database.documents(keys)
        case wire.DocumentsAfter(key, limit):
            return database.documents_after(key, limit=limit)
        case wire.PutDocuments(puts):
            return database.put_documents(puts)


def _run_upkeep(database: Database, request: wire.Upkeep) -> object:
    match request:
        case wire.Reap(now_ms, max_age_ms, limit):
            return database.reap(now_ms=now_ms, max_age_ms=max_age_ms, limit=limit)
        case wire.Prune(before_ms, limit):
            return database.prune(before_ms=before_ms, limit=limit)
        case wire.Find(selector, after, limit):
            return database.find(selector, after=after, limit=limit)
        case wire.Change(selector, verb, reason, after, limit, now_ms):
            return database.change(selector, verb, reason=reason, after=after, limit=limit, now_ms=now_ms)
        case wire.Unblock(endpoint_id, ordering_key, after, limit, now_ms):
            return database.unblock(endpoint_id, ordering_key, after=after, limit=limit, now_ms=now_ms)
        case wire.History(event_id):
            return database.history(event_id)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
