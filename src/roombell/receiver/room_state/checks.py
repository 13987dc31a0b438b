"""What was put off: is it still missing, is the doubt still there, may it be forgotten?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from roombell.receiver.room_state import lives, people
from roombell.receiver.room_state.changes import AnomalyKind
from roombell.receiver.room_state.model import Check, CheckKind, RoomLimits, RoomRecord, Trace
from roombell.receiver.room_state.turn import Turn
from roombell.receiver.views import DisconnectReason


def look(turn: Turn, now: int) -> None:
    """Looks at each check that is due by ``now``, and at the oldest ones beyond the bound."""
    waiting = turn.record.checks
    if not waiting or (len(waiting) <= turn.limits.checks_max and min(one.due_at for one in waiting) > now):
        return
    waiting = sorted(waiting, key=_due)
    beyond = len(waiting) - turn.limits.checks_max
    due = [one for number, one in enumerate(waiting) if one.due_at <= now or number < beyond]
    turn.record.checks = waiting[len(due) :]
    for check in due:
        _LOOKS[check.kind](turn, check.key)


def _due(check: Check) -> int:
    return check.due_at


def _start(turn: Turn, session_id: str) -> None:
    session = turn.record.session(session_id)
    if session is not None and not session.started_at:
        detail = "something went on in the room, and room_started did not come"
        turn.anomaly(AnomalyKind.ROOM_START_MISSING, session.sid, detail, session)


def _finish(turn: Turn, session_id: str) -> None:
    session = turn.record.session(session_id)
    if session is not None and session.open and session.doubt_at:
        detail = "another room of the name goes on, and room_finished did not come"
        turn.anomaly(AnomalyKind.ROOM_FINISH_MISSING, session.sid, detail, session)
        lives.end(turn, session, at=session.doubt_at)


def _joined(turn: Turn, sid: str) -> None:
    found = turn.record.whereabouts(sid)
    trace = turn.record.departed.get(sid)
    if found is not None and not found[1].told:
        session, present = found
        detail = f"{present.facts.identity!r} publishes a track, and participant_joined did not come"
        turn.anomaly(AnomalyKind.JOINED_MISSING, sid, detail, session)
        people.tell_joined(turn, session, present)
    elif trace is not None and not trace.joined_seen:
        trace.joined_seen = True
        detail = f"{trace.identity!r} left or ended a track, and participant_joined did not come"
        turn.anomaly(AnomalyKind.JOINED_MISSING, sid, detail)


def _left(turn: Turn, sid: str) -> None:
    found = turn.record.whereabouts(sid)
    trace = turn.record.departed.get(sid)
    if found is not None and found[1].doubt_at:
        session, present = found
        del session.present[sid]
        trace = Trace(present.doubt_at, "presumed", present.joined_seen, present.facts.identity)
        turn.record.departed[sid] = trace
        reason = DisconnectReason.DUPLICATE_IDENTITY if present.replaced_by else DisconnectReason.UNKNOWN_REASON
        lives.tell_left(turn, session, present, reason, inferred=True)
    if trace is not None and trace.how == "presumed" and not trace.missed:
        trace.missed = True
        detail = f"{trace.identity!r} is no longer there, and participant_left did not come"
        turn.anomaly(AnomalyKind.LEFT_MISSING, sid, detail)


def _egress_start(turn: Turn, egress_id: str) -> None:
    recording = turn.record.recordings.get(egress_id)
    if recording is not None and not recording.start_seen:
        detail = "the recording's later events came, and egress_started did not"
        turn.anomaly(AnomalyKind.EGRESS_START_MISSING, egress_id, detail)


def _complete(turn: Turn, session_id: str) -> None:
    session = turn.record.session(session_id)
    if session is not None:
        lives.complete(turn, session, anyway=True)


_LOOKS: Final[dict[CheckKind, Callable[[Turn, str], None]]] = {
    "start": _start,
    "finish": _finish,
    "joined": _joined,
    "left": _left,
    "egress_start": _egress_start,
    "complete": _complete,
}


def next_due(record: RoomRecord, limits: RoomLimits) -> int | None:
    """When, in unix seconds, there is something to do here though no event comes; None for never."""
    due = [check.due_at for check in record.checks]
    due += [one.ended_at + limits.ended_kept_s + 1 for one in record.sessions if one.completed]
    due += [one.seen_at + limits.ended_kept_s + 1 for one in record.recordings.values() if one.ended]
    due += [one.at + limits.departed_kept_s + 1 for one in record.ingresses.values() if not one.live]
    if record.departed:
        due.append(next(iter(record.departed.values())).at + limits.departed_kept_s + 1)
    return min(due, default=None)


def forget(turn: Turn, now: int) -> None:
    """Drops what is too old or too much to be remembered. Nothing that goes on is dropped for its age."""
    record, limits = turn.record, turn.limits
    ended_before = now - limits.ended_kept_s
    record.sessions = [one for one in record.sessions if not one.completed or one.ended_at >= ended_before]
    departed_before = now - limits.departed_kept_s
    while record.departed:
        sid, trace = next(iter(record.departed.items()))
        if len(record.departed) <= limits.departed_max and trace.at >= departed_before:
            break
        del record.departed[sid]
    _forget_recordings(turn, ended_before)
    for ingress_id, ingress in list(record.ingresses.items()):
        if not ingress.live and ingress.at < departed_before:
            del record.ingresses[ingress_id]
    while len(record.ingresses) > limits.ingresses_max:
        del record.ingresses[next(iter(record.ingresses))]


def _forget_recordings(turn: Turn, ended_before: int) -> None:
    recordings = turn.record.recordings
    lived = {session.id for session in turn.record.sessions}
    for key, recording in list(recordings.items()):
        over = recording.ended or (recording.session and recording.session not in lived)
        if over and recording.session not in lived and recording.seen_at < ended_before:
            del recordings[key]
    while len(recordings) > turn.limits.recordings_max:
        ended = (key for key, recording in recordings.items() if recording.ended)
        del recordings[next(ended, next(iter(recordings)))]
