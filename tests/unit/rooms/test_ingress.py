"""Ingresses and dispatches: every status with its events, and what follows in the room."""

from __future__ import annotations

import pytest
from livekit.protocol import agent_dispatch, ingress, models
from livekit.protocol import room as messages

from roombell.rooms import RoomSettings
from support.rooms import START_MS, Desk, refusal

START_NS = START_MS * 1_000_000


@pytest.fixture
def desk() -> Desk:
    return Desk()


def make(desk: Desk, input_type: int = ingress.RTMP_INPUT, **more: object) -> ingress.IngressInfo:
    return desk.ingresses.create(
        ingress.CreateIngressRequest(
            input_type=input_type,
            name="camera",
            room_name="demo",
            participant_identity="cam",
            participant_name="Camera",
            **more,
        )
    )


def status(desk: Desk) -> int:
    return desk.ingresses.listed()[0].state.status


def test_a_new_ingress_has_an_address_and_a_key_and_is_quiet(desk: Desk) -> None:
    rtmp, whip = make(desk), make(desk, ingress.WHIP_INPUT)
    assert rtmp.ingress_id.startswith("IN_")
    assert rtmp.url.startswith("rtmp://")
    assert whip.url.startswith("http://")
    assert len(rtmp.stream_key) == 12
    assert rtmp.stream_key != whip.stream_key
    assert rtmp.reusable
    assert rtmp.enabled
    assert (rtmp.enable_transcoding, whip.enable_transcoding) == (True, False)
    assert not desk.wait(3600).types


def test_it_publishes_as_a_participant_of_its_own_and_ends(desk: Desk) -> None:
    one = make(desk)
    assert desk.ingresses.publish(one.ingress_id).state.status == ingress.IngressState.ENDPOINT_BUFFERING
    assert not desk.types
    desk.wait(0.5)
    assert desk.story() == [
        "room_started",
        "participant_joined cam",
        "track_published cam",
        "track_published cam",
        "ingress_started cam",
    ]
    started = desk.events[-1].message
    assert started.room.name == "demo"
    assert not started.room.sid
    info = started.ingress_info
    assert info.state.status == ingress.IngressState.ENDPOINT_PUBLISHING
    assert info.state.room_id == desk.rooms.get("demo").sid
    assert info.state.started_at == START_NS
    assert [track.source for track in info.state.tracks] == [models.MICROPHONE, models.CAMERA]
    assert desk.participants.get("demo", "cam").kind == models.ParticipantInfo.INGRESS
    desk.forget()
    desk.wait(9.5)
    desk.ingresses.end(one.ingress_id)
    assert desk.types == ["track_unpublished", "track_unpublished", "participant_left", "ingress_ended"]
    ended = desk.events[-1].message.ingress_info
    assert ended.state.status == ingress.IngressState.ENDPOINT_INACTIVE
    assert ended.state.ended_at == START_NS + 10_000_000_000
    desk.ingresses.publish(one.ingress_id)
    assert desk.wait(1).types[-1] == "ingress_started"


def test_one_that_pulls_begins_by_itself_and_is_good_for_once(desk: Desk) -> None:
    one = make(desk, ingress.URL_INPUT, url="https://example.com/video.mp4")
    assert desk.wait(1).types[-1] == "ingress_started"
    ended = desk.ingresses.end(one.ingress_id)
    assert ended.state.status == ingress.IngressState.ENDPOINT_COMPLETE
    assert refusal(lambda: desk.ingresses.publish(one.ingress_id)) == "failed_precondition"
    update = ingress.UpdateIngressRequest(ingress_id=one.ingress_id, name="x")
    assert refusal(lambda: desk.ingresses.update(update)) == "invalid_argument"


def test_it_fails_and_can_be_used_again(desk: Desk) -> None:
    one = make(desk)
    desk.ingresses.publish(one.ingress_id)
    desk.wait(1)
    assert desk.ingresses.fail(one.ingress_id, "bad codec").state.error == "bad codec"
    ended = desk.events[-1].message.ingress_info
    assert (ended.state.status, ended.state.error) == (ingress.IngressState.ENDPOINT_ERROR, "bad codec")
    assert desk.ingresses.publish(one.ingress_id).state.error == ""


def test_what_it_had_in_its_last_session_is_not_told_of_the_next(desk: Desk) -> None:
    one = make(desk)
    desk.ingresses.publish(one.ingress_id)
    desk.wait(1)
    desk.rooms.delete("demo")
    desk.ingresses.publish(one.ingress_id)
    desk.ingresses.end(one.ingress_id)
    ended = desk.events[-1].message.ingress_info
    assert not ended.state.room_id
    assert not ended.state.tracks


