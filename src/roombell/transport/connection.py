"""One connection to an endpoint, which carries one POST at a time.

**What an answer is.** The endpoint's word is its status, and it has been given once the status line and the headers
are complete. The body is read only so that the connection can be used again and so that people can see its first
bytes. So whatever goes wrong after the headers (the body is cut short, is chunked wrongly, never ends, comes too
slowly, or is followed by bytes that nobody asked for), the attempt is answered with that status, and the connection is
dropped. The alternative, to count a broken body as a failure, would deliver again what the endpoint has said it took.
Before the headers are complete, everything that is not HTTP is a failure.

**Staleness.** An endpoint may close a kept connection at the moment a request goes out on it. A reused connection that
ends before the first byte of an answer is therefore marked ``is_stale``, and its user asks again on a fresh one.

**Deadlines.** A connection has one at all times: of its request, of its answer's body, or of its idleness. It does not
keep a timer; its owner watches the deadlines of all its connections with one (timers per request cost a tenth of the
whole request).
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Final, cast

import httptools
import msgspec

from roombell.engine.model import Answered, FailureKind
from roombell.transport.failures import Trouble, TroubleError, lost_trouble
from roombell.transport.target import HttpLimits

_HEADER_CHARS_MAX: Final = 256
"""How much of a header's value is kept; a date has 29 characters."""
_HEADER_OVERHEAD_BYTES: Final = 4
"""Colon, space, CR, LF."""
_KEPT_HEADERS: Final = frozenset(
    (b"retry-after", b"date", b"keep-alive", b"webhook-delivery", b"proxy-status", b"x-squid-error")
)
_KEEP_ALIVE_MARGIN_S: Final = 0.5
"""How long before the endpoint's own time a kept connection is given up, so that both seldom close at once."""
_STATUS_FINAL_MIN: Final = 200
_STATUS_MIN: Final = 100
_SWITCHING_PROTOCOLS: Final = 101
_TLS_RECORD: Final = (b"\x15\x03", b"\x16\x03")
"""How a TLS record begins: an alert, or a handshake (RFC 8446, section 5.1)."""


class ConnectionPlan(msgspec.Struct, frozen=True):
    """What all connections of an endpoint have in common."""

    origin: str
    limits: HttpLimits
    watch: Callable[[float], None]
    """Told each deadline that comes sooner than the one before it."""
    on_lost: Callable[[Connection], None]
    """Told when the connection's socket is closed."""


