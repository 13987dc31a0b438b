"""What a record says of now. Whoever keeps records elsewhere asks here too."""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from roombell.receiver.room_state.changes import InRoom, RoomNow
from roombell.receiver.room_state.lives import is_phantom
from roombell.receiver.room_state.model import Present, RoomLimits, RoomRecord, Session
from roombell.receiver.views import Ingress, ParticipantKind, Recording


def rooms_now(record: RoomRecord, limits: RoomLimits) -> tuple[RoomNow, ...]:
    """The lives of the room that go on: none or one. Two only where LiveKit itself has two (livekit#3405)."""
    return tuple(_room_now(record, session, limits) for session in _live(record))


def participants_now(record: RoomRecord, kinds: Collection[ParticipantKind] | None = None) -> tuple[InRoom, ...]:
    """Who is in the room, in the order in which it was told; of ``kinds`` alone where they are given."""
    return tuple(
        InRoom(
            room_name=record.name,
            session=session.id,
            participant=present.facts,
            tracks=tuple(track.facts for track in present.tracks.values()),
            since_s=present.since,
            inferred=not present.joined_seen,
        )
        for session in _live(record)
        for present in _there(session)
        if kinds is None or present.facts.kind in kinds
    )


def recordings_of(record: RoomRecord, *, going: bool | None = None) -> tuple[Recording, ...]:
    """The recordings that are remembered, oldest first; those that go on alone, or those that ended alone."""
    return tuple(
        recording.facts
        for recording in record.recordings.values()
        if not recording.hinted and going in {None, not recording.ended}
    )


def ingresses_now(record: RoomRecord) -> tuple[Ingress, ...]:
    """The ingresses that media comes in by."""
    return tuple(ingress.facts for ingress in record.ingresses.values() if ingress.live)


def _live(record: RoomRecord) -> list[Session]:
    return [session for session in record.sessions if session.open and not session.doubt_at]


def _there(session: Session) -> list[Present]:
    return [present for present in session.present.values() if not present.doubt_at]


def _room_now(record: RoomRecord, session: Session, limits: RoomLimits) -> RoomNow:
    there = _there(session)
    return RoomNow(
        name=record.name,
        session=session.id,
        room=msgspec.structs.replace(session.facts, name=record.name),
        started_s=session.started_at or session.heard_at,
        participants_count=len(there),
        people_count=sum(present.facts.is_person for present in there),
        recordings_count=sum(
            one.session == session.id and not one.ended and not one.hinted for one in record.recordings.values()
        ),
        provisional=is_phantom(record, session, limits),
    )
