"""What an HTTP handler is given and what it gives back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Final

import msgspec

from roombell.errors import Overloaded, PeerError, RoombellError, ServiceError

JSON: Final = b"application/json"
HTML: Final = b"text/html; charset=utf-8"

_json = msgspec.json.Encoder()


class Request:
    """A request that was read whole. Handlers only read it.

    Header names are lower case; values have no white space around them, and those of a repeated name are joined by
    ``", "``. ``path`` and ``query`` are as the client sent them: nothing is decoded.
    """

    __slots__ = ("body", "headers", "method", "path", "peer", "query")

    def __init__(
        self, method: str, path: str, query: str, headers: Mapping[bytes, bytes], body: bytes, peer: str
    ) -> None:
        self.method = method
        self.path = path
        self.query = query
        self.headers = headers
        self.body = body
        self.peer = peer
        """The client's ``address:port``."""

    def text(self, name: bytes) -> str | None:
        """A header as text (Latin-1, so that any bytes have one); None where the client sent none."""
        value = self.headers.get(name)
        return None if value is None else value.decode("latin-1")


class Response(msgspec.Struct, frozen=True, gc=False):
    """An answer. Length, date and connection headers are the connection's business."""

    status: int
    body: bytes = b""
    content_type: bytes = JSON
    headers: tuple[tuple[bytes, bytes], ...] = ()


class Deferred(ABC):
    """An answer that comes later and costs no task: the hot path's way."""

    __slots__ = ()

    @abstractmethod
    def when_done(self, callback: Callable[[object], None], /) -> None:
        """Calls ``callback`` once, from the event loop, when ``response`` can be had."""

    @abstractmethod
    def response(self) -> Response:
        """The answer. Called exactly once, also when the client has gone meanwhile."""


Answer = Response | Deferred | Awaitable[Response]
Handler = Callable[[Request], Answer]
"""Answers a request at once, by a ``Deferred``, or by anything that can be awaited (a coroutine gets a task)."""

Early = Callable[[Request], Response | None]
"""Looks at a request whose body has not been sent yet (``Expect: 100-continue``); a response refuses it."""


def json_response(value: object, status: int = 200) -> Response:
    """``value`` as msgspec encodes it."""
    return Response(status, _json.encode(value))


def error_response(status: int, code: str, message: str, headers: tuple[tuple[bytes, bytes], ...] = ()) -> Response:
    """The one form of every refusal: ``{"error": code, "message": sentence}``."""
    return Response(status, _json.encode({"error": code, "message": message}), JSON, headers)


def response_to(error: RoombellError) -> Response:
    """What an error of ours tells the client: the peer's faults and our inability in words, nothing of the rest."""
    if isinstance(error, ServiceError):
        retry_after_s = error.retry_after_s if isinstance(error, Overloaded) else 1
        headers = ((b"retry-after", b"%d" % retry_after_s),)
        return error_response(error.status, error.code, str(error), headers)
    if isinstance(error, PeerError):
        return error_response(error.status, error.code, str(error))
    return INTERNAL_ERROR


INTERNAL_ERROR: Final = error_response(500, "internal", "The server failed on this request. Its log has the details.")


def reason_phrase(status: int) -> str:
    """The standard's words for a status, empty for one it does not know."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""