class Connection(asyncio.Protocol):
    """An open connection. Its owner calls ``post`` while nothing is under way, and ``drop`` at any time."""

    __slots__ = (
        "_allowed_ms",
        "_body_bytes",
        "_complete",
        "_excerpt",
        "_gone",
        "_has_grace",
        "_header_bytes",
        "_headers",
        "_headers_complete",
        "_interim_count",
        "_keep_alive",
        "_loop",
        "_parser",
        "_plan",
        "_received_bytes",
        "_transport",
        "_trouble",
        "_waiter",
        "deadline_s",
        "is_lost",
        "is_reusable",
        "is_reused",
        "is_stale",
        "status",
    )

    _transport: asyncio.Transport
    _headers: dict[bytes, bytes]
    _trouble: Trouble | None
    _headers_complete: bool
    _complete: bool
    _keep_alive: bool
    _has_grace: bool
    _received_bytes: int
    _header_bytes: int
    _body_bytes: int
    _interim_count: int
    _allowed_ms: int

    def __init__(self, plan: ConnectionPlan) -> None:
        self._plan = plan
        self._loop = asyncio.get_running_loop()
        self._parser: httptools.HttpResponseParser | None = None
        self._waiter: asyncio.Future[Trouble | None] | None = None
        self.deadline_s = math.inf
        self.is_reused = False
        self.is_reusable = True
        self.is_lost = False
        self._gone: Trouble | None = None
        self._begin()

    # What the owner calls ------------------------------------------------------------------------------------

    def post(self, message: bytes, deadline_s: float, allowed_ms: int) -> asyncio.Future[Trouble | None]:
        """Sends a request; the future gives None when it is answered, else why it is not. It never raises.

        :param allowed_ms: the time that ends with the deadline, for the sentence that tells of it.
        """
        self._begin()
        self._allowed_ms = allowed_ms
        self.deadline_s = deadline_s
        waiter: asyncio.Future[Trouble | None] = self._loop.create_future()
        if self._gone is None:
            self._waiter = waiter
            self._transport.write(message)
        else:
            self.is_stale = self.is_reused
            waiter.set_result(self._gone)
        return waiter

    def answered(self, duration_ms: int) -> Answered:
        """The answer that came, until the next ``post``."""
        return Answered(
            status=self.status,
            duration_ms=duration_ms,
            retry_after=self.header(b"retry-after"),
            date=self.header(b"date"),
            control=self.header(b"webhook-delivery"),
            excerpt=self._excerpt,
            reused_connection=self.is_reused,
        )

    def header(self, name: bytes) -> str | None:
        """One of the answer's headers, if it is one of the few that are kept. ``name`` is in lower case."""
        return _text(self._headers.get(name))

    def idle_until_s(self, now_s: float) -> float:
        """When the connection is to be closed if nothing is sent on it."""
        told = _keep_alive_s(self._headers.get(b"keep-alive"))
        return now_s + min(self._plan.limits.idle_timeout_ms / 1000, told)

    def expire(self) -> None:
        """The deadline has passed: closes an idle connection, ends a request."""
        if self._waiter is None:
            self.drop()
        elif self._headers_complete:
            self._end(None)
        else:
            self._end(self._timeout())

    def end(self, trouble: Trouble) -> None:
        """Closes the connection; a request that is under way fails with ``trouble``."""
        self._end(trouble)

    def drop(self) -> None:
        """Closes the connection at once, without a word to whoever waits for an answer."""
        self._waiter = None
        self.is_reusable = False
        self._transport.abort()

    # What the loop calls -------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # A cast, not an assertion: uvloop's transports have the methods and not the base class.
        self._transport = cast("asyncio.Transport", transport)
        self._parser = httptools.HttpResponseParser(self)

    def data_received(self, data: bytes) -> None:
        parser = self._parser
        if self._waiter is None or parser is None:
            told = f"{self._plan.origin} spoke before it was asked: does it speak HTTP there?"
            self._gone = self._gone or Trouble(FailureKind.PROTOCOL, told)
            self.drop()
            return
        first = not self._received_bytes
        self._received_bytes += len(data)
        try:
            parser.feed_data(data)
        except httptools.HttpParserError:
            self._end(self._protocol_trouble(data if first else b""))
            return
        if self._complete:
            self._finish()
        else:
            self._check_bounds()

    def eof_received(self) -> None:
        self._lost(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost(exc)
        self.is_lost = True
        self._parser = None  # it holds our methods, and they hold us
        self._plan.on_lost(self)

    # What the parser calls -----------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self._complete:
            self._keep_alive = False  # bytes after the answer

    def on_header(self, name: bytes, value: bytes) -> None:
        self._header_bytes += len(name) + len(value) + _HEADER_OVERHEAD_BYTES
        if self._headers_complete:
            return  # a trailer
        if self._header_bytes > self._plan.limits.header_bytes_max:
            self._refuse(f"sent headers larger than {self._plan.limits.header_bytes_max} bytes")
        lowered = name.lower()
        if lowered in _KEPT_HEADERS:
            self._headers.setdefault(lowered, value[:_HEADER_CHARS_MAX])

    def on_headers_complete(self) -> None:
        if self._complete or self._parser is None:
            return
        status = self._parser.get_status_code()
        if status >= _STATUS_FINAL_MIN:
            self.status = status
            self._headers_complete = True
            return
        self._interim_count += 1
        self._headers.clear()
        if status == _SWITCHING_PROTOCOLS:
            self._refuse("wants to switch to another protocol (status 101)")
        if status < _STATUS_MIN:
            self._refuse("sent a status below 100")
        if self._interim_count > self._plan.limits.interim_max:
            self._refuse(f"sent more than {self._plan.limits.interim_max} interim (1xx) answers")

    def on_body(self, chunk: bytes) -> None:
        if self._complete:
            return
        self._body_bytes += len(chunk)
        missing = self._plan.limits.excerpt_bytes_max - len(self._excerpt)
        if missing > 0:
            self._excerpt += chunk[:missing]

    def on_message_complete(self) -> None:
        if self._headers_complete and not self._complete and self._parser is not None:
            self._complete = True
            self._keep_alive = self._parser.should_keep_alive()

    # ---------------------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        self.status = 0
        self.is_stale = False
        self._headers = {}
        self._headers_complete = self._complete = self._keep_alive = self._has_grace = False
        self._received_bytes = self._header_bytes = self._body_bytes = self._interim_count = 0
        self._excerpt = b""
        self._trouble = None

    def _refuse(self, what: str) -> None:
        """Stops the parser, from within a callback of its."""
        self._trouble = Trouble(FailureKind.PROTOCOL, f"{self._plan.origin} {what}.")
        raise TroubleError(self._trouble.kind, self._trouble.detail)

    def _finish(self) -> None:
        """The answer is complete: keeps the connection if nothing speaks against it."""
        within = self._body_bytes <= self._plan.limits.body_bytes_max
        if self._keep_alive and within and not self._transport.get_write_buffer_size():
            waiter, self._waiter = self._waiter, None
            if waiter is not None and not waiter.done():
                waiter.set_result(None)
        else:
            self._end(None)

    def _check_bounds(self) -> None:
        limits = self._plan.limits
        if not self._headers_complete:
            if self._received_bytes > limits.header_bytes_max:
                self._end(
                    Trouble(
                        FailureKind.PROTOCOL,
                        f"{self._plan.origin} sent headers larger than {limits.header_bytes_max} bytes.",
                    )
                )
        elif (
            self._body_bytes > limits.body_bytes_max
            # Counts what frames the body too: chunk extensions and trailers are as endless as bodies.
            or self._received_bytes > limits.header_bytes_max + 2 * limits.body_bytes_max
        ):
            self._end(None)
        else:
            self._allow_grace()

    def _allow_grace(self) -> None:
        grace_s = self._loop.time() + self._plan.limits.body_grace_ms / 1000
        if self._has_grace or grace_s >= self.deadline_s:
            return
        self._has_grace = True
        self.deadline_s = grace_s
        self._plan.watch(grace_s)

    def _lost(self, error: Exception | None) -> None:
        if self._waiter is None:
            self._gone = self._gone or lost_trouble(error, self._plan.origin, answering=False)
            self.drop()
        elif self._headers_complete:
            self._end(None)
        else:
            self.is_stale = self.is_reused and not self._received_bytes
            self._end(lost_trouble(error, self._plan.origin, answering=self._received_bytes > 0))

    def _end(self, trouble: Trouble | None) -> None:
        """Ends the request with ``trouble``, or with the answer as far as it came, and the connection with it."""
        waiter = self._waiter
        self.drop()
        if waiter is not None and not waiter.done():
            waiter.set_result(trouble)

    def _protocol_trouble(self, first: bytes) -> Trouble | None:
        if self._headers_complete:
            return None
        if self._trouble is not None:
            return self._trouble
        if first.startswith(_TLS_RECORD):
            why = "speaks TLS there: use https://"
        elif first and not first.startswith(b"HTTP/"):
            why = "does not speak HTTP there"
        else:
            why = "sent an answer that is not valid HTTP"
        return Trouble(FailureKind.PROTOCOL, f"{self._plan.origin} {why}.")

    def _timeout(self) -> Trouble:
        origin, time = self._plan.origin, f"within {self._allowed_ms} ms"
        if self._received_bytes:
            return Trouble(FailureKind.TIMEOUT_READ, f"{origin} began to answer and did not end its headers {time}.")
        if self._transport.get_write_buffer_size():
            return Trouble(FailureKind.TIMEOUT_SEND, f"{origin} did not take the whole request {time}.")
        return Trouble(FailureKind.TIMEOUT_WAIT, f"{origin} took the request and did not answer {time}.")


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("latin-1")


def _keep_alive_s(value: bytes | None) -> float:
    """How long the endpoint keeps the connection by its ``Keep-Alive: timeout=…``, less a margin."""
    for part in (value or b"").lower().split(b","):
        name, _, seconds = part.partition(b"=")
        if name.strip() == b"timeout" and seconds.strip().isdigit():
            return int(seconds) - _KEEP_ALIVE_MARGIN_S
    return math.inf
