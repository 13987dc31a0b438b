"""The receiver's parts hold for whatever comes over the wire."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roombell.errors import BodyTooLarge, UsageError
from roombell.events import EVENT_TYPES, WebhookEvent, parse
from roombell.receiver import DeliveryInfo, Receiver
from roombell.receiver.answers import BodyBuffer, read_bounded
from roombell.receiver.families import of_family
from roombell.signing import KeyRing
from roombell.transport.headers import header_safe

KEYS = {"APIabc": "secret"}
NOW = 1_789_411_342.0
TEXT = st.text(max_size=40)


def receiver() -> Receiver:
    return Receiver(KEYS, now=lambda: NOW)


@given(
    st.dictionaries(
        st.sampled_from(
            ["Authorization", "Webhook-Id", "Webhook-Attempt", "Webhook-Sequence", "Webhook-Lane", "Content-Length"]
        ),
        TEXT | st.integers().map(str),
    ),
    st.binary(max_size=200),
    st.sampled_from(["POST", "GET", "HEAD", "OPTIONS", "BREW", ""]),
)
def test_whatever_a_stranger_sends_is_answered_by_a_refusal_in_json(
    headers: Mapping[str, str], body: bytes, method: str
) -> None:
    answer = receiver().respond_blocking(method, headers.get, io.BytesIO(body).read, reads_chunked=True)
    assert answer.status in (204, 401, 405, 413)
    if answer.body:
        assert set(json.loads(answer.body)) == {"error", "message"}
    else:
        assert method in ("HEAD", "OPTIONS")


@given(st.binary(max_size=300) | st.dictionaries(st.sampled_from(["event", "id", "room"]), TEXT).map(json.dumps))
def test_whatever_is_rightly_signed_is_handled_or_no_event(body: bytes | str) -> None:
    raw = body.encode() if isinstance(body, str) else body
    one, seen = receiver(), []
    one.on("*")(seen.append)
    headers = {"Authorization": KeyRing(KEYS).sign(raw, api_key="APIabc", now=NOW)}
    answer = one.answer_blocking(headers.get, raw)
    assert (answer.status, [event.raw for event in seen]) in ((200, [raw]), (400, []))


@given(st.text(max_size=60), st.integers(1, 2**63 - 1), st.integers(1, 2**31), st.text(min_size=1, max_size=60))
def test_what_roombell_puts_into_headers_is_read_back(webhook_id: str, sequence: int, attempt: int, lane: str) -> None:
    lane, webhook_id = (text.encode("utf-8", "replace").decode() for text in (lane, webhook_id))
    headers = {
        "Webhook-Id": header_safe(webhook_id),
        "Webhook-Sequence": str(sequence),
        "Webhook-Attempt": str(attempt),
        "Webhook-Lane": header_safe(lane),
    }
    info = DeliveryInfo.from_headers(headers.get)
    assert info == DeliveryInfo(webhook_id, attempt=attempt, sequence=sequence, lane=lane)
    assert info.is_numbered


@given(st.lists(st.binary(max_size=20), max_size=20), st.integers(0, 200))
def test_a_body_in_pieces_is_whole_or_too_large(pieces: list[bytes], limit: int) -> None:
    body, buffer = b"".join(pieces), BodyBuffer(limit)
    if len(body) <= limit:
        for piece in pieces:
            buffer.add(piece)
        assert buffer.body() == body
    else:
        with pytest.raises(BodyTooLarge):
            list(map(buffer.add, pieces))


class Pieces(io.RawIOBase):
    """Gives at most so many bytes at a time."""

    def __init__(self, data: bytes, size: int) -> None:
        self._stream, self._size = io.BytesIO(data), size

    def read(self, size: int = -1) -> bytes:
        return self._stream.read(min(size, self._size))

    @property
    def left(self) -> bytes:
        return self._stream.read()


@given(st.binary(max_size=60), st.binary(max_size=20), st.integers(1, 30), st.integers(60, 100))
def test_a_declared_body_is_read_to_its_end_and_no_further(body: bytes, after: bytes, size: int, limit: int) -> None:
    stream = Pieces(body + after, size)
    assert read_bounded(stream.read, limit, str(len(body))) == body
    assert stream.left == after


@given(st.text(max_size=30) | st.sampled_from(EVENT_TYPES), st.booleans())
def test_a_pattern_is_taken_or_refused_and_never_anything_else(pattern: str, unknown: bool) -> None:
    one = receiver()
    try:
        one.on(pattern, unknown=unknown)(print)
    except UsageError:
        assert not unknown
        assert not any(pattern == name for name in EVENT_TYPES)
    else:
        assert len(one.handlers) == 1
        assert unknown or any(one.handlers.matching(name) for name in EVENT_TYPES)


@given(st.sampled_from(EVENT_TYPES) | st.from_regex(r"[a-z]+_[a-z]+", fullmatch=True), TEXT)
def test_an_event_and_the_same_one_of_its_family_are_equal_in_every_way(event_type: str, room: str) -> None:
    event = _parsed(event_type, room)
    typed = of_family(event)
    assert (typed == event, event == typed, hash(typed)) == (True, True, hash(event))
    assert repr(typed) == repr(event)
    assert {name: getattr(typed, name) for name in event.__struct_fields__} == {
        name: getattr(event, name) for name in event.__struct_fields__
    }


def _parsed(event_type: str, room: str) -> WebhookEvent:
    return parse(json.dumps({"event": event_type, "id": "EV_1", "room": {"name": room}}).encode())