@pytest.mark.parametrize(
    ("url", "types", "final"),
    [
        ("https://a.b/roombell-fail", ["ingress_ended"], ingress.IngressState.ENDPOINT_ERROR),
        ("https://a.b/roombell-fail-after-30s", ["ingress_started", "ingress_ended"],
         ingress.IngressState.ENDPOINT_ERROR),
        ("https://a.b/roombell-limit-after-30s", ["ingress_started", "ingress_ended"],
         ingress.IngressState.ENDPOINT_COMPLETE),
        ("https://a.b/roombell-stuck", ["ingress_started"], ingress.IngressState.ENDPOINT_PUBLISHING),
    ],
)  # fmt: skip
def test_an_order_in_the_address_is_followed(desk: Desk, url: str, types: list[str], final: int) -> None:
    make(desk, ingress.URL_INPUT, url=url)
    desk.wait(31)
    assert [one for one in desk.types if one.startswith("ingress")] == types
    assert status(desk) == final


def test_it_ends_with_its_participant_and_with_its_room(desk: Desk) -> None:
    one = make(desk)
    for put_out in (lambda: desk.participants.remove("demo", "cam"), lambda: desk.rooms.delete("demo")):
        desk.ingresses.publish(one.ingress_id)
        desk.wait(1)
        put_out()
        assert status(desk) == ingress.IngressState.ENDPOINT_INACTIVE
    assert desk.types.count("ingress_ended") == 2


def test_an_update_changes_what_it_names_and_ends_what_publishes(desk: Desk) -> None:
    one = make(desk)
    desk.ingresses.publish(one.ingress_id)
    desk.wait(1)
    changed = desk.ingresses.update(ingress.UpdateIngressRequest(ingress_id=one.ingress_id, name="new", enabled=False))
    assert (changed.name, changed.room_name, changed.enabled) == ("new", "demo", False)
    assert desk.types[-1] == "ingress_ended"
    assert refusal(lambda: desk.ingresses.publish(one.ingress_id)) == "failed_precondition"


def test_a_deleted_one_ends_first(desk: Desk) -> None:
    one = make(desk)
    desk.ingresses.publish(one.ingress_id)
    desk.wait(1)
    assert desk.ingresses.delete(one.ingress_id).state.status == ingress.IngressState.ENDPOINT_INACTIVE
    assert desk.types[-1] == "ingress_ended"
    assert not desk.ingresses.listed()
    assert refusal(lambda: desk.ingresses.delete(one.ingress_id)) == "not_found"


def test_one_that_finds_no_place_fails() -> None:
    desk = Desk(RoomSettings(participants_per_room_max=1))
    desk.enter()
    desk.ingresses.publish(make(desk).ingress_id)
    desk.wait(1)
    assert status(desk) == ingress.IngressState.ENDPOINT_ERROR


def test_ingresses_are_listed_by_room_and_id(desk: Desk) -> None:
    one, _ = make(desk), make(desk)
    assert len(desk.ingresses.listed("demo")) == 2
    assert not desk.ingresses.listed("other")
    assert [found.ingress_id for found in desk.ingresses.listed(ingress_id=one.ingress_id)] == [one.ingress_id]


def test_what_cannot_be_made_is_refused() -> None:
    desk = Desk(RoomSettings(ingresses_max=1))
    assert refusal(lambda: desk.ingresses.create(ingress.CreateIngressRequest(room_name="demo"))) == "invalid_argument"
    assert refusal(lambda: make(desk, ingress.URL_INPUT)) == "invalid_argument"
    one = make(desk)
    assert refusal(lambda: make(desk)) == "resource_exhausted"
    assert refusal(lambda: desk.ingresses.end(one.ingress_id)) == "failed_precondition"
    desk.ingresses.publish(one.ingress_id)
    assert refusal(lambda: desk.ingresses.publish(one.ingress_id)) == "failed_precondition"


def test_dispatches_are_made_listed_and_deleted_with_their_room_made_if_need_be(desk: Desk) -> None:
    request = agent_dispatch.CreateAgentDispatchRequest(agent_name="bot", room="demo", metadata="m")
    made = desk.dispatches.create(request)
    assert desk.types == ["room_started"]
    assert made.id.startswith("AD_")
    assert made.state.created_at == START_NS
    assert desk.dispatches.listed("demo") == (made,)
    assert desk.dispatches.listed("demo", "AD_other") == ()
    assert desk.dispatches.delete("demo", made.id).state.deleted_at == START_NS
    assert refusal(lambda: desk.dispatches.delete("demo", made.id)) == "not_found"
    assert refusal(lambda: desk.dispatches.listed("other")) == "not_found"


def test_a_room_brings_its_agents(desk: Desk) -> None:
    agents = [agent_dispatch.RoomAgentDispatch(agent_name="bot")]
    desk.rooms.create(messages.CreateRoomRequest(name="demo", agents=agents))
    assert [one.agent_name for one in desk.dispatches.listed("demo")] == ["bot"]


def test_dispatches_are_bounded() -> None:
    desk = Desk(RoomSettings(dispatches_per_room_max=1))
    request = agent_dispatch.CreateAgentDispatchRequest(agent_name="bot", room="demo")
    desk.dispatches.create(request)
    assert refusal(lambda: desk.dispatches.create(request)) == "resource_exhausted"
