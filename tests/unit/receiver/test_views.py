"""Views: times, defaults, results in one form, and no secret in sight."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from roombell.errors import EventError
from roombell.events import EVENT_TYPES, parse
from roombell.receiver.views import (
    DisconnectReason,
    EgressStatus,
    EventView,
    IngressStatus,
    JobStatus,
    OutputKind,
    ParticipantKind,
    ParticipantState,
    RecordingSource,
    RoomEndReason,
    StreamStatus,
    TrackSource,
    TrackType,
    view,
)
from roombell.receiver.views.records import time_of_ns, time_of_s
from roombell.testing.payloads import CREATED_AT, sample

REAL_PAYLOADS = Path(__file__).parents[2] / "data" / "real_payloads"
SECRET = "not-a-secret"
NS = 1_000_000_000


def seen(event_type: str, **parts: object) -> EventView:
    """The view of a body with just these parts."""
    return view(parse(json.dumps({"event": event_type, **parts}).encode()))


def egress(**info: object) -> EventView:
    return seen("egress_ended", egressInfo={"egressId": "EG_1", "roomName": "demo", **info})


# Times


def test_seconds_milliseconds_and_nanoseconds_are_aware_datetimes() -> None:
    room = view(parse(sample("room_started"))).room
    recording = view(parse(sample("egress_ended"))).recording
    assert room is not None
    assert recording is not None
    assert room.created_at == datetime.fromtimestamp(CREATED_AT, UTC) + timedelta(milliseconds=287)
    assert recording.ended_at == datetime.fromtimestamp(CREATED_AT, UTC) + timedelta(microseconds=605_577)
    assert recording.duration == recording.files[0].duration == timedelta(seconds=60)
    assert (room.empty_timeout, room.departure_timeout) == (timedelta(seconds=300), timedelta(seconds=20))


def test_milliseconds_are_made_of_seconds_where_the_server_is_old() -> None:
    told = seen("participant_joined", participant={"sid": "PA_1", "joinedAt": "1694522728"}).participant
    assert told is not None
    assert told.joined_at == datetime(2023, 9, 12, 12, 45, 28, tzinfo=UTC)


@pytest.mark.parametrize("told", [0, -1, 10**18])
def test_a_time_that_is_none_is_none(told: int) -> None:
    assert time_of_s(told) is None
    assert time_of_ns(0) is None


def test_microseconds_of_a_track_are_a_datetime() -> None:
    track = view(parse(sample("track_published"))).track
    assert track is not None
    assert track.version_at == datetime.fromtimestamp(CREATED_AT, UTC) + timedelta(microseconds=526_591)


# Defaults and enumerations


def test_what_livekit_leaves_out_is_there() -> None:
    assert egress().recording.status == EgressStatus.EGRESS_STARTING
    participant = seen("participant_joined", participant={"sid": "PA_1"}).participant
    assert (participant.kind, participant.state) == (ParticipantKind.STANDARD, ParticipantState.JOINING)
    assert participant.disconnect_reason == DisconnectReason.UNKNOWN_REASON
    track = seen("track_published", track={"sid": "TR_1"}).track
    assert (track.type, track.source) == (TrackType.AUDIO, TrackSource.UNKNOWN)
    assert seen("ingress_ended", ingressInfo={"ingressId": "IN_1"}).ingress.status == IngressStatus.ENDPOINT_INACTIVE
    assert seen("agent_job_pending", job={"id": "AJ_1"}).job.status == JobStatus.JS_PENDING
    assert seen("room_finished").end_reason == RoomEndReason.ROOM_END_UNKNOWN


@pytest.mark.parametrize(
    ("told", "meant"),
    [
        (4, "AGENT"),
        ("AGENT", "AGENT"),
        (8, "BRIDGE"),
        (0, "STANDARD"),
        (None, "STANDARD"),
        ("ROBOT", "ROBOT"),
        (99, "99"),
        (5, "5"),
    ],
)
def test_an_enumeration_may_be_a_name_a_number_or_new(told: object, meant: str) -> None:
    kind = seen("participant_joined", participant={"sid": "PA_1", "kind": told}).participant.kind
    assert kind == meant
    assert kind.is_known == (meant in ParticipantKind.__members__)
    assert isinstance(kind, ParticipantKind)


def test_an_event_carries_none_for_what_it_does_not_tell() -> None:
    told = seen("room_started", room={"sid": "RM_1"})
    assert (told.participant, told.track, told.recording, told.ingress, told.job) == (None,) * 5


ALL_TOLD = {
    "room": {
        "sid": "RM_1", "name": "demo", "metadata": "m", "creationTime": "1", "creationTimeMs": "1500", "emptyTimeout": 2,
        "departureTimeout": 3, "maxParticipants": 4, "numParticipants": 5, "numPublishers": 6, "activeRecording": True,
        "turnPassword": "p",
    },
    "participant": {
        "sid": "PA_1", "identity": "alice", "name": "Alice", "kind": "SIP", "state": "ACTIVE", "metadata": "m",
        "attributes": {"a": "b"}, "joinedAt": "1", "joinedAtMs": "1500", "region": "eu", "isPublisher": True,
        "permission": {"hidden": True, "recorder": True}, "disconnectReason": "MIGRATION", "tracks": [{"sid": "TR_1"}],
    },
    "track": {
        "sid": "TR_1", "type": "VIDEO", "source": "CAMERA", "name": "n", "mimeType": "video/VP8", "muted": True,
        "width": 1, "height": 2, "simulcast": True, "stream": "s", "version": {"unixMicro": "3"},
    },
    "egressInfo": {
        "egressId": "EG_1", "roomName": "demo", "roomId": "RM_1", "web": {}, "status": "EGRESS_FAILED", "startedAt": "1",
        "endedAt": "2", "updatedAt": "3", "error": "e", "errorCode": 4, "details": "d", "manifestLocation": "l",
        "backupStorageUsed": True, "retryCount": 5,
        "fileResults": [
            {"filename": "f", "location": "l", "livePlaylistLocation": "v", "startedAt": "1", "duration": "-1", "size": "4",
             "segmentCount": "5", "status": "FAILED", "error": "e", "retries": 6, "endedAt": "9"},
        ],
    },
    "ingressInfo": {
        "ingressId": "IN_1", "name": "n", "inputType": "WHIP_INPUT", "roomName": "demo", "participantIdentity": "camera",
        "participantName": "Camera", "reusable": True, "url": "u", "streamKey": "k",
        "state": {
            "status": "ENDPOINT_ERROR", "roomId": "RM_1", "resourceId": "r", "startedAt": "1", "endedAt": "2",
            "updatedAt": "3", "error": "e",
        },
    },
    "job": {
        "id": "AJ_1", "dispatchId": "AD_1", "agentName": "a", "type": "JT_PUBLISHER", "metadata": "m",
        "room": {"sid": "RM_1"}, "participant": {"sid": "PA_1"},
        "state": {
            "status": "JS_FAILED", "participantIdentity": "agent", "workerId": "w", "startedAt": "1", "endedAt": "2",
            "updatedAt": "3", "error": "e",
        },
    },
    "roomEndReason": "ROOM_END_API_DELETE",
}  # fmt: skip


def test_every_field_of_every_view_is_read() -> None:
    told = seen("room_finished", **ALL_TOLD)
    parts = [
        told,
        told.room,
        told.participant,
        told.track,
        told.recording,
        told.recording.outputs[0],
        told.ingress,
        told.job,
    ]
    left_out = {
        (type(part).__name__, field.name)
        for part in parts
        for field in msgspec.structs.fields(part)
        if getattr(part, field.name) in (field.default, {}, "", 0, False)
    }
    assert left_out == set()
    assert (told.room.created_ms, told.participant.joined_ms) == (1500, 1500)


def test_no_field_of_an_empty_part_is_none() -> None:
    egress_info = {"fileResults": [{}]}
    told = seen("room_finished", room={}, participant={}, track={}, egressInfo=egress_info, ingressInfo={}, job={})
    parts = [told, told.room, told.participant, told.track, told.recording, told.recording.outputs[0], told.ingress]
    for part in [*parts, told.job]:
        assert None not in [getattr(part, field.name) for field in msgspec.structs.fields(part)]


# Spellings


def test_numbers_may_be_strings_and_names_the_protos_own() -> None:
    camel = {"sid": "PA_1", "joinedAtMs": "1500", "disconnectReason": "MIGRATION", "attributes": {"user_id": "7"}}
    snake = {"sid": "PA_1", "joined_at_ms": 1500, "disconnect_reason": 8, "attributes": {"user_id": "7"}}
    assert (
        seen("participant_left", participant=camel).participant
        == seen("participant_left", participant=snake).participant
    )
    assert egress(fileResults=[{"startedAt": 5}]).recording == seen(
        "egress_ended", egress_info={"egress_id": "EG_1", "room_name": "demo", "file_results": [{"started_at": "5"}]}
    ).recording  # fmt: skip


def test_null_is_an_absent_field() -> None:
    assert egress(fileResults=None, status=None, startedAt=None).recording == egress().recording


@pytest.mark.parametrize(
    "part",
    [
        {"room": {"creationTime": "soon"}},
        {"room": {"creationTime": 2**64}},
        {"room": {"creationTime": 1.5}},
        {"room": {"creationTime": "1_000"}},
        {"room": {"creationTime": " 5"}},
        {"room": {"creationTime": "\u0665"}},
        {"egressInfo": {"fileResults": {"size": "1"}}},
        {"egressInfo": {"startedAt": "9" * 5000}},
        {"participant": {"attributes": {"a": 1}, "joined_at": 1}},
    ],
)
def test_what_the_schema_does_not_allow_is_told_without_quoting_it(part: dict) -> None:
    event = parse(json.dumps({"event": "room_painted"} | part).encode())
    with pytest.raises(EventError) as raised:
        view(event)
    assert "soon" not in str(raised.value)


# Recordings

FILE = {"filename": "a.mp4", "location": "https://b/a.mp4", "startedAt": str(5 * NS), "endedAt": str(65 * NS)}


def test_a_result_is_an_output_whatever_field_it_came_in() -> None:
    lists = egress(
        fileResults=[FILE | {"size": "7", "duration": str(60 * NS)}],
        streamResults=[{"url": "rtmp://x/live/{ab...yz}", "status": "FAILED", "error": "refused", "retries": 2}],
        segmentResults=[
            {"playlistName": "a.m3u8", "livePlaylistLocation": "https://b/live.m3u8", "segmentCount": "12", "size": "8"}
        ],
        imageResults=[{"filenamePrefix": "shot", "imageCount": 3}],
    ).recording
    assert [(one.kind, one.name, one.count) for one in lists.outputs] == [
        (OutputKind.FILE, "a.mp4", 0),
        (OutputKind.STREAM, "rtmp://x/live/{ab...yz}", 0),
        (OutputKind.SEGMENTS, "a.m3u8", 12),
        (OutputKind.IMAGES, "shot", 3),
    ]
    assert (lists.files[0].size_bytes, lists.files[0].duration) == (7, timedelta(seconds=60))
    assert (lists.streams[0].stream_status, lists.streams[0].retries_count) == (StreamStatus.FAILED, 2)
    assert lists.of(OutputKind.SEGMENTS)[0].live_location == "https://b/live.m3u8"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({"file": FILE}, {"fileResults": [FILE]}),
        ({"segments": {"playlistName": "a"}}, {"segmentResults": [{"playlistName": "a"}]}),
        ({"stream": {"info": [{"url": "rtmp://x/y"}]}}, {"streamResults": [{"url": "rtmp://x/y"}]}),
    ],
)
def test_a_result_in_the_deprecated_field_counts_where_the_list_is_missing(old: dict, new: dict) -> None:
    assert egress(**old).recording.outputs == egress(**new).recording.outputs
    assert egress(**(old | new)).recording.outputs == egress(**new).recording.outputs


def test_a_negative_duration_is_made_of_the_egress_end() -> None:
    recording = egress(
        endedAt=str(65 * NS), fileResults=[{"startedAt": str(5 * NS), "duration": str(-5 * NS)}]
    ).recording
    assert recording.files[0].duration == timedelta(seconds=60)
    assert recording.files[0].ended_at == datetime(1970, 1, 1, 0, 1, 5, tzinfo=UTC)
    assert recording.warnings == ("no_end", "negative_duration")
    assert recording.duration is None
    hopeless = egress(fileResults=[{"duration": "-5"}]).recording
    assert (hopeless.files[0].duration, hopeless.warnings) == (None, ("negative_duration",))


@pytest.mark.parametrize(
    ("status", "ended", "succeeded", "failed"),
    [
        ("EGRESS_ACTIVE", False, False, False),
        ("EGRESS_ENDING", False, False, False),
        ("EGRESS_COMPLETE", True, True, False),
        ("EGRESS_LIMIT_REACHED", True, True, False),
        ("EGRESS_FAILED", True, False, True),
        ("EGRESS_ABORTED", True, False, True),
        ("EGRESS_DREAMING", False, False, False),
    ],
)
def test_a_status_says_how_it_came_out(status: str, ended: bool, succeeded: bool, failed: bool) -> None:
    recording = egress(status=status).recording
    assert (recording.ended, recording.succeeded, recording.failed) == (ended, succeeded, failed)


@pytest.mark.parametrize("source", [source for source in RecordingSource if source != RecordingSource.UNKNOWN])
def test_the_source_of_a_recording_is_the_kind_of_its_request(source: RecordingSource) -> None:
    first, *rest = source.split("_")
    request = first + "".join(word.capitalize() for word in rest)
    assert egress(**{request: {"roomName": "demo"}}).recording.source == source
    assert egress().recording.source == RecordingSource.UNKNOWN


# Real payloads


def test_a_room_of_2021_without_id_and_time_is_read() -> None:
    told = real("room_started_2021_spaced_without_id").room
    assert (told.sid, told.name, told.empty_timeout) == ("RM_TkVjUvAqgzKz", "mytestroom", timedelta(seconds=300))
    assert told.created_at == datetime(2021, 8, 9, 21, 51, 43, tzinfo=UTC)


def test_a_participant_of_2026_is_read() -> None:
    told = real("participant_joined_2026_anonymised")
    assert told.participant.state == ParticipantState.ACTIVE
    assert told.room.departure_timeout == timedelta(seconds=20)


def test_an_audio_track_of_livekit_cloud_is_one_though_it_does_not_say_so() -> None:
    told = real("track_unpublished_2026_cloud")
    assert (told.track.type, told.track.source) == (TrackType.AUDIO, TrackSource.MICROPHONE)
    assert told.track.version_at == datetime(2026, 2, 17, 18, 10, 48, 526591, tzinfo=UTC)
    assert told.participant.sid == "PA_eU7nwP2s3FcN"


def test_the_recording_of_egress_809_is_mended() -> None:
    file = {"duration": "-1731660518186023947", "startedAt": "1731660518186023947", "size": "61941096"}
    recording = egress(
        status="EGRESS_COMPLETE", endedAt="1731668993605577585", fileResults=[file], file=file,
        track={"roomName": "4aa5307b", "trackId": "TR_VSigWNEGdB4pmd"}, details="end reason: source closed",
    ).recording  # fmt: skip
    assert (recording.source, recording.succeeded, len(recording.files)) == (RecordingSource.TRACK, True, 1)
    assert recording.files[0].duration == timedelta(seconds=8475, microseconds=419_553)
    assert recording.warnings == ("no_end", "negative_duration")


def real(name: str) -> EventView:
    return view(parse((REAL_PAYLOADS / f"{name}.json").read_bytes()))


# Secrets


@pytest.mark.parametrize("event_type", EVENT_TYPES)
def test_no_representation_shows_a_secret(event_type: str) -> None:
    told = view(parse(sample(event_type)))
    assert SECRET not in repr(told)
    assert SECRET not in str(told.__rich_repr__())


def test_addresses_of_streams_and_uploads_are_shown_without_their_secrets() -> None:
    shown = repr(
        egress(
            streamResults=[
                {"url": "rtmps://user:pass@live.example/app/key-123?token=abc"},
                {"url": "srt://h:1?streamid=xyz"},
                {"url": "mux://key-456"},
                {"url": "twitch://key-789"},
            ],
            manifestLocation="https://b.example/x/EG_1.json?sig=1",
            fileResults=[{"filename": "a.mp4", "location": "https://u:p@b.example/x/a.mp4?X-Signature=sig"}],
        )
    )
    for secret in ("pass", "key-", "token", "xyz", "u:p", "sig"):
        assert secret not in shown.replace("X-Signature", "")
    assert "https://***@b.example/x/a.mp4?***" in shown


def test_what_is_hidden_in_the_representation_is_there_for_who_asks() -> None:
    room = view(parse(sample("room_started"))).room
    ingress = view(parse(sample("ingress_started"))).ingress
    assert room is not None
    assert ingress is not None
    assert room.turn_password.startswith(SECRET)
    assert ingress.stream_key.startswith(SECRET)


def test_views_need_no_protobuf() -> None:
    script = (
        "import sys; from roombell.receiver.views import view; from roombell.events import parse\n"
        "view(parse(b'{\"event\":\"room_started\"}')); print([m for m in sys.modules if 'livekit' in m or 'google' in m])"
    )
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[]"
