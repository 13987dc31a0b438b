"""Recordings: every status with its events, what they say they wrote, and what makes them end."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from livekit.protocol import egress, models
from livekit.protocol import room as messages
from livekit.protocol.egress import EgressInfo

from roombell.rooms import RoomSettings
from roombell.rooms.effects import ExtraWebhook
from support.rooms import START_MS, Desk, refusal

START_NS = START_MS * 1_000_000
SECOND_NS = 1_000_000_000


@pytest.fixture
def desk() -> Desk:
    desk = Desk()
    desk.publish(desk.enter("alice"))
    desk.forget()
    return desk


def a_file(path: str = "calls/{room_name}.mp4", **more: object) -> egress.EncodedFileOutput:
    return egress.EncodedFileOutput(file_type=egress.MP4, filepath=path, **more)


def composite(*files: egress.EncodedFileOutput, **more: object) -> egress.RoomCompositeEgressRequest:
    return egress.RoomCompositeEgressRequest(room_name="demo", file_outputs=files or [a_file()], **more)


def told(desk: Desk) -> list[tuple[str, str]]:
    """The recordings' events, each with its status."""
    return [
        (one.type, egress.EgressStatus.Name(one.message.egress_info.status).removeprefix("EGRESS_"))
        for one in desk.events
        if one.type.startswith("egress")
    ]


def last(desk: Desk) -> EgressInfo:
    return [one for one in desk.events if one.type.startswith("egress")][-1].message.egress_info


def test_a_recording_starts_runs_ends_and_is_complete(desk: Desk) -> None:
    info = desk.egresses.start(composite())
    desk.wait(60.5)
    assert desk.egresses.stop(info.egress_id).status == egress.EGRESS_ENDING
    desk.wait(1)
    assert told(desk) == [
        ("egress_started", "STARTING"),
        ("egress_updated", "ACTIVE"),
        ("egress_updated", "ENDING"),
        ("egress_ended", "COMPLETE"),
    ]
    ended = last(desk)
    assert ended.egress_id.startswith("EG_")
    assert (ended.room_name, ended.room_id) == ("demo", desk.rooms.get("demo").sid)
    assert ended.started_at == START_NS + SECOND_NS // 2
    assert ended.ended_at == ended.updated_at == START_NS + 61 * SECOND_NS
    assert ended.details == "End reason: StopEgress API"
    assert ended.room_composite.room_name == "demo"


def test_a_file_is_told_by_name_when_it_runs_and_in_full_when_it_is_over(desk: Desk) -> None:
    upload = egress.S3Upload(access_key="AK", secret="hush", bucket="calls", region="eu-west-1")
    info = desk.egresses.start(composite(a_file("calls/{room_name}-{time}", s3=upload)))
    desk.wait(0.5)
    time = datetime.fromtimestamp(START_MS / 1000, UTC).strftime("%Y-%m-%dT%H%M%S")
    running = last(desk).file_results[0]
    assert (running.filename, running.size, running.location) == (f"calls/demo-{time}.mp4", 0, "")
    desk.wait(10)
    desk.egresses.stop(info.egress_id)
    desk.wait(0.5)
    [file] = last(desk).file_results
    assert file.location == f"https://calls.s3.eu-west-1.amazonaws.com/calls/demo-{time}.mp4"
    assert file.duration == file.ended_at - file.started_at == 10 * SECOND_NS + SECOND_NS // 2
    assert file.size > 0
    assert last(desk).file == file, "older clients read the deprecated single result"


def test_secrets_are_in_no_event_and_in_no_answer(desk: Desk) -> None:
    upload = egress.S3Upload(access_key="hush", secret="hush", bucket="calls")
    stream = egress.StreamOutput(urls=["rtmp://example.com/live/hushhush"])
    info = desk.egresses.start(composite(a_file(s3=upload), stream_outputs=[stream]))
    desk.wait(1)
    shown = [info, *desk.egresses.listed(), *(one.message.egress_info for one in desk.events if one.egress_id)]
    assert len(shown) == 4
    assert not any("hushhush" in str(one) or '"hush"' in str(one) for one in shown)


