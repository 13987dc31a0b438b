"""Who is in the room, by participant sid: an identity may have a session that is over and one that is new."""

from __future__ import annotations

import msgspec

from roombell.errors import EventError
from roombell.receiver.room_state import egresses, lives
from roombell.receiver.room_state.changes import (
    AnomalyKind,
    Change,
    ParticipantAborted,
    ParticipantJoined,
    ParticipantMoved,
    TrackPublished,
    TrackUnpublished,
)
from roombell.receiver.room_state.model import Present, Published, RoomRecord, Session, Trace
from roombell.receiver.room_state.turn import Turn
from roombell.receiver.views import DisconnectReason, Participant, ParticipantKind, Track


def joined(turn: Turn) -> None:
    """``participant_joined``. Of somebody who left since, it is late and changes nothing."""
    participant = turn.participant
    trace = turn.record.departed.get(participant.sid)
    if trace is not None and trace.how != "glimpsed" and turn.at <= trace.at:
        trace.joined_seen = True
        lives.inhabit(turn, turn.record.newest(turn.room.sid))
        return
    found = turn.record.whereabouts(participant.sid)
    if found is not None:
        _joined_again(turn, *found, participant)
        return
    session = lives.home(turn)
    if session is None:
        turn.record.departed[participant.sid] = Trace(turn.at, "presumed", True, participant.identity)
        return
    lives.update(turn, session)
    present = _enter(turn, session, participant)
    present.joined_seen = True
    tell_joined(turn, session, present)
    if participant.is_egress and turn.limits.recordings_hinted:
        egresses.hint(turn, session, participant.identity)


def _joined_again(turn: Turn, session: Session, present: Present, participant: Participant) -> None:
    if not present.joined_seen:  # a track of theirs was told first
        lives.update(turn, session)
        present.joined_seen, present.facts = True, participant
        present.since = min(present.since, turn.at)
        _replace(turn, session, present)
        tell_joined(turn, session, present)
    elif turn.at > max(present.since, present.doubt_at):
        if present.doubt_at and not present.replaced_by:
            present.doubt_at = 0
        else:
            detail = f"participant_joined came again for {participant.identity!r} in the same session"
            turn.anomaly(AnomalyKind.JOINED_AGAIN, participant.sid, detail, session)
        present.since = turn.at


def left(turn: Turn) -> None:
    """``participant_left``. Of a session that was never seen (livekit#1130) it changes no count."""
    participant = turn.participant
    found = turn.record.whereabouts(participant.sid)
    if found is not None:
        _leave(turn, *found, participant)
    elif _depart(turn, participant):
        turn.check("joined", participant.sid)
        lives.inhabit(turn, turn.record.newest(turn.room.sid))


def aborted(turn: Turn) -> None:
    """``participant_connection_aborted``: they are gone, also where the connection was up (livekit#4227)."""
    participant = turn.participant
    found = turn.record.whereabouts(participant.sid)
    if found is not None:
        detail = f"{participant.identity!r} was connected, and LiveKit says that the connection never came up"
        turn.anomaly(AnomalyKind.ABORTED_AFTER_JOINED, participant.sid, detail, found[0])
        _leave(turn, *found, participant)
        turn.record.departed[participant.sid].joined_seen = True  # none is to come
    elif _depart(turn, participant):
        turn.record.departed[participant.sid].joined_seen = True
        session_now = turn.record.newest(turn.room.sid)
        turn.emit(
            ParticipantAborted(
                room_name=turn.record.name,
                session=session_now.id if session_now is not None else "",
                at_s=turn.at,
                participant=participant,
                reason=participant.disconnect_reason,
            )
        )


def _leave(turn: Turn, session: Session, present: Present, participant: Participant) -> None:
    sid = participant.sid
    lives.update(turn, session)
    kind = present.facts.kind if participant.kind == ParticipantKind.STANDARD else participant.kind
    present.facts = msgspec.structs.replace(participant, kind=kind)
    if not present.told:
        tell_joined(turn, session, present)
    del session.present[sid]
    at = max(turn.at, present.since)
    turn.record.departed[sid] = Trace(at, "left", present.joined_seen, participant.identity)
    lives.tell_left(turn, session, present, participant.disconnect_reason)


def _depart(turn: Turn, participant: Participant) -> bool:
    """Notes that somebody who is not known to be there has left; whether this is the first that is heard of them."""
    trace = turn.record.departed.get(participant.sid)
    if turn.too_old:
        return False
    if trace is None or trace.how == "glimpsed":
        turn.record.departed[participant.sid] = Trace(turn.at, "left", False, participant.identity)
        return trace is None
    if trace.how == "presumed":
        trace.how, trace.at = "left", max(trace.at, turn.at)
    return False


