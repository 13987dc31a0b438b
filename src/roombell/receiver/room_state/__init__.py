"""Who is in which room now, folded from webhooks that may be missing, late, swapped and repeated."""

from roombell.receiver.room_state.changes import (
    Anomaly,
    AnomalyKind,
    Change,
    IngressEnded,
    IngressStarted,
    InRoom,
    ParticipantAborted,
    ParticipantJoined,
    ParticipantLeft,
    ParticipantMoved,
    RecordingChanged,
    RecordingEnded,
    RecordingStarted,
    RoomComplete,
    RoomEnded,
    RoomNow,
    RoomOpened,
    TrackPublished,
    TrackUnpublished,
)
from roombell.receiver.room_state.fold import fold, settle
from roombell.receiver.room_state.model import RoomLimits, RoomRecord, StateUnreadable
from roombell.receiver.room_state.people import move_out
from roombell.receiver.room_state.queries import ingresses_now, participants_now, recordings_of, rooms_now
from roombell.receiver.room_state.state import RoomState, room_key

__all__ = [
    "Anomaly",
    "AnomalyKind",
    "Change",
    "InRoom",
    "IngressEnded",
    "IngressStarted",
    "ParticipantAborted",
    "ParticipantJoined",
    "ParticipantLeft",
    "ParticipantMoved",
    "RecordingChanged",
    "RecordingEnded",
    "RecordingStarted",
    "RoomComplete",
    "RoomEnded",
    "RoomLimits",
    "RoomNow",
    "RoomOpened",
    "RoomRecord",
    "RoomState",
    "StateUnreadable",
    "TrackPublished",
    "TrackUnpublished",
    "fold",
    "ingresses_now",
    "move_out",
    "participants_now",
    "recordings_of",
    "room_key",
    "rooms_now",
    "settle",
]