def test_a_recorder_is_in_the_room_hidden_and_counted_as_a_recording(desk: Desk) -> None:
    info = desk.egresses.start(composite())
    desk.wait(0.5)
    joined = next(one for one in desk.events if one.type == "participant_joined").message
    assert joined.participant.identity == info.egress_id
    assert joined.participant.kind == models.ParticipantInfo.EGRESS
    assert joined.participant.permission.hidden
    assert joined.room.active_recording
    assert joined.room.num_participants == 1
    desk.egresses.stop(info.egress_id)
    assert desk.types[-1] == "participant_left"
    assert not desk.rooms.get("demo").active_recording


def test_a_recording_of_a_web_page_needs_no_room(desk: Desk) -> None:
    info = desk.egresses.start(egress.WebEgressRequest(url="https://example.com", file_outputs=[a_file("web")]))
    desk.wait(0.5)
    assert info.room_name == ""
    assert not desk.events[0].room_name
    assert last(desk).file_results[0].filename == "web.mp4"
    assert "participant_joined" not in desk.types


def test_a_stop_before_it_runs_aborts_it(desk: Desk) -> None:
    info = desk.egresses.start(composite())
    assert desk.egresses.stop(info.egress_id).status == egress.EGRESS_ABORTED
    assert told(desk.wait(10)) == [("egress_started", "STARTING"), ("egress_ended", "ABORTED")]
    assert last(desk).error == "Stop called before pipeline could start"


@pytest.mark.parametrize(
    ("how", "status", "error"),
    [
        ("fail", egress.EGRESS_FAILED, "internal error"),
        ("abort", egress.EGRESS_ABORTED, "Start signal not received"),
        ("reach_limit", egress.EGRESS_LIMIT_REACHED, "Session limit reached"),
    ],
)
def test_it_can_be_made_to_end_in_every_way(desk: Desk, how: str, status: int, error: str) -> None:
    info = desk.egresses.start(composite())
    desk.wait(30)
    assert getattr(desk.egresses, how)(info.egress_id).status == status
    assert told(desk)[-1][0] == "egress_ended"
    assert last(desk).error == error
    assert bool(last(desk).file_results[0].location) == (how == "reach_limit")
    assert refusal(lambda: desk.egresses.stop(info.egress_id)) == "failed_precondition"


def test_a_source_that_ends_completes_it(desk: Desk) -> None:
    info = desk.egresses.start(composite())
    desk.wait(5)
    desk.egresses.finish(info.egress_id)
    desk.wait(5)
    assert last(desk).status == egress.EGRESS_COMPLETE
    assert last(desk).details == "End reason: Source closed"


@pytest.mark.parametrize(
    ("path", "statuses"),
    [
        ("roombell-fail/a.mp4", ["STARTING", "FAILED"]),
        ("a/roombell-abort.mp4", ["STARTING", "ABORTED"]),
        ("roombell-fail-after-30s/a.mp4", ["STARTING", "ACTIVE", "FAILED"]),
        ("roombell-abort-after-30s/a.mp4", ["STARTING", "ACTIVE", "ABORTED"]),
        ("roombell-limit-after-30s/a.mp4", ["STARTING", "ACTIVE", "LIMIT_REACHED"]),
        ("roombell-limit/a.mp4", ["STARTING", "ACTIVE", "LIMIT_REACHED"]),
        ("roombell-stuck/a.mp4", ["STARTING"]),
        ("roombell-failure/a.mp4", ["STARTING", "ACTIVE"]),
    ],
)
def test_an_order_in_the_path_is_followed(desk: Desk, path: str, statuses: list[str]) -> None:
    desk.egresses.start(composite(a_file(path)))
    assert [status for _, status in told(desk.wait(31))] == statuses


def test_orders_stand_in_layouts_addresses_and_urls_too(desk: Desk) -> None:
    desk.egresses.start(composite(layout="roombell-fail"))
    desk.egresses.start(egress.WebEgressRequest(url="https://example.com/roombell-fail", file_outputs=[a_file()]))
    stream = egress.StreamOutput(urls=["rtmp://example.com/live/roombell-fail"])
    desk.egresses.start(egress.RoomCompositeEgressRequest(room_name="demo", stream_outputs=[stream]))
    desk.wait(1)
    assert [one.status for one in desk.egresses.listed()] == [egress.EGRESS_FAILED] * 3


