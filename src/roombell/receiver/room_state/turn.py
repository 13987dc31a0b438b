"""What every step of a fold works with: the record, the event, and the changes so far."""

from __future__ import annotations

from typing import Final

import msgspec

from roombell.errors import EventError
from roombell.receiver.room_state.changes import Anomaly, AnomalyKind, Change
from roombell.receiver.room_state.model import Check, CheckKind, RoomLimits, RoomRecord, Session
from roombell.receiver.views import EventView, Participant, Room

TIME_MAX_S: Final = 2**63 // 10**9 - 1
"""In 2262: later times do not fit into 64 bits of nanoseconds, which recordings are told in."""


class Turn:
    """One event's way through a record. Without an event only what is due can be done."""

    __slots__ = ("_told", "at", "changes", "limits", "record")

    def __init__(self, record: RoomRecord, told: EventView | None, limits: RoomLimits) -> None:
        self.record = record
        self.limits = limits
        self.changes: list[Change] = []
        self._told = told
        self.at = max(record.now, 1)
        """The event's time, unix seconds and never 0; where that is absent or absurd, the newest one before it."""
        if told is not None and 0 < told.event.created_at <= TIME_MAX_S:
            self.at = told.event.created_at

    @property
    def told(self) -> EventView:
        """What the event tells."""
        assert self._told is not None, "a step is only taken for an event"
        return self._told

    @property
    def room(self) -> Room:
        """The room as the event tells it, without its secret; its sid may come from another part of the event."""
        event = self.told.event
        room = self.told.room or Room()
        return msgspec.structs.replace(
            room, sid=room.sid or event.room_sid, name=room.name or self.record.name, turn_password=""
        )

    @property
    def participant(self) -> Participant:
        """The event's participant.

        :raises EventError: there is none, or it has no sid.
        """
        participant = self.told.participant
        if participant is None or not participant.sid:
            raise EventError(f"A {self.told.event.type} event names a participant with a sid; this one does not.")
        return msgspec.structs.replace(participant, tracks=())

    @property
    def too_old(self) -> bool:
        """Whether the event is from a time of which it is forgotten who left."""
        return self.at < self.record.now - self.limits.departed_kept_s

    def emit(self, change: Change) -> None:
        """Users are told of ``change``."""
        self.changes.append(change)

    def anomaly(self, kind: AnomalyKind, subject: str, detail: str, session: Session | None = None) -> None:
        """Users are told that something seems wrong."""
        where = session.id if session is not None else ""
        self.emit(
            Anomaly(room_name=self.record.name, session=where, at_s=self.at, kind=kind, subject=subject, detail=detail)
        )

    def check(self, kind: CheckKind, key: str, *, after_s: int | None = None) -> None:
        """Has ``key`` looked at again when it is late."""
        due_at = self.at + (self.limits.late_s if after_s is None else after_s)
        self.record.checks.append(Check(due_at, kind, key))
