"""Views tell what LiveKit's own decoder reads, and refuse with the promised error alone."""

from __future__ import annotations

import contextlib
import json

from google.protobuf import json_format
from hypothesis import given
from hypothesis import strategies as st
from livekit.protocol import agent, egress, ingress, models, webhook

from roombell.errors import EventError
from roombell.events import EVENT_TYPES, parse
from roombell.receiver.views import view
from roombell.receiver.views.wire import WireEvent
from roombell.testing.payloads import sample

NAMES = st.text(max_size=10)
TIMES = st.integers(0, 2**62)
ROOMS = st.builds(
    models.Room,
    sid=NAMES, name=NAMES, metadata=NAMES, creation_time_ms=TIMES, empty_timeout=st.integers(0, 2**32 - 1),
    num_participants=st.integers(0, 2**32 - 1), active_recording=st.booleans(), turn_password=NAMES,
)  # fmt: skip
TRACKS = st.builds(
    models.TrackInfo,
    sid=NAMES, name=NAMES, type=st.sampled_from(models.TrackType.values()), muted=st.booleans(),
    source=st.sampled_from(models.TrackSource.values()), width=st.integers(0, 5000), mime_type=NAMES,
)  # fmt: skip
PARTICIPANTS = st.builds(
    models.ParticipantInfo,
    sid=NAMES, identity=NAMES, metadata=NAMES, joined_at_ms=TIMES, is_publisher=st.booleans(), region=NAMES,
    attributes=st.dictionaries(NAMES, NAMES, max_size=3), kind=st.sampled_from(models.ParticipantInfo.Kind.values()),
    state=st.sampled_from(models.ParticipantInfo.State.values()), tracks=st.lists(TRACKS, max_size=2),
    disconnect_reason=st.sampled_from(models.DisconnectReason.values()),
)  # fmt: skip
FILES = st.builds(egress.FileInfo, filename=NAMES, started_at=TIMES, ended_at=TIMES, duration=TIMES, size=TIMES)
EGRESSES = st.builds(
    egress.EgressInfo,
    egress_id=NAMES, room_id=NAMES, status=st.sampled_from(egress.EgressStatus.values()), started_at=TIMES, error=NAMES,
    error_code=st.integers(-(2**31), 2**31 - 1), file_results=st.lists(FILES, max_size=2), retry_count=st.integers(0, 9),
)  # fmt: skip
INGRESSES = st.builds(
    ingress.IngressInfo,
    ingress_id=NAMES, stream_key=NAMES, input_type=st.sampled_from(ingress.IngressInput.values()),
    state=st.builds(ingress.IngressState, status=st.sampled_from(ingress.IngressState.Status.values()), ended_at=TIMES),
)  # fmt: skip
JOBS = st.builds(
    agent.Job,
    id=NAMES, type=st.sampled_from(agent.JobType.values()), room=ROOMS,
    state=st.builds(agent.JobState, status=st.sampled_from(agent.JobStatus.values()), started_at=TIMES, error=NAMES),
)  # fmt: skip
MESSAGES = st.builds(
    webhook.WebhookEvent,
    event=st.sampled_from(EVENT_TYPES),
    room=ROOMS,
    participant=PARTICIPANTS,
    track=TRACKS,
    egress_info=EGRESSES,
    ingress_info=INGRESSES,
    job=JOBS,
)


@given(MESSAGES, st.booleans(), st.booleans())
def test_a_view_tells_what_livekits_own_decoder_reads(
    message: webhook.WebhookEvent, protos_names: bool, numbers: bool
) -> None:
    raw = json_format.MessageToJson(message, preserving_proto_field_name=protos_names, use_integers_for_enums=numbers)
    told = view(parse(raw.encode()))
    room, who, track = told.room, told.participant, told.track
    assert (room.sid, room.name, room.metadata) == (message.room.sid, message.room.name, message.room.metadata)
    assert (room.created_ms, room.empty_timeout_s) == (message.room.creation_time_ms, message.room.empty_timeout)
    assert (room.turn_password, room.recording_active) == (message.room.turn_password, message.room.active_recording)
    assert who.attributes == dict(message.participant.attributes)
    assert (who.joined_ms, who.publisher) == (message.participant.joined_at_ms, message.participant.is_publisher)
    assert who.kind == models.ParticipantInfo.Kind.Name(message.participant.kind)
    assert who.disconnect_reason == models.DisconnectReason.Name(message.participant.disconnect_reason)
    assert [one.sid for one in who.tracks] == [one.sid for one in message.participant.tracks]
    assert (track.type, track.source) == (
        models.TrackType.Name(message.track.type),
        models.TrackSource.Name(message.track.source),
    )
    assert told.recording.status == egress.EgressStatus.Name(message.egress_info.status)
    assert (told.recording.started_ns, told.recording.error_code) == (
        message.egress_info.started_at,
        message.egress_info.error_code,
    )
    assert [(one.name, one.started_ns, one.duration_ns, one.size_bytes) for one in told.recording.files] == [
        (one.filename, one.started_at, one.duration, one.size) for one in message.egress_info.file_results
    ]
    assert told.ingress.input == ingress.IngressInput.Name(message.ingress_info.input_type)
    assert told.ingress.status == ingress.IngressState.Status.Name(message.ingress_info.state.status)
    assert (told.ingress.stream_key, told.ingress.ended_ns) == (
        message.ingress_info.stream_key,
        message.ingress_info.state.ended_at,
    )
    assert (told.job.status, told.job.room.sid) == (
        agent.JobStatus.Name(message.job.state.status),
        message.job.room.sid,
    )


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from([*WireEvent.__struct_encode_fields__, "sid", "state", "startedAt"]), inner, max_size=4
        )
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(WireEvent.__struct_encode_fields__), JSON, max_size=4))
def test_any_json_is_a_view_or_an_event_error(parts: dict) -> None:
    with contextlib.suppress(EventError):
        assert repr(view(parse(json.dumps({"event": "room_painted"} | parts).encode())))


@given(st.sampled_from(EVENT_TYPES), st.data())
def test_a_damaged_sample_is_a_view_or_an_event_error(event_type: str, data: st.DataObject) -> None:
    raw = bytearray(sample(event_type))
    for _ in range(data.draw(st.integers(1, 5))):
        at = data.draw(st.integers(0, len(raw) - 1))
        raw[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    with contextlib.suppress(EventError):
        assert repr(view(parse(bytes(raw))))
