"""What follows from a command: webhook events, and notices to participants. Values, in the order they take place."""

from __future__ import annotations

import msgspec
from livekit.protocol import models, rtc

from roombell.events import WebhookEvent


class ExtraWebhook(msgspec.Struct, frozen=True):
    """Where a recording's events go beside the server's own webhooks, as its request said."""

    url: str
    signing_key: str
    """The name of an API key; empty: the server's own."""


class Happened(msgspec.Struct, frozen=True):
    """A webhook event, complete with id and time."""

    event: WebhookEvent
    webhooks: tuple[ExtraWebhook, ...] = ()


class ParticipantsChanged(msgspec.Struct, frozen=True):
    """These participants joined, changed or left (state DISCONNECTED). One may be the reader itself."""

    participants: tuple[models.ParticipantInfo, ...]


class RoomChanged(msgspec.Struct, frozen=True):
    """Counts, metadata or the recording sign changed."""

    room: models.Room


class TrackAccepted(msgspec.Struct, frozen=True):
    """The reader's own track may be published: its media is awaited."""

    cid: str
    track: models.TrackInfo


class TrackRemoved(msgspec.Struct, frozen=True):
    """The reader's own track is no longer published: it was removed, or the right to it was taken."""

    track_sid: str


class TrackMuted(msgspec.Struct, frozen=True):
    """The server muted the reader's own track, or let it sound again."""

    track_sid: str
    muted: bool


class SubscriptionsChanged(msgspec.Struct, frozen=True):
    """The server subscribed the reader to these tracks, or unsubscribed it."""

    track_sids: tuple[str, ...]
    subscribe: bool


class GrantsChanged(msgspec.Struct, frozen=True):
    """The reader's name, metadata, attributes or permissions are new: its token is to be refreshed."""

    participant: models.ParticipantInfo


class DataSent(msgspec.Struct, frozen=True):
    """Data for the reader, from the server or another participant."""

    packet: models.DataPacket


class Moved(msgspec.Struct, frozen=True):
    """The reader is in another room now, with a new sid: ``participant.sid``. Its session goes on."""

    room: models.Room
    participant: models.ParticipantInfo
    others: tuple[models.ParticipantInfo, ...]


class Left(msgspec.Struct, frozen=True):
    """The reader is out of the room. The last notice that a session gets."""

    reason: models.DisconnectReason
    action: rtc.LeaveRequest.Action


Notice = (
    ParticipantsChanged
    | RoomChanged
    | TrackAccepted
    | TrackRemoved
    | TrackMuted
    | SubscriptionsChanged
    | GrantsChanged
    | DataSent
    | Moved
    | Left
)


class Tell(msgspec.Struct, frozen=True):
    """A notice for one participant's session."""

    participant_sid: str
    notice: Notice


Effect = Happened | Tell
