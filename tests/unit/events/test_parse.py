"""Reading an event off the wire: what is taken, where each fact is found, what is refused and how."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from roombell.errors import EventError, UsageError
from roombell.events import EVENT_TYPES, EventFamily, WebhookEvent, family_of, parse
from roombell.events.parse import ID_CHARS_MAX
from roombell.testing.payloads import sample

REAL_PAYLOADS = Path(__file__).parents[2] / "data" / "real_payloads"


def parsed(**body: object) -> WebhookEvent:
    return parse(json.dumps({"event": "room_started"} | body).encode())


def real(name: str) -> WebhookEvent:
    return parse((REAL_PAYLOADS / name).read_bytes())


def test_the_first_livekit_payload_keeps_its_bytes_and_tells_its_room() -> None:
    event = real("room_started_2023.json")
    assert event.raw == (REAL_PAYLOADS / "room_started_2023.json").read_bytes()
    assert (event.type, event.id, event.created_at) == ("room_started", "EV_eugWmGhovZmm", 1692985556)
    assert (event.room_name, event.room_sid, event.ordering_key) == ("Demo Room", "RM_hycBMAjmt6Ub", "Demo Room")


def test_an_event_of_an_old_server_without_id_gets_the_same_id_from_the_same_bytes() -> None:
    first, again = (real("room_started_2021_spaced_without_id.json") for _ in range(2))
    assert first.id == again.id == "sha256-0a8110cf5721a89f5b9d945c39175d8e"
    assert first.created_at == 0
    assert parse(first.raw + b" ").id != first.id


def test_a_trimmed_participant_event_is_keyed_by_its_room() -> None:
    event = real("participant_joined_2026_anonymised.json")
    assert (event.participant_sid, event.participant_identity) == ("PA_8kd72hs", "part_...")
    assert event.ordering_key == event.room_name == "<call id>"


def test_a_track_event_tells_room_participant_and_track_whatever_the_order_of_keys() -> None:
    event = real("track_unpublished_2026_cloud.json")
    assert event.track_sid == "TR_AMNTtQxevMRbsr"
    assert event.participant_sid == "PA_eU7nwP2s3FcN"
    assert event.ordering_key == "974b6e04-0617-4ae7-90f9-7202e5e998e9"
    assert event.message.track.version.unix_micro == 1771351848526591


@pytest.mark.parametrize("event_type", EVENT_TYPES)
def test_every_family_tells_its_room_in_the_same_place(event_type: str) -> None:
    event = parse(sample(event_type, room="acme-1"))
    assert event.type == event_type
    assert event.room_name == "acme-1"
    assert event.room_sid.startswith("RM_")


@pytest.mark.parametrize(
    ("body", "key"),
    [
        ({"egressInfo": {"egressId": "EG_1"}, "room": {"name": "r"}}, "EG_1"),
        ({"egress_info": {"egress_id": "EG_1"}, "room": {"name": "r"}}, "EG_1"),
        ({"egressInfo": {"roomName": "r"}, "room": {"name": "r"}}, "r"),
        ({"egressInfo": {"roomName": "r"}}, "default"),
        ({"ingressInfo": {"ingressId": "IN_1", "roomName": "r"}, "room": {"name": "r"}}, "IN_1"),
        ({"egressInfo": {"egressId": "EG_1"}, "ingressInfo": {"ingressId": "IN_1"}}, "EG_1"),
        ({"room": {"name": "r", "sid": "RM_1"}, "participant": {"identity": "i"}, "track": {"sid": "TR_1"}}, "r"),
        ({"room": {"sid": "RM_1"}, "participant": {"identity": "i"}, "track": {"sid": "TR_1"}}, "i"),
        ({"participant": {"sid": "PA_1"}, "track": {"sid": "TR_1"}}, "TR_1"),
        ({"job": {"id": "AJ_1", "room": {"name": "r"}, "participant": {"identity": "i"}}}, "r"),
        ({"job": {"id": "AJ_1", "participant": {"identity": "i"}}}, "default"),
        ({}, "default"),
    ],
)
def test_the_ordering_key_is_livekits(body: dict[str, object], key: str) -> None:
    assert parsed(**body).ordering_key == key


@pytest.mark.parametrize(
    ("body", "field", "value"),
    [
        ({"egressInfo": {"roomName": "r"}}, "room_name", "r"),
        ({"egressInfo": {"room_name": "r"}}, "room_name", "r"),
        ({"egressInfo": {"roomId": "RM_1"}}, "room_sid", "RM_1"),
        ({"egress_info": {"room_id": "RM_1"}}, "room_sid", "RM_1"),
        ({"ingressInfo": {"roomName": "r"}}, "room_name", "r"),
        ({"ingress_info": {"room_name": "r"}}, "room_name", "r"),
        ({"ingressInfo": {"state": {"roomId": "RM_1"}}}, "room_sid", "RM_1"),
        ({"ingressInfo": {"state": {"room_id": "RM_1"}}}, "room_sid", "RM_1"),
        ({"ingressInfo": {"participantIdentity": "i"}}, "participant_identity", "i"),
        ({"ingress_info": {"participant_identity": "i"}}, "participant_identity", "i"),
        ({"ingressInfo": {"ingressId": "IN_1"}}, "ingress_id", "IN_1"),
        ({"ingress_info": {"ingress_id": "IN_1"}}, "ingress_id", "IN_1"),
        ({"job": {"room": {"name": "r"}}}, "room_name", "r"),
        ({"job": {"room": {"sid": "RM_1"}}}, "room_sid", "RM_1"),
        ({"job": {"participant": {"identity": "i"}}}, "participant_identity", "i"),
        ({"job": {"participant": {"sid": "PA_1"}}}, "participant_sid", "PA_1"),
        ({"job": {"state": {"participantIdentity": "i"}}}, "participant_identity", "i"),
        ({"job": {"state": {"participant_identity": "i"}}}, "participant_identity", "i"),
        ({"job": {"id": "AJ_1"}}, "job_id", "AJ_1"),
        ({"createdAt": "17"}, "created_at", 17),
        ({"createdAt": 17}, "created_at", 17),
        ({"createdAt": 17.0}, "created_at", 17),
        ({"createdAt": "-17"}, "created_at", -17),
        ({"created_at": "17"}, "created_at", 17),
        ({"created_at": None}, "created_at", 0),
        ({"createdAt": ""}, "created_at", 0),
        ({"createdAt": "9223372036854775807"}, "created_at", 2**63 - 1),
        ({"room": None, "participant": None, "id": "EV_1"}, "room_name", ""),
        ({"room": {"name": None, "metadata": 5, "new": [{}]}, "newer": 1}, "room_name", ""),
        ({"room": {"name": "Größe \u2028 😀"}}, "room_name", "Größe \u2028 😀"),
    ],
)
def test_what_protojson_takes_is_taken(body: dict[str, object], field: str, value: object) -> None:
    assert getattr(parsed(**body), field) == value


def test_an_event_of_its_own_top_level_wins_over_what_is_nested() -> None:
    event = parsed(room={"name": "top", "sid": "RM_top"}, egressInfo={"roomName": "nested", "roomId": "RM_nested"})
    assert (event.room_name, event.room_sid) == ("top", "RM_top")


@pytest.mark.parametrize(
    ("event_type", "family"),
    [
        ("room_started", EventFamily.ROOM),
        ("room_moved", EventFamily.ROOM),
        ("participant_connection_aborted", EventFamily.PARTICIPANT),
        ("track_unpublished", EventFamily.TRACK),
        ("egress_updated", EventFamily.EGRESS),
        ("ingress_ended", EventFamily.INGRESS),
        ("agent_job_pending", EventFamily.JOB),
        ("agent_woke", EventFamily.UNKNOWN),
        ("roomstarted", EventFamily.UNKNOWN),
        ("", EventFamily.UNKNOWN),
    ],
)
def test_the_family_follows_from_the_name(event_type: str, family: EventFamily) -> None:
    assert family_of(event_type) is family


def test_every_known_event_type_has_a_family() -> None:
    assert EventFamily.UNKNOWN not in {family_of(event_type) for event_type in EVENT_TYPES}
    assert len(set(EVENT_TYPES)) == len(EVENT_TYPES) == 15


def test_an_unknown_event_type_is_taken() -> None:
    event = parsed(event="sip_call_rang", room={"name": "r"})
    assert (event.type, event.family, event.room_name) == ("sip_call_rang", EventFamily.UNKNOWN, "r")


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"", "empty"),
        (b" \n", "empty"),
        (b"hello", "not JSON"),
        (b'{"event":"room_started"', "not JSON"),
        (b'{"event":"room_started"} x', "byte 26"),
        (b"\xef\xbb\xbf{}", "not JSON"),
        (b"{'event': 'room_started'}", "body parser"),
        (b"event=room_started", "not JSON"),
        (b'{"event":"room_started","room":{"metadata":"\xff"}}', "not UTF-8 (byte 44 of 48)"),
        (b'{"event":"room\\ud800"}', "not JSON"),
        (b"[]", "array"),
        (b'"room_started"', "str"),
        (b"null", "null"),
        (b"{}", "`event`"),
        (b'{"event":""}', "`event` is empty"),
        (b'{"event":null}', "$.event"),
        (b'{"event":7}', "$.event"),
        (b'{"event":"room_started","room":"demo"}', "$.room"),
        (b'{"event":"room_started","room":{"name":7}}', "$.room.name"),
        (b'{"event":"room_started","createdAt":"soon"}', "createdAt"),
        (b'{"event":"room_started","createdAt":"1_0"}', "createdAt"),
        (b'{"event":"room_started","createdAt":"\xd9\xa1"}', "createdAt"),
        (b'{"event":"room_started","createdAt":1.5}', "createdAt"),
        (b'{"event":"room_started","createdAt":true}', "createdAt"),
        (b'{"event":"room_started","createdAt":1e300}', "createdAt"),
        (b'{"event":"room_started","createdAt":9223372036854775808}', "createdAt"),
        (b'{"event":"room_started","createdAt":"' + b"9" * 5000 + b'"}', "createdAt"),
        (b'{"event":"room_started","createdAt":' + b"9" * 5000 + b"}", "createdAt"),
        (b'{"event":"room_started","createdAt":1e9999}', "createdAt"),
        (b'{"event":"room_started","id":"EV_1\\r\\nX-Injected: 1"}', "printable"),
        (b'{"event":"room_started","id":"\xc3\xa9"}', "printable"),
        (b'{"event":"room_started","id":"' + b"x" * (ID_CHARS_MAX + 1) + b'"}', "257 characters"),
        (b'{"event":"room_started","x":' + b"[" * 100_000, "nested"),
    ],
)
def test_what_is_no_event_is_refused_in_words_that_help(raw: bytes, words: str) -> None:
    with pytest.raises(EventError) as caught:
        parse(raw)
    assert words in str(caught.value)
    assert (caught.value.status, caught.value.code) == (400, "not_an_event")


def test_a_refusal_shows_nothing_of_the_body() -> None:
    with pytest.raises(EventError) as caught:
        parse(b'{"event":"room_started","room":{"turnPassword":"hunter2"},"createdAt":"hunter2"}')
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("raw", ["{}", bytearray(b"{}"), {"event": "room_started"}, None])
def test_anything_but_bytes_is_the_callers_mistake(raw: object) -> None:
    with pytest.raises(UsageError, match="raw bytes"):
        parse(raw)  # type: ignore[arg-type]


def test_the_representation_is_short_and_holds_no_secret() -> None:
    event = real("room_started_2023.json")
    shown = repr(event) + str(event) + str(event.__rich_repr__())
    assert "room_started" in shown
    assert "EV_eugWmGhovZmm" in shown
    assert "2Pvdj" not in shown
    assert len(repr(event)) < 120


def test_an_event_is_frozen_hashable_and_equal_by_its_bytes() -> None:
    event = real("room_started_2023.json")
    assert event == parse(event.raw)
    assert len({event, parse(event.raw)}) == 1
    with pytest.raises(AttributeError):
        event.raw = b""  # type: ignore[misc]


@pytest.mark.parametrize("event_type", ["x" * 129, "room_started\n", "room\x00", "room\x1b[31m"])
def test_an_event_type_that_could_garble_a_log_is_refused(event_type: str) -> None:
    with pytest.raises(EventError, match="printable"):
        parse(json.dumps({"event": event_type}).encode())


def test_an_endless_ordering_key_is_replaced_by_a_hash_that_orders_the_same() -> None:
    def key(name: str) -> str:
        return parse(json.dumps({"event": "room_started", "room": {"name": name}}).encode()).ordering_key

    assert key("r" * 512) == "r" * 512
    assert key("r" * 513) == key("r" * 513) != key("r" * 514)
    assert len(key("r" * 100_000)) < 100
