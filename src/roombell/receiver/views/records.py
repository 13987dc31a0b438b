"""What an event tells, as frozen values whose times are datetimes and whose defaults are there.

Times are kept as the whole numbers that LiveKit sends, in the unit that the name ends in, and given as aware
datetimes (UTC, to the microsecond). ``None`` stands for a time that was not told. Representations hide secrets.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import ClassVar

import msgspec

from roombell.receiver.views.enums import (
    DisconnectReason,
    IngressInput,
    IngressStatus,
    JobStatus,
    JobType,
    ParticipantKind,
    ParticipantState,
    TrackSource,
    TrackType,
)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_US_MAX = 253_402_300_799_999_999  # the last microsecond of the year 9999, where Python's datetime ends


def time_of_us(unix_us: int) -> datetime | None:
    """The moment so many microseconds after 1970; None for 0, and for what no datetime can express."""
    return _EPOCH + timedelta(microseconds=unix_us) if 0 < unix_us <= _US_MAX else None


def time_of_s(unix_s: int) -> datetime | None:
    """As ``time_of_us``, for seconds."""
    return time_of_us(unix_s * 1_000_000)


def time_of_ms(unix_ms: int) -> datetime | None:
    """As ``time_of_us``, for milliseconds."""
    return time_of_us(unix_ms * 1000)


def time_of_ns(unix_ns: int) -> datetime | None:
    """As ``time_of_us``, for nanoseconds, of which the last three digits are cut off."""
    return time_of_us(unix_ns // 1000)


class View(msgspec.Struct, frozen=True):
    """What all views have in common: a representation without defaults and without secrets."""

    SECRETS: ClassVar[frozenset[str]] = frozenset()

    def __repr__(self) -> str:
        told = ", ".join(f"{name}={value!r}" for name, value in self.__rich_repr__())
        return f"{type(self).__name__}({told})"

    def __rich_repr__(self) -> list[tuple[str, object]]:
        told: list[tuple[str, object]] = []
        for field in msgspec.structs.fields(self):
            value: object = getattr(self, field.name)
            if value not in (field.default, {}):
                told.append((field.name, "***" if field.name in self.SECRETS else value))
        return told


class Room(View, frozen=True):
    """A room as an event tells of it. Track, egress and ingress events tell sid and name at most."""

    SECRETS = frozenset({"turn_password"})

    sid: str = ""
    name: str = ""
    metadata: str = ""
    created_ms: int = 0
    empty_timeout_s: int = 0
    departure_timeout_s: int = 0
    participants_max: int = 0
    """0 where there is no limit."""
    participants_told: int = 0
    """LiveKit's ``numParticipants``, which may be missing or old (livekit#4265): count with ``RoomState``."""
    publishers_told: int = 0
    recording_active: bool = False
    turn_password: str = ""

    @property
    def created_at(self) -> datetime | None:
        """When the room was made; equal for two lives of one sid."""
        return time_of_ms(self.created_ms)

    @property
    def empty_timeout(self) -> timedelta:
        """How long the room waits for its first participant."""
        return timedelta(seconds=self.empty_timeout_s)

    @property
    def departure_timeout(self) -> timedelta:
        """How long the room outlives its last participant."""
        return timedelta(seconds=self.departure_timeout_s)


class Track(View, frozen=True):
    """A track as it was published. Muting is not told by webhooks."""

    sid: str = ""
    type: TrackType = TrackType.AUDIO
    source: TrackSource = TrackSource.UNKNOWN
    name: str = ""
    mime_type: str = ""
    muted: bool = False
    width: int = 0
    height: int = 0
    simulcast: bool = False
    stream: str = ""
    version_us: int = 0

    @property
    def version_at(self) -> datetime | None:
        """When LiveKit last changed the track."""
        return time_of_us(self.version_us)


class Participant(View, frozen=True):
    """One session of an identity. Track events tell sid and identity alone."""

    sid: str = ""
    """Tells two sessions of one identity apart."""
    identity: str = ""
    name: str = ""
    kind: ParticipantKind = ParticipantKind.STANDARD
    state: ParticipantState = ParticipantState.JOINING
    metadata: str = ""
    attributes: dict[str, str] = msgspec.field(default_factory=dict)
    joined_ms: int = 0
    region: str = ""
    publisher: bool = False
    hidden: bool = False
    recorder: bool = False
    disconnect_reason: DisconnectReason = DisconnectReason.UNKNOWN_REASON
    tracks: tuple[Track, ...] = ()

    @property
    def joined_at(self) -> datetime | None:
        """When the participant asked to join; to the millisecond where the server tells it."""
        return time_of_ms(self.joined_ms)

    @property
    def is_agent(self) -> bool:
        """Whether this is an agent."""
        return self.kind == ParticipantKind.AGENT

    @property
    def is_egress(self) -> bool:
        """Whether this is the bot of a recording. Its identity is the egress id."""
        return self.kind == ParticipantKind.EGRESS

    @property
    def is_ingress(self) -> bool:
        """Whether this is the bot of an ingress."""
        return self.kind == ParticipantKind.INGRESS

    @property
    def is_sip(self) -> bool:
        """Whether this is a caller by telephone."""
        return self.kind == ParticipantKind.SIP

    @property
    def is_person(self) -> bool:
        """Whether a human is there, as far as LiveKit tells: by a client or by telephone."""
        return self.kind in {ParticipantKind.STANDARD, ParticipantKind.SIP} and not self.recorder


class Ingress(View, frozen=True):
    """An ingress and how it does."""

    SECRETS = frozenset({"stream_key", "url"})

    ingress_id: str = ""
    name: str = ""
    input: IngressInput = IngressInput.RTMP_INPUT
    status: IngressStatus = IngressStatus.ENDPOINT_INACTIVE
    room_name: str = ""
    room_sid: str = ""
    participant_identity: str = ""
    participant_name: str = ""
    reusable: bool = False
    resource_id: str = ""
    """Tells two uses of one reusable ingress apart."""
    started_ns: int = 0
    ended_ns: int = 0
    updated_ns: int = 0
    error: str = ""
    url: str = ""
    stream_key: str = ""

    @property
    def started_at(self) -> datetime | None:
        """When media began to come in."""
        return time_of_ns(self.started_ns)

    @property
    def ended_at(self) -> datetime | None:
        """When it ended."""
        return time_of_ns(self.ended_ns)

    @property
    def updated_at(self) -> datetime | None:
        """When this was so."""
        return time_of_ns(self.updated_ns)


class Job(View, frozen=True):
    """An agent's job (LiveKit Cloud)."""

    job_id: str = ""
    dispatch_id: str = ""
    agent_name: str = ""
    type: JobType = JobType.JT_ROOM
    status: JobStatus = JobStatus.JS_PENDING
    participant_identity: str = ""
    """The agent's own identity in the room, once it is there."""
    worker_id: str = ""
    metadata: str = ""
    error: str = ""
    started_ns: int = 0
    ended_ns: int = 0
    updated_ns: int = 0
    room: Room = Room()
    participant: Participant = Participant()
    """Whom the job is for; empty where it is for the whole room."""

    @property
    def started_at(self) -> datetime | None:
        """When a worker took it."""
        return time_of_ns(self.started_ns)

    @property
    def ended_at(self) -> datetime | None:
        """When it was over."""
        return time_of_ns(self.ended_ns)
