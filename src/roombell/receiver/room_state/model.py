"""What is remembered of the rooms of one name: plain records that can be written down and read back.

They change in place, by ``fold`` and the modules next to it alone; what users get are the frozen values of
``changes.py``. Nothing in here is a secret: TURN passwords and stream keys are left out when an event is read.
"""

from __future__ import annotations

from typing import Final, Literal, Self

import msgspec

from roombell.errors import ServiceError
from roombell.receiver.views import Ingress, Participant, Recording, Room, RoomEndReason, Track

FORMAT: Final = 1
"""Of the bytes that ``RoomRecord.to_bytes`` makes. Grows when an older version cannot read them."""


class StateUnreadable(ServiceError):
    """A stored room state is damaged, or was written by a newer version."""

    code = "state_unreadable"


class RoomLimits(msgspec.Struct, frozen=True):
    """How long a state waits, and how much it remembers. Seconds are the events' own, not the machine's."""

    late_s: int = 10
    """An event that is missing is taken for lost when the room's others are so much further."""
    phantom_s: int = 5
    """A room that starts so soon after one of its name ended, and stays empty, is one that DeleteRoom made up."""
    recording_wait_s: int = 6 * 3600
    """A room that ended counts as complete after so long, even if a recording's end was not told."""
    ended_kept_s: int = 24 * 3600
    """How long an ended room with its recordings is remembered."""
    departed_kept_s: int = 3600
    """How long it is remembered that a participant has left, so that nothing late brings them back."""
    sessions_max: int = 8
    """Of one room name, the running one included."""
    participants_max: int = 10_000
    """Of one room. Beyond it, whoever has been there longest is forgotten."""
    departed_max: int = 1000
    recordings_max: int = 256
    ingresses_max: int = 64
    tracks_max: int = 64
    """Of one participant."""
    checks_max: int = 2000
    rooms_max: int = 50_000
    """Of a ``RoomState``. Beyond it, the room that was quiet longest is forgotten."""
    recordings_hinted: bool = True
    """Whether a recording's bot in the room tells of a recording. Wrong where egress events are filtered out."""


class Published(msgspec.Struct, array_like=True):
    """A track, and when it was told of last: unix seconds."""

    facts: Track
    at: int


class Present(msgspec.Struct, omit_defaults=True):
    """A participant who is in the room, or may be."""

    facts: Participant
    since: int
    """When the joining, or the first sign of it, was told: unix seconds."""
    joined_seen: bool = False
    told: bool = False
    """Whether users were told of them."""
    doubt_at: int = 0
    """Since when they are probably gone; 0 where nothing says so."""
    replaced_by: str = ""
    """The sid of the newer session of the same identity: then there is no doubt."""
    tracks: dict[str, Published] = msgspec.field(default_factory=dict)
    tracks_gone: dict[str, int] = msgspec.field(default_factory=dict)
    """Unpublished tracks, so that a late publication does not bring one back: sid to unix seconds."""


class Trace(msgspec.Struct, omit_defaults=True):
    """A participant who is not in the room and was heard of."""

    at: int
    how: Literal["left", "presumed", "glimpsed"] = "left"
    """Told, concluded, or: seen by the end of a track alone, which says nothing of where they are."""
    joined_seen: bool = False
    identity: str = ""
    missed: bool = False
    """Whether users were told that the leaving did not come."""


class Session(msgspec.Struct, omit_defaults=True):
    """One life of a room, from its start to its end."""

    id: str
    """Of our own, since LiveKit gives one sid to several lives (livekit#4726): the sid and the epoch."""
    facts: Room
    facts_at: int
    """When they were told: unix seconds."""
    epoch: int
    """Unix seconds: when the room was made, or when it was first heard of."""
    heard_at: int = 0
    """When it was first heard of."""
    started_at: int = 0
    """When its last start was told; 0 if none was."""
    ended_at: int = 0
    end_reason: RoomEndReason = RoomEndReason.ROOM_END_UNKNOWN
    end_seen: bool = False
    doubt_at: int = 0
    """Since when it is probably over; 0 where nothing says so."""
    told: bool = False
    inhabited: bool = False
    """Whether anybody was ever in it."""
    completed: bool = False
    present: dict[str, Present] = msgspec.field(default_factory=dict)
    """By participant sid."""

    @property
    def sid(self) -> str:
        """LiveKit's."""
        return self.facts.sid

    @property
    def open(self) -> bool:
        """Whether its end was neither told nor concluded."""
        return not self.ended_at


