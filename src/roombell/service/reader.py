"""Bytes in, requests out: HTTP/1.1 without I/O.

llhttp (through httptools) does the syntax, and in its strict mode refuses what request smuggling is made of: two
lengths, a length beside a transfer coding, folded headers, space before a colon, bare CR or LF, bad chunk sizes
(each of these is under test, so that a looser parser would be noticed). What it lets through is refused here: other
versions than 1.0 and 1.1, transfer codings that we do not undo, a coding in HTTP/1.0, no host or two, trailers and
chunk extensions without end. ``Upgrade`` is ignored, as RFC 9110, section 7.8 lets a server do; httptools can only
stop at one, so that such a request is read a second time without it.
"""

from __future__ import annotations

import logging
from enum import IntEnum
from http import HTTPStatus
from typing import Final, NoReturn, Protocol

import httptools

from roombell.service.limits import HttpLimits
from roombell.service.messages import Handler, Request, Response, error_response
from roombell.service.router import Router

_log = logging.getLogger("roombell.http")

SLICE_BYTES: Final = 16 * 1024
"""The most that is parsed at once: httptools cannot stop between two requests of one piece."""

_FRAMING_BYTES_SPARE: Final = 64 * 1024
_FRAMING_BYTES_PER_BODY_BYTE: Final = 8
"""Chunk headers, extensions and trailers may take this much: one-byte chunks take six bytes for one."""

