"""What is sent hangs together."""

from __future__ import annotations

import json

import pytest

from roombell.cli.scenarios import Story, call, single
from roombell.events import EVENT_TYPES, parse

NOW_S = 1_800_000_000
STORY = Story("salt", "demo", "alice", NOW_S)


@pytest.mark.parametrize("event_type", EVENT_TYPES)
def test_every_event_type_decodes_by_the_official_schema(event_type):
    (body,) = single(event_type, STORY)
    event = parse(body)
    assert (event.type, event.room_name, event.created_at) == (event_type, "demo", NOW_S)
    assert event.message.event == event_type


def test_a_call_is_told_in_the_order_in_which_it_takes_place():
    events = [parse(body) for body in call(STORY)]
    assert [(event.type, event.participant_identity) for event in events] == [
        ("room_started", ""),
        ("participant_joined", "alice"),
        ("track_published", "alice"),
        ("track_published", "alice"),
        ("participant_joined", "bob"),
        ("track_published", "bob"),
        ("egress_started", ""),
        ("egress_updated", ""),
        ("egress_ended", ""),
        ("track_unpublished", "bob"),
        ("participant_left", "bob"),
        ("track_unpublished", "alice"),
        ("track_unpublished", "alice"),
        ("participant_left", "alice"),
        ("room_finished", ""),
    ]
    times = [event.created_at for event in events]
    assert times == sorted(times)
    assert times[-1] == NOW_S


def test_within_a_call_everything_fits_together():
    events = [parse(body) for body in call(STORY)]
    assert len({event.id for event in events}) == len(events)
    assert len({event.room_sid for event in events}) == 1
    assert len({event.egress_id for event in events if event.egress_id}) == 1
    for identity in ("alice", "bob"):
        assert len({event.participant_sid for event in events if event.participant_identity == identity}) == 1
    published = {event.track_sid for event in events if event.type == "track_published"}
    assert len(published) == 3
    assert {event.track_sid for event in events if event.type == "track_unpublished"} == published
    assert all(event.message.id == event.id for event in events)


def test_a_call_s_times_and_counts_agree_with_its_events():
    bodies = [json.loads(body) for body in call(STORY)]
    begun = bodies[0]["createdAt"]
    full = [body["room"] for body in bodies if "creationTime" in body.get("room", {})]
    assert {room["creationTime"] for room in full} == {begun}
    assert [room.get("numParticipants", 0) for room in full] == [0, 1, 2, 1, 0, 0]
    joined = {b["participant"]["sid"]: b["createdAt"] for b in bodies if b["event"] == "participant_joined"}
    left = {b["participant"]["sid"]: b["participant"]["joinedAt"] for b in bodies if b["event"] == "participant_left"}
    assert left == joined
    active, ended = (next(b["egressInfo"] for b in bodies if b["event"] == f"egress_{x}") for x in ("updated", "ended"))
    assert active["startedAt"] == ended["startedAt"]
    file = ended["fileResults"][0]
    assert int(ended["endedAt"]) - int(ended["startedAt"]) == int(file["duration"])


def test_another_run_has_other_ids():
    one, other = ([parse(body) for body in call(Story(salt, "demo", "alice", NOW_S))] for salt in ("a", "b"))
    for field in ("id", "room_sid", "participant_sid", "track_sid", "egress_id"):
        assert not {getattr(event, field) for event in one} & {getattr(event, field) for event in other} - {""}


def test_the_caller_may_be_called_bob():
    people = {parse(body).participant_identity for body in call(Story("s", "demo", "bob", NOW_S))}
    assert people == {"", "alice", "bob"}