def test_an_empty_result_has_no_length_and_no_bytes(desk: Desk) -> None:
    info = desk.egresses.start(composite(a_file("roombell-empty/a.mp4")))
    desk.wait(30)
    desk.egresses.stop(info.egress_id)
    desk.wait(1)
    assert last(desk).status == egress.EGRESS_COMPLETE
    [file] = last(desk).file_results
    assert (file.size, file.duration) == (0, 0)


def test_it_ends_with_the_last_participant_and_after_the_room(desk: Desk) -> None:
    desk.egresses.start(composite())
    desk.wait(5)
    desk.rooms.delete("demo")
    desk.wait(5)
    assert [one for one in desk.types if one != "track_unpublished"][-5:] == [
        "participant_left",
        "egress_updated",
        "participant_left",
        "room_finished",
        "egress_ended",
    ]
    assert last(desk).status == egress.EGRESS_COMPLETE


def test_what_does_not_run_when_its_room_ends_is_aborted(desk: Desk) -> None:
    desk.egresses.start(composite())
    desk.rooms.delete("demo")
    desk.wait(5)
    assert told(desk) == [("egress_started", "STARTING"), ("egress_ended", "ABORTED")]


def test_it_ends_when_somebody_removes_its_recorder(desk: Desk) -> None:
    info = desk.egresses.start(composite())
    desk.wait(5)
    desk.participants.remove("demo", info.egress_id)
    assert last(desk.wait(5)).status == egress.EGRESS_COMPLETE


def test_a_participant_is_waited_for_recorded_and_followed_out(desk: Desk) -> None:
    request = egress.ParticipantEgressRequest(
        room_name="demo", identity="bob", file_outputs=[a_file("{publisher_identity}.mp4")]
    )
    desk.egresses.start(request)
    desk.wait(600)
    bob = desk.enter("bob")
    assert told(desk) == [("egress_started", "STARTING")]
    desk.publish(bob)
    desk.wait(1)
    assert last(desk).status == egress.EGRESS_ACTIVE
    assert last(desk).source_type == egress.EGRESS_SOURCE_TYPE_SDK
    assert last(desk).file_results[0].filename == "bob.mp4"
    desk.participants.leave(bob)
    assert last(desk.wait(1)).status == egress.EGRESS_COMPLETE


def test_a_track_is_recorded_until_it_is_unpublished(desk: Desk) -> None:
    bob = desk.enter("bob")
    camera = desk.publish(bob, models.CAMERA)
    file = egress.DirectFileOutput(filepath="{track_id}-{track_source}-{publisher_identity}")
    desk.egresses.start(egress.TrackEgressRequest(room_name="demo", track_id=camera, file=file))
    desk.wait(1)
    assert last(desk).file_results[0].filename == f"{camera}-camera-bob.webm"
    desk.tracks.remove(bob, camera)
    assert last(desk.wait(1)).status == egress.EGRESS_COMPLETE


def test_tracks_put_together_are_recorded_until_the_last_is_gone(desk: Desk) -> None:
    bob = desk.enter("bob")
    mic, camera = desk.publish(bob, models.MICROPHONE), desk.publish(bob, models.CAMERA)
    request = egress.TrackCompositeEgressRequest(
        room_name="demo", audio_track_id=mic, video_track_id=camera, file_outputs=[a_file()]
    )
    desk.egresses.start(request)
    desk.wait(1)
    desk.tracks.remove(bob, mic)
    assert last(desk.wait(1)).status == egress.EGRESS_ACTIVE
    desk.tracks.remove(bob, camera)
    assert last(desk.wait(1)).status == egress.EGRESS_COMPLETE


