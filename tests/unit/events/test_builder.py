"""The events that producers make: LiveKit's fields, its JSON, its ids."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable

import pytest
from livekit.protocol import agent, egress, ingress, models, webhook

from roombell.errors import EventError, UsageError
from roombell.events import EVENT_TYPES, EventBuilder, WebhookEvent
from roombell.events.builder import ID_ALPHABET

NOW = 1_789_411_342.9
ROOM = models.Room(
    sid="RM_1", name="Größe <&> 😀", empty_timeout=300, departure_timeout=20, creation_time=5, turn_password="pw"
)
ALICE = models.ParticipantInfo(
    sid="PA_1",
    identity="alice",
    name="Alice",
    joined_at=7,
    joined_at_ms=7001,
    attributes={"z": "1", "a": "2"},
    disconnect_reason=models.CLIENT_INITIATED,
)
TRACK = models.TrackInfo(sid="TR_1", type=models.VIDEO, width=640)
EGRESS = egress.EgressInfo(egress_id="EG_1", room_id="RM_1", room_name="demo", started_at=7)
INGRESS = ingress.IngressInfo(ingress_id="IN_1", room_name="demo", stream_key="key", url="rtmp://x/y")
JOB = agent.Job(id="AJ_1", room=ROOM)

TRIMMED_ROOM = {"sid": "RM_1", "name": "Größe <&> 😀"}
WHOLE_ROOM = {
    "sid": "RM_1",
    "name": "Größe <&> 😀",
    "emptyTimeout": 300,
    "departureTimeout": 20,
    "creationTime": "5",
    "turnPassword": "pw",
}


def counting() -> Callable[[int], bytes]:
    drawn = 0

    def token_bytes(length: int) -> bytes:
        nonlocal drawn
        drawn += 1
        return drawn.to_bytes(length, "big")

    return token_bytes


def builder() -> EventBuilder:
    return EventBuilder(lambda: NOW, counting())


def whole_alice(state: str) -> dict[str, object]:
    return {
        "sid": "PA_1",
        "identity": "alice",
        "state": state,
        "joinedAt": "7",
        "joinedAtMs": "7001",
        "name": "Alice",
        "attributes": {"a": "2", "z": "1"},
        "disconnectReason": "CLIENT_INITIATED",
    }


TRACK_EVENT = {
    "room": TRIMMED_ROOM,
    "participant": {"sid": "PA_1", "identity": "alice", "name": "Alice"},
    "track": {"sid": "TR_1", "type": "VIDEO", "width": 640},
}
EGRESS_EVENT = {
    "room": {"sid": "RM_1", "name": "demo"},
    "egressInfo": {"egressId": "EG_1", "roomId": "RM_1", "roomName": "demo", "startedAt": "7"},
}
INGRESS_EVENT = {
    "room": {"name": "demo"},
    "ingressInfo": {"ingressId": "IN_1", "streamKey": "key", "url": "rtmp://x/y", "roomName": "demo"},
}
JOB_EVENT = {"job": {"id": "AJ_1", "room": WHOLE_ROOM}}

MADE: dict[str, tuple[Callable[[EventBuilder], WebhookEvent], dict[str, object]]] = {
    "room_started": (lambda b: b.room_started(ROOM), {"room": WHOLE_ROOM}),
    "room_finished": (lambda b: b.room_finished(ROOM), {"room": WHOLE_ROOM}),
    "participant_joined": (
        lambda b: b.participant_joined(ROOM, ALICE),
        {"room": WHOLE_ROOM, "participant": whole_alice("ACTIVE")},
    ),
    "participant_left": (
        lambda b: b.participant_left(ROOM, ALICE),
        {"room": WHOLE_ROOM, "participant": whole_alice("DISCONNECTED")},
    ),
    "participant_connection_aborted": (
        lambda b: b.participant_connection_aborted(ROOM, ALICE),
        {"room": WHOLE_ROOM, "participant": whole_alice("DISCONNECTED")},
    ),
    "track_published": (lambda b: b.track_published(ROOM, ALICE, TRACK), TRACK_EVENT),
    "track_unpublished": (lambda b: b.track_unpublished(ROOM, ALICE, TRACK), TRACK_EVENT),
    "egress_started": (lambda b: b.egress_started(EGRESS), EGRESS_EVENT),
    "egress_updated": (lambda b: b.egress_updated(EGRESS), EGRESS_EVENT),
    "egress_ended": (lambda b: b.egress_ended(EGRESS), EGRESS_EVENT),
    "ingress_started": (lambda b: b.ingress_started(INGRESS), INGRESS_EVENT),
    "ingress_ended": (lambda b: b.ingress_ended(INGRESS), INGRESS_EVENT),
    "agent_job_pending": (lambda b: b.agent_job_pending(JOB), JOB_EVENT),
    "agent_job_started": (lambda b: b.agent_job_started(JOB), JOB_EVENT),
    "agent_job_ended": (lambda b: b.agent_job_ended(JOB), JOB_EVENT),
}


def test_there_is_a_constructor_for_every_event_type() -> None:
    assert set(MADE) == set(EVENT_TYPES)


@pytest.mark.parametrize("event_type", EVENT_TYPES)
def test_an_event_has_exactly_the_fields_that_livekit_sets_in_its_order_and_form(event_type: str) -> None:
    make, fields = MADE[event_type]
    event = make(builder())
    wanted = {"event": event_type, **fields, "id": event.id, "createdAt": "1789411342"}
    assert event.raw == json.dumps(wanted, ensure_ascii=False, separators=(",", ":")).encode()


def test_the_callers_messages_are_left_as_they_were() -> None:
    before = [message.SerializeToString() for message in (ROOM, ALICE, TRACK, EGRESS, INGRESS, JOB)]
    for make, _ in MADE.values():
        make(builder())
    assert [message.SerializeToString() for message in (ROOM, ALICE, TRACK, EGRESS, INGRESS, JOB)] == before


def test_the_reason_a_room_ended_stands_last() -> None:
    event = builder().room_finished(ROOM, reason=models.ROOM_END_API_DELETE)
    assert event.raw.endswith(b'"createdAt":"1789411342","roomEndReason":"ROOM_END_API_DELETE"}')
    assert event.message.room_end_reason == models.ROOM_END_API_DELETE


def test_the_recording_of_a_web_page_has_no_room() -> None:
    event = builder().egress_started(egress.EgressInfo(egress_id="EG_1"))
    assert not event.message.HasField("room")
    assert event.ordering_key == "EG_1"


def test_an_id_is_livekits_form_and_each_is_new() -> None:
    maker = builder()
    ids = [maker.room_started(ROOM).id for _ in range(100)]
    assert len(set(ids)) == 100
    assert all(each.startswith("EV_") and len(each) == 15 and set(each[3:]) <= set(ID_ALPHABET) for each in ids)


def test_draws_that_would_favour_some_ids_are_drawn_again() -> None:
    first_unfair = 256**9 - 256**9 % 57**12
    draws = iter([b"\xff" * 9, first_unfair.to_bytes(9, "big"), bytes(9)])
    assert EventBuilder(lambda: NOW, lambda _: next(draws)).new_id() == "EV_222222222222"


def test_every_character_of_an_id_is_as_likely_as_any_other() -> None:
    fifty_seven_to_the_12th = 57**12
    fair_draws = 256**9 - 256**9 % fifty_seven_to_the_12th
    step = fair_draws // 5700
    maker = iter(EventBuilder(lambda: NOW, lambda n, k=k: (k * step).to_bytes(n, "big")) for k in range(5700))
    last = Counter(each.new_id()[-1] for each in maker)
    assert len(last) == 57
    assert max(last.values()) - min(last.values()) <= 6


@pytest.mark.parametrize("token_bytes", [lambda n: b"\xff" * n, lambda n: b"", lambda n: b"\x00" * 8])
def test_a_source_that_is_not_random_is_refused(token_bytes: Callable[[int], bytes]) -> None:
    with pytest.raises(UsageError, match="random bytes"):
        EventBuilder(lambda: NOW, token_bytes).new_id()


def test_a_message_keeps_its_id_and_time() -> None:
    message = webhook.WebhookEvent(event="room_started", room=ROOM, id="EV_mine", created_at=5)
    event = builder().from_message(message)
    assert (event.id, event.created_at) == ("EV_mine", 5)
    assert event.message == message


def test_a_message_without_id_and_time_gets_both_and_is_not_changed() -> None:
    message = webhook.WebhookEvent(event="sip_call_rang", room=ROOM)
    event = builder().from_message(message)
    assert (event.type, event.created_at) == ("sip_call_rang", 1_789_411_342)
    assert event.id.startswith("EV_")
    assert message == webhook.WebhookEvent(event="sip_call_rang", room=ROOM)


def test_a_message_without_an_event_type_is_no_event() -> None:
    with pytest.raises(EventError, match="`event`"):
        builder().from_message(webhook.WebhookEvent(room=ROOM))


def test_anything_but_the_official_message_is_the_callers_mistake() -> None:
    with pytest.raises(UsageError, match="Room message expected, str given"):
        builder().room_started("demo")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="WebhookEvent message expected, dict given"):
        builder().from_message({"event": "room_started"})  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="ParticipantInfo message expected, Room given"):
        builder().track_published(ROOM, ROOM, TRACK)  # type: ignore[arg-type]


def test_credentials_and_stream_keys_of_a_recording_are_hidden_as_livekit_hides_them() -> None:
    composite = egress.RoomCompositeEgressRequest(
        file_outputs=[
            egress.EncodedFileOutput(
                s3=egress.S3Upload(access_key="AKIA-1", secret="hunter2", bucket="b", metadata={"k": "v"})
            ),
            egress.EncodedFileOutput(gcp=egress.GCPUpload(credentials="hunter2")),
        ],
        segment_outputs=[
            egress.SegmentedFileOutput(azure=egress.AzureBlobUpload(account_name="a", account_key="hunter2"))
        ],
        image_outputs=[egress.ImageOutput(aliOSS=egress.AliOSSUpload(access_key="AKIA-1", secret="hunter2"))],
        stream_outputs=[egress.StreamOutput(urls=["rtmp://live.example.com/app/abcdefhunter2xyz live=1", "srt://h:1"])],
    )
    info = egress.EgressInfo(
        egress_id="EG_1",
        room_composite=composite,
        stream_results=[egress.StreamInfo(url="rtmps://live.example.com/app/hunter2")],
    )
    before = info.SerializeToString()
    event = builder().egress_started(info)
    assert b"hunter2" not in event.raw
    assert b"AKIA-1" not in event.raw
    told = event.message.egress_info
    assert told.room_composite.file_outputs[0].s3 == egress.S3Upload(
        access_key="{access_key}", secret="{secret}", bucket="b", metadata={"k": "v"}
    )
    assert list(told.room_composite.stream_outputs[0].urls) == [
        "rtmp://live.example.com/app/{abc...xyz} live=1",
        "srt://h:1",
    ]
    assert told.stream_results[0].url == "rtmps://live.example.com/app/{hu...r2}"
    assert info.SerializeToString() == before
    assert builder().egress_started(told).message.egress_info == told
