"""Rooms, participants and tracks: which events follow from what, in which order, with which fields."""

from __future__ import annotations

import pytest
from livekit.protocol import models, rtc
from livekit.protocol import room as messages

from roombell.rooms import RoomSettings
from roombell.rooms.effects import (
    DataSent,
    GrantsChanged,
    Left,
    Moved,
    ParticipantsChanged,
    RoomChanged,
    SubscriptionsChanged,
    TrackAccepted,
    TrackMuted,
    TrackRemoved,
)
from support.rooms import START_MS, Desk, refusal


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_a_call_is_told_from_its_first_event_to_its_last(desk: Desk) -> None:
    alice = desk.enter("alice")
    desk.publish(alice)
    bob = desk.enter("bob")
    desk.wait(60)
    desk.participants.leave(alice)
    desk.participants.leave(bob)
    desk.wait(20)
    assert desk.story() == [
        "room_started",
        "participant_joined alice",
        "track_published alice",
        "participant_joined bob",
        "track_unpublished alice",
        "participant_left alice",
        "participant_left bob",
        "room_finished",
    ]


def test_room_started_carries_the_room_in_full(desk: Desk) -> None:
    desk.rooms.create(messages.CreateRoomRequest(name="demo", metadata="m", max_participants=4))
    room = desk.events[0].message.room
    assert room.sid.startswith("RM_")
    assert len(room.sid) == 15
    assert (room.name, room.metadata, room.max_participants) == ("demo", "m", 4)
    assert (room.empty_timeout, room.departure_timeout) == (300, 20)
    assert (room.creation_time, room.creation_time_ms) == (START_MS // 1000, START_MS)
    assert room.turn_password
    assert {codec.mime for codec in room.enabled_codecs} >= {"audio/opus", "video/VP8"}


def test_a_second_create_gives_the_room_that_is_there(desk: Desk) -> None:
    first = desk.rooms.create(messages.CreateRoomRequest(name="demo"))
    assert desk.rooms.create(messages.CreateRoomRequest(name="demo", metadata="other")) == first
    assert desk.types == ["room_started"]


def test_a_room_that_nobody_joins_ends_after_its_empty_timeout(desk: Desk) -> None:
    desk.rooms.create(messages.CreateRoomRequest(name="demo", empty_timeout=30))
    assert desk.wait(29.999).types == ["room_started"]
    finished = desk.wait(0.001).events[-1].message
    assert finished.event == "room_finished"
    assert finished.room_end_reason == models.ROOM_END_IDLE_TIMEOUT
    assert desk.rooms.listed() == ()


def test_a_room_ends_its_departure_timeout_after_the_last_participant(desk: Desk) -> None:
    alice = desk.enter()
    desk.wait(1000)
    desk.participants.leave(alice)
    assert "room_finished" not in desk.wait(19.999).types
    assert desk.wait(0.001).types[-1] == "room_finished"


def test_who_comes_back_in_time_keeps_the_room(desk: Desk) -> None:
    desk.participants.leave(desk.enter())
    desk.wait(10)
    desk.enter()
    assert "room_finished" not in desk.wait(1000).types


def test_agents_and_recorders_keep_no_room_alive_and_are_put_out_when_it_ends(desk: Desk) -> None:
    alice = desk.enter()
    agent = desk.enter("agent", kind=models.ParticipantInfo.AGENT)
    desk.participants.leave(alice)
    desk.wait(20)
    assert desk.story()[-2:] == ["participant_left agent", "room_finished"]
    assert desk.events[-2].message.participant.disconnect_reason == models.ROOM_CLOSED
    assert isinstance(desk.notices(agent)[-1], Left)


def test_an_agent_that_leaves_later_does_not_prolong_the_room(desk: Desk) -> None:
    alice, agent = desk.enter("alice"), desk.enter("agent", kind=models.ParticipantInfo.AGENT)
    desk.participants.leave(alice)
    desk.wait(15)
    desk.participants.leave(agent)
    assert desk.wait(5).types[-1] == "room_finished"


def test_a_late_clock_makes_the_same_events_at_the_same_times(desk: Desk) -> None:
    desk.participants.leave(desk.enter())
    desk.wait(86_400)
    assert desk.events[-1].created_at == START_MS // 1000 + 20


def test_time_that_goes_back_changes_nothing(desk: Desk) -> None:
    desk.wait(100)
    desk.machine.at(START_MS)
    desk.rooms.create(messages.CreateRoomRequest(name="demo"))
    assert desk.events[0].created_at == START_MS // 1000 + 100


def test_participant_joined_comes_when_it_is_active_and_carries_both_in_full(desk: Desk) -> None:
    sid = desk.arrive("alice", name="Alice", metadata="m", attributes={"a": "1"})
    desk.participants.welcome(sid)
    assert desk.types == ["room_started"]
    desk.wait(2)
    desk.participants.connect(sid)
    joined = desk.events[-1].message
    assert joined.event == "participant_joined"
    assert joined.room.num_participants == 1
    assert joined.room.creation_time_ms == START_MS
    who = joined.participant
    assert (who.sid, who.identity, who.name, who.metadata, dict(who.attributes)) == (
        sid, "alice", "Alice", "m", {"a": "1"},
    )  # fmt: skip
    assert who.state == models.ParticipantInfo.ACTIVE
    assert (who.joined_at, who.joined_at_ms) == (START_MS // 1000, START_MS)
    assert who.permission.can_publish
    assert not who.permission.can_update_metadata


def test_connecting_twice_joins_once(desk: Desk) -> None:
    sid = desk.enter()
    desk.participants.connect(sid)
    assert desk.types.count("participant_joined") == 1


def test_participant_left_says_why_and_counts_without_it(desk: Desk) -> None:
    alice = desk.enter("alice")
    desk.enter("bob")
    desk.participants.leave(alice, models.SIGNAL_CLOSE)
    left = desk.events[-1].message
    assert left.participant.state == models.ParticipantInfo.DISCONNECTED
    assert left.participant.disconnect_reason == models.SIGNAL_CLOSE
    assert left.room.num_participants == 1


def test_leaving_twice_is_told_once(desk: Desk) -> None:
    alice = desk.enter()
    desk.participants.leave(alice)
    desk.participants.leave(alice)
    assert desk.types.count("participant_left") == 1


@pytest.mark.parametrize("welcomed", [False, True])
def test_who_never_was_active_is_told_as_aborted(desk: Desk, welcomed: bool) -> None:
    sid = desk.arrive()
    if welcomed:
        desk.participants.welcome(sid)
    desk.participants.leave(sid)
    assert desk.types == ["room_started", "participant_connection_aborted"]


def test_a_connection_that_does_not_come_up_is_aborted_after_a_minute(desk: Desk) -> None:
    desk.arrive()
    assert desk.wait(59.999).types == ["room_started"]
    aborted = desk.wait(0.001).events[-1].message
    assert aborted.event == "participant_connection_aborted"
    assert aborted.participant.disconnect_reason == models.JOIN_FAILURE


def test_the_old_session_of_an_identity_leaves_before_the_new_one_joins(desk: Desk) -> None:
    old = desk.enter("alice")
    desk.publish(old)
    new = desk.enter("alice")
    assert desk.story()[2:] == [
        "track_published alice",
        "track_unpublished alice",
        "participant_left alice",
        "participant_joined alice",
    ]
    left, joined = desk.events[-2:]
    assert (left.participant_sid, joined.participant_sid) == (old, new)
    assert left.message.participant.disconnect_reason == models.DUPLICATE_IDENTITY
    assert desk.notices(old)[-1] == Left(models.DUPLICATE_IDENTITY, rtc.LeaveRequest.DISCONNECT)
    assert desk.events[0].room_sid == joined.room_sid


def test_track_published_comes_with_the_first_media_and_is_trimmed_as_livekit_trims_it(desk: Desk) -> None:
    alice = desk.enter(name="Alice")
    track_sid = desk.add(alice, models.MICROPHONE, cid="c1")
    assert desk.types[-1] == "participant_joined"
    assert desk.tracks.media(alice, track_sid, mime_type="audio/red", mid="0")
    assert not desk.tracks.media(alice, track_sid)
    assert desk.types.count("track_published") == 1
    told = desk.events[-1].message
    assert {field.name for field, _ in told.room.ListFields()} == {"sid", "name"}
    assert {field.name for field, _ in told.participant.ListFields()} == {"sid", "identity", "name"}
    track = told.track
    assert track.sid.startswith("TR_AM")
    assert len(track.sid) == 17
    assert (track.name, track.source, track.mime_type, track.mid) == ("microphone", models.MICROPHONE, "audio/red", "0")
    assert track.codecs[0].cid == "c1"
    assert track.version.unix_micro == START_MS * 1000


def test_a_track_without_media_is_never_told_of(desk: Desk) -> None:
    alice, bob = desk.enter("alice"), desk.enter("bob")
    desk.add(alice)
    desk.participants.leave(alice)
    assert not {"track_published", "track_unpublished"} & set(desk.types)
    assert all(not one.tracks for told in desk.notices(bob, ParticipantsChanged) for one in told.participants)


def test_media_of_somebody_who_is_not_active_is_refused_so_that_joined_comes_first(desk: Desk) -> None:
    alice = desk.arrive("alice")
    track_sid = desk.add(alice)
    assert refusal(lambda: desk.tracks.media(alice, track_sid)) == "failed_precondition"
    desk.participants.welcome(alice)
    desk.participants.connect(alice)
    desk.tracks.media(alice, track_sid)
    assert desk.types == ["room_started", "participant_joined", "track_published"]


def test_adding_a_track_again_before_its_media_gives_the_same_track(desk: Desk) -> None:
    alice = desk.enter()
    first = desk.add(alice, cid="c1")
    assert desk.add(alice, cid="c1") == first
    desk.tracks.media(alice, first)
    assert desk.add(alice, cid="c1") != first


def test_removing_a_track_unpublishes_it_once(desk: Desk) -> None:
    alice = desk.enter()
    track_sid = desk.publish(alice)
    desk.tracks.remove(alice, track_sid)
    desk.tracks.remove(alice, track_sid)
    assert desk.types.count("track_unpublished") == 1
    assert desk.notices(alice, TrackRemoved) == [TrackRemoved(track_sid)]
    assert not desk.participants.by_sid(alice).is_publisher


def test_a_room_counts_participants_and_publishers_but_no_recorders(desk: Desk) -> None:
    desk.publish(desk.enter("alice"))
    desk.enter("bob")
    desk.enter("EG_x", kind=models.ParticipantInfo.EGRESS)
    room = desk.rooms.get("demo")
    assert (room.num_participants, room.num_publishers, room.active_recording) == (2, 1, True)


def test_deleting_a_room_puts_everybody_out_first(desk: Desk) -> None:
    alice = desk.enter("alice")
    desk.publish(alice)
    desk.arrive("bob")
    desk.forget()
    desk.rooms.delete("demo")
    assert desk.story() == [
        "track_unpublished alice",
        "participant_left alice",
        "participant_connection_aborted bob",
        "room_finished",
    ]
    assert desk.events[-1].message.room_end_reason == models.ROOM_END_API_DELETE
    assert desk.events[1].message.participant.disconnect_reason == models.ROOM_DELETED
    assert desk.notices(alice)[-1] == Left(models.ROOM_DELETED, rtc.LeaveRequest.DISCONNECT)
    assert desk.machine.next_due_ms is None


def test_a_room_of_the_same_name_is_another_room(desk: Desk) -> None:
    first = desk.rooms.create(messages.CreateRoomRequest(name="demo")).sid
    desk.rooms.delete("demo")
    assert desk.rooms.create(messages.CreateRoomRequest(name="demo")).sid != first


def test_a_server_that_stops_ends_everything(desk: Desk) -> None:
    desk.enter("alice", "one")
    desk.enter("bob", "two")
    desk.forget()
    desk.rooms.shut_down()
    assert desk.story() == ["participant_left alice", "room_finished", "participant_left bob", "room_finished"]
    assert {one.message.room_end_reason for one in desk.events if one.type == "room_finished"} == {
        models.ROOM_END_SERVER_SHUTDOWN
    }


def test_the_others_see_who_comes_changes_and_goes_and_the_hidden_are_unseen(desk: Desk) -> None:
    alice = desk.enter("alice")
    hidden = desk.enter(
        "spy", permission=models.ParticipantPermission(can_subscribe=True, hidden=True), attributes={"a": "b"}
    )
    assert desk.join("carol").others[0].identity == "alice"
    assert len(desk.join("carol").others) == 1
    desk.participants.leave(hidden)
    seen = [one for told in desk.notices(alice, ParticipantsChanged) for one in told.participants]
    assert "spy" not in {one.identity for one in seen}
    states = [one.state for one in seen if one.identity == "carol"]
    assert states == [models.ParticipantInfo.DISCONNECTED]


def test_a_change_by_the_server_is_told_to_everybody_and_refreshes_the_token(desk: Desk) -> None:
    alice, bob = desk.enter("alice", attributes={"keep": "1", "go": "1"}), desk.enter("bob")
    desk.forget()
    desk.participants.update(
        messages.UpdateParticipantRequest(
            room="demo", identity="alice", name="A", metadata="m", attributes={"go": "", "new": "2"}
        )
    )
    [seen] = desk.notices(bob, ParticipantsChanged)[0].participants
    assert (seen.name, seen.metadata, dict(seen.attributes)) == ("A", "m", {"keep": "1", "new": "2"})
    assert desk.notices(alice, GrantsChanged)
    assert not desk.types


def test_taking_the_right_to_publish_unpublishes_what_it_covers(desk: Desk) -> None:
    alice = desk.enter()
    mic, camera = desk.publish(alice, models.MICROPHONE), desk.publish(alice, models.CAMERA)
    desk.participants.update(
        messages.UpdateParticipantRequest(
            room="demo",
            identity="alice",
            permission=models.ParticipantPermission(can_publish=True, can_publish_sources=[models.MICROPHONE]),
        )
    )
    assert [event.track_sid for event in desk.events if event.type == "track_unpublished"] == [camera]
    assert [track.sid for track in desk.participants.by_sid(alice).tracks] == [mic]


def test_who_may_not_change_itself_is_refused(desk: Desk) -> None:
    alice = desk.enter("alice")
    assert refusal(lambda: desk.participants.update_self(alice, "A", "", {})) == "permission_denied"
    right = models.ParticipantPermission(can_update_metadata=True)
    bob = desk.enter("bob", permission=right)
    desk.participants.update_self(bob, "B", "m", {"a": "1"})
    assert desk.participants.by_sid(bob).name == "B"


def test_a_mute_by_the_server_is_told_to_the_participant_and_unmuting_needs_the_setting(desk: Desk) -> None:
    alice = desk.enter()
    mic = desk.publish(alice)
    assert desk.tracks.mute_by_server("demo", "alice", mic, muted=True).muted
    assert desk.notices(alice, TrackMuted) == [TrackMuted(mic, muted=True)]
    assert refusal(lambda: desk.tracks.mute_by_server("demo", "alice", mic, muted=False)) == "failed_precondition"
    desk.tracks.mute(alice, mic, muted=False)
    assert not desk.participants.by_sid(alice).tracks[0].muted


def test_moving_takes_tracks_and_session_to_another_room(desk: Desk) -> None:
    alice = desk.enter("alice", "one")
    mic = desk.publish(alice)
    desk.add(alice, models.CAMERA)
    desk.enter("bob", "two")
    desk.forget()
    arrived = desk.participants.move("one", "alice", "two")
    assert desk.story() == [
        "track_unpublished alice",
        "participant_left alice",
        "participant_joined alice",
        "track_published alice",
    ]
    assert [event.room_name for event in desk.events] == ["one", "one", "two", "two"]
    assert arrived.sid != alice
    assert [track.sid for track in arrived.tracks] == [mic]
    [moved] = desk.notices(alice, Moved)
    assert moved.participant.sid == arrived.sid
    assert [one.identity for one in moved.others] == ["bob"]
    assert not desk.notices(alice, Left)


def test_data_from_the_server_reaches_whom_it_names(desk: Desk) -> None:
    alice, bob = desk.enter("alice"), desk.enter("bob")
    request = messages.SendDataRequest(room="demo", data=b"hi", destination_identities=["bob"], topic="chat")
    desk.rooms.send_data(request)
    [sent] = desk.notices(bob, DataSent)
    assert (sent.packet.user.payload, sent.packet.user.topic) == (b"hi", "chat")
    assert not desk.notices(alice, DataSent)
    desk.rooms.send_data(messages.SendDataRequest(room="demo", data=b"all"))
    assert len(desk.notices(alice, DataSent)) == 1


def test_room_metadata_and_subscriptions_are_told(desk: Desk) -> None:
    alice = desk.enter()
    desk.rooms.update_metadata("demo", "new")
    assert desk.notices(alice, RoomChanged)[-1].room.metadata == "new"
    desk.participants.update_subscriptions(
        messages.UpdateSubscriptionsRequest(
            room="demo",
            identity="alice",
            track_sids=["TR_1"],
            participant_tracks=[models.ParticipantTracks(participant_sid="PA_1", track_sids=["TR_2", "TR_1"])],
            subscribe=True,
        )
    )
    assert desk.notices(alice, SubscriptionsChanged) == [SubscriptionsChanged(("TR_1", "TR_2"), subscribe=True)]


def test_an_announced_track_is_accepted(desk: Desk) -> None:
    alice = desk.enter()
    track_sid = desk.add(alice, cid="c1")
    [accepted] = desk.notices(alice, TrackAccepted)
    assert (accepted.cid, accepted.track.sid) == ("c1", track_sid)


def test_who_does_not_listen_is_told_nothing(desk: Desk) -> None:
    desk.publish(desk.enter("alice", listens=False))
    desk.enter("bob", listens=False)
    assert not desk.told
    assert desk.types


@pytest.mark.parametrize(
    ("code", "command"),
    [
        ("invalid_argument", lambda desk: desk.rooms.create(messages.CreateRoomRequest())),
        ("invalid_argument", lambda desk: desk.rooms.create(messages.CreateRoomRequest(name="x" * 257))),
        ("invalid_argument", lambda desk: desk.rooms.create(messages.CreateRoomRequest(name="n", metadata="x" * 64_001))),
        ("not_found", lambda desk: desk.rooms.delete("other")),
        ("not_found", lambda desk: desk.rooms.get("other")),
        ("not_found", lambda desk: desk.rooms.update_metadata("other", "")),
        ("not_found", lambda desk: desk.rooms.send_data(messages.SendDataRequest(room="other"))),
        ("invalid_argument", lambda desk: desk.rooms.send_data(messages.SendDataRequest(room="demo", data=b"x" * 64_001))),
        ("not_found", lambda desk: desk.participants.get("demo", "nobody")),
        ("not_found", lambda desk: desk.participants.remove("demo", "nobody")),
        ("not_found", lambda desk: desk.participants.connect("PA_gone")),
        ("invalid_argument", lambda desk: desk.join("")),
        ("invalid_argument", lambda desk: desk.join("x" * 257)),
        ("invalid_argument", lambda desk: desk.join("bob", "")),
        ("invalid_argument", lambda desk: desk.join("bob", name="x" * 257)),
        ("invalid_argument", lambda desk: desk.join("bob", attributes={"a": "x" * 64_000})),
        ("resource_exhausted", lambda desk: desk.join("carol", "small")),
        ("invalid_argument", lambda desk: desk.participants.move("demo", "alice", "demo")),
        ("failed_precondition", lambda desk: desk.participants.move("demo", "late", "other")),
        ("resource_exhausted", lambda desk: desk.participants.move("demo", "alice", "small")),
        ("not_found", lambda desk: desk.tracks.mute_by_server("demo", "alice", "TR_none", muted=True)),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_refused_with_livekits_code_and_changes_nothing(code, command) -> None:
    desk = Desk()
    desk.enter("alice")
    desk.arrive("late")
    desk.rooms.create(messages.CreateRoomRequest(name="small", max_participants=1))
    desk.enter("bob", "small")
    desk.forget()
    before = desk.rooms.listed()
    assert refusal(lambda: command(desk)) == code
    assert desk.types == []
    assert desk.told == []
    assert [room.name for room in desk.rooms.listed()] == [room.name for room in before]


def test_joins_make_no_room_where_the_settings_say_so() -> None:
    desk = Desk(RoomSettings(auto_create=False))
    assert refusal(lambda: desk.join("alice")) == "not_found"
    assert desk.join("alice", may_create_room=True)


def test_bounds_hold() -> None:
    desk = Desk(RoomSettings(rooms_max=1, participants_per_room_max=1, tracks_per_participant_max=1))
    alice = desk.enter()
    desk.publish(alice)
    assert refusal(lambda: desk.add(alice)) == "resource_exhausted"
    assert refusal(lambda: desk.join("bob")) == "resource_exhausted"
    assert refusal(lambda: desk.rooms.create(messages.CreateRoomRequest(name="other"))) == "resource_exhausted"


def test_who_may_not_publish_is_refused(desk: Desk) -> None:
    alice = desk.enter("alice", permission=models.ParticipantPermission(can_subscribe=True))
    assert refusal(lambda: desk.add(alice)) == "permission_denied"
