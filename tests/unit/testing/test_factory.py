"""Events that fit together, at times that the test decides."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest

from roombell.errors import SignatureError, UsageError
from roombell.events import EVENT_TYPES
from roombell.receiver import Receiver
from roombell.receiver.views import view
from roombell.testing.factory import DEV_KEYS, EventFactory, ManualClock
from roombell.testing.misbehaviours import MISBEHAVIOURS


@pytest.mark.parametrize("event_type", EVENT_TYPES)
def test_every_event_is_at_the_clocks_time_and_readable_by_livekits_decoder(event_type: str) -> None:
    factory = EventFactory(clock=ManualClock(1_800_000_000.7))
    event = factory.event(event_type, room="standup", identity="bob")
    assert (event.type, event.room_name, event.created_at) == (event_type, "standup", 1_800_000_000)
    assert event.message.event == event_type


def test_changes_go_to_any_depth_and_none_takes_a_field_out() -> None:
    factory = EventFactory()
    changes = {"participant": {"kind": "AGENT", "permission": {"hidden": True}, "name": None}, "job": {"id": "AJ_1"}}
    told = view(factory.event("participant_joined", changes=changes))
    assert told.participant is not None
    assert (told.participant.kind, told.participant.hidden, told.participant.name) == ("AGENT", True, "")
    assert told.job is not None
    assert b'"name":"Alice"' not in told.event.raw


def test_there_is_no_event_of_an_unknown_type() -> None:
    with pytest.raises(UsageError, match="room_exploded"):
        EventFactory().event("room_exploded")


def test_factories_with_equal_arguments_make_equal_events_and_each_has_an_id_of_its_own() -> None:
    events = EventFactory(salt="a").call()
    assert events == EventFactory(salt="a").call()
    ids = {event.id for event in events}
    assert len(ids) == len(events)
    assert not ids & {event.id for event in EventFactory(salt="b").call()}


def test_a_call_tells_one_story() -> None:
    factory = EventFactory()
    events = factory.call("standup", people=("alice", "bob", "carol"))
    assert [event.type for event in events][:3] == ["room_started", "participant_joined", "track_published"]
    assert len({event.room_sid for event in events}) == 1
    assert len({event.egress_id for event in events} - {""}) == 1
    assert all(before.created_at <= after.created_at for before, after in pairwise(events))
    assert events[-1].created_at == int(factory.clock())
    joined = {
        event.participant_identity: event.participant_sid for event in events if event.type == "participant_joined"
    }
    left = {event.participant_identity: event.participant_sid for event in events if event.type == "participant_left"}
    assert joined == left
    assert len(set(joined.values())) == 3
    assert all(event.message is not None for event in events)


def test_a_call_may_be_without_a_recording() -> None:
    assert not any(event.egress_id for event in EventFactory().call(recorded=False))


def test_a_story_remembers_who_and_since_when() -> None:
    factory = EventFactory()
    room = factory.room("standup", sid="RM_x")
    room.metadata = "of the room"
    joined = room.participant_joined("alice")
    factory.clock.advance(100)
    left = view(room.participant_left("alice"))
    again = room.participant_joined("alice")
    assert left.participant is not None
    assert left.room is not None
    assert left.participant.joined_at == view(joined).participant.joined_at
    assert (left.room.sid, left.room.metadata, left.participant.sid) == ("RM_x", "of the room", joined.participant_sid)
    assert again.participant_sid != joined.participant_sid


def test_a_story_tells_of_ingresses_and_jobs() -> None:
    factory = EventFactory()
    room = factory.room("standup")
    started = view(room.ingress_started("camera")).ingress
    factory.clock.advance(60)
    ended = view(room.ingress_ended("camera")).ingress
    assert started is not None
    assert ended is not None
    assert (ended.started_at, ended.room_sid) == (started.started_at, room.sid)
    job = room.agent_job("agent_job_started")
    assert (job.room_name, job.room_sid) == ("standup", room.sid)


def test_a_signed_webhook_is_one_that_a_receiver_takes_at_that_time() -> None:
    factory = EventFactory()
    signed = factory.signed(factory.event("room_started"))
    receiver = Receiver(keys=DEV_KEYS, now=factory.clock)
    assert receiver.receive(signed.body, signed.authorization).type == "room_started"
    assert signed.headers["Content-Type"] == "application/webhook+json"
    factory.clock.advance(3600)
    with pytest.raises(SignatureError):
        receiver.receive(signed.body, signed.authorization)
    now = factory.signed(signed.body, keys={"APIabc": "x"}, now=5.0)
    assert Receiver(keys={"APIabc": "x"}, now=lambda: 5.0).receive(now.body, now.authorization)


@pytest.mark.parametrize("name", MISBEHAVIOURS)
def test_a_misbehaviour_names_its_report_and_is_made_of_what_livekit_can_send(name: str) -> None:
    misbehaviour = MISBEHAVIOURS[name]
    events = misbehaviour(EventFactory(), "standup")
    assert all(event.message is not None for event in events)
    assert {event.room_name.removesuffix("-2") for event in events} <= {"standup", ""}
    assert len({event.id for event in events}) == len(events)
    assert re.search(r"#\d+|ommunity \d+|``.+``|MoveParticipant|node dies", misbehaviour.__doc__ or "")
