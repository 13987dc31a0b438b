"""LiveKit's enumerations, open: a value that a newer server sends is kept as it came.

The members stand in the order of their numbers in livekit/protocol. A member is
the name that LiveKit writes. On the wire a value is its name, its number, or left out, which means the first.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Self


class OpenEnum(StrEnum):
    """Compares and prints as its name. ``is_known`` tells whether LiveKit's schema of today has it."""

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        if not isinstance(value, str):
            return None
        member = str.__new__(cls, value)
        member._name_ = member._value_ = value
        return member

    @classmethod
    def read(cls, told: str | int | None) -> Self:
        """What came over the wire as a member; an unknown number becomes its digits."""
        if isinstance(told, str):
            return cls(told)
        number = told or 0
        names = _NUMBERED.get(cls, ())
        return cls(names[number] if 0 <= number < len(names) and names[number] else str(number))

    @property
    def is_known(self) -> bool:
        """Whether this is one of the listed members."""
        return self._name_ in type(self).__members__


class DisconnectReason(OpenEnum):
    """Why a participant is gone."""

    UNKNOWN_REASON = "UNKNOWN_REASON"
    CLIENT_INITIATED = "CLIENT_INITIATED"
    DUPLICATE_IDENTITY = "DUPLICATE_IDENTITY"
    SERVER_SHUTDOWN = "SERVER_SHUTDOWN"
    PARTICIPANT_REMOVED = "PARTICIPANT_REMOVED"
    ROOM_DELETED = "ROOM_DELETED"
    STATE_MISMATCH = "STATE_MISMATCH"
    JOIN_FAILURE = "JOIN_FAILURE"
    MIGRATION = "MIGRATION"
    SIGNAL_CLOSE = "SIGNAL_CLOSE"
    ROOM_CLOSED = "ROOM_CLOSED"
    USER_UNAVAILABLE = "USER_UNAVAILABLE"
    USER_REJECTED = "USER_REJECTED"
    SIP_TRUNK_FAILURE = "SIP_TRUNK_FAILURE"
    CONNECTION_TIMEOUT = "CONNECTION_TIMEOUT"
    MEDIA_FAILURE = "MEDIA_FAILURE"
    AGENT_ERROR = "AGENT_ERROR"


class RoomEndReason(OpenEnum):
    """Why a room ended. Servers of before September 2026 do not tell."""

    ROOM_END_UNKNOWN = "ROOM_END_UNKNOWN"
    ROOM_END_API_DELETE = "ROOM_END_API_DELETE"
    ROOM_END_IDLE_TIMEOUT = "ROOM_END_IDLE_TIMEOUT"
    ROOM_END_SERVER_SHUTDOWN = "ROOM_END_SERVER_SHUTDOWN"
    ROOM_END_SUPERSEDED = "ROOM_END_SUPERSEDED"
    ROOM_END_OPEN_FAILED = "ROOM_END_OPEN_FAILED"


class ParticipantKind(OpenEnum):
    """What a participant is."""

    STANDARD = "STANDARD"
    INGRESS = "INGRESS"
    EGRESS = "EGRESS"
    SIP = "SIP"
    AGENT = "AGENT"
    CONNECTOR = "CONNECTOR"
    BRIDGE = "BRIDGE"


class ParticipantState(OpenEnum):
    """How far a participant's connection is."""

    JOINING = "JOINING"
    JOINED = "JOINED"
    ACTIVE = "ACTIVE"
    DISCONNECTED = "DISCONNECTED"


class TrackType(OpenEnum):
    """What a track carries."""

    AUDIO = "AUDIO"
    VIDEO = "VIDEO"
    DATA = "DATA"


class TrackSource(OpenEnum):
    """Where a track's media comes from."""

    UNKNOWN = "UNKNOWN"
    CAMERA = "CAMERA"
    MICROPHONE = "MICROPHONE"
    SCREEN_SHARE = "SCREEN_SHARE"
    SCREEN_SHARE_AUDIO = "SCREEN_SHARE_AUDIO"


class EgressStatus(OpenEnum):
    """How far a recording is."""

    EGRESS_STARTING = "EGRESS_STARTING"
    EGRESS_ACTIVE = "EGRESS_ACTIVE"
    EGRESS_ENDING = "EGRESS_ENDING"
    EGRESS_COMPLETE = "EGRESS_COMPLETE"
    EGRESS_FAILED = "EGRESS_FAILED"
    EGRESS_ABORTED = "EGRESS_ABORTED"
    EGRESS_LIMIT_REACHED = "EGRESS_LIMIT_REACHED"


class StreamStatus(OpenEnum):
    """How one stream of a recording does."""

    ACTIVE = "ACTIVE"
    FINISHED = "FINISHED"
    FAILED = "FAILED"


class IngressStatus(OpenEnum):
    """How an ingress does."""

    ENDPOINT_INACTIVE = "ENDPOINT_INACTIVE"
    ENDPOINT_BUFFERING = "ENDPOINT_BUFFERING"
    ENDPOINT_PUBLISHING = "ENDPOINT_PUBLISHING"
    ENDPOINT_ERROR = "ENDPOINT_ERROR"
    ENDPOINT_COMPLETE = "ENDPOINT_COMPLETE"


class IngressInput(OpenEnum):
    """What an ingress takes."""

    RTMP_INPUT = "RTMP_INPUT"
    WHIP_INPUT = "WHIP_INPUT"
    URL_INPUT = "URL_INPUT"


class JobStatus(OpenEnum):
    """How an agent's job does."""

    JS_PENDING = "JS_PENDING"
    JS_RUNNING = "JS_RUNNING"
    JS_SUCCESS = "JS_SUCCESS"
    JS_FAILED = "JS_FAILED"
    JS_CANCELLED = "JS_CANCELLED"


class JobType(OpenEnum):
    """What an agent's job is for."""

    JT_ROOM = "JT_ROOM"
    JT_PUBLISHER = "JT_PUBLISHER"
    JT_PARTICIPANT = "JT_PARTICIPANT"


_KIND_NUMBERS = ("STANDARD", "INGRESS", "EGRESS", "SIP", "AGENT", "", "", "CONNECTOR", "BRIDGE")
_NUMBERED: dict[type[OpenEnum], tuple[str, ...]] = {
    each: tuple(each.__members__)
    for each in (
        DisconnectReason,
        RoomEndReason,
        ParticipantState,
        TrackType,
        TrackSource,
        EgressStatus,
        StreamStatus,
        IngressStatus,
        IngressInput,
        JobStatus,
        JobType,
    )
} | {ParticipantKind: _KIND_NUMBERS}
