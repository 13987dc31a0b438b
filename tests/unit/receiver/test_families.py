"""Handlers get events of their family, with what they are about under one name."""

from __future__ import annotations

import msgspec
import pytest

from roombell import WebhookEvent, parse
from roombell.events import EVENT_TYPES
from roombell.receiver import (
    EgressEvent,
    IngressEvent,
    JobEvent,
    ParticipantEvent,
    Receiver,
    RoomEvent,
    TrackEvent,
)
from roombell.receiver.delivery import NO_DELIVERY
from roombell.receiver.families import of_family
from roombell.receiver.views import EgressStatus, view
from roombell.testing.payloads import sample

FAMILIES = {
    "room": RoomEvent,
    "participant": ParticipantEvent,
    "track": TrackEvent,
    "egress": EgressEvent,
    "ingress": IngressEvent,
    "job": JobEvent,
}


def handled(body: bytes) -> WebhookEvent:
    receiver = Receiver(keys={"APIabc": "secret"})
    seen: list[WebhookEvent] = []
    receiver.on("*")(seen.append)
    receiver.take_blocking(parse(body), NO_DELIVERY)
    return seen[0]


@pytest.mark.parametrize("event_type", EVENT_TYPES)
def test_every_event_comes_as_one_of_its_family_and_is_the_same_event(event_type: str) -> None:
    event, plain = handled(sample(event_type)), parse(sample(event_type))
    assert type(event) is FAMILIES[plain.family]
    assert event == plain
    assert plain == event
    assert len({event, plain}) == 1
    assert msgspec.structs.asdict(event) == msgspec.structs.asdict(plain)
    assert repr(event) == repr(plain)


@pytest.mark.parametrize("event_type", EVENT_TYPES)
def test_each_part_is_what_the_view_tells(event_type: str) -> None:
    event = handled(sample(event_type))
    for part in ("participant", "track", "recording", "ingress", "job"):
        if hasattr(event, part):
            assert getattr(event, part) == getattr(view(event), part)
    assert event.room == view(event).room or event.family in ("ingress", "job")


def test_what_an_event_does_not_carry_is_made_of_what_it_tells() -> None:
    room = b'{"event":"%b","id":"EV_1","room":{"sid":"RM_1","name":"r"}}'
    joined = handled(room % b"participant_joined")
    assert isinstance(joined, ParticipantEvent)
    assert (joined.participant.sid, joined.room.name) == ("", "r")
    ended = handled(room % b"egress_ended")
    assert isinstance(ended, EgressEvent)
    assert ended.recording.status is EgressStatus.EGRESS_STARTING
    for name, part in (("track_published", "track"), ("ingress_ended", "ingress"), ("agent_job_ended", "job")):
        assert getattr(handled(room % name.encode()), part) is not None


def test_an_event_of_an_unknown_family_stays_as_it_is() -> None:
    event = parse(b'{"event":"call_started","id":"EV_1"}')
    assert of_family(event) is event
    assert type(handled(event.raw)) is WebhookEvent


def test_an_event_that_is_one_of_its_family_stays_as_it_is() -> None:
    event = of_family(parse(sample("room_started")))
    assert of_family(event) is event


def test_a_newer_event_of_a_known_family_has_its_parts() -> None:
    event = handled(b'{"event":"egress_paused","id":"EV_1","egressInfo":{"egressId":"EG_1"}}')
    assert isinstance(event, EgressEvent)
    assert event.recording.egress_id == "EG_1"
