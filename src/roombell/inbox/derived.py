"""Events that the inbox makes itself, of what it concludes from LiveKit's. Pure.

They look like webhooks, so that handlers get them as they get all others: in order with their room's, durably, and
each once. Their ids are made of what they say.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Final

import msgspec

from roombell.errors import UsageError
from roombell.events import WebhookEvent, parse
from roombell.events.names import ANOMALY, ROOM_COMPLETE
from roombell.receiver.room_state import Anomaly, Change, RoomComplete

Derived = RoomComplete | Anomaly
_ID_BYTES: Final = 16


class _Room(msgspec.Struct, frozen=True):
    name: str
    sid: str = ""


class _Wire(msgspec.Struct, frozen=True, omit_defaults=True):
    event: str
    id: str
    createdAt: str  # noqa: N815 - LiveKit's spelling
    room: _Room
    change: Derived


_decode: Final = msgspec.json.Decoder(_Wire).decode


def derived(changes: Iterable[Change]) -> list[bytes]:
    """The bodies of the events that ``changes`` make, in order."""
    return [_body(change) for change in changes if isinstance(change, Derived)]


def change_of(event: WebhookEvent) -> Derived:
    """What a ``room_complete`` or an ``anomaly`` event says.

    :raises UsageError: it is another event.
    """
    if event.type not in (ROOM_COMPLETE, ANOMALY):
        raise UsageError(f"Only {ROOM_COMPLETE} and {ANOMALY} events say a change; this is {event!r}.")
    return _decode(event.raw).change


def event_of(body: bytes) -> WebhookEvent:
    """The event with a body that ``derived`` made."""
    return parse(body)


def _body(change: Derived) -> bytes:
    if isinstance(change, RoomComplete):
        event_type, sid = ROOM_COMPLETE, change.room.sid
    else:
        event_type, sid = ANOMALY, ""
    digest = hashlib.blake2b(msgspec.json.encode(change), digest_size=_ID_BYTES).hexdigest()
    room = _Room(change.room_name, sid)
    return msgspec.json.encode(_Wire(event_type, f"{event_type}/{digest}", str(change.at_s), room, change))
