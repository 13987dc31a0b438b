"""The lives of a room: when one begins, when it is over, and which events make none."""

from __future__ import annotations

from typing import Final

from roombell.receiver.room_state.changes import AnomalyKind, ParticipantLeft, RoomComplete, RoomEnded, RoomOpened
from roombell.receiver.room_state.model import Present, RoomLimits, RoomRecord, Session, Trace
from roombell.receiver.room_state.turn import Turn
from roombell.receiver.views import DisconnectReason, Room

_MS: Final = 1000


def started(turn: Turn) -> None:
    """``room_started``. It comes again under one sid when a node restarts or a room is made anew (livekit#4726), and
    DeleteRoom sends it for a room that it only makes to delete it (livekit#2945).
    """
    room = turn.room
    session = turn.record.newest(room.sid)
    if session is None or (session.ended_at and turn.at > session.ended_at):
        session = begin(turn, room)
    else:
        update(turn, session)
        # Of a life whose start was not told, a start that comes long after the first sign of it is another one.
        since = session.started_at or session.heard_at + turn.limits.late_s
        if session.open and turn.at > since:
            _restart(turn, session)
    session.started_at = session.started_at or turn.at
    show(turn, session)


def finished(turn: Turn) -> None:
    """``room_finished``. Whoever is still in the room has left it."""
    room = turn.room
    session = turn.record.newest(room.sid)
    if session is None:
        # Its start was lost, or comes later. What is done after a call must be done all the same.
        session = begin(turn, room, alive=False)
        turn.check("start", session.id)
    elif session.open and turn.at < session.started_at:
        return  # the end of a life of this sid before this one
    update(turn, session)
    if session.open or not session.end_seen:
        session.end_seen = True
        session.end_reason = turn.told.end_reason
    if session.open:
        end(turn, session, at=turn.at)


def begin(turn: Turn, room: Room, *, alive: bool = True) -> Session:
    """A new life of a room. If it is ``alive``, the one that seemed to go on under the name is doubted from now on;
    the older one of the two, where both tell when they were made.
    """
    record = turn.record
    session = Session(id="", facts=room, facts_at=turn.at, epoch=_epoch(turn, room), heard_at=turn.at)
    session.id = f"{room.sid}@{session.epoch}"
    for other in record.sessions:
        if alive and other.open and not other.doubt_at and other.sid != session.sid:
            older = 0 < room.created_ms < other.facts.created_ms
            _doubt(turn, session if older else other)
    record.sessions.append(session)
    for recording in record.recordings.values():
        if not recording.session and recording.facts.room_sid == room.sid:
            recording.session = session.id
    while len(record.sessions) > turn.limits.sessions_max:
        oldest = next((one for one in record.sessions if one.completed), record.sessions[0])
        if oldest.open:
            end(turn, oldest, at=turn.at)
        complete(turn, oldest, anyway=True)
        record.sessions.remove(oldest)
    return session


def _doubt(turn: Turn, session: Session) -> None:
    session.doubt_at = turn.at
    turn.check("finish", session.id)


def home(turn: Turn) -> Session | None:
    """The life of the room that somebody of whom the event tells is in; None where it was over before the event.

    That somebody is there ends a doubt that is older than the event.
    """
    room = turn.room
    session = turn.record.newest(room.sid)
    if any(turn.at < one.ended_at for one in turn.record.sessions if one.sid == room.sid):
        return None
    if session is None or session.ended_at:
        session = begin(turn, room)
        turn.check("start", session.id)
    if turn.at > session.doubt_at:
        session.doubt_at = 0
    return session


def _epoch(turn: Turn, room: Room) -> int:
    """When the room was made, if no earlier life of the same sid has that epoch; else now."""
    epochs = {one.epoch for one in turn.record.sessions if one.sid == room.sid}
    epoch = room.created_ms // _MS or turn.at
    if epochs:
        epoch = max(epoch, turn.at)
    while epoch in epochs:
        epoch += 1
    return epoch


def _restart(turn: Turn, session: Session) -> None:
    """The room was made anew under its sid, without an end: its node died, or let go of it. Those of before are
    doubted; who was moved here gives signs of life.
    """
    session.started_at, session.doubt_at = turn.at, 0
    detail = "room_started came again with no room_finished in between"
    turn.anomaly(AnomalyKind.ROOM_RESTARTED, session.sid, detail, session)
    for sid, present in session.present.items():
        if present.since < turn.at and not present.doubt_at:
            present.doubt_at = turn.at
            turn.check("left", sid)


