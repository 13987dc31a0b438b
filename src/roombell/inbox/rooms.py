"""The room state, kept in the inbox's store: every event is folded into it once, whatever crashes.

The state of one room's name is one document. The inbox owes each event to one more handler, this one, which reads the
document, folds the event in, and puts it back in place of the version that it read; where another event, or another
process, was faster, it begins anew. The document also says how far each lane has come, so an event that comes again
after a crash changes nothing, and it holds the events that are to be made of what changed until they are in the inbox.
Those have ids made of what they say, so making one twice makes one.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from functools import partial
from typing import Final

import msgspec

from roombell.engine.lifecycle import BackgroundLoop
from roombell.engine.model import Document, Put
from roombell.engine.ports import Clock
from roombell.engine.retry import RetryPolicy
from roombell.errors import EventError, GiveUp, RetryLater
from roombell.events import WebhookEvent
from roombell.inbox.derived import derived, event_of
from roombell.inbox.shelf import Shelf
from roombell.receiver.delivery import DeliveryInfo
from roombell.receiver.ports import InThread
from roombell.receiver.room_state import (
    Change,
    InRoom,
    ParticipantJoined,
    ParticipantLeft,
    RoomLimits,
    RoomNow,
    RoomRecord,
    fold,
    ingresses_now,
    move_out,
    participants_now,
    recordings_of,
    room_key,
    rooms_now,
    settle,
)
from roombell.receiver.views import Ingress, ParticipantKind, Recording, view

ROOMS: Final = "@rooms"
"""The name of the handler that keeps the state; no handler of the user's can have it."""
RETRY: Final = RetryPolicy(attempts=10_000, base_delay_ms=500, max_delay_ms=60_000)
SETTLE_EVERY_S: Final = 60.0
TRIES_MAX: Final = 50
"""How often an event is folded anew since others were faster, before it waits a moment."""
LANES_MAX: Final = 1000
"""Of so many lanes the document of a room's name knows how far they have come."""
WHEREABOUTS_MAX: Final = 200_000
"""Of so many participants it is known here in which room they are, for when they turn up in another one."""
KEY_CHARS_MAX: Final = 512
_BY_ITSELF: Final = ""
"""Stands for the lane, where time alone makes a change."""

Step = Callable[[RoomRecord], tuple[Change, ...]]
Submit = Callable[[WebhookEvent], Awaitable[object]]


class _Kept(msgspec.Struct, omit_defaults=True):
    """A document's value."""

    record: bytes = b""
    applied: dict[str, int] = {}
    """The last sequence of each lane that was folded in; the lane that came last is at the end."""
    owed: dict[str, list[bytes]] = {}
    """Bodies of the events that are to be made, by the lane whose newest event asks for them."""


_decode: Final = msgspec.msgpack.Decoder(_Kept).decode
_encode: Final = msgspec.msgpack.Encoder().encode


