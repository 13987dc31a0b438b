"""The official protobuf message, on demand."""

from __future__ import annotations

import sys

import pytest

from roombell.errors import EventError, UsageError
from roombell.events import EVENT_TYPES, parse
from roombell.events.protobuf import encode
from roombell.testing.payloads import sample


@pytest.mark.parametrize("event_type", EVENT_TYPES)
def test_a_sample_is_written_exactly_as_livekits_encoder_writes_it(event_type: str) -> None:
    raw = sample(event_type)
    assert encode(parse(raw).message) == raw


def test_unknown_fields_and_enum_values_are_ignored() -> None:
    message = parse(
        b'{"event":"participant_joined","participant":{"state":"LEVITATING","sid":"PA_1"},"new":[1]}'
    ).message
    assert message.participant.sid == "PA_1"
    assert message.participant.state == 0


def test_a_field_of_a_wrong_type_is_an_event_error_that_shows_no_value() -> None:
    event = parse(b'{"event":"room_started","room":{"name":"r","turnPassword":["hunter2"]}}')
    with pytest.raises(EventError) as caught:
        _ = event.message
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_deep_nesting_that_protobuf_refuses_is_an_event_error() -> None:
    deep = b'{"a":' * 500 + b"1" + b"}" * 500
    with pytest.raises(EventError):
        _ = parse(b'{"event":"room_started","egressInfo":{"new":' + deep + b',"egressId":["EG"]}}').message


def test_without_livekit_protocol_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    event = parse(sample("room_started"))
    monkeypatch.setitem(sys.modules, "livekit.protocol", None)
    with pytest.raises(UsageError, match=r"roombell\[protobuf\]"):
        _ = event.message
