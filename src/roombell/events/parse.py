"""Reading an event off the wire.

Only the dozen fields that Roombell needs are decoded, by one typed pass of msgspec (about 1 us); protobuf's JSON
decoder takes 100 times as long and stays off the hot path. What is tolerated is what protojson tolerates: unknown
fields and enum values, ``null`` for an absent field, lowerCamelCase or the proto's own names, and 64-bit integers as
strings or as numbers.
"""

from __future__ import annotations

import hashlib
from typing import Final

import msgspec

from roombell.errors import EventError, UsageError
from roombell.events.event import WebhookEvent

ID_CHARS_MAX: Final = 256
"""How long an event's id may be: it travels as a header and is a key in the store."""

TYPE_CHARS_MAX: Final = 128
"""How long an event's type may be. LiveKit's longest has 30."""

ORDERING_KEY_CHARS_MAX: Final = 512
"""A longer key is replaced by its hash, which orders the same: keys are indexed, and a room's name may be long."""

DEFAULT_ORDERING_KEY: Final = "default"
"""LiveKit's key for an event that names no resource."""

INT64_MAX: Final = 2**63 - 1


class _Room(msgspec.Struct, gc=False):
    sid: str | None = None
    name: str | None = None


class _Participant(msgspec.Struct, gc=False):
    sid: str | None = None
    identity: str | None = None


class _Track(msgspec.Struct, gc=False):
    sid: str | None = None


# A field whose two spellings differ stands twice, the proto's own name second.
class _Egress(msgspec.Struct, gc=False):
    egress_id_: str | None = msgspec.field(default=None, name="egressId")
    room_id_: str | None = msgspec.field(default=None, name="roomId")
    room_name_: str | None = msgspec.field(default=None, name="roomName")
    egress_id: str | None = None
    room_id: str | None = None
    room_name: str | None = None


class _IngressState(msgspec.Struct, gc=False):
    room_id_: str | None = msgspec.field(default=None, name="roomId")
    room_id: str | None = None


class _Ingress(msgspec.Struct, gc=False):
    ingress_id_: str | None = msgspec.field(default=None, name="ingressId")
    room_name_: str | None = msgspec.field(default=None, name="roomName")
    participant_identity_: str | None = msgspec.field(default=None, name="participantIdentity")
    ingress_id: str | None = None
    room_name: str | None = None
    participant_identity: str | None = None
    state: _IngressState | None = None


class _JobState(msgspec.Struct, gc=False):
    participant_identity_: str | None = msgspec.field(default=None, name="participantIdentity")
    participant_identity: str | None = None


class _Job(msgspec.Struct, gc=False):
    id: str | None = None
    room: _Room | None = None
    participant: _Participant | None = None
    state: _JobState | None = None


class _Wire(msgspec.Struct, gc=False):
    event: str
    id: str | None = None
    room: _Room | None = None
    participant: _Participant | None = None
    track: _Track | None = None
    job: _Job | None = None
    created_at_: int | float | str | None = msgspec.field(default=None, name="createdAt")
    egress_info_: _Egress | None = msgspec.field(default=None, name="egressInfo")
    ingress_info_: _Ingress | None = msgspec.field(default=None, name="ingressInfo")
    created_at: int | float | str | None = None
    egress_info: _Egress | None = None
    ingress_info: _Ingress | None = None


_decoder: Final = msgspec.json.Decoder(_Wire)
_NO_ROOM: Final = _Room()
_NO_PARTICIPANT: Final = _Participant()
_NO_TRACK: Final = _Track()
_NO_EGRESS: Final = _Egress()
_NO_INGRESS: Final = _Ingress()
_NO_INGRESS_STATE: Final = _IngressState()
_NO_JOB: Final = _Job()
_NO_JOB_STATE: Final = _JobState()


