"""What the store's process and its client say to each other.

A frame is four bytes of length, little-endian, and as many bytes. The client's frames are one ``Request`` in
msgpack. Each is answered, in order, by one frame: a byte that says how it went, then the result in msgpack (``OK``),
``[code, message]`` of a ``StoreError`` (``REFUSED``), or a traceback (``BUG``).
"""

from __future__ import annotations

import struct

import msgspec

from roombell.engine.model import Batch, EndpointId, EndpointState, Generation, LaneId, Put, Sequence
from roombell.engine.selection import Cursor, Selector
from roombell.engine.transitions import Verb
from roombell.errors import (
    StoreCorrupt,
    StoreError,
    StoreFull,
    StoreLocked,
    StoreReadOnly,
    StoreTooNew,
    StoreUnavailable,
)

LENGTH = struct.Struct("<I")

OK = b"\x00"
REFUSED = b"\x01"
BUG = b"\x02"

_ERRORS: dict[str, type[StoreError]] = {
    kind.code: kind
    for kind in (
        StoreError,
        StoreCorrupt,
        StoreFull,
        StoreLocked,
        StoreReadOnly,
        StoreTooNew,
        StoreUnavailable,
    )
}


class Open(msgspec.Struct, frozen=True, array_like=True, tag="open"):
    """The first request; answered with the store's id."""

    path: str
    keep_leases: bool
    lock_wait_s: float


class Commit(msgspec.Struct, frozen=True, array_like=True, tag="commit"):
    batch: Batch


class Acquire(msgspec.Struct, frozen=True, array_like=True, tag="acquire"):
    owner: str
    endpoint_id: EndpointId
    lanes_max: int
    heads_max: int
    body_bytes_max: int
    now_ms: int
    expires_at_ms: int


class Page(msgspec.Struct, frozen=True, array_like=True, tag="page"):
    lane_id: LaneId
    generation: Generation
    after: Sequence
    heads_max: int
    body_bytes_max: int


class Register(msgspec.Struct, frozen=True, array_like=True, tag="register"):
    names: tuple[str, ...]
    now_ms: int


class SetEndpointState(msgspec.Struct, frozen=True, array_like=True, tag="set_endpoint_state"):
    endpoint_id: EndpointId
    state: EndpointState
    reason: str
    now_ms: int


class SetEndpointHealth(msgspec.Struct, frozen=True, array_like=True, tag="set_endpoint_health"):
    endpoint_id: EndpointId
    health: bytes


class Endpoints(msgspec.Struct, frozen=True, array_like=True, tag="endpoints"):
    pass


class Find(msgspec.Struct, frozen=True, array_like=True, tag="find"):
    selector: Selector
    after: Cursor | None
    limit: int


class Change(msgspec.Struct, frozen=True, array_like=True, tag="change"):
    selector: Selector
    verb: Verb
    reason: str
    after: Cursor | None
    limit: int
    now_ms: int


class Unblock(msgspec.Struct, frozen=True, array_like=True, tag="unblock"):
    endpoint_id: EndpointId | None
    ordering_key: str | None
    after: Cursor | None
    limit: int
    now_ms: int


class History(msgspec.Struct, frozen=True, array_like=True, tag="history"):
    event_id: str


class Reap(msgspec.Struct, frozen=True, array_like=True, tag="reap"):
    now_ms: int
    max_age_ms: dict[EndpointId, int]
    limit: int


class Prune(msgspec.Struct, frozen=True, array_like=True, tag="prune"):
    before_ms: int
    limit: int


class Documents(msgspec.Struct, frozen=True, array_like=True, tag="documents"):
    keys: tuple[str, ...]


class DocumentsAfter(msgspec.Struct, frozen=True, array_like=True, tag="documents_after"):
    key: str | None
    limit: int


class PutDocuments(msgspec.Struct, frozen=True, array_like=True, tag="put_documents"):
    puts: tuple[Put, ...]


Shelf = Documents | DocumentsAfter | PutDocuments
Upkeep = Reap | Prune | Find | Change | Unblock | History
Request = Open | Commit | Acquire | Page | Register | SetEndpointState | SetEndpointHealth | Endpoints | Shelf | Upkeep


def refusal(error: StoreError) -> bytes:
    """The answer that carries an error over."""
    return REFUSED + msgspec.msgpack.encode((error.code, str(error)))


def refused(payload: bytes) -> StoreError:
    """The error that an answer carries."""
    code, message = msgspec.msgpack.decode(payload, type=tuple[str, str])
    return _ERRORS.get(code, StoreError)(message)
