"""What a room state says of itself, as frozen values: what changed, what seems wrong, and how things stand."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

import msgspec

from roombell.receiver.views import DisconnectReason, Ingress, Participant, Recording, Room, RoomEndReason, Track
from roombell.receiver.views.records import time_of_s


class Fact(msgspec.Struct, frozen=True, tag=True):
    """What every change has: which room it is in, and when it was told."""

    room_name: str
    session: str = ""
    """Which life of the room, by its id in ``RoomNow``; empty where that is not known."""
    at_s: int = 0
    """The time of the event that told it: unix seconds."""

    @property
    def at(self) -> datetime | None:
        """``at_s`` as a datetime."""
        return time_of_s(self.at_s)


class RoomOpened(Fact, frozen=True, tag=True, kw_only=True):
    """A room is there."""

    room: Room
    inferred: bool = False
    """Whether its start was not told, and something that went on in it was."""


class RoomEnded(Fact, frozen=True, tag=True, kw_only=True):
    """A room is over. Its recordings may go on: see ``RoomComplete``."""

    room: Room
    reason: RoomEndReason = RoomEndReason.ROOM_END_UNKNOWN
    inferred: bool = False
    """Whether its end was not told, and its successor's start was."""


class RoomComplete(Fact, frozen=True, tag=True, kw_only=True):
    """A room is over and so are all its recordings. Comes exactly once for each session."""

    room: Room
    recordings: tuple[Recording, ...] = ()
    missing: tuple[str, ...] = ()
    """Egress ids of recordings whose end was not told in time: ask LiveKit's ListEgress, which keeps them 24 h."""


class ParticipantJoined(Fact, frozen=True, tag=True, kw_only=True):
    """A participant is in the room."""

    participant: Participant
    inferred: bool = False
    """Whether the joining was not told and a track of theirs was: then sid and identity alone are known."""


class ParticipantLeft(Fact, frozen=True, tag=True, kw_only=True):
    """A participant who was in the room no longer is."""

    participant: Participant
    reason: DisconnectReason = DisconnectReason.UNKNOWN_REASON
    inferred: bool = False
    """Whether the leaving was not told, and the room's end, its restart or the identity's next session was."""
    replaced_by: str = ""
    """The sid of the same identity's next session where that is there already: they re-joined, and are not gone."""


class ParticipantAborted(Fact, frozen=True, tag=True, kw_only=True):
    """Somebody asked to join and is gone before their connection was up."""

    participant: Participant
    reason: DisconnectReason = DisconnectReason.UNKNOWN_REASON


class ParticipantMoved(Fact, frozen=True, tag=True, kw_only=True):
    """A participant went on in another room under the same sid. ``room_name`` is the one they came from."""

    participant: Participant
    to_room: str


class TrackPublished(Fact, frozen=True, tag=True, kw_only=True):
    """A track is there."""

    participant: Participant
    track: Track


class TrackUnpublished(Fact, frozen=True, tag=True, kw_only=True):
    """A track is gone. Tracks that go with their participant are not told of one by one."""

    participant: Participant
    track: Track


class RecordingStarted(Fact, frozen=True, tag=True, kw_only=True):
    """A recording was asked for."""

    recording: Recording


class RecordingChanged(Fact, frozen=True, tag=True, kw_only=True):
    """A recording became active, is ending, or one of its streams changed."""

    recording: Recording


class RecordingEnded(Fact, frozen=True, tag=True, kw_only=True):
    """A recording is over: ask ``recording.succeeded``."""

    recording: Recording
    revised: bool = False
    """Whether an end was told before, and this one, of a later run, takes its place."""


class IngressStarted(Fact, frozen=True, tag=True, kw_only=True):
    """Media comes in."""

    ingress: Ingress


class IngressEnded(Fact, frozen=True, tag=True, kw_only=True):
    """No more media comes in."""

    ingress: Ingress


class AnomalyKind(StrEnum):
    """What seems wrong."""

    ROOM_START_MISSING = "room_start_missing"
    """Something goes on in a room whose start was not told."""
    ROOM_FINISH_MISSING = "room_finish_missing"
    """A room goes on under the name of one whose end was not told."""
    ROOM_RESTARTED = "room_restarted"
    """``room_started`` came again under one sid, with no ``room_finished`` in between."""
    JOINED_MISSING = "joined_missing"
    """Somebody left, or has tracks, whose joining was not told."""
    LEFT_MISSING = "left_missing"
    """Somebody is no longer there whose leaving was not told."""
    JOINED_AGAIN = "joined_again"
    """``participant_joined`` came again under one sid, at another time."""
    ABORTED_AFTER_JOINED = "aborted_after_joined"
    """A connection was up, and is said to have been aborted before that (livekit#4227)."""
    EGRESS_START_MISSING = "egress_start_missing"
    """A recording's later events came, and its start was not told."""
    EGRESS_END_MISSING = "egress_end_missing"
    """A room is over for long, and the end of its recording was not told."""
    EGRESS_ENDED_AGAIN = "egress_ended_again"
    """``egress_ended`` came again with another start or end."""
    EGRESS_RAN_TWICE = "egress_ran_twice"
    """A recording runs twice under one egress id (LiveKit community 1339)."""
    DELIVERY_MISSING = "delivery_missing"
    """A place in a lane of Roombell's was left out: that delivery was given up."""
    DELIVERY_LATE = "delivery_late"
    """What was left out came after all: it was redriven."""
    DELIVERY_REPEATED = "delivery_repeated"
    """A delivery came again: the answer to it was lost, or it was replayed."""
    DELIVERY_MISNUMBERED = "delivery_misnumbered"
    """Two events under one number: a proxy, or another sender, makes up headers."""
    NUMBERING_RENEWED = "numbering_renewed"
    """An ordering key is numbered anew under another lane: the old one was idle for long."""


class Anomaly(Fact, frozen=True, tag=True, kw_only=True):
    """Something that LiveKit or the way here lost, repeated or mixed up. The state has dealt with it."""

    kind: AnomalyKind
    subject: str = ""
    """What it is about: a room's, participant's or egress' id, or a lane."""
    detail: str = ""
    """The same for people."""


Change = (
    RoomOpened
    | RoomEnded
    | RoomComplete
    | ParticipantJoined
    | ParticipantLeft
    | ParticipantAborted
    | ParticipantMoved
    | TrackPublished
    | TrackUnpublished
    | RecordingStarted
    | RecordingChanged
    | RecordingEnded
    | IngressStarted
    | IngressEnded
    | Anomaly
)


class InRoom(msgspec.Struct, frozen=True):
    """Somebody who is in a room now."""

    room_name: str
    session: str
    participant: Participant
    tracks: tuple[Track, ...]
    since_s: int
    """When it was told: unix seconds. When they asked to join: ``participant.joined_at``."""
    inferred: bool
    """Whether a track of theirs alone tells of them, and their joining was not told (yet)."""


class RoomNow(msgspec.Struct, frozen=True):
    """A room that is there now."""

    name: str
    session: str
    """The id of this life of the room."""
    room: Room
    """The room as it was last told in full: track events leave its metadata out (livekit#1460)."""
    started_s: int
    """When its start was told, or when it was first heard of: unix seconds."""
    participants_count: int
    """Who is there now, counted here: bots too, and LiveKit's own count is often old (livekit#4265)."""
    people_count: int
    """The same without agents and bots."""
    recordings_count: int
    """Recordings that go on."""
    provisional: bool
    """Whether this may be a room that DeleteRoom made up: it started right after another ended, and is empty."""
