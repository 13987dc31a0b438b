"""Reading events: nothing but the promised error, and the same facts as LiveKit's own decoder."""

from __future__ import annotations

import contextlib
import json

from hypothesis import given
from hypothesis import strategies as st
from livekit.protocol import egress, ingress, models, webhook

from roombell.errors import EventError
from roombell.events import EVENT_TYPES, EventBuilder, parse
from roombell.testing.payloads import sample

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)
FIELDS = (
    "event", "id", "room", "participant", "track", "job", "createdAt", "created_at", "egressInfo", "egress_info",
    "ingressInfo", "ingress_info", "sid", "name", "identity", "state", "roomId", "room_name", "egressId",
)  # fmt: skip
NEAR_EVENTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.dictionaries(st.sampled_from(FIELDS), inner, max_size=6),
    max_leaves=20,
)
NAMES = st.text(max_size=20)
ROOMS = st.builds(models.Room, sid=NAMES, name=NAMES, metadata=NAMES, creation_time=st.integers(0, 2**62))
PARTICIPANTS = st.builds(
    models.ParticipantInfo,
    sid=NAMES,
    identity=NAMES,
    metadata=NAMES,
    attributes=st.dictionaries(NAMES, NAMES, max_size=3),
    kind=st.sampled_from(models.ParticipantInfo.Kind.values()),
)
MESSAGES = st.builds(
    webhook.WebhookEvent,
    event=st.sampled_from(EVENT_TYPES) | st.text(min_size=1, max_size=128).filter(str.isprintable),
    id=st.from_regex(r"EV_[a-zA-Z2-9]{12}", fullmatch=True),
    created_at=st.integers(1, 2**62),
    room=st.none() | ROOMS,
    participant=st.none() | PARTICIPANTS,
    track=st.none() | st.builds(models.TrackInfo, sid=NAMES),
    egress_info=st.none() | st.builds(egress.EgressInfo, egress_id=NAMES, room_id=NAMES, room_name=NAMES),
    ingress_info=st.none() | st.builds(ingress.IngressInfo, ingress_id=NAMES, room_name=NAMES),
)


def reads_or_refuses(raw: bytes) -> None:
    """Whatever ``raw`` is, it is an event or an ``EventError``."""
    with contextlib.suppress(EventError):
        event = parse(raw)
        assert event.raw == raw
        assert event.type
        assert event.id
        assert event.ordering_key
        assert repr(event)
        assert str(event.family)
        _ = event.message


@given(st.binary(max_size=200))
def test_any_bytes_are_an_event_or_an_event_error(raw: bytes) -> None:
    reads_or_refuses(raw)


@given(JSON)
def test_any_json_is_an_event_or_an_event_error(value: object) -> None:
    reads_or_refuses(json.dumps(value).encode())


@given(NEAR_EVENTS, st.booleans())
def test_any_json_with_an_events_fields_is_an_event_or_an_event_error(value: object, ascii_only: bool) -> None:
    body = value | {"event": "room_started"} if isinstance(value, dict) else value
    reads_or_refuses(json.dumps(body, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass"))


@given(st.sampled_from(EVENT_TYPES), st.data())
def test_a_damaged_sample_is_an_event_or_an_event_error(event_type: str, data: st.DataObject) -> None:
    raw = bytearray(sample(event_type))
    for _ in range(data.draw(st.integers(1, 5))):
        at = data.draw(st.integers(0, len(raw) - 1))
        raw[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    reads_or_refuses(bytes(raw))


@given(MESSAGES)
def test_what_is_written_is_what_livekits_decoder_reads(message: webhook.WebhookEvent) -> None:
    event = EventBuilder(lambda: 5.0, bytes).from_message(message)
    assert event.message == message
    assert (event.id, event.type, event.created_at) == (message.id, message.event, message.created_at)
    assert event.participant_sid == message.participant.sid
    assert event.track_sid == message.track.sid
    assert event.egress_id == message.egress_info.egress_id
    assert event.ingress_id == message.ingress_info.ingress_id
    keys = (
        message.egress_info.egress_id,
        message.ingress_info.ingress_id,
        message.room.name,
        message.participant.identity,
        message.track.sid,
        "default",
    )
    assert event.ordering_key == next(key for key in keys if key)