class EgressRecord(msgspec.Struct, omit_defaults=True):
    """A recording, which may run more than once under one id (LiveKit community 1339)."""

    facts: Recording
    session: str = ""
    """The id of the session it belongs to; empty while that is not known."""
    seen_at: int = 0
    runs: dict[int, int] = msgspec.field(default_factory=dict)
    """Each run's start to its end, in nanoseconds; the end is 0 while it goes on."""
    first_end: Recording | None = None
    """What the run told that ended first, while another one goes on."""
    start_seen: bool = False
    hinted: bool = False
    """Whether its bot alone tells of it."""
    ended: bool = False


class IngressRecord(msgspec.Struct, omit_defaults=True):
    """The newest use of an ingress."""

    facts: Ingress
    at: int
    live: bool = False


CheckKind = Literal["start", "finish", "joined", "left", "egress_start", "complete"]


class Check(msgspec.Struct, array_like=True):
    """Something to look at again when the room's time has come so far."""

    due_at: int
    kind: CheckKind
    key: str


class RoomRecord(msgspec.Struct, omit_defaults=True):
    """All that is remembered of the rooms of one name. One value, to be stored under ``name``."""

    name: str
    now: int = 0
    """The newest event's time: unix seconds. Times of the record are measured by it."""
    sessions: list[Session] = msgspec.field(default_factory=list)
    """Oldest first."""
    departed: dict[str, Trace] = msgspec.field(default_factory=dict)
    """By participant sid, oldest first."""
    recordings: dict[str, EgressRecord] = msgspec.field(default_factory=dict)
    """By egress id; by the event's id where there is none."""
    ingresses: dict[str, IngressRecord] = msgspec.field(default_factory=dict)
    """By ingress id."""
    checks: list[Check] = msgspec.field(default_factory=list)

    def to_bytes(self) -> bytes:
        """The record for a store. It holds no secret."""
        return _encoder.encode((FORMAT, self))

    @classmethod
    def from_bytes(cls, raw: bytes) -> Self:
        """The record that ``to_bytes`` made.

        :raises StateUnreadable: ``raw`` is damaged, or of a newer version.
        """
        try:
            head = msgspec.msgpack.decode(raw, type=tuple[int, msgspec.Raw])
            if head[0] != FORMAT:
                raise StateUnreadable(
                    f"The stored room state has the format {head[0]}, this version reads {FORMAT}. "
                    "Was it written by a newer Roombell?"
                )
            return msgspec.msgpack.decode(head[1], type=cls)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise StateUnreadable(f"The stored room state is damaged: {type(error).__name__}.") from error

    @property
    def empty(self) -> bool:
        """Whether there is nothing left to remember: the record may be dropped."""
        return not (self.sessions or self.departed or self.recordings or self.ingresses or self.checks)

    def whereabouts(self, sid: str) -> tuple[Session, Present] | None:
        """The participant with that sid, and the session they are in."""
        for session in reversed(self.sessions):
            if sid in session.present:
                return session, session.present[sid]
        return None

    def newest(self, sid: str) -> Session | None:
        """The last session with that sid; the last of all where ``sid`` is empty."""
        return next((one for one in reversed(self.sessions) if not sid or one.sid == sid), None)

    def session(self, session_id: str) -> Session | None:
        """The session with that id of ours."""
        return next((one for one in self.sessions if one.id == session_id), None)


_encoder: Final = msgspec.msgpack.Encoder()
