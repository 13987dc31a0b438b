"""What is answered to a webhook, decided without a request: the same under every framework. Pure.

The bodies are those of Roombell's own service: ``{"id": …, "duplicate": …}``, or ``{"error": …, "message": …}``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from roombell.errors import (
    BodyBrokenOff,
    BodyTooLarge,
    LengthRequired,
    MethodNotAllowed,
    Overloaded,
    ReceiveError,
    RoombellError,
    ServiceError,
)
from roombell.receiver.delivery import HeaderLookup
from roombell.signing import NoAuthorization

JSON: Final = "application/json"
ALLOW: Final = "POST, OPTIONS"
RETRY_AFTER_S: Final = 1
"""When to come again, where the error does not say."""

_LENGTH_DIGITS_MAX: Final = 18
_encode: Final = msgspec.json.Encoder().encode


class Answer(msgspec.Struct, frozen=True):
    """A response: its status, its headers but for the length, and its body."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""


class _Taken(msgspec.Struct, frozen=True):
    id: str
    duplicate: bool


class _Refused(msgspec.Struct, frozen=True):
    error: str
    message: str


def taken(event_id: str, *, duplicate: bool = False) -> Answer:
    """200: the event was taken."""
    return Answer(200, (("Content-Type", JSON),), _encode(_Taken(event_id, duplicate)))


def refused(error: RoombellError) -> Answer:
    """The answer that an error stands for."""
    headers = [("Content-Type", JSON)]
    if isinstance(error, MethodNotAllowed):
        headers.append(("Allow", ALLOW))
    if isinstance(error, ServiceError):
        after_s = error.retry_after_s if isinstance(error, Overloaded) else RETRY_AFTER_S
        headers.append(("Retry-After", str(after_s)))
    return Answer(error.status, tuple(headers), _encode(_Refused(error.code, str(error))))


def options() -> Answer:
    """204 with the methods that are allowed."""
    return Answer(204, (("Allow", ALLOW),))


def trouble_before_body(
    method: str, header: HeaderLookup, *, body_bytes_max: int, reads_chunked: bool
) -> ReceiveError | None:
    """Why a request is refused whatever its body; None if the body is wanted. It may still prove too large."""
    if method != "POST":
        return MethodNotAllowed(method)
    if is_chunked(header):
        if not reads_chunked:
            return LengthRequired()
    elif length(header("Content-Length")) > body_bytes_max:
        return BodyTooLarge(body_bytes_max)
    return NoAuthorization() if header("Authorization") is None else None


def is_chunked(header: HeaderLookup) -> bool:
    """Whether the request declares no length because its body comes in chunks."""
    return "chunked" in (header("Transfer-Encoding") or "").lower()


class BodyBuffer:
    """Gathers a body that comes in pieces, and holds no more of it than is allowed."""

    __slots__ = ("_body_bytes_max", "_held", "_pieces")

    def __init__(self, body_bytes_max: int) -> None:
        self._body_bytes_max = body_bytes_max
        self._pieces: list[bytes] = []
        self._held = 0

    def add(self, piece: bytes) -> None:
        """:raises BodyTooLarge: with this piece it is over the limit; nothing of it is kept."""
        self._held += len(piece)
        if self._held > self._body_bytes_max:
            self._pieces.clear()
            raise BodyTooLarge(self._body_bytes_max)
        self._pieces.append(piece)

    def body(self) -> bytes:
        """All that came."""
        return b"".join(self._pieces)


def read_bounded(read: Callable[[int], bytes], body_bytes_max: int, declared: str | None) -> bytes:
    """A body from a blocking stream: as long as declared, or up to the stream's end where nothing is declared.

    :raises BodyTooLarge: it goes on behind the limit.
    :raises BodyBrokenOff: the stream failed.
    """
    wanted = body_bytes_max + 1 if declared is None else length(declared)
    buffer = BodyBuffer(body_bytes_max)
    try:
        while wanted > 0 and (piece := read(min(wanted, _PIECE_BYTES))):
            buffer.add(piece)
            wanted -= len(piece)
    except OSError as error:
        raise BodyBrokenOff from error
    return buffer.body()


_PIECE_BYTES: Final = 64 * 1024


def length(value: str | None) -> int:
    """What a ``Content-Length`` says; 0 if it is absent or no number, which the server beneath should have refused."""
    text = (value or "").strip()
    if not (text.isascii() and text.isdecimal()):
        return 0
    return int(text) if len(text) <= _LENGTH_DIGITS_MAX else 10**_LENGTH_DIGITS_MAX