def parse(raw: bytes) -> WebhookEvent:
    """The event in a webhook's body.

    ``ordering_key`` is LiveKit's ``EventKey`` (``webhook/resource_url_notifier.go`` of livekit/protocol): the egress
    id, else the ingress id, else the room's name, else the participant's identity, else the track's sid, each of the
    event's own top-level fields; then, where LiveKit stops, the room's name of an agent's job; else ``default``.
    A key of over ``ORDERING_KEY_CHARS_MAX`` characters is given as its hash.

    :param raw: the body as it came off the socket. It is kept as it is, never re-encoded.
    :raises EventError: not a JSON object with an ``event``, or a field Roombell reads has a wrong type.
    :raises UsageError: ``raw`` is no bytes.
    """
    wire = _decode(raw)
    room = wire.room or _NO_ROOM
    participant = wire.participant or _NO_PARTICIPANT
    egress = wire.egress_info_ or wire.egress_info or _NO_EGRESS
    ingress = wire.ingress_info_ or wire.ingress_info or _NO_INGRESS
    job = wire.job or _NO_JOB
    job_room = job.room or _NO_ROOM
    job_participant = job.participant or _NO_PARTICIPANT
    egress_id = egress.egress_id_ or egress.egress_id or ""
    ingress_id = ingress.ingress_id_ or ingress.ingress_id or ""
    track_sid = (wire.track or _NO_TRACK).sid or ""
    keys = (egress_id, ingress_id, room.name, participant.identity, track_sid, job_room.name)
    return WebhookEvent(
        raw=raw,
        type=wire.event,
        id=_id(wire.id, raw),
        created_at=_unix_s(wire.created_at_ or wire.created_at or 0),
        ordering_key=_ordering_key(next(filter(None, keys), DEFAULT_ORDERING_KEY)),
        room_name=room.name
        or egress.room_name_
        or egress.room_name
        or ingress.room_name_
        or ingress.room_name
        or job_room.name
        or "",
        room_sid=room.sid or egress.room_id_ or egress.room_id or _ingress_room_sid(ingress) or job_room.sid or "",
        participant_identity=participant.identity
        or ingress.participant_identity_
        or ingress.participant_identity
        or job_participant.identity
        or _job_identity(job),
        participant_sid=participant.sid or job_participant.sid or "",
        track_sid=track_sid,
        egress_id=egress_id,
        ingress_id=ingress_id,
        job_id=job.id or "",
    )


def _decode(raw: bytes) -> _Wire:
    if type(raw) is not bytes:
        raise UsageError(f"An event is parsed from the body's raw bytes, not from {type(raw).__name__}.")
    try:
        # msgspec does not look into strings that it skips; a receiver's decoder would trip over them.
        if not raw.isascii():
            raw.decode()
        wire = _decoder.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise EventError(_refusal(raw, error)) from error
    if not wire.event:
        raise EventError("The body is JSON, but its `event` is empty: a LiveKit webhook names its event type there.")
    if len(wire.event) > TYPE_CHARS_MAX or not wire.event.isprintable():
        raise EventError(
            f"The body's `event` must be printable text of at most {TYPE_CHARS_MAX} characters; this one has "
            f"{len(wire.event)}. LiveKit's are like room_started."
        )
    return wire


def _refusal(raw: bytes, error: Exception) -> str:
    """Says what is wrong without a byte of the body: it may hold secrets."""
    if not raw.strip():
        return "The body is empty. Was it read before, by a middleware or a body parser? The raw body is needed."
    if isinstance(error, UnicodeDecodeError):
        return f"The body is not UTF-8 (byte {error.start} of {len(raw)}), so it is not the JSON that LiveKit sends."
    if isinstance(error, RecursionError):
        return "The body's JSON is nested too deeply to be a LiveKit webhook event."
    if isinstance(error, msgspec.ValidationError):
        return f"The body is JSON, but not a LiveKit webhook event: {error}."
    return (
        f"The body is not JSON ({error}). A LiveKit webhook is one JSON object; did a body parser or a proxy "
        "hand over something else than the raw body?"
    )


def _id(given: str | None, raw: bytes) -> str:
    if not given:
        return "sha256-" + hashlib.sha256(raw).hexdigest()[:32]
    # It becomes the header Webhook-Id, where a line break would be a hole and anything but ASCII a gamble.
    if len(given) > ID_CHARS_MAX or not given.isascii() or not given.isprintable():
        raise EventError(
            f"The event's `id` must be printable ASCII of at most {ID_CHARS_MAX} characters; this one "
            f"({len(given)} characters) cannot be sent as a header. LiveKit's are like EV_eugWmGhovZmm."
        )
    return given


def _ordering_key(key: str) -> str:
    if len(key) <= ORDERING_KEY_CHARS_MAX:
        return key
    return "sha256-" + hashlib.sha256(key.encode()).hexdigest()


def int64(given: float | str) -> int | None:
    """A 64-bit integer of protobuf's JSON, which is a number or the text of one; None where it is something else."""
    if isinstance(given, str):
        digits = given.removeprefix("-")
        number = int(given) if digits.isascii() and digits.isdigit() and len(digits) <= len(str(INT64_MAX)) else None
    else:
        number = int(given) if given == int(given) else None
    return number if number is not None and abs(number) <= INT64_MAX else None


def _unix_s(given: float | str) -> int:
    number = int64(given)
    if number is None:
        raise EventError(
            "The event's `createdAt` is not a whole number of seconds, as a 64-bit integer or a string of it."
        )
    return number


def _ingress_room_sid(ingress: _Ingress) -> str:
    state = ingress.state or _NO_INGRESS_STATE
    return state.room_id_ or state.room_id or ""


def _job_identity(job: _Job) -> str:
    state = job.state or _NO_JOB_STATE
    return state.participant_identity_ or state.participant_identity or ""