def test_a_track_that_is_not_there_fails_it(desk: Desk) -> None:
    request = egress.TrackEgressRequest(room_name="demo", track_id="TR_none", websocket_url="wss://example.com")
    desk.egresses.start(request)
    assert last(desk.wait(1)).status == egress.EGRESS_FAILED
    assert last(desk).error == "track TR_none not found"


def test_streams_come_go_and_break(desk: Desk) -> None:
    one, two = "rtmp://one.example.com/live/key-of-one", "rtmp://two.example.com/live/key-of-two"
    request = egress.RoomCompositeEgressRequest(room_name="demo", stream_outputs=[egress.StreamOutput(urls=[one])])
    info = desk.egresses.start(request)
    desk.wait(1)
    assert [stream.status for stream in last(desk).stream_results] == [egress.StreamInfo.ACTIVE]
    update = egress.UpdateStreamRequest(egress_id=info.egress_id, add_output_urls=[two])
    assert len(desk.egresses.update_stream(update).stream_results) == 2
    desk.wait(9)
    desk.egresses.fail_stream(info.egress_id, one, "connection reset")
    assert [stream.status for stream in last(desk).stream_results] == [
        egress.StreamInfo.FAILED,
        egress.StreamInfo.ACTIVE,
    ]
    assert last(desk).stream_results[0].error == "connection reset"
    assert last(desk).stream_results[0].duration == 9 * SECOND_NS + SECOND_NS // 2
    assert told(desk)[2:] == [("egress_updated", "ACTIVE")] * 2
    desk.egresses.update_stream(egress.UpdateStreamRequest(egress_id=info.egress_id, remove_output_urls=[two]))
    assert last(desk.wait(1)).status == egress.EGRESS_COMPLETE
    assert last(desk).stream.info[1].status == egress.StreamInfo.FINISHED


def test_the_last_stream_that_breaks_fails_it(desk: Desk) -> None:
    url = "rtmp://one.example.com/live/key-of-one"
    info = desk.egresses.start(
        egress.RoomCompositeEgressRequest(room_name="demo", stream_outputs=[egress.StreamOutput(urls=[url])])
    )
    desk.wait(1)
    desk.egresses.fail_stream(info.egress_id, url)
    assert last(desk).status == egress.EGRESS_FAILED


