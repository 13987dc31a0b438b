"""The sample bodies: realistic, the same every time, telling one story."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from pathlib import Path

import pytest

from roombell.errors import UsageError
from roombell.events import EVENT_TYPES, parse
from roombell.testing.payloads import CREATED_AT, sample

REAL_PAYLOADS = Path(__file__).parents[2] / "data" / "real_payloads"


@pytest.mark.parametrize("event_type", EVENT_TYPES)
def test_a_sample_follows_from_its_arguments(event_type: str) -> None:
    assert sample(event_type) == sample(event_type)
    told = parse(sample(event_type, room="r", identity="i", id="EV_1", created_at=5))
    assert (told.type, told.room_name, told.id, told.created_at) == (event_type, "r", "EV_1", 5)
    assert parse(sample(event_type)).created_at == CREATED_AT


def test_samples_have_ids_of_their_own() -> None:
    ids = {parse(sample(event_type, created_at=at)).id for event_type in EVENT_TYPES for at in (5, 6)}
    assert len(ids) == 2 * len(EVENT_TYPES)


def test_samples_of_one_room_tell_one_story() -> None:
    events = [parse(sample(event_type)) for event_type in EVENT_TYPES]
    assert len({event.room_sid for event in events}) == 1
    assert len({event.participant_sid for event in events} - {""}) == 1
    assert len({event.egress_id for event in events} - {""}) == 1


def test_the_states_are_those_that_livekit_sends() -> None:
    messages = {event_type: parse(sample(event_type)).message for event_type in EVENT_TYPES}
    assert messages["participant_joined"].participant.state == messages["participant_joined"].participant.ACTIVE
    assert messages["participant_left"].participant.state == messages["participant_left"].participant.DISCONNECTED
    assert messages["egress_started"].egress_info.status == 0
    assert messages["egress_ended"].egress_info.status == 3
    assert not messages["ingress_started"].room.sid


def test_a_name_that_needs_escaping_is_escaped() -> None:
    assert parse(sample("room_started", room='a "b" \n ü')).room_name == 'a "b" \n ü'


def test_there_is_no_sample_of_an_unknown_type() -> None:
    with pytest.raises(UsageError, match=r"'room_exploded'.*room_started"):
        sample("room_exploded")


def test_the_recorded_payload_has_the_hash_that_its_sender_signed() -> None:
    recorded = (REAL_PAYLOADS / "room_started_2021_spaced_without_id.json").read_bytes()
    assert b64encode(hashlib.sha256(recorded).digest()) == b"CoEQz1chqJ9bnZRcORddjplkvpjmPujmLTR42DbefYI="