def published(turn: Turn) -> None:
    """``track_published``: a sign of life. It may come before the joining, or instead of it (community 319)."""
    participant, track = turn.participant, _track(turn)
    found = turn.record.whereabouts(participant.sid)
    if found is None:
        trace = turn.record.departed.get(participant.sid)
        if trace is not None and (trace.how == "left" or (trace.how == "presumed" and turn.at <= trace.at)):
            return
        session = lives.home(turn)
        if session is None:
            return
        present = _enter(turn, session, participant)
        turn.check("joined", participant.sid)
    else:
        session, present = found
        _alive(turn, session, present)
    _add_track(turn, session, present, track)


def unpublished(turn: Turn) -> None:
    """``track_unpublished``. Of an unknown participant it says that they were there, not that they are."""
    participant, track = turn.participant, _track(turn)
    found = turn.record.whereabouts(participant.sid)
    if found is not None:
        session, present = found
        known = present.tracks.get(track.sid)
        if known is not None and turn.at < known.at:
            return  # it was published again since
        gone = present.tracks.pop(track.sid, None)
        present.tracks_gone[track.sid] = turn.at
        while len(present.tracks_gone) > turn.limits.tracks_max:
            del present.tracks_gone[next(iter(present.tracks_gone))]
        if gone is not None and present.told:
            where = turn.record.name, session.id, turn.at
            turn.emit(TrackUnpublished(*where, participant=present.facts, track=gone.facts))
    elif participant.sid not in turn.record.departed and not turn.too_old:
        turn.record.departed[participant.sid] = Trace(turn.at, "glimpsed", False, participant.identity)
        turn.check("joined", participant.sid)


def move_out(record: RoomRecord, sid: str, to_room: str, at_s: int) -> tuple[Change, ...]:
    """Takes a participant out of this room who is now in another one under the same sid, where they were seen at
    ``at_s`` (unix seconds). Nothing happens if they are not here.
    """
    found = record.whereabouts(sid)
    if found is None:
        return ()
    session, present = found
    del session.present[sid]
    record.departed[sid] = Trace(max(at_s, present.since), "left", True, present.facts.identity)
    return (ParticipantMoved(record.name, session.id, at_s, participant=present.facts, to_room=to_room),)


def _enter(turn: Turn, session: Session, participant: Participant) -> Present:
    turn.record.departed.pop(participant.sid, None)
    present = Present(facts=participant, since=turn.at)
    while len(session.present) >= turn.limits.participants_max:
        longest = session.present.pop(next(iter(session.present)))
        lives.tell_left(turn, session, longest, DisconnectReason.UNKNOWN_REASON, inferred=True)
    session.present[participant.sid] = present
    if turn.at < session.started_at:  # they came before the room was made anew
        present.doubt_at = session.started_at
        turn.check("left", participant.sid)
    _replace(turn, session, present)
    lives.inhabit(turn, session)
    return present


def _replace(turn: Turn, session: Session, present: Present) -> None:
    """LiveKit lets an identity be in a room once: of two sessions the older one is over (livekit#2399)."""
    for other in session.present.values():
        same = other.facts.identity == present.facts.identity and other is not present
        if same and present.facts.identity and not other.replaced_by:
            older, newer = (other, present) if _began(other) <= _began(present) else (present, other)
            older.replaced_by, older.doubt_at = newer.facts.sid, turn.at
            turn.check("left", older.facts.sid)


def _began(present: Present) -> int:
    """When, in milliseconds; to the second where the server does not tell more."""
    return present.facts.joined_ms or present.since * 1000


def tell_joined(turn: Turn, session: Session, present: Present) -> None:
    """Users are told of a participant and of the tracks that are known by now."""
    where = turn.record.name, session.id, turn.at
    present.told = True
    turn.emit(ParticipantJoined(*where, participant=present.facts, inferred=not present.joined_seen))
    for track in present.tracks.values():
        turn.emit(TrackPublished(*where, participant=present.facts, track=track.facts))


def _alive(turn: Turn, session: Session, present: Present) -> None:
    if turn.at > session.doubt_at:
        session.doubt_at = 0
    if turn.at > present.doubt_at and not present.replaced_by:
        present.doubt_at = 0


def _add_track(turn: Turn, session: Session, present: Present, track: Track) -> None:
    if turn.at <= present.tracks_gone.get(track.sid, -1):
        return
    known = present.tracks.get(track.sid)
    present.tracks_gone.pop(track.sid, None)
    if known is None and len(present.tracks) >= turn.limits.tracks_max:
        del present.tracks[next(iter(present.tracks))]
    present.tracks[track.sid] = Published(track, max(turn.at, known.at if known is not None else 0))
    if present.told and known is None:
        turn.emit(TrackPublished(turn.record.name, session.id, turn.at, participant=present.facts, track=track))


def _track(turn: Turn) -> Track:
    track = turn.told.track
    if track is None or not track.sid:
        raise EventError(f"A {turn.told.event.type} event names a track with a sid; this one does not.")
    return track
