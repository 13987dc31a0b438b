"""An event's JSON as it comes, decoded in one typed pass.

As ``roombell.events.parse`` reads: unknown fields are passed over, ``null`` is an absent field, a name may be
lowerCamelCase or the proto's own, a 64-bit integer a string or a number, an enumeration a name or a number.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

from roombell.errors import EventError
from roombell.events.parse import int64

Int = int | float | str | None
Enum = str | int | None

_SNAKE_KEY: Final = re.compile(rb'"[a-z0-9]+(?:_[a-z0-9]+)+"\s*:')
_UNDERSCORE: Final = re.compile(r"_([a-z0-9])")
_MAPS: Final = frozenset({"attributes"})
"""Fields whose keys are the user's and not the schema's."""


class Wire(msgspec.Struct, rename="camel", gc=False):
    """What all parts of the wire have in common."""


class WireRoom(Wire):
    sid: str | None = None
    name: str | None = None
    metadata: str | None = None
    creation_time: Int = None
    creation_time_ms: Int = None
    empty_timeout: Int = None
    departure_timeout: Int = None
    max_participants: Int = None
    num_participants: Int = None
    num_publishers: Int = None
    active_recording: bool | None = None
    turn_password: str | None = None


class WirePermission(Wire):
    hidden: bool | None = None
    recorder: bool | None = None


class WireTrackVersion(Wire):
    unix_micro: Int = None


class WireTrack(Wire):
    sid: str | None = None
    type: Enum = None
    name: str | None = None
    muted: bool | None = None
    width: Int = None
    height: Int = None
    simulcast: bool | None = None
    source: Enum = None
    mime_type: str | None = None
    stream: str | None = None
    version: WireTrackVersion | None = None


class WireParticipant(Wire):
    sid: str | None = None
    identity: str | None = None
    name: str | None = None
    state: Enum = None
    kind: Enum = None
    metadata: str | None = None
    attributes: dict[str, str] | None = None
    joined_at: Int = None
    joined_at_ms: Int = None
    region: str | None = None
    is_publisher: bool | None = None
    permission: WirePermission | None = None
    disconnect_reason: Enum = None
    tracks: list[WireTrack] | None = None


class WireOutput(Wire):
    """A file, a stream, segments or images: their fields together, since no name means two things."""

    filename: str | None = None
    playlist_name: str | None = None
    filename_prefix: str | None = None
    url: str | None = None
    location: str | None = None
    playlist_location: str | None = None
    live_playlist_location: str | None = None
    size: Int = None
    duration: Int = None
    started_at: Int = None
    ended_at: Int = None
    segment_count: Int = None
    image_count: Int = None
    status: Enum = None
    error: str | None = None
    retries: Int = None


class WireStreams(Wire):
    info: list[WireOutput] | None = None


class WirePresent(Wire):
    """A message of which only that it is there matters."""


class WireEgress(Wire):
    egress_id: str | None = None
    room_id: str | None = None
    room_name: str | None = None
    status: Enum = None
    started_at: Int = None
    ended_at: Int = None
    updated_at: Int = None
    egress: WirePresent | None = None
    replay: WirePresent | None = None
    room_composite: WirePresent | None = None
    web: WirePresent | None = None
    participant: WirePresent | None = None
    track_composite: WirePresent | None = None
    track: WirePresent | None = None
    file_results: list[WireOutput] | None = None
    stream_results: list[WireOutput] | None = None
    segment_results: list[WireOutput] | None = None
    image_results: list[WireOutput] | None = None
    file: WireOutput | None = None
    stream: WireStreams | None = None
    segments: WireOutput | None = None
    error: str | None = None
    error_code: Int = None
    details: str | None = None
    manifest_location: str | None = None
    backup_storage_used: bool | None = None
    retry_count: Int = None


class WireIngressState(Wire):
    status: Enum = None
    error: str | None = None
    room_id: str | None = None
    started_at: Int = None
    ended_at: Int = None
    updated_at: Int = None
    resource_id: str | None = None


class WireIngress(Wire):
    ingress_id: str | None = None
    name: str | None = None
    stream_key: str | None = None
    url: str | None = None
    input_type: Enum = None
    room_name: str | None = None
    participant_identity: str | None = None
    participant_name: str | None = None
    reusable: bool | None = None
    state: WireIngressState | None = None


class WireJobState(Wire):
    status: Enum = None
    error: str | None = None
    started_at: Int = None
    ended_at: Int = None
    updated_at: Int = None
    participant_identity: str | None = None
    worker_id: str | None = None


class WireJob(Wire):
    id: str | None = None
    dispatch_id: str | None = None
    type: Enum = None
    room: WireRoom | None = None
    participant: WireParticipant | None = None
    metadata: str | None = None
    agent_name: str | None = None
    state: WireJobState | None = None


class WireEvent(Wire):
    room: WireRoom | None = None
    participant: WireParticipant | None = None
    track: WireTrack | None = None
    egress_info: WireEgress | None = None
    ingress_info: WireIngress | None = None
    job: WireJob | None = None
    room_end_reason: Enum = None


_decoder: Final = msgspec.json.Decoder(WireEvent)


def decode(raw: bytes) -> WireEvent:
    """What a view needs of an event's body.

    :raises EventError: a field is of a type that LiveKit's schema does not allow; the message quotes no value.
    """
    try:
        if _SNAKE_KEY.search(raw):
            return msgspec.convert(_camel(msgspec.json.decode(raw)), WireEvent)
        return _decoder.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise EventError(f"The event is not what LiveKit's schema says: {error}.") from error


def integer(told: Int) -> int:
    """A number of the wire; an absent one is 0.

    :raises EventError: it is no 64-bit integer.
    """
    number = int64(told or 0)
    if number is None:
        raise EventError("The event has something else where LiveKit's schema says that a 64-bit integer stands.")
    return number


def _camel(value: object) -> object:
    """``value`` with the proto's own field names written as JSON has them."""
    if isinstance(value, list):
        return [_camel(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        _UNDERSCORE.sub(lambda found: found[1].upper(), name): item if name in _MAPS else _camel(item)
        for name, item in value.items()
    }
