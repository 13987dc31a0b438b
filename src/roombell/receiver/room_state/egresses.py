"""Recordings. Their events are sent apart from their room's, so neither waits for the other."""

from __future__ import annotations

from typing import Final

from roombell.errors import EventError
from roombell.events import names
from roombell.receiver.room_state import lives
from roombell.receiver.room_state.changes import AnomalyKind, RecordingChanged, RecordingEnded, RecordingStarted
from roombell.receiver.room_state.model import EgressRecord, RoomRecord, Session
from roombell.receiver.room_state.turn import Turn
from roombell.receiver.views import EgressStatus, Recording

RUNS_MAX: Final = 16
"""How many runs of one egress are told apart."""

_NS: Final = 1_000_000_000
_RANK: Final = {EgressStatus.EGRESS_STARTING: 0, EgressStatus.EGRESS_ACTIVE: 1, EgressStatus.EGRESS_ENDING: 2}
_RUNNING: Final = frozenset({EgressStatus.EGRESS_ACTIVE, EgressStatus.EGRESS_ENDING})


def hint(turn: Turn, session: Session, egress_id: str) -> None:
    """The bot of a recording is in the room: there is a recording, even if its start is not told."""
    if egress_id and egress_id not in turn.record.recordings:
        facts = Recording(egress_id=egress_id, room_name=turn.record.name, room_sid=session.sid)
        turn.record.recordings[egress_id] = EgressRecord(facts, session.id, turn.at, hinted=True)


def told(turn: Turn) -> None:
    """``egress_started``, ``egress_updated`` or ``egress_ended``.

    One that could not be launched has no id, and this event alone: it is known by the event's.
    """
    facts = turn.told.recording
    if facts is None:
        raise EventError(f"A {turn.told.event.type} event carries an egressInfo; this one does not.")
    key = facts.egress_id or turn.told.event.id
    recording = turn.record.recordings.get(key)
    fresh = recording is None or recording.hinted
    if recording is None:
        recording = turn.record.recordings[key] = EgressRecord(facts)
    recording.seen_at = max(recording.seen_at, turn.at)
    recording.hinted = False
    if not recording.session:
        recording.session = _session_of(turn.record, facts, turn.at)
    recording.start_seen = recording.start_seen or turn.told.event.type == names.EGRESS_STARTED
    if fresh and not recording.start_seen and facts.egress_id:
        turn.check("egress_start", key)
    if facts.ended or turn.told.event.type == names.EGRESS_ENDED:
        _ended(turn, recording, facts)
    else:
        _going(turn, recording, facts, fresh=fresh)


def _session_of(record: RoomRecord, facts: Recording, at: int) -> str:
    lived = [one for one in reversed(record.sessions) if one.sid == facts.room_sid or not facts.room_sid]
    if not facts.room_name and not facts.room_sid:
        return ""
    begun = next((one for one in lived if min(one.epoch, one.heard_at) <= at), None)
    return begun.id if begun is not None else (lived[-1].id if lived else "")


def _going(turn: Turn, recording: EgressRecord, facts: Recording, *, fresh: bool) -> None:
    another = facts.status in _RUNNING and facts.started_ns > 0 and facts.started_ns not in recording.runs
    if recording.ended and not (another and facts.updated_ns > recording.facts.ended_ns):
        return  # late
    if another:
        if recording.runs:
            detail = "it runs twice at once, or again after its end, under one id"
            turn.anomaly(AnomalyKind.EGRESS_RAN_TWICE, facts.egress_id, detail)
        recording.runs[facts.started_ns] = 0
        _bound(recording)
    if (
        not fresh
        and not recording.ended
        and (_progress(facts) < _progress(recording.facts) or facts == recording.facts)
    ):
        return
    if recording.ended:
        recording.first_end, recording.ended = recording.facts, False
    recording.facts = facts
    where = turn.record.name, recording.session, turn.at
    turn.emit(RecordingStarted(*where, recording=facts) if fresh else RecordingChanged(*where, recording=facts))


def _progress(facts: Recording) -> tuple[int, int]:
    return _RANK.get(facts.status, 1), facts.updated_ns


def _ended(turn: Turn, recording: EgressRecord, facts: Recording) -> None:
    """The rule for several ends: a recording is over when each run that was seen is, and the end of the run that
    ended last is the recording's.
    """
    ended_ns = max(facts.ended_ns or turn.at * _NS, 1)
    run = _run_of(recording, facts.started_ns, ended_ns)
    if recording.runs.get(run) == ended_ns:
        return  # a repeat, perhaps under another event's id
    again = recording.ended
    recording.runs[run] = max(ended_ns, recording.runs.get(run, 0))
    _bound(recording)
    last = recording.facts if again else recording.first_end
    final = facts if last is None or facts.ended_ns >= last.ended_ns else last
    if not all(recording.runs.values()):
        recording.first_end = final
        return
    changed = final != recording.facts
    recording.facts, recording.first_end, recording.ended = final, None, True
    if again:
        detail = "egress_ended came again with another start or end; the latest end counts"
        turn.anomaly(AnomalyKind.EGRESS_ENDED_AGAIN, facts.egress_id, detail)
    if changed or not again:
        turn.emit(RecordingEnded(turn.record.name, recording.session, turn.at, recording=final, revised=again))
    session = turn.record.session(recording.session)
    if session is not None:
        lives.complete(turn, session)


def _run_of(recording: EgressRecord, started_ns: int, ended_ns: int) -> int:
    """Which run an end belongs to. The only one that goes on may have told its start otherwise, or not at all."""
    going = [start for start, end in recording.runs.items() if not end]
    if not started_ns:
        ended = [start for start, end in recording.runs.items() if end == ended_ns]
        return ended[0] if ended else (going[0] if len(going) == 1 else 0)
    if started_ns not in recording.runs and len(going) == 1:
        del recording.runs[going[0]]
    return started_ns


def _bound(recording: EgressRecord) -> None:
    while len(recording.runs) > RUNS_MAX:
        del recording.runs[next(iter(recording.runs))]
