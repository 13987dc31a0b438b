"""The answers that need no body, and bodies that are read no further than allowed."""

from __future__ import annotations

import io
import json

import pytest

from roombell.errors import BodyBrokenOff, BodyTooLarge
from roombell.receiver import Receiver
from roombell.receiver.answers import BodyBuffer, read_bounded

SIGNED = {"Authorization": "token"}
LIMIT = 100


def early(method: str = "POST", headers: dict[str, str] = SIGNED, **how: bool):
    return Receiver({"APIabc": "secret"}, body_bytes_max=LIMIT).before_body(method, headers.get, **how)


@pytest.mark.parametrize("length", [None, "", "0", "100", " 100 ", "x", "-5"])
def test_a_signed_post_within_the_limit_is_to_be_read(length: str | None) -> None:
    assert early(headers=SIGNED | ({} if length is None else {"Content-Length": length})) is None


@pytest.mark.parametrize("length", ["101", "9" * 5_000])
def test_a_declared_length_over_the_limit_is_refused_unread(length: str) -> None:
    answer = early(headers=SIGNED | {"Content-Length": length})
    assert answer is not None
    assert (answer.status, json.loads(answer.body)["error"]) == (413, "body_too_large")


def test_chunked_bodies_are_refused_where_they_cannot_be_read() -> None:
    chunked = SIGNED | {"Transfer-Encoding": "Chunked"}
    assert early(headers=chunked) is None
    answer = early(headers=chunked, reads_chunked=False)
    assert answer is not None
    assert (answer.status, json.loads(answer.body)["error"]) == (411, "length_required")


def test_an_unsigned_request_is_refused_unread() -> None:
    answer = early(headers={})
    assert answer is not None
    assert (answer.status, json.loads(answer.body)["error"]) == (401, "no_authorization")


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "BREW"])
def test_other_methods_are_told_which_are_allowed(method: str) -> None:
    answer = early(method)
    assert answer is not None
    assert (answer.status, dict(answer.headers)["Allow"]) == (405, "POST, OPTIONS")
    assert json.loads(answer.body)["error"] == "method_not_allowed"


def test_head_is_answered_as_get_without_the_body_and_options_with_the_methods() -> None:
    head, options = early("HEAD"), early("OPTIONS", {})
    assert head is not None
    assert options is not None
    assert (head.status, dict(head.headers)["Allow"], head.body) == (405, "POST, OPTIONS", b"")
    assert (options.status, dict(options.headers), options.body) == (204, {"Allow": "POST, OPTIONS"}, b"")


def test_a_buffer_takes_up_to_the_limit_and_keeps_nothing_beyond() -> None:
    buffer = BodyBuffer(LIMIT)
    buffer.add(b"x" * 60)
    buffer.add(b"y" * 40)
    assert buffer.body() == b"x" * 60 + b"y" * 40
    with pytest.raises(BodyTooLarge):
        buffer.add(b"z")
    assert buffer.body() == b""


class Slow(io.RawIOBase):
    """A stream that gives less than it is asked for, and fails when read past what was declared."""

    def __init__(self, data: bytes, *, ends: bool) -> None:
        self._stream, self._ends, self.taken = io.BytesIO(data), ends, 0

    def read(self, size: int = -1) -> bytes:
        piece = self._stream.read(min(size, 7))
        self.taken += len(piece)
        assert piece or self._ends, "read past the end, where a socket would block"
        return piece


def test_a_declared_body_is_read_to_its_length_and_never_past_it() -> None:
    assert read_bounded(Slow(b"x" * 50, ends=False).read, LIMIT, "50") == b"x" * 50


def test_a_body_of_unknown_length_is_read_to_its_end_or_just_past_the_limit() -> None:
    assert read_bounded(Slow(b"x" * 100, ends=True).read, LIMIT, None) == b"x" * 100
    long = Slow(b"x" * 10_000, ends=True)
    with pytest.raises(BodyTooLarge):
        read_bounded(long.read, LIMIT, None)
    assert long.taken <= LIMIT + 7


def test_a_stream_that_fails_is_a_body_that_broke_off() -> None:
    def read(size: int) -> bytes:
        raise ConnectionResetError

    with pytest.raises(BodyBrokenOff) as caught:
        read_bounded(read, LIMIT, "50")
    assert (caught.value.status, caught.value.code) == (400, "body_broken_off")


def test_a_body_that_breaks_off_is_what_came() -> None:
    assert read_bounded(Slow(b"x" * 10, ends=True).read, LIMIT, "50") == b"x" * 10
