"""The rooms of a LiveKit server as its events tell of them."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from heapq import heapify, heappop, heappush
from typing import Final, Self

import msgspec

from roombell.events import EventFamily, WebhookEvent
from roombell.receiver.room_state import queries
from roombell.receiver.room_state.changes import Change, InRoom, ParticipantJoined, ParticipantLeft, RoomNow
from roombell.receiver.room_state.checks import next_due
from roombell.receiver.room_state.fold import fold, settle
from roombell.receiver.room_state.model import RoomLimits, RoomRecord, StateUnreadable
from roombell.receiver.room_state.people import move_out
from roombell.receiver.views import Ingress, ParticipantKind, Recording, view

_DEFAULT: Final = RoomLimits()
_STALE_MAX: Final = 100
"""How many entries of the heap may be out of date before it is made anew, beside one for each room."""
_ROOMLESS: Final = frozenset({EventFamily.EGRESS, EventFamily.INGRESS})
"""What may be without a room: the recording of a web page is."""


def room_key(event: WebhookEvent) -> str | None:
    """The name of the record that ``event`` belongs to: its room's; ``""`` for a recording without a room. None where
    the event says nothing of any room.
    """
    return event.room_name if event.room_name or event.family in _ROOMLESS else None


class RoomState:
    """Who is in which room now, and what is recorded: a model in memory, folded from events.

    ::

        state = RoomState()
        for change in state.apply(event):
            ...
        state.participants("standup")

    Events may be missing, late, swapped and repeated: the docstring of ``fold`` says how that is dealt with. Give each
    event once it is verified; events of one room one after the other. No I/O, no clock, and not safe for threads.

    :param limits: how long it waits and how much it remembers.
    """

    def __init__(self, limits: RoomLimits = _DEFAULT) -> None:
        self.limits = limits
        self._records: dict[str, RoomRecord] = {}
        self._room_of: dict[str, str] = {}
        self._due: list[tuple[int, str]] = []
        self._due_at: dict[str, int] = {}

    def apply(self, event: WebhookEvent) -> tuple[Change, ...]:
        """What changes by ``event``, in order. Foreign event types change nothing.

        :raises EventError: the event is not what LiveKit's schema says; nothing has changed then.
        """
        name = room_key(event)
        if name is None:  # a track event may lack its room, and its participant is in one
            name = self._room_of.get(event.participant_sid)
        if name is None:
            return ()
        told = view(event)
        record = self._records.get(name) or RoomRecord(name)
        changes = fold(record, told, self.limits)
        self._records.pop(name, None)
        self._records[name] = record  # at the end: what is at the front was quiet longest
        changes += self._moves(changes)
        self._tidy(record)
        return changes

    def settle(self, now: float) -> tuple[Change, ...]:
        """Does what is due by ``now`` (unix seconds) though no event comes: missing events are taken for lost, rooms
        that wait for a recording's end are given up, old things forgotten. Call it once a minute or so; where events
        come late, with a time that is as late.
        """
        changes: tuple[Change, ...] = ()
        while self._due and self._due[0][0] <= now:
            due_at, name = heappop(self._due)
            if self._due_at.get(name) != due_at:
                continue  # it was put off, or is no more
            record = self._records[name]
            settled = settle(record, int(now), self.limits)
            changes += settled + self._moves(settled)
            self._tidy(record, not_before=int(now) + 1)
        return changes

    def rooms(self, *, provisional: bool = False) -> tuple[RoomNow, ...]:
        """The rooms that are there, the one that was quiet longest first.

        :param provisional: also those that may be made up by DeleteRoom: started right after an end, and empty.
        """
        every = (room for record in self._records.values() for room in queries.rooms_now(record, self.limits))
        return tuple(room for room in every if provisional or not room.provisional)

    def room(self, name: str) -> RoomNow | None:
        """The room, None if there is none of that name now."""
        record = self._records.get(name)
        now = queries.rooms_now(record, self.limits) if record is not None else ()
        return now[-1] if now else None

    def participants(self, room: str, *, kinds: Collection[ParticipantKind] | None = None) -> tuple[InRoom, ...]:
        """Who is in the room now, in the order of their coming.

        :param kinds: of these kinds alone, as ``{ParticipantKind.STANDARD, ParticipantKind.SIP}``.
        """
        record = self._records.get(room)
        return queries.participants_now(record, kinds) if record is not None else ()

    def recordings(self, room: str, *, going: bool | None = None) -> tuple[Recording, ...]:
        """The room's recordings, ended ones too as long as they are remembered, oldest first. Those of web pages are
        in the room ``""``.

        :param going: true for those that go on alone, false for those that ended.
        """
        record = self._records.get(room)
        return queries.recordings_of(record, going=going) if record is not None else ()

    def ingresses(self, room: str) -> tuple[Ingress, ...]:
        """The room's ingresses that media comes in by."""
        record = self._records.get(room)
        return queries.ingresses_now(record) if record is not None else ()

    def to_bytes(self) -> bytes:
        """The whole state for a store. It holds no secret."""
        return msgspec.msgpack.encode([record.to_bytes() for record in self._records.values()])

    @classmethod
    def from_bytes(cls, raw: bytes, limits: RoomLimits = _DEFAULT) -> Self:
        """The state that ``to_bytes`` made.

        :raises StateUnreadable: ``raw`` is damaged, or of a newer version.
        """
        try:
            records = [RoomRecord.from_bytes(one) for one in msgspec.msgpack.decode(raw, type=list[bytes])]
        except msgspec.MsgspecError as error:
            raise StateUnreadable(f"The stored room state is damaged: {type(error).__name__}.") from error
        state = cls(limits)
        state._records = {record.name: record for record in records}
        state._room_of = {sid: record.name for record in records for sid in _everybody(record, told=True)}
        for record in records:
            state._watch(record, 0)
        return state

    def _moves(self, changes: tuple[Change, ...]) -> tuple[Change, ...]:
        """Follows where everybody is. A sid that joins one room while it is in another one was moved."""
        moved: tuple[Change, ...] = ()
        for change in changes:
            if isinstance(change, ParticipantJoined):
                sid, room = change.participant.sid, change.room_name
                before = self._records.get(self._room_of.get(sid, room))
                if before is not None and before.name != room:
                    moved += move_out(before, sid, room, change.at_s)
                self._room_of[sid] = room
            elif isinstance(change, ParticipantLeft) and self._room_of.get(change.participant.sid) == change.room_name:
                del self._room_of[change.participant.sid]
        return moved

    def _tidy(self, record: RoomRecord, *, not_before: int = 0) -> None:
        if record.empty:
            self._drop(record)
        else:
            self._watch(record, not_before)
        while len(self._records) > self.limits.rooms_max:
            self._drop(next(iter(self._records.values())))

    def _watch(self, record: RoomRecord, not_before: int) -> None:
        """Notes when the record is due."""
        due_at = next_due(record, self.limits)
        if due_at is None:
            self._due_at.pop(record.name, None)
        elif self._due_at.get(record.name) != max(due_at, not_before):
            self._due_at[record.name] = max(due_at, not_before)
            heappush(self._due, (max(due_at, not_before), record.name))
        if len(self._due) > 2 * len(self._due_at) + _STALE_MAX:
            self._due = [(due_at, name) for name, due_at in self._due_at.items()]
            heapify(self._due)

    def _drop(self, record: RoomRecord) -> None:
        del self._records[record.name]
        self._due_at.pop(record.name, None)
        for sid in _everybody(record):
            self._room_of.pop(sid, None)


def _everybody(record: RoomRecord, *, told: bool = False) -> Iterator[str]:
    """The sids of all who are or may be in the room; with ``told``, of those of whom users were told."""
    return (sid for session in record.sessions for sid, present in session.present.items() if present.told or not told)