class Rooms:
    """Keeps the state, and answers questions about it.

    :param submit: puts an event that was made here into the inbox.
    """

    name = ROOMS

    def __init__(self, shelf: Shelf, clock: Clock, submit: Submit, limits: RoomLimits) -> None:
        self._shelf, self._clock, self._submit, self._limits = shelf, clock, submit, limits
        self._room_of: dict[str, str] = {}
        self._behind_s = 0
        """How late the last event came to be folded in."""

    async def run(self, event: WebhookEvent, delivery: DeliveryInfo, in_thread: InThread) -> None:  # noqa: ARG002 - a handler's
        """Folds an event in. It is called by the inbox, as a handler."""
        room = room_key(event)
        if room is None:  # a track event may lack its room, and its participant is in one
            room = self._room_of.get(event.participant_sid)
        if room is None:
            return
        self._behind_s = max(0, self._now_s() - event.created_at) if event.created_at else 0
        assert delivery.sequence is not None, "the inbox numbers what it hands over"
        try:
            step = partial(fold, told=view(event), limits=self._limits)
            await self._apply(room, step, lane=delivery.lane, sequence=delivery.sequence)
        except EventError as error:
            raise GiveUp(str(error)) from error

    async def rooms(self, *, provisional: bool) -> tuple[RoomNow, ...]:
        """The rooms that are there."""
        found = [room async for record in self._records() for room in rooms_now(record, self._limits)]
        return tuple(room for room in found if provisional or not room.provisional)

    async def participants(self, room: str, kinds: Collection[ParticipantKind] | None) -> tuple[InRoom, ...]:
        """Who is in the room."""
        return participants_now(await self._record(room), kinds)

    async def recordings(self, room: str, *, going: bool | None) -> tuple[Recording, ...]:
        """The room's recordings."""
        return recordings_of(await self._record(room), going=going)

    async def ingresses(self, room: str) -> tuple[Ingress, ...]:
        """What comes in to the room."""
        return ingresses_now(await self._record(room))

    async def settle(self) -> None:
        """Does in all rooms what is due by now, and follows those who are in two rooms to the newer one.

        Where events come late, as after an outage, what they may tell yet is waited for.
        """
        now = self._now_s() - self._behind_s
        seen: dict[str, tuple[int, str]] = {}
        async for document in self._shelf.walk():
            record = _record_of(_decode(document.value), "")
            await self._apply(record.name, partial(settle, now=now, limits=self._limits))
            for sid, since in _present(record):
                if sid in seen:
                    (_, old), (at, new) = sorted((seen[sid], (since, record.name)))
                    await self._apply(old, partial(move_out, sid=sid, to_room=new, at_s=at))
                elif len(seen) < WHEREABOUTS_MAX:
                    seen[sid] = since, record.name
        self._room_of = {sid: room for sid, (_, room) in seen.items()}

    def _now_s(self) -> int:
        return self._clock.now_ms() // 1000

    async def _apply(self, room: str, step: Step, *, lane: str = _BY_ITSELF, sequence: int = 0) -> None:
        for _ in range(TRIES_MAX):
            document = await self._shelf.get(_key(room))
            kept = _Kept() if document is None else _decode(document.value)
            if sequence and kept.applied.get(lane, 0) >= sequence:
                await self._make(kept, lane)  # folded in before, by a call that may not have come to its end
                return
            if not sequence:
                await self._make_all(kept)
            record = _record_of(kept, room)
            changes = step(record)
            _note(kept, record, changes, lane, sequence)
            if await self._put(document, room, kept, record):
                await self._make(kept, lane)
                await self._follow(changes)
                return
        raise RetryLater(1, f"The state of the room {room!r} is changed by many at once.")

    async def _put(self, document: Document | None, room: str, kept: _Kept, record: RoomRecord) -> bool:
        value = None if record.empty and not kept.owed else _encode(kept)
        if value == (None if document is None else document.value):
            return True
        replaces = 0 if document is None else document.version
        version = max(replaces + 1, self._clock.now_ms())
        return await self._shelf.put(Put(_key(room), replaces, version, value))

    async def _make(self, kept: _Kept, lane: str) -> None:
        for body in kept.owed.get(lane, ()):
            await self._submit(event_of(body))

    async def _make_all(self, kept: _Kept) -> None:
        """What is in the inbox need not be owed any more: else a document could never be forgotten."""
        for lane in kept.owed:
            await self._make(kept, lane)
        kept.owed.clear()

    async def _follow(self, changes: tuple[Change, ...]) -> None:
        """A sid that joins one room while it is in another one was moved."""
        for change in changes:
            if isinstance(change, ParticipantJoined):
                sid, room = change.participant.sid, change.room_name
                before = self._room_of.pop(sid, room)
                self._room_of[sid] = room
                if len(self._room_of) > WHEREABOUTS_MAX:
                    del self._room_of[next(iter(self._room_of))]
                if before != room:
                    await self._apply(before, partial(move_out, sid=sid, to_room=room, at_s=change.at_s))
            elif isinstance(change, ParticipantLeft) and self._room_of.get(change.participant.sid) == change.room_name:
                del self._room_of[change.participant.sid]

    async def _record(self, room: str) -> RoomRecord:
        document = await self._shelf.get(_key(room))
        return RoomRecord(room) if document is None else _record_of(_decode(document.value), room)

    async def _records(self) -> AsyncIterator[RoomRecord]:
        async for document in self._shelf.walk():
            yield _record_of(_decode(document.value), "")


class RoomKeeper(BackgroundLoop):
    """Lets time pass in rooms in which nothing happens."""

    def __init__(self, rooms: Rooms) -> None:
        super().__init__("room keeper")
        self._rooms = rooms

    async def step(self) -> float:
        await self._rooms.settle()
        return SETTLE_EVERY_S


def _note(kept: _Kept, record: RoomRecord, changes: tuple[Change, ...], lane: str, sequence: int) -> None:
    kept.record = record.to_bytes()
    kept.owed.pop(lane, None)
    if owed := derived(changes):
        kept.owed[lane] = owed
    if sequence:
        kept.applied.pop(lane, None)
        kept.applied[lane] = sequence
        while len(kept.applied) > LANES_MAX:
            del kept.applied[next(iter(kept.applied))]


def _record_of(kept: _Kept, room: str) -> RoomRecord:
    return RoomRecord.from_bytes(kept.record) if kept.record else RoomRecord(room)


def _present(record: RoomRecord) -> list[tuple[str, int]]:
    return [(sid, one.since) for session in record.sessions for sid, one in session.present.items()]


def _key(room: str) -> str:
    """The document's key. Names may be long, and keys are indexed."""
    return room if len(room) <= KEY_CHARS_MAX else f"sha256/{hashlib.sha256(room.encode()).hexdigest()}"