def test_segments_and_images_are_counted(desk: Desk) -> None:
    request = egress.RoomCompositeEgressRequest(
        room_name="demo",
        segment_outputs=[
            egress.SegmentedFileOutput(
                filename_prefix="hls/{room_name}", live_playlist_name="live.m3u8", segment_duration=4
            )
        ],
        image_outputs=[egress.ImageOutput(filename_prefix="img/{room_name}", capture_interval=5)],
    )
    info = desk.egresses.start(request)
    desk.wait(0.5 + 21)
    desk.egresses.finish(info.egress_id)
    ended = last(desk.wait(0.5))
    [segments], [images] = ended.segment_results, ended.image_results
    assert (segments.playlist_name, segments.playlist_location) == ("hls/demo.m3u8", "hls/demo.m3u8")
    assert (segments.segment_count, segments.duration) == (6, 21 * SECOND_NS + SECOND_NS // 2)
    assert segments.live_playlist_location == "live.m3u8"
    assert (images.filename_prefix, images.image_count) == ("img/demo", 5)
    assert not ended.HasField("segments"), "with several outputs there is no deprecated result"


def test_deprecated_single_outputs_are_understood(desk: Desk) -> None:
    desk.egresses.start(egress.RoomCompositeEgressRequest(room_name="demo", file=a_file("old.mp4")))
    desk.egresses.start(
        egress.RoomCompositeEgressRequest(
            room_name="demo", segments=egress.SegmentedFileOutput(filename_prefix="old", playlist_name="list.m3u8")
        )
    )
    desk.egresses.start(
        egress.RoomCompositeEgressRequest(room_name="demo", stream=egress.StreamOutput(urls=["rtmp://a.b/c/d"]))
    )
    desk.wait(1)
    file, segments, stream = desk.egresses.listed()
    assert file.file.filename == "old.mp4"
    assert segments.segments.playlist_name == "list.m3u8"
    assert stream.stream.info[0].status == egress.StreamInfo.ACTIVE


@pytest.mark.parametrize("source", ["template", "web", "media"])
def test_the_newer_request_is_understood(desk: Desk, source: str) -> None:
    mic = desk.publish(desk.enter("bob"))
    sources = {
        "template": egress.TemplateSource(layout="grid"),
        "web": egress.WebSource(url="https://example.com"),
        "media": egress.MediaSource(audio=egress.AudioConfig(routes=[egress.AudioRoute(track_id=mic)])),
    }
    storage = egress.StorageConfig(gcp=egress.GCPUpload(bucket="calls"))
    outputs = [egress.Output(file=egress.FileOutput(filepath="a/"))]
    info = desk.egresses.start(
        egress.StartEgressRequest(room_name="demo", outputs=outputs, storage=storage, **{source: sources[source]})
    )
    desk.wait(1)
    desk.egresses.finish(info.egress_id)
    [file] = last(desk.wait(1)).file_results
    assert file.filename.startswith("a/")
    assert file.location == f"https://calls.storage.googleapis.com/{file.filename}"


@pytest.mark.parametrize(
    ("stored", "location"),
    [
        ({"azure": egress.AzureBlobUpload(account_name="acc", container_name="box")},
         "https://acc.blob.core.windows.net/box/a.mp4"),
        ({"aliOSS": egress.AliOSSUpload(bucket="b", endpoint="oss.example.com")}, "https://b.oss.example.com/a.mp4"),
        ({"s3": egress.S3Upload(bucket="b", endpoint="https://minio.example.com/")},
         "https://minio.example.com/b/a.mp4"),
        ({}, "a.mp4"),
    ],
)  # fmt: skip
def test_a_file_is_found_where_its_storage_is(desk: Desk, stored: dict[str, object], location: str) -> None:
    info = desk.egresses.start(composite(a_file("a.mp4", **stored)))
    desk.wait(1)
    desk.egresses.finish(info.egress_id)
    assert last(desk.wait(1)).file_results[0].location == location


def test_a_layout_is_changed(desk: Desk) -> None:
    info = desk.egresses.start(composite(layout="grid"))
    update = egress.UpdateLayoutRequest(egress_id=info.egress_id, layout="speaker")
    assert desk.egresses.update_layout(update).room_composite.layout == "speaker"


def test_the_webhooks_of_a_request_go_with_each_of_its_events(desk: Desk) -> None:
    webhooks = [models.WebhookConfig(url="https://app.example.com/hook", signing_key="devkey")]
    info = desk.egresses.start(composite(webhooks=webhooks))
    desk.wait(1)
    desk.egresses.stop(info.egress_id)
    desk.wait(1)
    extra = ExtraWebhook("https://app.example.com/hook", "devkey")
    by_type = {one.event.type: one.webhooks for one in desk.happened}
    assert by_type["egress_started"] == by_type["egress_updated"] == by_type["egress_ended"] == (extra,)
    assert by_type["participant_joined"] == ()


def test_recordings_are_listed_for_a_day_after_their_end(desk: Desk) -> None:
    first = desk.egresses.start(composite()).egress_id
    second = desk.egresses.start(composite()).egress_id
    desk.wait(1)
    desk.egresses.fail(first)
    assert [one.egress_id for one in desk.egresses.listed()] == [first, second]
    assert [one.egress_id for one in desk.egresses.listed(active=True)] == [second]
    assert [one.egress_id for one in desk.egresses.listed(egress_id=first)] == [first]
    assert not desk.egresses.listed("other")
    desk.wait(86_400)
    assert [one.egress_id for one in desk.egresses.listed()] == [second]


def test_the_oldest_that_is_over_makes_place() -> None:
    desk = Desk(RoomSettings(egresses_max=2))
    desk.enter()
    first, second = (desk.egresses.start(composite()).egress_id for _ in range(2))
    assert refusal(lambda: desk.egresses.start(composite())) == "resource_exhausted"
    desk.egresses.fail(first)
    third = desk.egresses.start(composite()).egress_id
    assert [one.egress_id for one in desk.egresses.listed()] == [second, third]
    desk.wait(2 * 86_400)


def test_a_room_may_record_itself_its_participants_and_their_tracks() -> None:
    desk = Desk()
    desk.rooms.create(
        messages.CreateRoomRequest(
            name="demo",
            egress=messages.RoomEgress(
                room=composite(),
                participant=egress.AutoParticipantEgress(file_outputs=[a_file("{publisher_identity}")]),
                tracks=egress.AutoTrackEgress(filepath="{track_id}", s3=egress.S3Upload(bucket="calls")),
            ),
        )
    )
    alice = desk.enter("alice")
    mic = desk.publish(alice)
    camera = desk.publish(alice, models.CAMERA)
    desk.wait(1)
    names = [one.file_results[0].filename for one in desk.egresses.listed()]
    assert names == ["calls/demo.mp4", "alice.mp4", f"{mic}.ogg", f"{camera}.webm"]


def test_a_recording_that_cannot_begin_by_itself_is_told_as_livekit_tells_it() -> None:
    desk = Desk()
    broken = messages.RoomEgress(room=egress.RoomCompositeEgressRequest())
    desk.rooms.create(messages.CreateRoomRequest(name="demo", egress=broken))
    assert desk.types == ["room_started", "egress_ended"]
    info = last(desk)
    assert (info.egress_id, info.status, info.room_name) == ("", egress.EGRESS_FAILED, "demo")
    assert "output" in info.error


def test_a_recorder_that_finds_no_place_fails_its_recording() -> None:
    desk = Desk(RoomSettings(participants_per_room_max=1))
    desk.enter()
    desk.egresses.start(composite())
    assert last(desk.wait(1)).status == egress.EGRESS_FAILED


@pytest.mark.parametrize(
    ("code", "command"),
    [
        ("invalid_argument", lambda desk: desk.egresses.start(egress.RoomCompositeEgressRequest(room_name="demo"))),
        ("invalid_argument", lambda desk: desk.egresses.start(egress.RoomCompositeEgressRequest(file=a_file()))),
        ("invalid_argument", lambda desk: desk.egresses.start(egress.WebEgressRequest(file=a_file()))),
        ("invalid_argument", lambda desk: desk.egresses.start(
            egress.ParticipantEgressRequest(room_name="demo", file_outputs=[a_file()]))),
        ("invalid_argument", lambda desk: desk.egresses.start(
            egress.TrackEgressRequest(room_name="demo", websocket_url="wss://a"))),
        ("invalid_argument", lambda desk: desk.egresses.start(
            egress.TrackCompositeEgressRequest(room_name="demo", file=a_file()))),
        ("not_found", lambda desk: desk.egresses.start(
            egress.RoomCompositeEgressRequest(room_name="other", file=a_file()))),
        ("not_found", lambda desk: desk.egresses.stop("EG_none")),
        ("not_found", lambda desk: desk.egresses.fail("EG_none")),
        ("failed_precondition", lambda desk: desk.egresses.reach_limit(desk.egresses.listed()[0].egress_id)),
        ("failed_precondition", lambda desk: desk.egresses.update_stream(
            egress.UpdateStreamRequest(egress_id=desk.egresses.listed()[0].egress_id))),
        ("invalid_argument", lambda desk: desk.egresses.update_layout(
            egress.UpdateLayoutRequest(egress_id=desk.egresses.listed()[0].egress_id))),
    ],
)  # fmt: skip
def test_what_cannot_be_recorded_is_refused(desk: Desk, code: str, command) -> None:
    desk.egresses.start(egress.WebEgressRequest(url="https://example.com", file_outputs=[a_file()]))
    desk.forget()
    assert refusal(lambda: command(desk)) == code
    assert not desk.types


def test_streams_are_changed_only_where_there_are_some(desk: Desk) -> None:
    info = desk.egresses.start(composite())
    desk.wait(1)
    update = egress.UpdateStreamRequest(egress_id=info.egress_id, add_output_urls=["rtmp://a.b/c/d"])
    assert refusal(lambda: desk.egresses.update_stream(update)) == "invalid_argument"