def show(turn: Turn, session: Session) -> None:
    """Users are told of the room, if they were not and it is not one that DeleteRoom made up."""
    if session.told or not session.open or is_phantom(turn.record, session, turn.limits):
        return
    session.told = True
    turn.emit(
        RoomOpened(
            room_name=turn.record.name,
            session=session.id,
            at_s=turn.at,
            room=session.facts,
            inferred=not session.started_at,
        )
    )


def inhabit(turn: Turn, session: Session | None) -> None:
    """Somebody is or was in the room, so it was not made up."""
    if session is not None:
        session.inhabited = True
        show(turn, session)


def is_phantom(record: RoomRecord, session: Session, limits: RoomLimits) -> bool:
    """Whether this may be a room that DeleteRoom made up: it began right after the end of another life, and nobody was
    ever in it (livekit#2945).
    """
    if session.inhabited or not session.started_at:
        return False
    ends = (one.ended_at for one in record.sessions if one is not session and one.end_seen)
    return any(0 <= session.started_at - ended_at <= limits.phantom_s for ended_at in ends)


def end(turn: Turn, session: Session, *, at: int) -> None:
    """The life is over, as was told or concluded. Who joined after ``at`` is in the next one of the same sid."""
    phantom = is_phantom(turn.record, session, turn.limits)
    later = {sid: present for sid, present in session.present.items() if present.since > at and session.end_seen}
    for sid in [sid for sid in session.present if sid not in later]:
        _leave_with_room(turn, session, sid, at)
    session.ended_at, session.doubt_at, session.present = at, 0, {}
    if session.told or not phantom:
        turn.emit(
            RoomEnded(
                room_name=turn.record.name,
                session=session.id,
                at_s=at,
                room=session.facts,
                reason=session.end_reason,
                inferred=not session.end_seen,
            )
        )
    session.completed = session.completed or (phantom and not session.told)
    if later:
        following = begin(turn, session.facts)
        following.present, following.inhabited = later, True
        turn.check("start", following.id)
        show(turn, following)
    complete(turn, session)
    if not session.completed:
        turn.check("complete", session.id, after_s=turn.limits.recording_wait_s)


def _leave_with_room(turn: Turn, session: Session, sid: str, at: int) -> None:
    present = session.present[sid]
    turn.record.departed[sid] = Trace(at, "presumed", present.joined_seen, present.facts.identity)
    turn.check("left", sid)
    tell_left(turn, session, present, DisconnectReason.ROOM_CLOSED, inferred=True)


def tell_left(
    turn: Turn, session: Session, present: Present, reason: DisconnectReason, *, inferred: bool = False
) -> None:
    """Users are told that a participant is gone, if they were told of them."""
    if present.told:
        turn.emit(
            ParticipantLeft(
                room_name=turn.record.name,
                session=session.id,
                at_s=turn.at,
                participant=present.facts,
                reason=reason,
                inferred=inferred,
                replaced_by=present.replaced_by,
            )
        )


def complete(turn: Turn, session: Session, *, anyway: bool = False) -> None:
    """Users are told that room and recordings are over, once; ``anyway``: though a recording's end was not told."""
    if session.completed or session.open:
        return
    recordings = [one for one in turn.record.recordings.values() if one.session == session.id]
    missing = tuple(one.facts.egress_id for one in recordings if not one.ended)
    if missing and not anyway:
        return
    session.completed = True
    for egress_id in missing:
        detail = "its room is over for so long, and egress_ended did not come"
        turn.anomaly(AnomalyKind.EGRESS_END_MISSING, egress_id, detail, session)
    turn.emit(
        RoomComplete(
            room_name=turn.record.name,
            session=session.id,
            at_s=turn.at,
            room=session.facts,
            recordings=tuple(one.facts for one in recordings if one.ended),
            missing=missing,
        )
    )


def update(turn: Turn, session: Session) -> None:
    """Takes over what the event tells of its room, unless that is old or sid and name alone."""
    room = turn.room
    if turn.at >= session.facts_at and (room.created_ms or room.empty_timeout_s or not session.facts.created_ms):
        session.facts, session.facts_at = room, turn.at
