"""What ``roombell trigger`` sends: single events and whole stories, as a LiveKit server would.

Every run has ids of its own, and within a run everything fits together: the room has one sid from its first event to
its last, a participant leaves with the sid it joined with.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

import msgspec

from roombell.events.names import (
    EGRESS_ENDED,
    EGRESS_STARTED,
    EGRESS_UPDATED,
    PARTICIPANT_JOINED,
    PARTICIPANT_LEFT,
    ROOM_FINISHED,
    ROOM_STARTED,
    TRACK_PUBLISHED,
    TRACK_UNPUBLISHED,
)
from roombell.testing.payloads import resource_id, sample

Json = dict[str, object]

_SAMPLE_ID: Final = re.compile(r"(RM_|PA_|TR_|EG_|IN_|RS_|AJ_|AD_|AW_)[2-9A-Za-z]{12}")


class Story(msgspec.Struct, frozen=True):
    """Who and where, and the salt that makes a run's ids its own."""

    salt: str
    room: str
    identity: str
    at: int
    """When its last event takes place: unix seconds."""


class _Step(msgspec.Struct, frozen=True):
    """One event of a scenario. ``seconds`` counts from the scenario's beginning."""

    seconds: int
    event_type: str
    who: str = ""
    track: str = "microphone"
    participants: int = 0
    """How many are in the room after it."""


_CALL: Final = (
    _Step(0, ROOM_STARTED),
    _Step(1, PARTICIPANT_JOINED, "caller", participants=1),
    _Step(2, TRACK_PUBLISHED, "caller"),
    _Step(2, TRACK_PUBLISHED, "caller", "camera"),
    _Step(5, PARTICIPANT_JOINED, "callee", participants=2),
    _Step(6, TRACK_PUBLISHED, "callee"),
    _Step(8, EGRESS_STARTED),
    _Step(10, EGRESS_UPDATED),
    _Step(70, EGRESS_ENDED),
    _Step(72, TRACK_UNPUBLISHED, "callee"),
    _Step(72, PARTICIPANT_LEFT, "callee", participants=1),
    _Step(74, TRACK_UNPUBLISHED, "caller", "camera"),
    _Step(74, TRACK_UNPUBLISHED, "caller"),
    _Step(74, PARTICIPANT_LEFT, "caller"),
    _Step(94, ROOM_FINISHED),
)
"""The times are those of a real call: a recording starts within seconds, and a room outlives its last participant by
``departureTimeout``."""

SCENARIOS: Final = {"call": f"the whole life of a room: two participants, tracks, a recording ({len(_CALL)} events)"}


def single(event_type: str, story: Story) -> tuple[bytes, ...]:
    """One event that takes place at the story's time.

    :raises UsageError: there is no such event type.
    """
    body = sample(event_type, room=story.room, identity=story.identity, created_at=story.at)
    return (_finish(_decode(body), story, 0),)


def call(story: Story) -> tuple[bytes, ...]:
    """A call that ends at the story's time, in the order in which LiveKit tells it."""
    begun_at = story.at - _CALL[-1].seconds
    people = {"caller": story.identity, "callee": "bob" if story.identity != "bob" else "alice"}
    joined_at = {step.who: begun_at + step.seconds for step in _CALL if step.event_type == PARTICIPANT_JOINED}
    bodies: list[bytes] = []
    for number, step in enumerate(_CALL):
        at = begun_at + step.seconds
        body = _decode(
            sample(step.event_type, room=story.room, identity=people.get(step.who, story.identity), created_at=at)
        )
        _place(body, step, begun_at, joined_at.get(step.who, at))
        bodies.append(_finish(body, story, number))
    return tuple(bodies)


def _place(body: Json, step: _Step, begun_at: int, joined_at: int) -> None:
    """Makes one event's fields fit what happened before it."""
    for part, since_at, name in (("room", begun_at, "creationTime"), ("participant", joined_at, "joinedAt")):
        told = body.get(part)
        if isinstance(told, dict) and name in told:
            told[name], told[f"{name}Ms"] = str(since_at), str(since_at * 1000 + 287)
            if part == "room":
                told.pop("numParticipants", None)
                told |= {"numParticipants": step.participants} if step.participants else {}
    if step.track == "camera":
        _make_camera(body)


def _make_camera(body: Json) -> None:
    track = body["track"]
    assert isinstance(track, dict), "a track event carries its track"
    version = track["version"]
    body["track"] = {
        "sid": resource_id("TR_", f"{track['sid']}/camera"),
        "type": "VIDEO",
        "name": "camera",
        "width": 1280,
        "height": 720,
        "simulcast": True,
        "source": "CAMERA",
        "layers": [
            {"width": 320, "height": 180, "bitrate": 160_000},  # LOW is the default
            {"quality": "MEDIUM", "width": 640, "height": 360, "bitrate": 450_000},
            {"quality": "HIGH", "width": 1280, "height": 720, "bitrate": 1_700_000},
        ],
        "mimeType": "video/VP8",
        "mid": "1",
        "codecs": [{"mimeType": "video/VP8", "mid": "1", "cid": "5c1e8f9a-3c7d-4b52-9c0e-6a1f2d3b4c5d"}],
        "stream": "camera",
        "version": version,
    }


def _finish(body: Json, story: Story, number: int) -> bytes:
    body["id"] = resource_id("EV_", f"{story.salt}/{number}")
    return msgspec.json.encode({name: _fresh(value, story.salt) for name, value in body.items()})


def _fresh(value: object, salt: str) -> object:
    """``value`` with each sample's id replaced by this run's own; equal ids stay equal."""
    if isinstance(value, str):
        match = _SAMPLE_ID.fullmatch(value)
        return resource_id(match[1], f"{salt}/{value}") if match else value
    if isinstance(value, Mapping):
        return {name: _fresh(item, salt) for name, item in value.items()}
    return [_fresh(item, salt) for item in value] if isinstance(value, list) else value


def _decode(body: bytes) -> Json:
    return msgspec.json.decode(body, type=Json)