_METHODS: Final = {name.encode(): name for name in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")}


class Phase(IntEnum):
    """Where in a request the reader is."""

    IDLE = 0
    HEAD = 1
    BODY = 2
    DONE = 3
    """Nothing more is read from this connection."""


# looked up several times per request, where an enumeration's attribute costs twice a global
_IDLE: Final = Phase.IDLE
_HEAD: Final = Phase.HEAD
_BODY: Final = Phase.BODY
_DONE: Final = Phase.DONE


class BodyBytes:
    """How many bytes of bodies are in memory, over all connections."""

    __slots__ = ("held",)

    def __init__(self) -> None:
        self.held = 0


class Sink(Protocol):
    """What the reader hands over to: a connection."""

    def request_read(self, request: Request, handler: Handler, *, keep_alive: bool, http10: bool) -> None:
        """A request was read whole; its body counts as held until the sink says otherwise."""

    def request_refused(self, response: Response) -> None:
        """What came cannot be a request, or may not: answer this, then end the connection."""

    def continue_expected(self) -> None:
        """The client waits for a ``100 Continue`` before it sends its body."""


class _Stop(Exception):
    """Ends a parser callback; never leaves this module."""


class RequestReader:
    """Reads the requests of one connection. Feed it pieces of at most ``SLICE_BYTES``."""

    __slots__ = (
        "_bodies", "_body", "_body_bytes", "_chunked", "_chunks", "_fed_bytes", "_headers", "_http10", "_keep_alive",
        "_last", "_limits", "_method", "_parser", "_peer", "_router", "_sink", "_target", "_target_raw", "phase",
        "requests",
    )  # fmt: skip

    def __init__(self, sink: Sink, router: Router, limits: HttpLimits, bodies: BodyBytes, peer: str) -> None:
        self._sink = sink
        self._router = router
        self._limits = limits
        self._bodies = bodies
        self._peer = peer
        self._parser = httptools.HttpRequestParser(self)
        self._last = False
        self.phase = _IDLE
        self.requests = 0
        """Requests read so far."""
        self._target_raw = b""
        self._headers: dict[bytes, bytes] = {}
        self._body = b""
        self._body_bytes = 0
        self._chunks: list[bytes] | None = None
        self._chunked = False
        self._fed_bytes = 0
        self._keep_alive = self._http10 = False

    def feed(self, data: bytes | memoryview) -> None:
        """Parses ``data`` and hands over what is complete. Never raises; after a refusal it reads nothing more."""
        rest: bytes | memoryview = data
        while rest and self.phase is not _DONE:
            try:
                self._parser.feed_data(rest)
            except httptools.HttpParserUpgrade as upgrade:
                rest = self._without_upgrade(bytes(rest[upgrade.args[0] :]))
            except httptools.HttpParserError as error:
                self._broken(error)
                return
            else:
                if self.phase is not _IDLE:
                    self._count(len(rest))
                return

    def finish(self) -> None:
        """Reads no further than to the end of the request that has begun."""
        self._last = True
        if self.phase is _IDLE:
            self.phase = _DONE

    def close(self) -> None:
        """Reads no further, and forgets what was read of a request."""
        if self.phase is _BODY:
            self._bodies.held -= self._body_bytes
        self._body_bytes = 0
        self._body = b""
        self._chunks = None
        self.phase = _DONE

    def refuse(self, status: int, code: str, message: str) -> None:
        """Ends reading with an answer. Nothing if reading has ended."""
        if self.phase is not _DONE:
            self.close()
            headers = ((b"retry-after", b"1"),) if status == HTTPStatus.SERVICE_UNAVAILABLE else ()
            self._sink.request_refused(error_response(status, code, message, headers))

    def _count(self, fed_bytes: int) -> None:
        """Bounds what the parser holds back: a header that never ends, and framing without a body."""
        self._fed_bytes += fed_bytes
        if self.phase is _HEAD:
            # the first piece may hold earlier requests, too
            if self._fed_bytes > self._limits.head_bytes_max + SLICE_BYTES:
                self.refuse(*_head_too_large(self._limits))
        elif self._chunked:
            framing_bytes = self._fed_bytes - self._body_bytes - self._limits.head_bytes_max
            if framing_bytes > _FRAMING_BYTES_SPARE + _FRAMING_BYTES_PER_BODY_BYTE * self._body_bytes:
                self.refuse(400, "bad_request", "Chunk extensions and trailers are too long.")

    def _broken(self, error: httptools.HttpParserError) -> None:
        if self.phase is _DONE:
            return  # our own refusal, or bytes after a request that was to be the last
        if isinstance(error, httptools.HttpParserCallbackError):
            _log.error("Reading a request failed. This is a fault of Roombell.", exc_info=error)
            self.refuse(500, "internal", "The server failed on this request. Its log has the details.")
        elif isinstance(error, httptools.HttpParserInvalidMethodError):
            self.refuse(400, "bad_request", "This is not HTTP, or its method is unknown.")
        else:
            self.refuse(400, "bad_request", f"The request is not valid HTTP: {error}.")

    def _without_upgrade(self, rest: bytes) -> bytes:
        """The request once more as it would be without ``Upgrade``, and what follows it."""
        connection = self._headers.pop(b"connection", b"").lower()
        self._headers.pop(b"upgrade", None)
        if b"close" in connection:
            self._headers[b"connection"] = b"close"
        lines = [b"%b %b HTTP/1.1" % (self._parser.get_method(), self._target_raw)]
        lines += [b"%b: %b" % header for header in self._headers.items()]
        self._parser = httptools.HttpRequestParser(self)
        return b"\r\n".join(lines) + b"\r\n\r\n" + rest

    def _refuse(self, status: int, code: str, message: str) -> NoReturn:
        """Refuses from within a parser callback, which must end at once."""
        self.refuse(status, code, message)
        raise _Stop

    # httptools' callbacks ----------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        self.phase = _HEAD
        self._target_raw = b""
        self._headers = {}
        self._fed_bytes = 0
        self._body = b""
        self._body_bytes = 0
        self._chunks = None
        self._chunked = False

    def on_url(self, url: bytes) -> None:
        self._target_raw += url
        if len(self._target_raw) > self._limits.target_bytes_max:
            self._refuse(414, "target_too_long", "The request's target is too long.")

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.phase is _BODY:
            return  # a trailer: nothing here needs one, and none may pass for a header
        name = name.lower()
        headers = self._headers
        if name not in headers:
            headers[name] = value.rstrip()
        elif name == b"host":
            self._refuse(400, "bad_request", "The request has two Host headers.")
        else:
            headers[name] += b", " + value.rstrip()

    def on_headers_complete(self) -> None:
        parser, headers = self._parser, self._headers
        method = self._method = _METHODS.get(raw := parser.get_method()) or raw.decode("latin-1")
        if parser.should_upgrade():
            if method == "CONNECT":
                self._refuse(501, "not_implemented", "This server is no proxy.")
            return
        self._keep_alive = parser.should_keep_alive()
        # By the rules of the protocol, what stays open without a word is HTTP/1.1; asking for the version costs more.
        self._http10 = (not self._keep_alive or b"connection" in headers) and self._is_http10()
        self._check_head()
        target = self._router.find(method, self._target_raw)
        if target is None:
            self._refuse(400, "bad_request", "The request's target is neither a path nor an http URL.")
        self._target = target
        announced = self._framing()
        self.phase = _BODY
        if b"expect" in headers:
            self._expect(body_follows=announced)

    def on_body(self, piece: bytes) -> None:
        self._body_bytes += len(piece)
        self._bodies.held += len(piece)
        if self._body_bytes > self._limits.body_bytes_max:
            self._refuse(*_body_too_large(self._limits))
        if self._bodies.held > self._limits.bodies_bytes_max:
            self._refuse(503, "overloaded", "The server holds too many requests; try again later.")
        if self._chunks is not None:
            self._chunks.append(piece)
        elif self._body:
            self._chunks = [self._body, piece]
        else:
            self._body = piece

    def on_message_complete(self) -> None:
        if self.phase is not _BODY:
            return  # an upgrade: the request is read once more
        body = self._body if self._chunks is None else b"".join(self._chunks)
        target, method = self._target, self._method
        request = Request(method, target.path, target.query, self._headers, body, self._peer)
        self.requests += 1
        self._body, self._chunks = b"", None
        self.phase = _IDLE if self._keep_alive and not self._last else _DONE
        handler = target.handlers.get(method) or target.fallback
        self._sink.request_read(request, handler, keep_alive=self._keep_alive, http10=self._http10)

    # What the headers say ----------------------------------------------------------------------------------

    def _is_http10(self) -> bool:
        version = self._parser.get_http_version()
        if version not in ("1.0", "1.1"):
            self._refuse(505, "http_version", "This server speaks HTTP/1.1 and HTTP/1.0.")
        return version == "1.0"

    def _check_head(self) -> None:
        limits = self._limits
        if b"host" not in self._headers and not self._http10:
            self._refuse(400, "bad_request", "The request has no Host header.")
        if self._fed_bytes == 0 and limits.head_bytes_max >= SLICE_BYTES:
            return  # it came in one piece, which is below the bound
        head_bytes = sum(len(name) + len(value) + 4 for name, value in self._headers.items())
        if head_bytes > limits.head_bytes_max:
            self._refuse(*_head_too_large(limits))

    def _framing(self) -> bool:
        """Whether a body follows; refuses one that is too long or in a form we cannot undo."""
        coding = self._headers.get(b"transfer-encoding")
        if coding is not None:
            if self._http10:
                self._refuse(400, "bad_request", "HTTP/1.0 has no Transfer-Encoding.")
            if coding.lower() != b"chunked":
                self._refuse(501, "not_implemented", "The only transfer coding this server knows is chunked.")
            self._chunked = True
            return True
        # llhttp has seen to it that it is one number of digits
        length_bytes = int(self._headers.get(b"content-length", b"0"))
        if length_bytes > self._limits.body_bytes_max:
            self._refuse(*_body_too_large(self._limits))
        return length_bytes > 0

    def _expect(self, *, body_follows: bool) -> None:
        """RFC 9110, section 10.1.1: a final answer now, or a 100 so that the body is sent."""
        if self._headers[b"expect"].lower() != b"100-continue":
            self._refuse(417, "expectation_failed", "The only expectation this server knows is 100-continue.")
        if self._http10 or not body_follows:
            return
        refusal = self._early_refusal()
        if refusal is not None:
            self.close()
            self._sink.request_refused(refusal)
            raise _Stop
        self._sink.continue_expected()

    def _early_refusal(self) -> Response | None:
        target = self._target
        request = Request(self._method, target.path, target.query, self._headers, b"", self._peer)
        if self._method not in target.handlers:
            answer = target.fallback(request)
            return answer if isinstance(answer, Response) else None
        return target.early(request) if target.early is not None else None


def _head_too_large(limits: HttpLimits) -> tuple[int, str, str]:
    return 431, "headers_too_large", f"The request's headers are larger than {limits.head_bytes_max} bytes."


def _body_too_large(limits: HttpLimits) -> tuple[int, str, str]:
    return 413, "body_too_large", f"The body is larger than the limit of {limits.body_bytes_max} bytes."
