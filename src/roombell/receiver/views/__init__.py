"""Typed views of what an event tells: times as datetimes, defaults filled in, a recording's results in one form."""

from roombell.receiver.views.enums import (
    DisconnectReason,
    EgressStatus,
    IngressInput,
    IngressStatus,
    JobStatus,
    JobType,
    ParticipantKind,
    ParticipantState,
    RoomEndReason,
    StreamStatus,
    TrackSource,
    TrackType,
)
from roombell.receiver.views.reading import EventView, view
from roombell.receiver.views.recording import Output, OutputKind, Recording, RecordingSource
from roombell.receiver.views.records import Ingress, Job, Participant, Room, Track

__all__ = [
    "DisconnectReason",
    "EgressStatus",
    "EventView",
    "Ingress",
    "IngressInput",
    "IngressStatus",
    "Job",
    "JobStatus",
    "JobType",
    "Output",
    "OutputKind",
    "Participant",
    "ParticipantKind",
    "ParticipantState",
    "Recording",
    "RecordingSource",
    "Room",
    "RoomEndReason",
    "StreamStatus",
    "Track",
    "TrackSource",
    "TrackType",
    "view",
]
